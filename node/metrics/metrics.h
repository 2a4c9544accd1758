/* What monitoring sees of a peer: numbers taken at one moment (collect.c), written in Prometheus'
 * text format (render.c) and served over HTTP (http.c). docs/metrics.md lists every name.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "consensus/intent.h"
#include "consensus/raft.h"
#include "gossip/session.h"
#include "gossip/swim.h"
#include "node/control/view.h"
#include "node/transport/udp.h"

enum {
    LAG_BUCKETS = 8,
};

/* The buckets' upper bounds, in milliseconds. */
extern const uint32_t metrics_lag_bounds_ms[LAG_BUCKETS];

/* How late the loop comes to what is due. */
struct metrics_lag {
    uint64_t counts[LAG_BUCKETS]; /* not summed up */
    uint64_t count, sum_ms;
};

void metrics_lag_add(struct metrics_lag *lag, int64_t late_ms);

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
};

struct peer;
void metrics_collect(const struct peer *peer, struct metrics *ret);

/* Appends all of it. -ENOMEM. */
int metrics_render(const struct metrics *metrics, struct buffer *ret);
