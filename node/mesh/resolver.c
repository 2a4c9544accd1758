#include "node/mesh/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    LINE_BYTES_MAX = 256, /* an address takes far less */
    LINES_MAX = 1000,
};

int resolver_find(const char *path, struct address *ret)
{
    char line[LINE_BYTES_MAX], text[64];
    struct in_addr v4;
    struct address found = {0};
    bool is_beginning = true;
    int rc = -ENOENT;
    FILE *file = fopen(path, "re");
    if (!file)
        return -errno;
    for (int i = 0; i < LINES_MAX && rc < 0 && fgets(line, sizeof(line), file); i++) {
        if (is_beginning && sscanf(line, " nameserver %63s", text) == 1) {
            if (inet_pton(AF_INET, text, &v4) == 1) {
                found = address_from_v4(ntohl(v4.s_addr), 0);
                rc = 0;
            } else if (inet_pton(AF_INET6, text, found.ip) == 1) {
                rc = 0;
            }
        }
        is_beginning = strchr(line, '\n') != NULL; /* else the rest of a long line comes next */
    }
    fclose(file);
    if (rc == 0)
        *ret = found;
    return rc;
}
