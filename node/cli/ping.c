/* consort peer ping, trace */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/cli/client.h"
#include "node/cli/options.h"
#include "node/cli/output.h"
#include "node/cli/quantity.h"

enum {
    PING_INTERVAL_MS = 1000,
    PING_COUNT = 5,
    TRACE_INTERVAL_MS = 100,
    TRACE_COUNT = 10,
};

struct pings {
    const struct cli *cli;
    const char *name;
    unsigned answers;
};

static void say_pong(const struct pings *pings, const json_t *pong)
{
    char rtt[QUANTITY_TEXT_BYTES];
    bool is_stream = strcmp(json_text(pong, "way"), "stream") == 0;
    quantity_format_rtt((uint64_t)json_number(pong, "rtt_us"), rtt);
    if (json_flag(pong, "lost"))
        printf("%s by %s: no answer\n", pings->name, is_stream ? "stream" : "packet");
    else
        printf("%s by %s: %s ms\n", pings->name, is_stream ? "stream" : "packet", rtt);
    fflush(stdout);
}

static void on_note(void *context, const char *kind, struct bytes payload)
{
    struct pings *pings = context;
    json_t *pong = NULL;
    if (strcmp(kind, "pong") != 0 || json_from_packed(payload, &pong) < 0)
        return;
    pings->answers += !json_flag(pong, "lost");
    if (pings->cli->format == CLI_JSON)
        output_json_line(pong);
    else
        say_pong(pings, pong);
    json_decref(pong);
}

/* The whole round trips, smallest, mean and largest; or why there are none. */
static void format_times(const json_t *way, char *ret, size_t size)
{
    char min[QUANTITY_TEXT_BYTES], avg[QUANTITY_TEXT_BYTES], max[QUANTITY_TEXT_BYTES];
    const char *error = json_text(way, "error");
    quantity_format_rtt((uint64_t)json_number(way, "min_us"), min);
    quantity_format_rtt((uint64_t)json_number(way, "avg_us"), avg);
    quantity_format_rtt((uint64_t)json_number(way, "max_us"), max);
    if (json_number(way, "received") > 0)
        snprintf(ret, size, "%s/%s/%s ms", min, avg, max);
    else
        snprintf(ret, size, "%s", error[0] ? error : "no answer");
}

static int loss_percent(const json_t *way)
{
    json_int_t sent = json_number(way, "sent"), received = json_number(way, "received");
    return sent > 0 ? (int)((sent - received) * 100 / sent) : 100;
}

static void say_summary(const json_t *result)
{
    const json_t *ways = json_object_get(result, "ways");
    for (size_t i = 0; i < json_array_size(ways); i++) {
        const json_t *way = json_array_get(ways, i);
        json_int_t sent = json_number(way, "sent"), received = json_number(way, "received");
        char times[256];
        format_times(way, times, sizeof(times));
        printf("by %s: ", json_text(way, "way"));
        if (sent > 0)
            printf("%lld sent, %lld answered, %d%% loss%s", (long long)sent, (long long)received,
                   loss_percent(way), received > 0 ? ", min/avg/max " : "");
        if (sent == 0 || received > 0)
            output_text(times);
        putchar('\n');
    }
}

int verb_peer_ping(struct cli *cli, int argc, char **argv)
{
    const struct client_handler handler = {.on_note = on_note};
    uint32_t count = PING_COUNT;
    int64_t interval_ms = PING_INTERVAL_MS;
    const char *at = NULL;
    struct option_row rows[] = {
        OPTION_ROW('c', "count", "N", "How many pings each way (5)", OPTION_COUNT, &count),
        OPTION_ROW('i', "interval", "TIME", "Time between them (1s)", OPTION_DURATION,
                   &interval_ms),
        OPTION_ROW(0, "at", "PEER", "From that peer, not the one that is asked", OPTION_TEXT, &at),
    };
    struct client *client = NULL;
    struct error error = {0};
    json_t *result = NULL;
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 1)
        return cli_usage(cli, "one peer is expected");
    struct pings pings = {.cli = cli, .name = argv[0]};
    json_t *params = json_pack("{s:s, s:I, s:I}", "peer", argv[0], "count", (json_int_t)count,
                               "interval_ms", (json_int_t)interval_ms);
    if (at)
        json_object_set_new(params, "at", json_string(at));
    rc = client_open(cli, &client, &error);
    if (rc == 0)
        rc = client_call_json(client, "peer.ping", params, &handler, &pings, &result, &error);
    else
        json_decref(params);
    client_close(client);
    if (rc < 0)
        return cli_fail(&error);
    if (cli->format == CLI_JSON)
        output_json_line(result);
    else
        say_summary(result);
    json_decref(result);
    return pings.answers > 0 ? CLI_OK : CLI_FAILED;
}

/* --- trace --- */

static void cell_way(const json_t *way, const char *key, char *ret)
{
    const char *via = json_text(way, "via");
    (void)key;
    if (strcmp(json_text(way, "way"), "stream") == 0)
        snprintf(ret, 64, "  stream (TCP)");
    else if (via[0])
        snprintf(ret, 256, "  through %s (UDP)", via);
    else
        snprintf(ret, 64, "  direct (UDP)");
}

static void cell_loss(const json_t *way, const char *key, char *ret)
{
    (void)key;
    if (json_number(way, "sent") > 0)
        snprintf(ret, 16, "%d%%", loss_percent(way));
}

static void cell_answered(const json_t *way, const char *key, char *ret)
{
    (void)key;
    if (json_number(way, "sent") > 0)
        snprintf(ret, 64, "%lld/%lld", (long long)json_number(way, "received"),
                 (long long)json_number(way, "sent"));
}

static void cell_times(const json_t *way, const char *key, char *ret)
{
    (void)key;
    format_times(way, ret, 256);
}

/* What a loss through a helper says about where packets get lost. */
static void cell_remark(const json_t *way, const char *key, char *ret)
{
    json_int_t lost = json_number(way, "sent") - json_number(way, "received");
    (void)key;
    if (json_text(way, "via")[0] == '\0' || lost <= 0)
        return;
    if (json_number(way, "nacked") > 0)
        snprintf(ret, 300, "%s gets no answer from it", json_text(way, "via"));
    else
        snprintf(ret, 300, "%s does not answer either", json_text(way, "via"));
}

static void say_ways(const json_t *result)
{
    static const struct column columns[] = {{"  WAY", NULL, cell_way},
                                            {"ANSWERED", NULL, cell_answered},
                                            {"LOSS", NULL, cell_loss},
                                            {"MIN/AVG/MAX", NULL, cell_times},
                                            {"REMARK", NULL, cell_remark}};
    output_text(json_text(result, "from"));
    fputs(" to ", stdout);
    output_text(json_text(result, "to"));
    fputs(" at ", stdout);
    output_text(json_text(result, "address"));
    putchar('\n');
    output_table(json_object_get(result, "ways"), columns, array_count(columns));
}

static bool is_reached(const json_t *result)
{
    const json_t *ways = json_object_get(result, "ways");
    for (size_t i = 0; i < json_array_size(ways); i++)
        if (json_number(json_array_get(ways, i), "received") > 0)
            return true;
    return false;
}

/* Whether the words typed are to blame, so that the other direction would fail alike. */
static bool is_about_words(int code)
{
    return code == -ENOENT || code == -ENOTUNIQ || code == -EINVAL;
}

/* One direction. A peer that can't be asked is said, and does not keep the other from being; false
 * if that makes no sense either. */
static bool trace(const struct cli *cli, const char *from, const char *to, uint32_t count,
                  bool *ret_reached)
{
    struct client *client = NULL;
    struct error error = {0};
    json_t *result = NULL;
    json_t *params =
        json_pack("{s:s, s:s, s:I, s:I, s:b}", "at", from, "peer", to, "count", (json_int_t)count,
                  "interval_ms", (json_int_t)TRACE_INTERVAL_MS, "helpers", 1);
    int rc = client_open(cli, &client, &error);
    bool is_open = rc == 0;
    if (is_open)
        rc = client_call_json(client, "peer.ping", params, NULL, NULL, &result, &error);
    else
        json_decref(params);
    client_close(client);
    if (rc < 0) {
        bool goes_on = is_open && !is_about_words(error.code);
        if (goes_on)
            error_prefix(&error, "%s to %s", from, to);
        cli_fail(&error);
        return goes_on;
    }
    if (cli->format == CLI_JSON)
        output_json_line(result);
    else
        say_ways(result);
    *ret_reached = is_reached(result);
    json_decref(result);
    return true;
}

int verb_peer_trace(struct cli *cli, int argc, char **argv)
{
    uint32_t count = TRACE_COUNT;
    bool there = false, back = false;
    struct option_row rows[] = {
        OPTION_ROW('c', "count", "N", "How many pings each way (10)", OPTION_COUNT, &count),
    };
    int rc = options_parse(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc != 2 || strcmp(argv[0], argv[1]) == 0)
        return cli_usage(cli, "two peers are expected: from which, and to which");
    if (!trace(cli, argv[0], argv[1], count, &there))
        return CLI_FAILED;
    if (cli->format == CLI_TEXT)
        putchar('\n');
    fflush(stdout);
    trace(cli, argv[1], argv[0], count, &back);
    return there && back ? CLI_OK : CLI_FAILED;
}
