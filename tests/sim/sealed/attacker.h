/* Somebody on the network without a key: it sees every datagram, keeps, changes, takes and sends
 * them, from any address. It knows the protocol and all ids, which are no secret.
 *
 * What it does is a set of tricks; each does its worst while it is switched on. attacker.c has what
 * it does to what passes by, attacker_sends.c what it sends by itself.
 */
#pragma once

#include "gossip/session_packet.h"
#include "tests/sim/sealed/world.h"

enum attacker_trick {
    TRICK_REPLAY,   /* sends again what it has kept, to whom it was for and to others */
    TRICK_REFLECT,  /* the same, and inventions, under the addresses of victims and of peers */
    TRICK_FLOOD,    /* first packets without end, from forged addresses and from its own */
    TRICK_FORGE,    /* flips bits, cuts off, mixes two */
    TRICK_COOKIE,   /* answers first packets with cookies of its own making */
    TRICK_WITHHOLD, /* takes what some peers send some others, or all that one sends or gets */
    TRICK_DELAY,    /* holds datagrams back for up to three seconds */
    TRICK_REDIRECT, /* passes on one peer's packets from an address of its own, and what comes back
                       or not; or from a victim's */
    TRICK_COUNT,
};

enum {
    TRICKS_ALL = (1 << TRICK_COUNT) - 1,
    ATTACKER_ARCHIVE_MAX = 1024,
    ATTACKER_VICTIMS = 8,
    ATTACKER_TICK_MS = 20,
};

struct attacker_capture {
    unsigned from, to; /* peers; `to` may be WORLD_NOBODY */
    struct world_datagram *datagram;
};

/* What it does with the packets that one peer sends. */
struct attacker_redirect {
    unsigned peer; /* or WORLD_NOBODY */
    struct address as;
    bool is_both_ways; /* what is sent to `as` is passed on to the peer, … */
    bool is_only_way;  /* … and what is sent to its own address is not */
};

/* A first packet that it sent from an address of its own, for the cookie that may come. */
struct attacker_asked {
    unsigned peer; /* or WORLD_NOBODY */
    struct address from;
    uint8_t first[SESSION_DATAGRAM_BYTES_MAX];
};

struct attacker {
    struct world *world;
    struct random random;
    struct entropy entropy; /* the same */
    unsigned tricks;        /* a set of 1 << enum attacker_trick */
    struct attacker_capture archive[ATTACKER_ARCHIVE_MAX];
    size_t archive_count;
    bool withholds[WORLD_PEERS_MAX][WORLD_PEERS_MAX]; /* packets, by sender and receiver */
    bool cuts_streams[WORLD_PEERS_MAX][WORLD_PEERS_MAX];
    unsigned isolated; /* a peer to or from whom nothing gets through; or WORLD_NOBODY */
    struct attacker_redirect redirect;
    unsigned flooded;               /* a peer */
    unsigned floods_per_tick;       /* first packets */
    struct identity root, identity; /* of a cluster of its own, for handshakes that are whole */
    struct certificate_chain chain;
    struct sessions *stranger;
    struct attacker_asked asked;
    uint64_t counts[TRICK_COUNT]; /* datagrams that each trick took, changed or sent */
    uint64_t cookies_got, cookies_used;
};

struct attacker *attacker_new(struct world *world, uint64_t seed);
void attacker_free(struct attacker *attacker);

/* Does these tricks from now on, each in a way drawn at random. */
void attacker_set(struct attacker *attacker, unsigned tricks);

/* A peer has put a datagram on the wire. True: it goes no further. */
bool attacker_takes(struct attacker *attacker, unsigned from,
                    const struct world_datagram *datagram);

/* A peer sends another something over a stream, dialed at that address. Whom that reaches, or
 * WORLD_NOBODY. */
unsigned attacker_passes_stream(struct attacker *attacker, unsigned from,
                                const struct address *address, const struct id *to);

/* Notes whom it keeps apart from all others; called each RULES_LOOK_MS. */
void attacker_note_isolated(struct attacker *attacker);

const char *attacker_trick_name(enum attacker_trick trick);

/* attacker_sends.c */
void attacker_begin(struct attacker *attacker);
void attacker_end(struct attacker *attacker);
bool attacker_does(const struct attacker *attacker, enum attacker_trick trick);
bool attacker_chance(struct attacker *attacker, unsigned percent);
unsigned attacker_any_peer(struct attacker *attacker);

/* Something came to an address of its own. */
void attacker_got(struct attacker *attacker, unsigned from, const struct world_datagram *datagram);
