/* consort scale, update, rollback, rm: changing services that are there */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/text_list.h"
#include "node/cli/bounds.h"
#include "node/cli/follow.h"
#include "node/cli/list.h"
#include "node/cli/options.h"
#include "node/cli/quantity.h"

/* The full name, which `wait` needs. */
static json_t *full_name(struct cli *cli, const char *service)
{
    json_t *result = NULL, *name = NULL;
    if (cli_ask(cli, "service.inspect", json_pack("{s:s}", "service", service), &result) == CLI_OK)
        name = json_string(json_text(result, "name"));
    json_decref(result);
    return name;
}

static int scale_one(struct cli *cli, char *argument, json_t *waited)
{
    char *equals = strchr(argument, '=');
    uint32_t replicas;
    if (!equals || quantity_parse_count(equals + 1, &replicas) < 0)
        return cli_usage(cli, "%s: SERVICE=N is expected, as in web=3", argument);
    *equals = '\0';
    int rc = cli_do(cli, "scale",
                    json_pack("{s:s, s:I}", "service", argument, "replicas", (json_int_t)replicas),
                    say_done);
    if (rc != CLI_OK || !waited)
        return rc;
    json_t *name = full_name(cli, argument);
    return name && json_array_append_new(waited, name) == 0 ? CLI_OK : CLI_FAILED;
}

int verb_scale(struct cli *cli, int argc, char **argv)
{
    bool wait = false;
    struct option_row rows[] = {
        OPTION_ROW(0, "wait", NULL, "Wait until all replicas serve", OPTION_FLAG, &wait),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "SERVICE=N is expected, as in web=3");
    json_t *waited = wait ? json_array() : NULL;
    rc = CLI_OK;
    for (int i = 0; i < argc && rc == CLI_OK; i++)
        rc = scale_one(cli, argv[i], waited);
    if (rc != CLI_OK || !wait) {
        json_decref(waited);
        return rc;
    }
    return follow_wait(cli, waited, false);
}

static int change(struct cli *cli, const char *method, const char *service, json_t *params,
                  bool wait)
{
    json_t *name;
    int rc = cli_do(cli, method, params, say_done);
    if (rc != CLI_OK || !wait)
        return rc;
    name = full_name(cli, service);
    return name ? follow_wait(cli, json_pack("[o]", name), true) : CLI_FAILED;
}

static void add_list(json_t *params, const char *key, const struct text_list *list)
{
    json_t *array = list->count > 0 ? json_array() : NULL;
    for (size_t i = 0; i < list->count; i++)
        json_array_append_new(array, json_string(list->items[i]));
    if (array)
        json_object_set_new(params, key, array);
}

int verb_update(struct cli *cli, int argc, char **argv)
{
    const char *image = NULL;
    uint32_t replicas = 0, cpus = 0;
    uint64_t memory = 0;
    struct text_list add = {0}, drop = {0};
    bool force = false, wait = false;
    struct option_row rows[] = {
        OPTION_ROW(0, "image", "IMAGE", "Another image", OPTION_TEXT, &image),
        OPTION_ROW(0, "replicas", "N", "How many replicas", OPTION_COUNT, &replicas),
        OPTION_ROW(0, "cpus", "N", "Limit of CPUs, as 0.5", OPTION_CPUS, &cpus),
        OPTION_ROW(0, "memory", "SIZE", "Limit of memory, as 512M", OPTION_SIZE, &memory),
        OPTION_ROW('e', "env", "KEY=VALUE", "Set a variable; may be given often", OPTION_LIST,
                   &add),
        OPTION_ROW(0, "env-rm", "KEY", "Remove a variable; may be given often", OPTION_LIST, &drop),
        OPTION_ROW(0, "force", NULL, "Replace replicas though nothing changes", OPTION_FLAG,
                   &force),
        OPTION_ROW(0, "wait", NULL, "Wait until all replicas serve", OPTION_FLAG, &wait),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc == OPTIONS_GO_ON && argc != 1)
        rc = cli_usage(cli, "one service is expected");
    if (rc == OPTIONS_GO_ON) {
        json_t *params = json_pack("{s:s, s:b}", "service", argv[0], "force", force);
        if (image)
            json_object_set_new(params, "image", json_string(image));
        if (rows[1].is_given)
            json_object_set_new(params, "replicas", json_integer(replicas));
        if (rows[2].is_given)
            json_object_set_new(params, "cpu_millis", json_integer(cpus));
        if (rows[3].is_given)
            json_object_set_new(params, "memory_bytes", json_integer((json_int_t)memory));
        add_list(params, "environment_add", &add);
        add_list(params, "environment_remove", &drop);
        rc = change(cli, "update", argv[0], params, wait);
    }
    text_list_done(&add);
    text_list_done(&drop);
    return rc;
}

int verb_rollback(struct cli *cli, int argc, char **argv)
{
    bool wait = false;
    uint32_t revision = 0;
    struct option_row rows[] = {
        OPTION_ROW(0, "wait", NULL, "Wait until all replicas serve", OPTION_FLAG, &wait),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc < 1 || argc > 2 || (argc == 2 && quantity_parse_count(argv[1], &revision) < 0))
        return cli_usage(cli, "SERVICE and perhaps a revision's number are expected");
    return change(cli, "rollback", argv[0],
                  json_pack("{s:s, s:I}", "service", argv[0], "revision", (json_int_t)revision),
                  wait);
}

int verb_rm(struct cli *cli, int argc, char **argv)
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "which service or stack?");
    for (int i = 0; i < argc && rc <= CLI_OK; i++)
        rc = cli_do(cli, "rm", json_pack("{s:s}", "name", argv[i]), say_done);
    return rc;
}
