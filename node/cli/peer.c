/* consort peer ls, inspect, revoke */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "node/cli/list.h"
#include "node/cli/options.h"
#include "node/cli/quantity.h"

static const struct column replica_columns[] = {{"REPLICA", "name", NULL},
                                                {"STATE", "state", NULL},
                                                {"HEALTH", "health", NULL},
                                                {"IMAGE", "image", NULL}};

static void cell_votes(const json_t *row, const char *key, char *ret)
{
    (void)key;
    snprintf(ret, 8, "%s",
             json_flag(row, "is_leader")  ? "leads"
             : json_flag(row, "is_voter") ? "votes"
                                          : "");
}

/* Empty, if nothing has been heard of the peer. */
static void cell_level(const json_t *row, const char *key, char *ret)
{
    (void)key;
    ret[0] = '\0';
    if (json_number(row, "level") > 0)
        snprintf(ret, 8, "%lld", (long long)json_number(row, "level"));
}

static void add_at(json_t *params, const char *at)
{
    if (at)
        json_object_set_new(params, "at", json_string(at));
}

static int compare_peers(const void *left, const void *right)
{
    const json_t *a = *(const json_t *const *)left, *b = *(const json_t *const *)right;
    int names = strcmp(json_text(a, "name"), json_text(b, "name"));
    return names != 0 ? names : strcmp(json_text(a, "id"), json_text(b, "id"));
}

/* The same peers by their names, as people look for them. Takes over `peers`. */
static json_t *in_order(json_t *peers)
{
    size_t count = json_array_size(peers);
    cleanup_free json_t **items = calloc(count + 1, sizeof(json_t *));
    json_t *sorted = json_array();
    if (!items || !sorted) {
        json_decref(sorted);
        return peers;
    }
    for (size_t i = 0; i < count; i++)
        items[i] = json_array_get(peers, i);
    qsort(items, count, sizeof(json_t *), compare_peers);
    for (size_t i = 0; i < count; i++)
        json_array_append(sorted, items[i]);
    json_decref(peers);
    return sorted;
}

int verb_peer_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},          {"STATE", "state", NULL},
        {"SINCE", "since_ms", cell_age}, {"INTENT", "intent", NULL},
        {"VOTE", NULL, cell_votes},      {"ADDRESS", "address", NULL},
        {"ZONE", "zone", NULL},          {"RTT MS", "rtt_us", cell_rtt},
        {"HEALTH", "health", NULL},      {"REPLICAS", "replicas", NULL},
        {"VERSION", "version", NULL},    {"LEVEL", "level", cell_level},
        {"ID", "id", cell_short_id}};
    static const char *const spare[] = {"LEVEL",  "VERSION", "REPLICAS", "INTENT",
                                        "HEALTH", "ZONE",    "VOTE",     NULL};
    const char *at = NULL;
    struct option_row rows[] = {
        OPTION_ROW(0, "at", "PEER", "As that peer sees them", OPTION_TEXT, &at),
        OPTION_CONSISTENT(cli),
    };
    json_t *peers;
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "peer ls takes no argument");
    rc = list_all_peers(cli, at, &peers);
    if (rc != CLI_OK)
        return rc;
    peers = in_order(peers);
    if (cli->format == CLI_JSON)
        output_json(peers);
    else
        output_table_within(peers, columns, array_count(columns), spare);
    json_decref(peers);
    return CLI_OK;
}

static double seconds(const json_t *map, const char *key)
{
    return (double)json_number(map, key) / 1000;
}

/* Why it is suspect or dead: who accused it, in the order in which their word came. */
static void say_accusers(const json_t *peer)
{
    const json_t *accusers = json_object_get(peer, "accusers");
    size_t count = json_array_size(accusers);
    if (count == 0)
        return;
    printf("accused:   first %.1f s ago, by %zu peer%s\n", seconds(peer, "accused_ms"), count,
           count == 1 ? "" : "s");
    for (size_t i = 0; i < count; i++) {
        const json_t *accuser = json_array_get(accusers, i);
        printf("           %s (%.*s%s) got no answer: heard %.1f s ago\n",
               json_text(accuser, "name"), ID_SHORT_TEXT_BYTES - 1, json_text(accuser, "id"),
               i == 0 ? ", first" : "", seconds(accuser, "heard_ms"));
    }
    if (json_number(peer, "dead_in_ms") > 0)
        printf("           held dead in %.1f s at the latest, unless it answers\n",
               seconds(peer, "dead_in_ms"));
}

/* How the answering peer reaches it. */
static void say_path(const json_t *peer)
{
    const char *path = json_text(peer, "path");
    if (json_flag(peer, "self") || json_text(peer, "address")[0] == '\0')
        return;
    if (strcmp(path, "learnt") == 0)
        printf("reached:   at %s, where its packets come from, and not where it advertises\n",
               json_text(peer, "reached_at"));
    else if (strcmp(path, "helper") == 0)
        puts("reached:   through other peers only");
    else if (strcmp(path, "stream") == 0)
        puts("reached:   over TCP; UDP is blocked");
    else
        puts("reached:   directly");
}

static void say_line(const char *title, const char *text)
{
    printf("%-10s ", title);
    output_text(text[0] ? text : "-");
    putchar('\n');
}

static void say_state(const json_t *peer)
{
    const char *vote = json_flag(peer, "is_leader")  ? ", leads"
                       : json_flag(peer, "is_voter") ? ", votes"
                                                     : "";
    char age[QUANTITY_TEXT_BYTES];
    printf("state:     %s", json_text(peer, "state"));
    if (json_is_integer(json_object_get(peer, "since_ms"))) {
        quantity_format_age(json_number(peer, "since_ms"), age);
        printf(" for %s", age);
    }
    printf("\nintent:    %s%s\n", json_text(peer, "intent"), vote);
    if (json_text(peer, "vote_reason")[0] != '\0')
        say_line(json_flag(peer, "is_voter") ? "votes:" : "no vote:",
                 json_text(peer, "vote_reason"));
}

static void say_peer(const json_t *peer)
{
    char rtt[QUANTITY_TEXT_BYTES], words[64] = "";
    const json_t *replicas = json_object_get(peer, "replica_list");
    say_line("name:", json_text(peer, "name"));
    say_line("id:", json_text(peer, "id"));
    say_state(peer);
    say_accusers(peer);
    say_line("address:", json_text(peer, "address"));
    say_path(peer);
    if (json_number(peer, "rtt_us") > 0) {
        quantity_format_rtt((uint64_t)json_number(peer, "rtt_us"), rtt);
        snprintf(words, sizeof(words), "%s ms", rtt);
    }
    say_line("rtt:", words);
    printf("health:    %lld (0 is well, 8 is worst)\n", (long long)json_number(peer, "health"));
    say_line("zone:", json_text(peer, "zone"));
    say_line("labels:", json_text(peer, "labels"));
    say_line("version:", json_text(peer, "version"));
    if (json_number(peer, "level") > 0)
        printf("level:     %lld\n", (long long)json_number(peer, "level"));
    printf("serial:    %lld\n", (long long)json_number(peer, "serial"));
    if (json_array_size(replicas) == 0)
        puts("replicas:  none");
    else
        output_table(replicas, replica_columns, array_count(replica_columns));
}

int verb_peer_inspect(struct cli *cli, int argc, char **argv)
{
    const char *at = NULL;
    struct option_row rows[] = {
        OPTION_ROW(0, "at", "PEER", "As that peer sees it", OPTION_TEXT, &at),
        OPTION_CONSISTENT(cli),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one peer is expected");
    json_t *params = json_pack("{s:s}", "peer", argv[0]);
    add_at(params, at);
    return cli_do(cli, "peer.inspect", params, say_peer);
}

int verb_peer_revoke(struct cli *cli, int argc, char **argv)
{
    return named_verb(cli, argc, argv, "peer.revoke", "peer", say_done);
}
