/* consort ps */
#include "base/cleanup.h"
#include "node/cli/list.h"
#include "node/cli/options.h"

int verb_ps(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},         {"PEER", "peer", NULL},
        {"STATE", "state", NULL},       {"HEALTH", "health", NULL},
        {"REVISION", "revision", NULL}, {"RESTARTS", "restarts", NULL},
        {"IMAGE", "image", NULL},       {"PLACED", "since_wall_ms", cell_since},
        {"DETAIL", "detail", NULL}};
    json_t *result;
    struct option_row rows[] = {OPTION_CONSISTENT(cli)};
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 1)
        return cli_usage(cli, "at most one service is expected");
    rc = cli_ask(cli, "ps", argc > 0 ? json_pack("{s:s}", "service", argv[0]) : NULL, &result);
    return rc != CLI_OK ? rc : list_print(cli, result, "replicas", columns, array_count(columns));
}
