/* What a swim instance has done and seen since it was made, for operators: plain numbers that only
 * grow, and at the end what is so now. docs/metrics.md has the name under which each is served.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SWIM_RTT_BUCKETS = 14, /* bounded ones; what is slower is in none of them */
};

/* The buckets' upper bounds, in microseconds. */
extern const uint32_t swim_rtt_bounds_us[SWIM_RTT_BUCKETS];

/* How our probes of a member are answered. */
enum swim_path {
    SWIM_PATH_DIRECT, /* by packets, at the address that it advertises; or not tried yet */
    SWIM_PATH_LEARNT, /* by packets, at the address that its own come from: it moved, or NAT */
    SWIM_PATH_HELPER, /* by packets through other peers only */
    SWIM_PATH_STREAM, /* over a stream only */
};

enum {
    SWIM_PATHS = SWIM_PATH_STREAM + 1,
};

struct swim_counters {
    /* Probes of ours, and of others for whom we helped. */
    uint64_t probes_sent;
    uint64_t probes_indirect; /* helpers were asked too */
    uint64_t probes_failed;
    uint64_t relays_taken; /* probes that others asked us to make */
    uint64_t acks_sent, acks_received;
    uint64_t nacks_sent, nacks_received;
    uint64_t relays_refused;         /* there were too many, of that peer or in all */
    uint64_t pings_sent, pings_lost; /* an operator's */

    /* Paths: probes by the way on which the first answer came, ways that were changed, and probes
     * that were made for keeping a way through NAT open. */
    uint64_t answers[SWIM_PATHS];
    uint64_t path_changes;
    uint64_t keepalives;

    /* Verdicts. */
    uint64_t accusations_made, accusations_heard; /* heard: those that counted */
    uint64_t refutations;                         /* of accusations against ourselves */
    uint64_t deaths;                              /* members that we came to hold dead */
    uint64_t pauses;                              /* times that we noticed that we had slept */

    /* Messages, without what sealing adds. */
    uint64_t packets_sent, packets_received;
    uint64_t packet_bytes_sent, packet_bytes_received;
    uint64_t syncs_sent, syncs_received;
    uint64_t sync_bytes_sent, sync_bytes_received;
    uint64_t malformed; /* packets and messages that made no sense */
    uint64_t rumors_queued, rumors_sent;
    uint64_t rumors_refused; /* beyond their owner's budget: left to anti-entropy */
    uint64_t syncs_refused;  /* beyond the asker's budget */

    /* Direct answers to probes and pings: how many took no longer than each bound. */
    uint64_t rtt_counts[SWIM_RTT_BUCKETS]; /* not summed up */
    uint64_t rtt_count, rtt_sum_us;

    /* What is so now. */
    size_t alive, suspect, dead, left; /* members, ourselves included */
    size_t paths[SWIM_PATHS];          /* live members but ourselves, by how they are reached */
    size_t revoked;                    /* that are shut out for good */
    size_t forgotten;                  /* whose old rumours are refused */
    bool is_misplaced;                 /* nobody reaches us where we advertise */
    size_t rumors;                     /* that wait to be sent often enough */
    size_t records;
    unsigned health; /* Lifeguard's multiplier less one: 0 is well, SWIM_HEALTH_MAX is slow */
};
