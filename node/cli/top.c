/* consort top */
#include <stdio.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/list.h"
#include "node/cli/options.h"

/* As minutes and seconds, which is how ps tells a process's time. */
static void cell_cpu_time(const json_t *row, const char *key, char *ret)
{
    long long seconds = (long long)json_number(row, key) / 1000000;
    snprintf(ret, CLI_TEXT_BYTES_MAX, "%lld:%02lld", seconds / 60, seconds % 60);
}

int verb_top(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {{"PID", "pid", NULL},
                                            {"HOST PID", "host_pid", NULL},
                                            {"UID", "uid", NULL},
                                            {"STATE", "state", NULL},
                                            {"CPU TIME", "cpu_usec", cell_cpu_time},
                                            {"MEMORY", "memory_bytes", cell_size},
                                            {"COMMAND", "command", NULL}};
    json_t *result;
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one replica is expected");
    rc = cli_ask(cli, "processes", json_pack("{s:s}", "replica", argv[0]), &result);
    return rc != CLI_OK ? rc : list_print(cli, result, "processes", columns, array_count(columns));
}
