/* Raft alone, as it ships, on peers with a network, disks and clocks that fail, in one process
 * under virtual time and one seed.
 *
 * world.c     time: the queue of events, clocks, failing
 * peer.c      a peer: its core, its store, its life and death
 * network.c   messages under way
 * machine.c   what is replicated
 * clients.c   who uses it, and the history of what they saw
 * operator.c  members, transfers, compaction
 * faults.c    what goes wrong, and the end of it
 * checks.c    what must hold at every step
 * run.c       a run from a seed: faults, then calm, then a look at the history
 */
#pragma once

#include <stdio.h>

#include "base/random.h"
#include "consensus/raft.h"
#include "tests/linear/linear.h"
#include "tests/sim/raft/machine.h"
#include "tests/sim/raft/store.h"

enum {
    SIM_PEERS_MAX = 12,
    SIM_VOTERS_MAX = 7,
    SIM_LEARNERS_MAX = 3,
    SIM_SPARES = 2, /* peers that are no members at first */
    SIM_MS = 1000,  /* in µs, in which the world counts */
    SIM_S = 1000 * 1000,
    SIM_FAILURE_BYTES = 256,
    SIM_DRIFT_PPM_MAX = 45000, /* of a clock; any two stay within raft.h's default bound */
};

enum sim_fault {
    SIM_LOSS = 1,
    SIM_DELAY = 2,     /* and so, reordering */
    SIM_DUPLICATE = 4, /* copies may come seconds later */
    SIM_PARTITION = 8, /* also of one way only */
    SIM_CRASH = 16,    /* un-synced writes are lost */
    SIM_SPOIL = 32,    /* a sector of rubbish */
    SIM_SLOW_DISK = 64,
    SIM_DRIFT = 128,
    SIM_PAUSE = 256,
    SIM_MEMBERS = 512,
    SIM_TRANSFER = 1024,
    SIM_COMPACT = 2048,
    SIM_RUBBISH = 4096, /* in the bytes of a snapshot that is sent */
    SIM_FAULTS_ALL = 8191,
};

struct sim_options {
    int voters;   /* 0: drawn from 3 … 7 */
    int learners; /* -1: drawn from 0 … 2 */
    unsigned faults;
    int64_t duration_us; /* of faults; calm comes after */
    FILE *trace;         /* NULL: none; borrowed */
};

enum sim_event_type {
    SIM_EVENT_MESSAGE, /* `packet` arrives */
    SIM_EVENT_TICK,    /* of peer `subject` */
    SIM_EVENT_STORED,  /* the commit under way of peer `subject` is on the disk */
    SIM_EVENT_RESTART, /* of peer `subject` */
    SIM_EVENT_CLIENT,  /* `subject`'s next move */
    SIM_EVENT_OPERATOR,
    SIM_EVENT_FAULT,
    SIM_EVENT_LIFT, /* a fault of the kind `subject` ends */
};

struct sim_packet {
    int from, to;
    struct id from_id, to_id;
    struct buffer bytes;
};

struct sim_event {
    int64_t at_us;
    uint64_t order; /* of two at once, the first that was asked for comes first */
    enum sim_event_type type;
    int subject;
    uint64_t token; /* the event is void unless its subject still waits for this one */
    struct sim_packet *packet;
};

/* A message that waits for its sender's disk. */
struct sim_held {
    struct raft_message message;
    uint64_t sequence;
};

/* A confirmed read that waits until its index is applied. */
struct sim_read {
    uint64_t context;
    uint64_t index;
};

struct sim_peer {
    int number;
    struct id id; /* a new one after its disk was lost */
    unsigned lives;
    struct raft *raft; /* NULL: down */
    struct sim_store store;
    bool is_spoilt; /* it must not open */
    struct sim_machine machine;
    bool has_taken; /* a copy of its state, which is to become its snapshot later */
    struct sim_machine taken;
    struct raft_configuration taken_members;
    uint64_t tick_token, stored_token, restart_token;
    struct sim_held *held;
    size_t held_count, held_capacity;
    struct sim_read *reads;
    size_t read_count, read_capacity;
    struct raft_status status;         /* after its last step */
    struct raft_configuration members; /* the same */
    int64_t clock_since_us, clock_base_us, clock_ppm;
    int64_t paused_until_us;
    bool has_slow_disk;
};

struct sim_client {
    uint64_t token;
    bool is_waiting;
    int attempts;
    struct linear_operation operation;
    uint64_t sequence; /* of writes and swaps */
    uint64_t context;  /* of the present attempt to read; 0: none */
    uint64_t seen;     /* a value that it saw last */
    int64_t deadline_us;
    unsigned asked[SIM_PEERS_MAX]; /* in which life a peer took the command; 0: it did not */
    int favourite;                 /* the peer that it asks first, or -1 */
    uint64_t done_when_calm;
};

/* What a committed index holds. */
struct sim_truth {
    uint64_t term;
    uint64_t hash;
    uint64_t committed_in; /* the term of the leader that did so first */
    uint64_t digest;       /* of the state machine after it; 0: nobody applied it yet */
};

/* A table from two words to two words; see checks.c. */
struct sim_fact {
    uint64_t key[2];
    uint64_t value[2];
};

struct sim_facts {
    struct sim_fact *slots;
    size_t count, capacity;
};

struct sim_world {
    struct sim_options options;
    uint64_t seed;
    struct random random;
    int64_t now_us;
    uint64_t order;
    struct sim_event *events; /* a heap */
    size_t event_count, event_capacity;

    struct sim_peer peers[SIM_PEERS_MAX];
    int peer_count;
    struct raft_config config; /* of all, but for self and seed */
    bool is_calm;

    unsigned loss_permille, duplicate_permille, rubbish_permille;
    int64_t delay_max_us;
    bool is_blocked[SIM_PEERS_MAX][SIM_PEERS_MAX]; /* [from][to] */

    struct sim_client clients[SIM_CLIENTS];
    struct linear_history history;
    uint64_t moment, value, context;

    struct id lost; /* whose disk is gone, until it is no member any more; ID_NONE: nobody's */
    bool waits_for_operator;
    uint32_t voters_wanted; /* by the operator; 0: any number does */

    struct sim_truth *truth;
    size_t truth_count, truth_capacity;
    struct sim_facts entries, leaders, votes, reads;

    uint64_t steps, digest;
    uint64_t counts[16]; /* of what happened, see enum sim_count */
    bool has_failed;
    char failure[SIM_FAILURE_BYTES];
};

enum sim_count {
    SIM_COUNT_ELECTIONS,
    SIM_COUNT_COMMITTED,
    SIM_COUNT_CHANGES,
    SIM_COUNT_CRASHES,
    SIM_COUNT_SPOILT,
    SIM_COUNT_SNAPSHOTS,
    SIM_COUNT_CHUNKS,
    SIM_COUNT_REFUSED,
    SIM_COUNT_WRITES,
    SIM_COUNT_READS,
    SIM_COUNT_FOLLOWER_READS,
    SIM_COUNT_TRANSFERS,
    SIM_COUNTS,
};

/* world.c */
void sim_fail(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_trace(struct sim_world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void sim_schedule(struct sim_world *world, int64_t at_us, struct sim_event event);
bool sim_next(struct sim_world *world, struct sim_event *ret);
int64_t sim_draw_us(struct sim_world *world, int64_t min_ms, int64_t max_ms);
int64_t sim_clock_ms(const struct sim_world *world, const struct sim_peer *peer);
/* When the peer's clock shows `local_ms`. */
int64_t sim_clock_at_us(const struct sim_world *world, const struct sim_peer *peer,
                        int64_t local_ms);
void sim_clock_drift(struct sim_world *world, struct sim_peer *peer, int64_t ppm);

/* peer.c */
void sim_peer_init(struct sim_world *world, int number, bool is_member,
                   const struct raft_configuration *first);
void sim_peer_done(struct sim_peer *peer);
void sim_peer_start(struct sim_world *world, struct sim_peer *peer);
void sim_peer_crash(struct sim_world *world, struct sim_peer *peer);
/* One input; returns raft_step's result, or -EHOSTDOWN. */
int sim_peer_give(struct sim_world *world, struct sim_peer *peer, struct raft_input input);
void sim_peer_stored(struct sim_world *world, struct sim_peer *peer);
/* Makes a snapshot of the peer's state, as it is or as it was at the call before. */
void sim_peer_compact(struct sim_world *world, struct sim_peer *peer, uint64_t keep);
int sim_peer_verify(void *context, const struct raft_snapshot *snapshot);
struct sim_peer *sim_peer_of(struct sim_world *world, const struct id *id);
/* Who leads in the highest term, or NULL. */
struct sim_peer *sim_leader(struct sim_world *world);

/* network.c */
void sim_send(struct sim_world *world, const struct sim_peer *from,
              const struct raft_message *message);
void sim_deliver(struct sim_world *world, struct sim_packet *packet);
void sim_packet_free(struct sim_packet *packet);

/* clients.c */
void sim_clients_start(struct sim_world *world);
void sim_client_move(struct sim_world *world, int number);
void sim_client_applied(struct sim_world *world, const struct sim_peer *peer,
                        const struct sim_command *command);
void sim_client_read(struct sim_world *world, const struct sim_peer *peer, uint64_t context);
void sim_client_read_failed(struct sim_world *world, uint64_t context);
/* All gave up or are done: what they never learned is in the history as pending. */
void sim_clients_end(struct sim_world *world);

/* operator.c */
void sim_operator_move(struct sim_world *world);

/* faults.c */
void sim_fault_move(struct sim_world *world);
void sim_fault_lift(struct sim_world *world, unsigned fault);
void sim_faults_end(struct sim_world *world);
int sim_faults_parse(const char *text, unsigned *ret);
void sim_faults_list(char *ret, size_t size);

/* checks.c */
void sim_check_step(struct sim_world *world, struct sim_peer *peer,
                    const struct raft_status *before, const struct raft_output *output);
void sim_check_applied(struct sim_world *world, struct sim_peer *peer,
                       const struct raft_entry *entry);
void sim_check_snapshot(struct sim_world *world, struct sim_peer *peer, uint64_t index);
void sim_check_said(struct sim_world *world, const struct sim_peer *peer,
                    const struct raft_message *message);
void sim_check_answered(struct sim_world *world, const struct sim_peer *peer,
                        const struct raft_status *before, const struct raft_message *asked,
                        const struct raft_output *output);
void sim_check_asked(struct sim_world *world, uint64_t context);
void sim_check_read(struct sim_world *world, const struct raft_read *outcome);

/* run.c: true if nothing failed. `world` is to be released by sim_done(). */
bool sim_run(struct sim_world *world, uint64_t seed, const struct sim_options *options);
void sim_done(struct sim_world *world);
