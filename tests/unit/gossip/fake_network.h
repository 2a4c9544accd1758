/* A network of swim instances in one process, under a clock of its own: packets are lost, delayed
 * and so reordered, peers crash, pause and are cut off from each other. From one seed everything
 * repeats to the byte.
 *
 *     fake_init(&net, 5, seed);            five peers, started, each with peer 0 as its seed
 *     fake_wait(&net, 10000, fake_all_alive)
 *     fake_stop(&net, 2);
 */
#pragma once

#include "base/random.h"
#include "gossip/identity.h"
#include "gossip/swim.h"
#include "gossip/swim_message.h"

enum {
    FAKE_PEERS_MAX = 128,
    FAKE_EVENT_TYPES = SWIM_PING_LOST + 1,
    FAKE_NAT_MS = 30000, /* after which a NAT forgets a flow of packets */
};

struct fake_peer {
    struct identity identity;
    struct address address; /* what it advertises */
    struct address place;   /* where it is: its packets come from there, and must be sent there */
    int64_t extra_ms;       /* it is so much further away, in each direction */
    bool behind_nat;        /* nobody gets in before it has spoken to them, not long ago */
    struct swim *swim;      /* NULL while it is stopped */
    uint32_t generation;
    int group;                   /* peers of different groups can't reach each other */
    int64_t deadline_ms;         /* when it wants to be stepped */
    int64_t paused_until;        /* nothing is delivered to it, nor is it stepped, before this */
    int64_t waiting_until;       /* in the pause that ends then, */
    size_t waiting;              /* so many packets have come for it */
    struct swim_event last_ping; /* its last SWIM_PONG or SWIM_PING_LOST */
    unsigned event_counts[FAKE_EVENT_TYPES]; /* since it was started or fake_forget_events() */
};

struct fake_message; /* one in flight */
struct fake_network;

/* Sees each message that arrives; true: it is taken, and `to` does not get it. */
typedef bool fake_tap(struct fake_network *net, size_t from, size_t to, enum swim_input_type type,
                      struct bytes bytes);

struct fake_network {
    bool cut[FAKE_PEERS_MAX][FAKE_PEERS_MAX];          /* single links, by sender and receiver */
    bool packets_cut[FAKE_PEERS_MAX][FAKE_PEERS_MAX];  /* the same, but streams pass */
    int64_t opened_ms[FAKE_PEERS_MAX][FAKE_PEERS_MAX]; /* the last packet from one behind NAT */
    bool linked[FAKE_PEERS_MAX][FAKE_PEERS_MAX];       /* a stream has passed, either way */
    struct random random;
    int64_t now_ms;
    struct swim_config config; /* what peers are started with */
    size_t count;
    struct fake_peer peers[FAKE_PEERS_MAX];
    struct fact_pool *pool; /* shared, so that signatures are checked once */
    struct swim_output output;
    fake_tap *tap; /* or NULL */

    unsigned loss_percent; /* of packets; streams are never lost within a group */
    int64_t delay_min_ms, delay_max_ms;
    size_t socket_packets_max; /* that wait for a peer that is paused; more are lost */

    struct fake_message **queue; /* by time, then by order */
    size_t queue_count, queue_capacity;
    uint64_t order;

    unsigned asked[FAKE_PEERS_MAX]; /* how often peer 0 asked each to probe on its behalf */

    uint64_t trace; /* a hash of every message and event so far */
    uint64_t packet_count, packet_bytes, stream_bytes;
};

typedef bool fake_condition(struct fake_network *net);

void fake_init(struct fake_network *net, size_t count, uint64_t seed);
void fake_done(struct fake_network *net);

/* Starts a peer in its next generation. */
void fake_start(struct fake_network *net, size_t index);
void fake_stop(struct fake_network *net, size_t index);

/* Loses what is on its way to and from a peer over connections. */
void fake_drop_streams(struct fake_network *net, size_t index);

void fake_run(struct fake_network *net, int64_t ms);

/* Runs until the condition holds or `ms` are over; returns how long it took, or -1. */
int64_t fake_wait(struct fake_network *net, int64_t ms, fake_condition *condition);

/* Moves a peer to where it is not known to be, and what it advertises is of no use. */
void fake_move(struct fake_network *net, size_t index, bool behind_nat);

/* Steps one peer now with a message that never was on the network. */
int fake_inject(struct fake_network *net, size_t to, size_t from, enum swim_input_type type,
                struct bytes bytes);
void fake_tick(struct fake_network *net, size_t index);

const struct id *fake_id(const struct fake_network *net, size_t index);

/* As `observer` sees `subject`; -1 if it does not know it. */
int fake_state(const struct fake_network *net, size_t observer, size_t subject);
void fake_forget_events(struct fake_network *net);

/* Publishes text at a peer of the network. */
int fake_publish(struct fake_network *net, size_t index, enum swim_table table, const char *key,
                 const char *value);

/* Whether `observer` holds that record of `owner` with that value (NULL: holds no such record). */
bool fake_has(const struct fake_network *net, size_t observer, size_t owner, enum swim_table table,
              const char *key, const char *value);

/* Conditions: every running peer sees every running peer alive (and nobody else live); every
 * running peer holds the same records of every running peer as that peer itself. */
bool fake_all_alive(struct fake_network *net);
bool fake_all_equal(struct fake_network *net);
