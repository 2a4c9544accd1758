/* consort leave */
#include <stdio.h>

#include "base/cleanup.h"
#include "node/cli/follow.h"
#include "node/cli/options.h"

static void say_progress(const json_t *words)
{
    printf("%s\n", json_string_value(words));
}

int verb_leave(struct cli *cli, int argc, char **argv)
{
    bool force = false;
    struct option_row rows[] = {
        OPTION_ROW('f', "force", NULL, "Leave without moving replicas to other peers", OPTION_FLAG,
                   &force),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "leave is for the peer that is asked: it takes no argument");
    rc = follow_call(cli, "leave", json_pack("{s:b}", "force", force), "progress", say_progress);
    if (rc == CLI_OK && cli->format == CLI_TEXT)
        puts("left the cluster");
    return rc;
}
