/* What one commit costs the leader, and how soon all peers have it, in a fleet of a size.
 *
 * A grown fleet settles; then its leader is watched for a while at rest, and as long again with
 * commits, each of which changes one thing. What is counted is the difference, per commit; times of
 * arrival are virtual.
 */
#pragma once

#include <stdint.h>

#include "tests/sim/machine.h"

struct leader_work_options {
    unsigned peers, commits;
    uint64_t seed;
    bool times_steps;  /* the processor's time, too */
    unsigned loss;     /* of packets and messages, in thousands */
    unsigned services; /* that the intent has already; they are of no replicas */
};

struct leader_work {
    unsigned peers;
    uint64_t intent_bytes;                 /* how large the intent is, at the end */
    struct machine_traffic sent, received; /* by the leader */
    uint64_t hashed_bytes;                 /* by the leader, for the heads that it signs */
    uint64_t step_us;                      /* the processor's time in agent_step() of the leader */
    uint64_t all_count, all_bytes;         /* what a peer sends, on average over all peers */
    uint64_t most_count, most_feed_bytes;  /* what the busiest peer that does not lead sends */
    int64_t median_ms, p99_ms, max_ms; /* from the leader's commit until a peer has applied it */
    uint64_t rest_bytes_per_second;    /* by the leader, without commits */
};

/* NULL, or why it can't be told (borrowed, until the next call). */
const char *leader_work_measure(const struct leader_work_options *options, struct leader_work *ret);
