/* consort token create, ls, revoke */
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "node/cli/list.h"
#include "node/cli/options.h"
#include "node/cli/output.h"

/* The token alone on stdout, for scripts: T=$(consort token create). */
static void say_token(const json_t *result)
{
    puts(json_text(result, "token"));
    fflush(stdout);
    fputs("Use it on the new machine with: consort join TOKEN (an operator: consort context create "
          "NAME TOKEN)\n",
          stderr);
}

int verb_token_create(struct cli *cli, int argc, char **argv)
{
    const char *role = "peer";
    uint32_t uses = 1;
    int64_t expires_ms = 24 * 60 * 60 * 1000;
    struct option_row rows[] = {
        OPTION_ROW(0, "role", "ROLE", "peer (default), viewer, deployer or admin", OPTION_TEXT,
                   &role),
        OPTION_ROW(0, "uses", "N", "How many may join with it (default 1)", OPTION_COUNT, &uses),
        OPTION_ROW(0, "expires", "TIME", "When it ends (default 24h; 0: never)", OPTION_DURATION,
                   &expires_ms),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "token create takes no argument");
    return cli_do(cli, "token.create",
                  json_pack("{s:s, s:I, s:I}", "role", role, "uses", (json_int_t)uses, "ttl_ms",
                            (json_int_t)expires_ms),
                  say_token);
}

static void cell_left(const json_t *row, const char *key, char *ret)
{
    if (json_number(row, key) == 0)
        snprintf(ret, 8, "never");
    else
        cell_since(row, key, ret);
}

int verb_token_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {{"ID", "id", cell_short_id},
                                            {"ROLE", "role", NULL},
                                            {"USES LEFT", "uses_left", NULL},
                                            {"EXPIRES", "expires_wall_ms", cell_left},
                                            {"MADE BY", "actor", NULL}};
    return list_intent_verb(cli, argc, argv, "token.ls", "tokens", columns, array_count(columns));
}

int verb_token_revoke(struct cli *cli, int argc, char **argv)
{
    return named_verb(cli, argc, argv, "token.revoke", "id", say_done);
}
