/* consort cluster profile, voters */
#include <stdio.h>

#include "base/cleanup.h"
#include "consensus/intent.h"
#include "node/cli/bounds.h"
#include "node/cli/options.h"
#include "node/cli/output.h"
#include "node/cli/quantity.h"

static void say_value(const json_t *profile, const char *title, const char *key, const char *unit)
{
    char set_key[CLI_TEXT_BYTES_MAX];
    snprintf(set_key, sizeof(set_key), "%s_set", key);
    bool is_set = json_is_integer(json_object_get(profile, set_key));
    printf("%-16s %lld%s%s\n", title, (long long)json_number(profile, key), unit,
           is_set ? " (set)" : "");
}

static void say_who_set(const json_t *result)
{
    char age[CLI_TEXT_BYTES_MAX] = "";
    cell_since(result, "since_wall_ms", age);
    if (age[0] == '\0')
        return;
    printf("%-16s ", "set by:");
    output_text(json_text(result, "actor"));
    printf(", %s ago\n", age);
}

static void say_profile(const json_t *profile)
{
    printf("%-16s ", "profile:");
    output_text(json_text(profile, "profile"));
    puts("");
    say_value(profile, "probe interval:", "probe_interval_ms", " ms");
    say_value(profile, "probe timeout:", "probe_timeout_ms", " ms");
    say_value(profile, "suspicion:", "suspicion", "");
    say_value(profile, "fanout:", "fanout", "");
    say_who_set(profile);
}

static void say_set(const json_t *result)
{
    puts(json_flag(result, "unchanged") ? "unchanged" : "the peers take it on within seconds");
}

int verb_cluster_profile(struct cli *cli, int argc, char **argv)
{
    int64_t interval_ms = 0;
    uint32_t suspicion = 0, fanout = 0;
    struct option_row rows[] = {
        OPTION_ROW(0, "probe-interval", "TIME", "Time between probes, 100ms to 60s",
                   OPTION_DURATION, &interval_ms),
        OPTION_ROW(0, "suspicion", "N", "Probe intervals that a suspect has, 1 to 20", OPTION_COUNT,
                   &suspicion),
        OPTION_ROW(0, "fanout", "N", "Peers that news is sent to at a time, 1 to 8", OPTION_COUNT,
                   &fanout),
        OPTION_CONSISTENT(cli),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 1)
        return cli_usage(cli, "one profile is expected: lan, wan or edge");
    uint8_t profile;
    if (argc == 1 && intent_profile_parse(argv[0], &profile) < 0)
        return cli_usage(cli, "%s: profiles are lan, wan and edge", argv[0]);
    if (argc == 0 && !rows[0].is_given && !rows[1].is_given && !rows[2].is_given)
        return cli_do(cli, "cluster.profile", NULL, say_profile);
    json_t *params = json_object();
    if (argc == 1)
        json_object_set_new(params, "profile", json_string(argv[0]));
    if (rows[0].is_given)
        json_object_set_new(params, "probe_interval_ms", json_integer((json_int_t)interval_ms));
    if (rows[1].is_given)
        json_object_set_new(params, "suspicion", json_integer(suspicion));
    if (rows[2].is_given)
        json_object_set_new(params, "fanout", json_integer(fanout));
    return cli_do(cli, "cluster.profile.set", params, say_set);
}

static void say_voters(const json_t *voters)
{
    printf("%-16s %lld\n", "at most:", (long long)json_number(voters, "max"));
    printf("%-16s %lld, of whom %lld answer\n", "voters:", (long long)json_number(voters, "voters"),
           (long long)json_number(voters, "live_voters"));
    say_who_set(voters);
}

static void say_voters_set(const json_t *result)
{
    puts(json_flag(result, "unchanged")
             ? "unchanged"
             : "the leader makes it so, step by step; who votes is shown by: consort peer ls");
}

int verb_cluster_voters(struct cli *cli, int argc, char **argv)
{
    struct option_row rows[] = {OPTION_CONSISTENT(cli)};
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 1)
        return cli_usage(cli, "one number is expected: 1, 3, 5 or 7");
    if (argc == 0)
        return cli_do(cli, "cluster.voters", NULL, say_voters);
    uint32_t max;
    if (quantity_parse_count(argv[0], &max) < 0 || !intent_voters_max_is_valid(max))
        return cli_usage(cli, "%s: 1, 3, 5 or 7 peers can vote", argv[0]);
    return cli_do(cli, "cluster.voters.set", json_pack("{s:I}", "max", (json_int_t)max),
                  say_voters_set);
}
