#include "node/cli/list.h"

#include <stdio.h>

#include "node/cli/options.h"

int list_print(const struct cli *cli, json_t *result, const char *key, const struct column *columns,
               size_t count)
{
    const json_t *rows = json_object_get(result, key);
    if (cli->format == CLI_JSON)
        output_json(rows);
    else
        output_table(rows, columns, count);
    json_decref(result);
    return CLI_OK;
}

static int list_with(struct cli *cli, struct option_row *rows, size_t row_count, int argc,
                     char **argv, const char *method, const char *key, const struct column *columns,
                     size_t count)
{
    json_t *result;
    int rc = options_parse(cli, rows, row_count, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "%s takes no argument", cli->verb->name);
    rc = cli_ask(cli, method, NULL, &result);
    return rc != CLI_OK ? rc : list_print(cli, result, key, columns, count);
}

int list_verb(struct cli *cli, int argc, char **argv, const char *method, const char *key,
              const struct column *columns, size_t count)
{
    return list_with(cli, NULL, 0, argc, argv, method, key, columns, count);
}

int list_intent_verb(struct cli *cli, int argc, char **argv, const char *method, const char *key,
                     const struct column *columns, size_t count)
{
    struct option_row row = OPTION_CONSISTENT(cli);
    return list_with(cli, &row, 1, argc, argv, method, key, columns, count);
}

static int show_with(struct cli *cli, struct option_row *rows, size_t row_count, int argc,
                     char **argv, const char *method, const char *param,
                     void (*say)(const json_t *result))
{
    int rc = options_parse(cli, rows, row_count, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one %s is expected", param);
    return cli_do(cli, method, json_pack("{s:s}", param, argv[0]), say);
}

int named_verb(struct cli *cli, int argc, char **argv, const char *method, const char *param,
               void (*say)(const json_t *result))
{
    return show_with(cli, NULL, 0, argc, argv, method, param, say);
}

int show_intent_verb(struct cli *cli, int argc, char **argv, const char *method, const char *param,
                     void (*say)(const json_t *result))
{
    struct option_row row = OPTION_CONSISTENT(cli);
    return show_with(cli, &row, 1, argc, argv, method, param, say);
}

int list_all_peers(const struct cli *cli, const char *at, json_t **ret)
{
    json_t *peers = json_array(), *page = NULL;
    char next[128] = "";
    do {
        json_t *params = json_pack("{s:s}", "after", next);
        if (at)
            json_object_set_new(params, "at", json_string(at));
        int rc = cli_ask(cli, "peer.ls", params, &page);
        if (rc != CLI_OK) {
            json_decref(peers);
            return rc;
        }
        json_array_extend(peers, json_object_get(page, "peers"));
        snprintf(next, sizeof(next), "%s", json_text(page, "next"));
        json_decref(page);
    } while (next[0] != '\0');
    *ret = peers;
    return CLI_OK;
}

void say_done(const json_t *result)
{
    (void)result;
}
