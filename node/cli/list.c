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

int list_verb(struct cli *cli, int argc, char **argv, const char *method, const char *key,
              const struct column *columns, size_t count)
{
    json_t *result;
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "%s takes no argument", cli->verb->name);
    rc = cli_ask(cli, method, NULL, &result);
    return rc != CLI_OK ? rc : list_print(cli, result, key, columns, count);
}

int named_verb(struct cli *cli, int argc, char **argv, const char *method, const char *param,
               void (*say)(const json_t *result))
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one %s is expected", param);
    return cli_do(cli, method, json_pack("{s:s}", param, argv[0]), say);
}

void say_done(const json_t *result)
{
    (void)result;
}
