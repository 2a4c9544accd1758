/* What monitoring sees of a peer: numbers taken at one moment (collect.c), those of its containers
 * a moment before by a worker (sample.c), written in Prometheus' text format (render.c) and served
 * over HTTP (serve.c, http.c). docs/metrics.md lists every name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "consensus/intent.h"
#include "consensus/raft.h"
#include "gossip/session.h"
#include "gossip/swim.h"
#include "node/control/view.h"
#include "node/transport/udp.h"
#include "runtime/runtime.h"

enum {
    LAG_BUCKETS = 8,
    METRICS_CONTAINERS_MAX = 1024, /* shown of one peer: about 1 KiB each */
    METRICS_SAMPLE_AGE_MS = 1000, /* younger ones are shown again: strangers may ask as they like */
};

/* The buckets' upper bounds, in milliseconds. */
extern const uint32_t metrics_lag_bounds_ms[LAG_BUCKETS];

/* How late the loop comes to what is due. */
struct metrics_lag {
    uint64_t counts[LAG_BUCKETS]; /* not summed up */
    uint64_t count, sum_ms;
};

void metrics_lag_add(struct metrics_lag *lag, int64_t late_ms);

struct metrics_container {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t slot;
    uint64_t generation;
    struct container_stats stats;
};

/* What this peer's containers use: one entry for each slot, by service and slot. */
struct metrics_sample {
    struct metrics_container *containers;
    size_t count, left_out; /* more than METRICS_CONTAINERS_MAX */
    int64_t at_ms;          /* of the loop's clock; 0: never */
    bool is_under_way;
};

struct metrics {
    /* Of the process. */
    uint64_t memory_bytes;
    uint64_t cpu_us;
    double start_seconds; /* since 1970 */
    struct metrics_lag lag;
    uint64_t store_commits;

    /* With a cluster: */
    bool is_member;
    struct swim_counters swim;
    uint8_t profile; /* enum intent_profile */
    uint32_t probe_interval_ms;
    struct udp_counters udp;
    struct sessions_counters sessions;
    size_t session_count; /* with keys */
    size_t session_bytes;
    size_t link_count, relayed_link_count, passed_link_count;
    uint64_t messages_dropped;
    struct raft_status raft;
    uint64_t applied_index; /* of the intent, by Raft or the feed */
    size_t voters, live_voters;
    size_t replicas[VIEW_REPLICA_FAILED + 1]; /* placed here, by state */
    size_t connections;                       /* that the mesh passes on */
    const struct metrics_sample *sample;      /* borrowed; NULL: none */
};

struct peer;

/* Serves them where the options say, if they say so: sets peer->http. */
int metrics_serve(struct peer *peer, struct error *error);

/* True if containers are looked at now; http_ready() is called when that is done. */
bool metrics_sample_begin(struct peer *peer);
void metrics_sample_done(struct metrics_sample *sample);

/* Sorts by service and slot, with of one slot's the newest generation only, and cuts. */
void metrics_sample_order(struct metrics_sample *sample);

void metrics_collect(const struct peer *peer, struct metrics *ret);

/* Appends all of it. -ENOMEM. */
int metrics_render(const struct metrics *metrics, struct buffer *ret);
