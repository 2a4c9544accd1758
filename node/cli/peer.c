/* consort peer ls, inspect, revoke */
#include <stdio.h>

#include "base/cleanup.h"
#include "node/cli/list.h"

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

int verb_peer_ls(struct cli *cli, int argc, char **argv)
{
    static const struct column columns[] = {
        {"NAME", "name", NULL},          {"STATE", "state", NULL},
        {"INTENT", "intent", NULL},      {"VOTE", NULL, cell_votes},
        {"SINCE", "since_ms", cell_age}, {"ADDRESS", "address", NULL},
        {"REPLICAS", "replicas", NULL},  {"RTT MS", "rtt_ms", NULL},
        {"VERSION", "version", NULL},    {"ID", "id", cell_short_id}};
    return list_verb(cli, argc, argv, "peer.ls", "peers", columns, array_count(columns));
}

static void say_peer(const json_t *peer)
{
    const json_t *accusers = json_object_get(peer, "accusers");
    printf("name:      %s\nid:        %s\nstate:     %s (%s)\naddress:   %s\nversion:   %s\n"
           "labels:    %s\nserial:    %lld\n",
           json_text(peer, "name"), json_text(peer, "id"), json_text(peer, "state"),
           json_text(peer, "intent"), json_text(peer, "address"), json_text(peer, "version"),
           json_text(peer, "labels"), (long long)json_number(peer, "serial"));
    for (size_t i = 0; i < json_array_size(accusers); i++)
        printf("accused by: %s\n", json_string_value(json_array_get(accusers, i)));
    output_table(json_object_get(peer, "replica_list"), replica_columns,
                 array_count(replica_columns));
}

int verb_peer_inspect(struct cli *cli, int argc, char **argv)
{
    return named_verb(cli, argc, argv, "peer.inspect", "peer", say_peer);
}

int verb_peer_revoke(struct cli *cli, int argc, char **argv)
{
    return named_verb(cli, argc, argv, "peer.revoke", "peer", say_done);
}
