#include "runtime/network/ipv6.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "runtime/file.h"

#define SETTINGS "/proc/sys/net/ipv6/conf"

enum {
    SETTING_BYTES_MAX = 16, /* a small number and a newline */
};

/* Whether that setting has that value, a single digit. */
static bool is_set(const char *interface, const char *key, char value)
{
    char path[PATH_BYTES];
    char text[SETTING_BYTES_MAX];
    path_format(path, sizeof(path), SETTINGS "/%s/%s", interface, key);
    return file_read_text(path, text, sizeof(text)) >= 0 && text[0] == value;
}

bool ipv6_is_on(void)
{
    return is_set("all", "disable_ipv6", '0');
}

int ipv6_set(const char *interface, const char *key, const char *value)
{
    char path[PATH_BYTES];
    path_format(path, sizeof(path), SETTINGS "/%s/%s", interface, key);
    return file_write_setting(path, value);
}

static void keep_router(const char *interface)
{
    if (is_set(interface, "accept_ra", '1') && is_set(interface, "forwarding", '0') &&
        ipv6_set(interface, "accept_ra", "2") == 0)
        log_notice("network: %s goes on taking router advertisements while this machine forwards "
                   "IPv6 (net.ipv6.conf.%s.accept_ra=2)",
                   interface, interface);
}

int ipv6_enable_forwarding(void)
{
    if (is_set("all", "forwarding", '1'))
        return 0;
    DIR *directory = opendir(SETTINGS);
    if (!directory)
        return -errno;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, "all") != 0 &&
            strcmp(entry->d_name, "lo") != 0)
            keep_router(entry->d_name);
    closedir(directory);
    return ipv6_set("all", "forwarding", "1");
}

void ipv6_prepare_namespace(bool has_ipv6)
{
    /* None is worth a container's start: one may have link-local addresses, or wait a second until
     * they are known to be nobody else's. */
    if (!has_ipv6) {
        ipv6_set("default", "disable_ipv6", "1");
        return;
    }
    ipv6_set("default", "disable_ipv6", "0");
    ipv6_set("default", "accept_ra", "0");
    ipv6_set("default", "accept_dad", "0");
}
