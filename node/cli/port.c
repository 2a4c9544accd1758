/* consort port */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/list.h"
#include "node/cli/options.h"

/* "10.0.0.1:7400" as the host alone, in whose stead it is asked for the published port. */
static int host_length(const char *address)
{
    const char *colon = strrchr(address, ':');
    return colon ? (int)(colon - address) : (int)strlen(address);
}

/* A row for each peer that answers there: all that live. */
static void add_rows(json_t *rows, const char *target, const char *published, const json_t *peers)
{
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i);
        const char *address = json_text(peer, "address");
        char at[CLI_TEXT_BYTES_MAX];
        if (strcmp(json_text(peer, "state"), "alive") != 0)
            continue;
        snprintf(at, sizeof(at), "%.*s:%s", host_length(address), address, published);
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s}", "port", target, "at", at, "peer",
                                              json_text(peer, "name")));
    }
}

/* `ports` is as the API says it: "8080:80,5353:53/udp". Only those of `wanted`, "80" or "80/tcp",
 * unless it is NULL. */
static json_t *find_rows(const char *ports, const char *wanted, const json_t *peers)
{
    json_t *rows = json_array();
    char port[64], published[16], number[16];
    for (; *ports; ports += strspn(ports, ",")) {
        size_t length = strcspn(ports, ",");
        if (sscanf(ports, "%15[0-9]:%15[0-9]", published, number) == 2) {
            const char *protocol = memchr(ports, '/', length);
            int rest = protocol ? (int)(ports + length - protocol) : 4;
            snprintf(port, sizeof(port), "%s%.*s", number, rest, protocol ? protocol : "/tcp");
            if (!wanted || strcmp(wanted, port) == 0 || strcmp(wanted, number) == 0)
                add_rows(rows, port, published, peers);
        }
        ports += length;
    }
    return rows;
}

int verb_port(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"PORT", "port", NULL}, {"PEER", "peer", NULL}, {"AT", "at", NULL}};
    json_t *service = NULL, *peers = NULL;
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc < 1 || argc > 2)
        return cli_usage(cli, "a service, and perhaps one of its ports, are expected");
    rc = cli_ask(cli, "service.inspect", json_pack("{s:s}", "service", argv[0]), &service);
    if (rc == CLI_OK)
        rc = list_all_peers(cli, NULL, &peers);
    if (rc != CLI_OK) {
        json_decref(service);
        return rc;
    }
    json_t *rows = find_rows(json_text(service, "ports"), argc > 1 ? argv[1] : NULL, peers);
    json_decref(peers);
    if (json_array_size(rows) == 0) {
        struct error error = {0};
        error_set(&error, -ENOENT, "%s publishes no such port: %s", argv[0],
                  *json_text(service, "ports") ? json_text(service, "ports") : "none at all");
        error_hint(&error, "see: consort service inspect %s", argv[0]);
        json_decref(service);
        json_decref(rows);
        return cli_fail(&error);
    }
    json_decref(service);
    return list_print(cli, json_pack("{s:o}", "rows", rows), "rows", columns, array_count(columns));
}
