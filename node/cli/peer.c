/* consort peer ls, inspect, revoke */
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cli/list.h"
#include "node/cli/options.h"
#include "node/cli/quantity.h"

static const struct column replica_columns[] = {{"  REPLICA", "name", NULL},
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

static void add_at(json_t *params, const char *at)
{
    if (at)
        json_object_set_new(params, "at", json_string(at));
}

/* All peers, a page after the other. */
static int list_peers(const struct cli *cli, const char *at, json_t **ret)
{
    json_t *peers = json_array(), *page = NULL;
    char next[128] = "";
    do {
        json_t *params = json_pack("{s:s}", "after", next);
        add_at(params, at);
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

int verb_peer_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},          {"STATE", "state", NULL},
        {"SINCE", "since_ms", cell_age}, {"INTENT", "intent", NULL},
        {"VOTE", NULL, cell_votes},      {"ADDRESS", "address", NULL},
        {"ZONE", "zone", NULL},          {"RTT MS", "rtt_us", cell_rtt},
        {"HEALTH", "health", NULL},      {"REPLICAS", "replicas", NULL},
        {"VERSION", "version", NULL},    {"ID", "id", cell_short_id}};
    const char *at = NULL;
    struct option_row rows[] = {
        OPTION_ROW(0, "at", "PEER", "As that peer sees them", OPTION_TEXT, &at),
    };
    json_t *peers;
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "peer ls takes no argument");
    rc = list_peers(cli, at, &peers);
    if (rc != CLI_OK)
        return rc;
    if (cli->format == CLI_JSON)
        output_json(peers);
    else
        output_table(peers, columns, array_count(columns));
    json_decref(peers);
    return CLI_OK;
}

/* Why it is suspect or dead: who accused it, in the order in which their word came. */
static void say_accusers(const json_t *peer)
{
    const json_t *accusers = json_object_get(peer, "accusers");
    char age[QUANTITY_TEXT_BYTES];
    if (json_array_size(accusers) == 0)
        return;
    quantity_format_age(json_number(peer, "accused_ms"), age);
    printf("accused:   for %s, by %zu\n", age, json_array_size(accusers));
    for (size_t i = 0; i < json_array_size(accusers); i++) {
        const json_t *accuser = json_array_get(accusers, i);
        printf("  %s%s, heard %.1f s ago\n", json_text(accuser, "name"), i == 0 ? " (first)" : "",
               (double)json_number(accuser, "heard_ms") / 1000);
    }
    if (json_number(peer, "dead_in_ms") > 0)
        printf("  held dead in %.1f s at the latest, unless it answers\n",
               (double)json_number(peer, "dead_in_ms") / 1000);
}

/* How the answering peer reaches it, if that is out of the ordinary. */
static void say_path(const json_t *peer)
{
    const char *path = json_text(peer, "path");
    if (strcmp(path, "learnt") == 0)
        printf("reached:   at %s, where its packets come from, and not where it advertises\n",
               json_text(peer, "reached_at"));
    else if (strcmp(path, "helper") == 0)
        printf("reached:   through other peers only\n");
    else if (strcmp(path, "stream") == 0)
        printf("reached:   over TCP; UDP is blocked\n");
}

static void say_peer(const json_t *peer)
{
    char age[QUANTITY_TEXT_BYTES], rtt[QUANTITY_TEXT_BYTES] = "-";
    quantity_format_age(json_number(peer, "since_ms"), age);
    if (json_number(peer, "rtt_us") > 0)
        quantity_format_rtt((uint64_t)json_number(peer, "rtt_us"), rtt);
    printf("name:      %s\nid:        %s\nstate:     %s for %s (%s)\naddress:   %s\n"
           "rtt:       %s ms\nhealth:    %lld (0 is well, 8 is worst)\nversion:   %s\n"
           "labels:    %s\nserial:    %lld\n",
           json_text(peer, "name"), json_text(peer, "id"), json_text(peer, "state"), age,
           json_text(peer, "intent"), json_text(peer, "address"), rtt,
           (long long)json_number(peer, "health"), json_text(peer, "version"),
           json_text(peer, "labels"), (long long)json_number(peer, "serial"));
    say_path(peer);
    say_accusers(peer);
    output_table(json_object_get(peer, "replica_list"), replica_columns,
                 array_count(replica_columns));
}

int verb_peer_inspect(struct cli *cli, int argc, char **argv)
{
    const char *at = NULL;
    struct option_row rows[] = {
        OPTION_ROW(0, "at", "PEER", "As that peer sees it", OPTION_TEXT, &at),
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
