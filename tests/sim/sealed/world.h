/* Peers under attack, below the seal: each is a swim instance over a real table of packet sessions,
 * with certificates of one root, and what they exchange are sealed datagrams in virtual time. The
 * wire loses, delays and reorders them, and shows each to an attacker (attacker.h), who may take
 * it and put others on the wire, from any address.
 *
 *     world_init(&world, &options);
 *     world_start(&world, 3);              or world_stop()
 *     world_run(&world, until_ms);
 *     world.failure[0] != 0                the first rule that was broken (rules.h)
 *     world_done(&world);
 *
 * Streams are those of the transport's links, which are not what is attacked here: they arrive
 * whole and in order, or not at all where the attacker cuts them. Every payload carries a serial
 * number behind what swim said, so that the rules can tell what was sent from what arrives.
 */
#pragma once

#include "base/random.h"
#include "gossip/certificate.h"
#include "gossip/session.h"
#include "gossip/swim.h"
#include "tests/sim/timeline.h"

enum {
    WORLD_PEERS_MAX = 16,
    WORLD_PERMILLE = 1000,
    WORLD_SERIAL_BYTES = 8,
    WORLD_PORT = 7300,
    WORLD_FAILURE_BYTES = 200,
    WORLD_NOBODY = WORLD_PEERS_MAX, /* in place of a peer's number */
};

struct attacker;
struct world;

struct world_options {
    unsigned peers;
    uint64_t seed;
    unsigned loss_permille, reorder_permille;
    int64_t delay_min_ms, delay_max_ms; /* one way */
    int64_t rekey_after_ms;             /* for both sides; keys are refused at twice that */
};

struct world_peer {
    struct world *world;
    unsigned number;
    struct identity identity;
    struct certificate_chain chain;
    struct address address; /* where it is, and says so */
    struct random entropy;  /* of its sessions */
    uint32_t generation;
    struct swim *swim; /* with `sessions` NULL while it is down */
    struct sessions *sessions;
    int64_t changed_ms; /* when it was started or stopped */
    int64_t deadline_ms;
    int64_t planned_ms;
    bool is_revoked; /* all others shut it out */

    /* What it has accepted in this life, by sender: for the rules. */
    uint64_t first_serials[WORLD_PEERS_MAX]; /* of the newest first packet, plus 1 */
    uint32_t generations[WORLD_PEERS_MAX];   /* of the newest packet */
};

/* Where a datagram can come from or go to, as its address tells. */
enum world_place {
    WORLD_PEER,
    WORLD_LAIR,   /* the attacker's own: it gets what is sent there */
    WORLD_VICTIM, /* a stranger's, under whose address the attacker sends; all that it gets is
                     counted */
};

struct world_datagram {
    struct address source, to;
    size_t size;
    uint8_t bytes[];
};

/* What a datagram that a peer sends has to do with those that came before. */
enum world_purpose {
    WORLD_ANSWER,     /* to the one that is being handled, if it goes there; or news */
    WORLD_QUESTION,   /* asked of its own accord, or another peer's */
    WORLD_LATE_ANSWER /* what came of an earlier one: of a probe on behalf of another */
};

/* A payload that was sealed; its serial number is its index. */
struct world_sent {
    unsigned from, to;
    uint32_t generation; /* of the sender */
    uint8_t type;        /* of the packet that carried it */
    uint64_t hash;
    uint32_t delivered_generation; /* of the receiver; 0: not delivered yet */
};

/* What one peer and an address that is no peer's have sent each other. */
struct world_account {
    unsigned peer;
    struct address address; /* none: the place is free */
    uint64_t bytes_in, bytes_out;
    uint64_t bytes_answered; /* of that, what is no question */
    bool is_authentic;       /* a packet from there was accepted */
};

struct world_counters {
    uint64_t datagrams, injected, streams;
    uint64_t delivered; /* payloads */
    uint64_t too_large; /* payloads that could not be sealed, and are lost as in udp_send() */
    uint64_t refused[SESSION_REFUSALS];
    uint64_t firsts_sent, starts, stops;
    uint64_t victims_asked_bytes,
        victims_bytes;       /* what seemed to come from victims; what they got */
    uint64_t victims_pings;  /* of that, packets that answered nothing */
    uint64_t strangers_most; /* peers remembered beyond the fleet's, at most */
};

struct world {
    struct world_options options;
    struct timeline timeline;
    struct random random;
    struct fact_pool *pool;
    struct identity root;
    unsigned count;
    struct world_peer peers[WORLD_PEERS_MAX];
    struct swim_output output;
    struct attacker *attacker;            /* NULL: nobody listens */
    int64_t isolated_ms[WORLD_PEERS_MAX]; /* when the attacker last kept all from a peer */

    struct world_sent *sent;
    size_t sent_count, sent_capacity;
    struct world_account *accounts; /* a hash table */
    size_t account_count;

    /* The datagram that is being handled. */
    bool handles;
    struct address handled_source;
    size_t handled_bytes, answered_bytes, answered_source_bytes;
    enum world_purpose purpose; /* of what is being sent */

    struct world_counters counters;
    uint64_t trace; /* a hash of everything so far */
    bool is_verbose;
    int64_t failed_ms;
    char failure[WORLD_FAILURE_BYTES];
};

struct world_options world_defaults(void);

/* All peers are started. */
void world_init(struct world *world, const struct world_options *options);
void world_done(struct world *world);

/* A peer starts in its next generation, with nothing but its key and two addresses to join by. */
void world_start(struct world *world, unsigned number);
void world_stop(struct world *world, unsigned number);

/* The peers that run shut one out. */
void world_revoke(struct world *world, unsigned number);

/* Lets time pass, up to `until_ms` of world->timeline.now_ms or until a rule was broken. */
void world_run(struct world *world, int64_t until_ms);

/* Puts a datagram on the wire that nobody of the fleet has sent; it arrives after `delay_ms`. */
void world_inject(struct world *world, const struct address *source, const struct address *to,
                  struct bytes bytes, int64_t delay_ms);

enum world_place world_place_of(const struct address *address);
struct address world_lair(unsigned number);
struct address world_victim(unsigned number);

/* WORLD_NOBODY if it is no peer's. */
unsigned world_find_address(const struct world *world, const struct address *address);
unsigned world_find_id(const struct world *world, const struct id *id);

/* Prints with the time, if the world is verbose. */
void world_say(const struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
