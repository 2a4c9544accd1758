/* consort stats */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cli/bounds.h"
#include "node/cli/client.h"
#include "node/cli/list.h"
#include "node/cli/options.h"
#include "node/cli/quantity.h"

enum {
    SAMPLE_INTERVAL_USEC = 1000 * 1000,
    USEC_PER_MILLI = 1000, /* of a core's second */
};

static void cell_cores(const json_t *row, const char *key, char *ret)
{
    const json_t *value = json_object_get(row, key);
    json_int_t millis = json_number(row, key);
    if (!json_is_integer(value) || (strcmp(key, "cpu_limit_millis") == 0 && millis == 0))
        snprintf(ret, CLI_TEXT_BYTES_MAX, "-");
    else
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%lld.%02lld", (long long)millis / 1000,
                 (long long)millis % 1000 / 10);
}

static void cell_limit(const json_t *row, const char *key, char *ret)
{
    if (json_number(row, key) == 0)
        snprintf(ret, CLI_TEXT_BYTES_MAX, "-");
    else
        cell_size(row, key, ret);
}

/* The greatest of the three: what it waits for most, and how much of the time. */
static void cell_pressure(const json_t *row, const char *key, char *ret)
{
    static const char *const keys[] = {"cpu_pressure", "memory_pressure", "io_pressure"};
    static const char *const names[] = {"cpu", "memory", "io"};
    size_t most = 0;
    (void)key;
    for (size_t i = 1; i < array_count(keys); i++)
        if (json_number(row, keys[i]) > json_number(row, keys[most]))
            most = i;
    json_int_t permille = json_number(row, keys[most]);
    if (!json_is_integer(json_object_get(row, keys[most])))
        snprintf(ret, CLI_TEXT_BYTES_MAX, "-");
    else if (permille == 0)
        snprintf(ret, CLI_TEXT_BYTES_MAX, "0%%");
    else
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%s %lld.%lld%%", names[most], (long long)permille / 10,
                 (long long)permille % 10);
}

static const json_t *find_generation(const json_t *rows, json_int_t generation)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (json_number(json_array_get(rows, i), "generation") == generation)
            return json_array_get(rows, i);
    return NULL;
}

/* Adds what a peer says of its containers to `rows`, as far as they are among `replicas`. With rows
 * of a second before in `earlier`, how many thousandths of a core each took since. */
static void take_rows(const char *peer, const json_t *answer, const json_t *replicas,
                      const json_t *earlier, json_t *rows)
{
    const json_t *list = json_object_get(answer, "replicas");
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *row = json_array_get(list, i);
        json_int_t generation = json_number(row, "generation");
        if (!find_generation(replicas, generation))
            continue;
        json_object_set_new(row, "peer", json_string(peer));
        json_object_set_new(row, "at_usec", json_integer(json_number(answer, "at_usec")));
        const json_t *before = find_generation(earlier, generation);
        json_int_t elapsed = json_number(row, "at_usec") - json_number(before, "at_usec");
        json_int_t used = json_number(row, "cpu_usec") - json_number(before, "cpu_usec");
        if (before && elapsed > 0 && used >= 0)
            json_object_set_new(row, "cpu_millis", json_integer(used * USEC_PER_MILLI / elapsed));
        json_array_append(rows, row);
    }
}

/* Asks each peer that has replicas; one that does not answer is told, once, and left out. */
static json_t *sample(struct client *client, const json_t *peers, const json_t *replicas,
                      const json_t *earlier)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const char *peer = json_string_value(json_array_get(peers, i));
        struct error error = {0};
        json_t *answer = NULL;
        if (client_call_json(client, "stats", json_pack("{s:s}", "peer", peer), NULL, NULL, &answer,
                             &error) == 0)
            take_rows(peer, answer, replicas, earlier, rows);
        else if (!earlier)
            fprintf(stderr, "warning: %s: %s\n", peer, error.message);
        json_decref(answer);
    }
    return rows;
}

/* The names of the peers that run replicas, each once. */
static json_t *peers_of(const json_t *replicas)
{
    json_t *peers = json_array();
    for (size_t i = 0; i < json_array_size(replicas); i++) {
        const json_t *row = json_array_get(replicas, i);
        const char *peer = json_text(row, "peer");
        bool is_there = strcmp(json_text(row, "state"), "running") != 0 || !peer[0];
        for (size_t j = 0; j < json_array_size(peers) && !is_there; j++)
            is_there = strcmp(json_string_value(json_array_get(peers, j)), peer) == 0;
        if (!is_there)
            json_array_append_new(peers, json_string(peer));
    }
    return peers;
}

static int print_stats(struct cli *cli, struct client *client, const json_t *replicas)
{
    static const struct column columns[] = {{"NAME", "name", NULL},
                                            {"PEER", "peer", NULL},
                                            {"CPUS", "cpu_millis", cell_cores},
                                            {"LIMIT", "cpu_limit_millis", cell_cores},
                                            {"MEMORY", "memory_bytes", cell_size},
                                            {"LIMIT", "memory_limit_bytes", cell_limit},
                                            {"PIDS", "pids", NULL},
                                            {"WAITS FOR", "", cell_pressure}};
    json_t *peers = peers_of(replicas);
    json_t *earlier = sample(client, peers, replicas, NULL);
    usleep(SAMPLE_INTERVAL_USEC);
    json_t *rows = sample(client, peers, replicas, earlier);
    json_decref(earlier);
    json_decref(peers);
    return list_print(cli, json_pack("{s:o}", "replicas", rows), "replicas", columns,
                      array_count(columns));
}

int verb_stats(struct cli *cli, int argc, char **argv)
{
    struct client *client = NULL;
    struct error error = {0};
    json_t *found = NULL;
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 1)
        return cli_usage(cli, "at most one service is expected");
    rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc =
            client_call_json(client, "ps", argc > 0 ? json_pack("{s:s}", "service", argv[0]) : NULL,
                             NULL, NULL, &found, &error);
    rc = rc < 0 ? cli_fail(&error) : print_stats(cli, client, json_object_get(found, "replicas"));
    json_decref(found);
    client_close(client);
    return rc;
}
