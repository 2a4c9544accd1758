/* A fleet of swim instances alone (no agent, no Raft) on one network under a virtual clock: what
 * runs is the shipping swim_step(), by the ten thousand in one process, the same each time.
 *
 *     fleet_init(&fleet, &options);         all peers know one another
 *     fleet.on_event = …;
 *     fleet_run(&fleet, 5000);
 *     fleet_kill(&fleet, 7);
 *     fleet_run_until(&fleet, 60000, everybody_knows, context);
 *     fleet_done(&fleet);
 *
 * Peers are numbered in the order of their ids. All of them share one pool of facts, so that each
 * signature is checked once. What cannot go on (no memory) ends the process.
 */
#pragma once

#include "gossip/identity.h"
#include "gossip/swim.h"
#include "tests/sim/timeline.h"

#include "base/random.h"

enum {
    FLEET_PEERS_MAX = SWIM_MEMBERS_MAX,
    FLEET_PERMILLE = 1000,
};

struct fleet_link; /* wire.c */

struct fleet_options {
    unsigned peers;
    uint64_t seed;
    unsigned loss_permille;             /* of packets; streams are late instead */
    int64_t delay_min_ms, delay_max_ms; /* one way */
    struct swim_config config;          /* all but what each peer has of its own */
};

/* A LAN: 1 to 3 ms, no loss, the shipping defaults. */
struct fleet_options fleet_defaults(void);

enum fleet_condition {
    FLEET_RUNS,
    FLEET_DEAD,
    FLEET_STOPPED, /* as by SIGSTOP: nothing runs, packets wait in the socket's buffer */
    FLEET_BLOCKED, /* timers run, but nothing gets in or out (the Lifeguard paper's anomaly) */
};

struct fleet_message {
    uint32_t from, to;
    bool is_stream;
    uint32_t size;
    uint8_t bytes[];
};

/* Messages that wait for an anomaly to end. */
struct fleet_queue {
    struct fleet_message **messages;
    size_t count, capacity;
};

/* What a peer has put on the wire, with all headers down to IP. */
struct fleet_traffic {
    uint64_t packets, packet_bytes;
    uint64_t streams, stream_bytes; /* messages, and what they and their connections cost */
    uint64_t steps;
};

struct fleet_peer {
    struct fleet *fleet;
    unsigned number;
    struct identity identity;
    struct swim *swim;
    enum fleet_condition condition;
    unsigned side; /* peers on different sides of a partition don't reach each other */
    int64_t deadline_ms;
    int64_t planned_ms; /* of the wake-up that counts; INT64_MAX: none */
    struct fleet_queue inbox, outbox;
    struct fleet_traffic traffic;
};

struct fleet {
    struct fleet_options options;
    struct timeline timeline;
    struct random random;
    struct fact_pool *pool;
    struct fleet_peer *peers;
    unsigned count;
    struct swim_output output;
    struct fleet_link *links; /* connections, to know what opening them costs: a hash table */
    size_t link_count, link_capacity;

    void *context;
    /* What `peer` has learnt; called inside its step. NULL: nobody listens. */
    void (*on_event)(void *context, struct fleet_peer *peer, const struct swim_event *event);
};

void fleet_init(struct fleet *fleet, const struct fleet_options *options);
void fleet_done(struct fleet *fleet);

/* Lets time pass up to `until_ms` of fleet->timeline.now_ms. */
void fleet_run(struct fleet *fleet, int64_t until_ms);

/* The same, but stops once `is_over` says so, which is asked each `FLEET_LOOK_MS`. False if it
 * never did. */
bool fleet_run_until(struct fleet *fleet, int64_t until_ms, bool (*is_over)(void *context),
                     void *context);

/* The machine is gone: it says nothing more, and nobody says that it is. */
void fleet_kill(struct fleet *fleet, unsigned number);

/* Stops or blocks a peer for so long. It may not be in an anomaly already. */
void fleet_disturb(struct fleet *fleet, unsigned number, enum fleet_condition condition,
                   int64_t duration_ms);

/* Steps a peer after something was published or withdrawn at it. */
void fleet_tick(struct fleet *fleet, unsigned number);

/* The peer with that id; it must be one of the fleet. */
unsigned fleet_find(const struct fleet *fleet, const struct id *id);
unsigned fleet_count_in(const struct fleet *fleet, enum fleet_condition condition);

/* What all peers have sent so far. */
struct fleet_traffic fleet_traffic_sum(const struct fleet *fleet);
