/* consort quota set, ls, rm */
#include <stdio.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/list.h"
#include "node/cli/options.h"

static void say_set(const json_t *result)
{
    if (json_flag(result, "unchanged"))
        puts("unchanged");
}

int verb_quota_set(struct cli *cli, int argc, char **argv)
{
    uint32_t replicas = 0, cpus = 0;
    uint64_t memory = 0;
    struct option_row rows[] = {
        OPTION_ROW(0, "replicas", "N", "Replicas of all its services; 0: no limit", OPTION_COUNT,
                   &replicas),
        OPTION_ROW(0, "cpus", "N", "CPUs of all its replicas, as 2.5; 0: no limit", OPTION_CPUS,
                   &cpus),
        OPTION_ROW(0, "memory", "SIZE", "Memory of all its replicas, as 2G; 0: no limit",
                   OPTION_SIZE, &memory),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one stack is expected");
    if (!rows[0].is_given && !rows[1].is_given && !rows[2].is_given)
        return cli_usage(cli, "a quota of what? As in: --replicas 10 --cpus 2 --memory 4G");
    json_t *params = json_pack("{s:s}", "stack", argv[0]);
    if (rows[0].is_given)
        json_object_set_new(params, "replicas", json_integer(replicas));
    if (rows[1].is_given)
        json_object_set_new(params, "cpu_millis", json_integer(cpus));
    if (rows[2].is_given)
        json_object_set_new(params, "memory_bytes", json_integer((json_int_t)memory));
    return cli_do(cli, "quota.set", params, say_set);
}

int verb_quota_rm(struct cli *cli, int argc, char **argv)
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one stack is expected");
    return cli_do(cli, "quota.set",
                  json_pack("{s:s, s:i, s:i, s:i}", "stack", argv[0], "replicas", 0, "cpu_millis",
                            0, "memory_bytes", 0),
                  say_set);
}

/* "3 of 10", or "3" where there is no limit. */
static void cell_of(const json_t *row, const char *key, double unit, char *ret)
{
    char used[CLI_TEXT_BYTES_MAX];
    snprintf(used, sizeof(used), "%s_used", key);
    double limit = (double)json_number(row, key) / unit;
    double now = (double)json_number(row, used) / unit;
    if (limit > 0)
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%g of %g", now, limit);
    else
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%g", now);
}

static void cell_count(const json_t *row, const char *key, char *ret)
{
    cell_of(row, key, 1, ret);
}

static void cell_cpus(const json_t *row, const char *key, char *ret)
{
    cell_of(row, key, 1000, ret);
}

static void cell_mib(const json_t *row, const char *key, char *ret)
{
    cell_of(row, key, 1 << 20, ret);
}

int verb_quota_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"STACK", "stack", NULL},          {"REPLICAS", "replicas", cell_count},
        {"CPUS", "cpu_millis", cell_cpus}, {"MEMORY MIB", "memory_bytes", cell_mib},
        {"SET", "wall_ms", cell_since},    {"BY", "actor", NULL}};
    return list_verb(cli, argc, argv, "quota.ls", "quotas", columns, array_count(columns));
}
