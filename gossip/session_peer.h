/* What a peer's sessions remember of the others: for each, a few sets of keys, the first packets
 * under way to it, and the newest first packet that it sent (so that an old one is not taken
 * twice).
 *
 * A peer enters the table when the caller addresses it, or when its first packet was authenticated
 * and admitted; a stranger never does. The table is bounded in peers and in bytes: the idlest peers
 * make room.
 *
 * Every set of keys and every first packet has a slot, whose random index is what the other side
 * puts into its packets.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "base/table.h"
#include "gossip/bounds.h"
#include "gossip/entropy.h"
#include "gossip/noise.h"
#include "gossip/session_guard.h"
#include "gossip/session_packet.h"
#include "gossip/session_replay.h"

enum { SESSION_CHAIN_HASH_BYTES = 32 };

enum session_slot_kind {
    SESSION_SLOT_KEYS,
    SESSION_SLOT_INITIATION,
};

struct session_slot {
    uint32_t index;
    enum session_slot_kind kind;
    struct session_peer *peer;
};

/* The result of one handshake. */
struct session_keys {
    struct session_slot slot; /* first, so that a slot of this kind is one of these */
    uint32_t remote_index;
    struct noise_cipher send;
    struct noise_cipher receive;
    uint64_t sent_count; /* the next packet's nonce */
    struct session_replay replay;
    int64_t created_ms;
    bool initiator;             /* whether we sent the first packet */
    bool confirmed;             /* the other side has used them, or answered us */
    struct session_stamp stamp; /* of the first packet */
    uint64_t remote_generation;
};

/* A first packet of ours whose answer is awaited. */
struct session_initiation {
    struct session_slot slot; /* first, as above */
    struct noise_handshake handshake;
    struct session_stamp stamp;
    uint8_t mac1[SESSION_MAC_BYTES];
    int64_t sent_ms;
    uint64_t known_generation; /* the peer's, when it was sent */
};

/* A first packet of theirs that awaits our answer. */
struct session_response {
    struct noise_handshake handshake;
    uint32_t remote_index;
    struct session_stamp stamp;
    int64_t received_ms;
};

struct session_peer {
    struct id id;
    struct session_peer *busier, *idler; /* in the order of use; NULL at the ends */
    uint8_t exchange_public[EXCHANGE_KEY_BYTES];
    struct session_keys *keys[SESSION_KEYS_PER_PEER];
    struct session_keys *sending; /* one of `keys`, confirmed; or NULL */
    struct session_initiation *initiations[SESSION_INITIATIONS_PER_PEER];
    struct session_response *response; /* or NULL */
    bool confirmation_due;             /* the other side waits for a packet under new keys */
    bool initiated;
    int64_t initiated_ms;
    bool unanswered; /* we asked under `sending` and heard nothing since … */
    int64_t unanswered_since_ms;
    bool stamped;
    uint64_t generation;        /* of the life that it has now, as it has shown; 0: none */
    struct session_stamp stamp; /* the newest first packet taken */
    uint8_t chain_hash[SESSION_CHAIN_HASH_BYTES]; /* of the chain verified, if stamped */
    struct session_cookie cookie;
};

struct session_table {
    struct table peers; /* by id */
    struct table slots; /* by index */
    struct session_peer *busiest, *idlest;
    size_t peers_max;
    size_t bytes, bytes_max; /* of peers, keys and handshakes */
};

void session_table_init(struct session_table *table, size_t peers_max, size_t bytes_max);
void session_table_done(struct session_table *table);

struct session_peer *session_table_find(const struct session_table *table, const struct id *id);

/* Finds the peer or adds it, in place of the idlest if the table is full. -EINVAL if the id is no
 * valid key, -ENOMEM. */
int session_table_obtain(struct session_table *table, const struct id *id,
                         struct session_peer **ret);

/* A packet went to the peer or came from it. */
void session_peer_touch(struct session_table *table, struct session_peer *peer);

/* Wipes and frees the peer with all its slots. */
void session_table_remove(struct session_table *table, struct session_peer *peer);

struct session_slot *session_table_slot(const struct session_table *table, uint32_t index);

/* A random index that no slot has. */
uint32_t session_table_pick_index(const struct session_table *table, const struct entropy *entropy);

/* Gives the peer another set of keys (a first packet), whose slot is filled in. The oldest goes if
 * there are too many, but not those in use for sending. The peer owns it on success; -ENOMEM. */
int session_peer_add_keys(struct session_table *table, struct session_peer *peer,
                          struct session_keys *keys);
int session_peer_add_initiation(struct session_table *table, struct session_peer *peer,
                                struct session_initiation *initiation);

/* Gives the peer a first packet to answer, in place of the one that it may have. The peer owns it.
 */
void session_peer_set_response(struct session_table *table, struct session_peer *peer,
                               struct session_response *response);

/* Wipe and free one of the peer's. */
void session_peer_drop_keys(struct session_table *table, struct session_keys *keys);
void session_peer_drop_initiation(struct session_table *table,
                                  struct session_initiation *initiation);
void session_peer_drop_response(struct session_table *table, struct session_peer *peer);

/* The peer has shown that it started in `generation`: what was agreed or asked in another life is
 * dropped. */
void session_peer_lives(struct session_table *table, struct session_peer *peer,
                        uint64_t generation);

/* Turns a first packet whose answer came into `keys`, which take over its slot. */
void session_peer_promote(struct session_table *table, struct session_initiation *initiation,
                          struct session_keys *keys);

/* Makes `keys`, now confirmed, those to send under, unless the present ones are to be preferred.
 * Both sides come to the same choice when their first packets crossed. */
void session_peer_confirm(struct session_peer *peer, const struct id *own_id,
                          struct session_keys *keys);
