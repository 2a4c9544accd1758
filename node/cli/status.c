/* consort status, version */
#include <stdio.h>

#include "node/cli/cli.h"
#include "node/cli/options.h"
#include "node/cli/output.h"

/* Only if the peers differ. */
static void say_level(const json_t *status)
{
    const json_t *waits_for = json_object_get(status, "level_waits_for");
    if (json_number(status, "level_next") == json_number(status, "level"))
        return;
    printf(
        "the cluster's state is at level %lld; it is raised to %lld once all peers know that, as "
        "these don't yet:",
        (long long)json_number(status, "level"), (long long)json_number(status, "level_next"));
    for (size_t i = 0; i < json_array_size(waits_for); i++)
        printf("%s %s", i > 0 ? "," : "", json_string_value(json_array_get(waits_for, i)));
    puts(json_array_size(waits_for) > 0 ? "" : " none");
}

static void say_no_quorum(const json_t *status)
{
    long long voters = (long long)json_number(status, "voters");
    if (voters == 1)
        printf("no quorum: the only peer that votes does not answer");
    else
        printf("no quorum: %lld of %lld voters answer",
               (long long)json_number(status, "live_voters"), voters);
    printf(". What runs goes on and is served, and crashed replicas restart; deploys and all other "
           "changes wait until %s.\nIf %s gone for good, go on without %s, on a machine that is "
           "left: consort recover\n",
           voters == 1 ? "it is back" : "a majority of the voters is back",
           voters == 1 ? "it is" : "they are", voters == 1 ? "it" : "them");
    if (voters == 1 && json_number(status, "members") == 2)
        puts("Two peers have no majority without each other; a third one, however small, makes "
             "three "
             "votes: consort token create");
}

/* Also while they are being given back. */
static void say_stand_ins(const json_t *status)
{
    long long count = (long long)json_number(status, "stand_ins");
    if (count > 0)
        printf("%lld replica%s in the place of others on peers that are not reached (on_minority): "
               "see "
               "consort ps\n",
               count, count == 1 ? " runs" : "s run");
}

static void say_status(const json_t *status)
{
    printf("peer %s (%s), version %s, at %s: %s\n", json_text(status, "name"),
           json_text(status, "id"), json_text(status, "version"), json_text(status, "address"),
           json_text(status, "phase"));
    if (!json_object_get(status, "cluster")) {
        puts("in no cluster: begin one with consort init, or join one with consort join TOKEN");
        return;
    }
    printf("cluster %.12s: %lld of %lld peers answer, profile %s\n", json_text(status, "cluster"),
           (long long)json_number(status, "live"), (long long)json_number(status, "members"),
           json_text(status, "profile"));
    if (json_flag(status, "disk_is_full"))
        printf("the disk under this peer's data directory is nearly full, %lld MiB are free: its "
               "vote, if it has one,\ngoes to a peer with room\n",
               (long long)json_number(status, "disk_free_bytes") >> 20);
    if (json_text(status, "seen_at")[0])
        printf("no peer reaches this one at %s, which it advertises; they see it at %s\n",
               json_text(status, "address"), json_text(status, "seen_at"));
    if (json_flag(status, "called_revoked"))
        puts(
            "another peer refuses this one: its key was revoked. To bring this machine back, stop "
            "the daemon, move its data\ndirectory away, start it, and join again with a new token");
    if (json_flag(status, "quorum"))
        printf("%s leads, %lld of %lld voters answer (at most %lld vote)\n",
               json_text(status, "leader"), (long long)json_number(status, "live_voters"),
               (long long)json_number(status, "voters"),
               (long long)json_number(status, "voters_max"));
    else
        say_no_quorum(status);
    say_stand_ins(status);
    say_level(status);
    printf("%lld services, %lld of %lld replicas serve\n",
           (long long)json_number(status, "services"),
           (long long)json_number(status, "replicas_serving"),
           (long long)json_number(status, "replicas_wanted"));
}

static int simple_verb(struct cli *cli, int argc, char **argv, const char *method,
                       void (*say)(const json_t *result))
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "%s takes no argument", cli->verb->name);
    return cli_do(cli, method, NULL, say);
}

int verb_status(struct cli *cli, int argc, char **argv)
{
    return simple_verb(cli, argc, argv, "status", say_status);
}

static void say_init(const json_t *result)
{
    printf("%s began cluster %.12s\nMake a token for the next machine with: consort token create\n",
           json_text(result, "name"), json_text(result, "cluster"));
}

int verb_init(struct cli *cli, int argc, char **argv)
{
    return simple_verb(cli, argc, argv, "init", say_init);
}

static void say_join(const json_t *result)
{
    printf("%s joined cluster %.12s\n", json_text(result, "name"), json_text(result, "cluster"));
}

int verb_join(struct cli *cli, int argc, char **argv)
{
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc == 0)
        return cli_usage(cli, "which token? Make one at a member with: consort token create");
    if (argc > 1)
        return cli_usage(cli, "one token is expected, and nothing behind it");
    return cli_do(cli, "join", json_pack("{s:s}", "token", argv[0]), say_join);
}

int verb_version(struct cli *cli, int argc, char **argv)
{
    int rc = cli->verb ? options_parse(cli, NULL, 0, &argc, &argv) : OPTIONS_GO_ON;
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (cli->format == CLI_JSON)
        printf("{\"version\": \"%s\"}\n", CONSORT_VERSION);
    else
        printf("consort %s\n", CONSORT_VERSION);
    return CLI_OK;
}
