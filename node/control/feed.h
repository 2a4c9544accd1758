/* The feed: how committed intent reaches peers that do not take part in Raft.
 *
 * After each commit the leader signs a head: the index, and a hash of the whole intent at it. The
 * head spreads by gossip; a peer that is behind pulls the entries (or, far behind, the intent) from
 * any peer, applies them to a copy, and takes the copy only if its hash is the head's. So whoever
 * serves it cannot change a byte, and an intent that two peers compute differently is noticed.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "consensus/intent.h"
#include "consensus/raft.h"
#include "gossip/identity.h"
#include "node/control/bounds.h"

struct feed_head {
    uint64_t index, term;
    uint32_t level;                /* of the intent at `index` */
    uint8_t hash[FEED_HASH_BYTES]; /* BLAKE2b of intent_write()'s bytes at `index` */
    struct id signer;
    uint8_t signature[SIGNATURE_BYTES];
};

/* An entry as it was committed, with its own copy of the data. */
struct feed_entry {
    uint64_t index, term;
    enum raft_entry_type type;
    struct buffer data;
};

struct feed {
    struct feed_entry *recent; /* ascending, without gaps; the last one is the newest applied */
    size_t recent_count;
    size_t recent_bytes;
    struct feed_head head;      /* the newest that our intent has reached; index 0: none */
    struct feed_head announced; /* the newest heard of from one who votes, its signature checked */
    uint64_t hinted_index;      /* said by one whom we don't know to vote: reason to ask, no more */
    int64_t pull_at_ms;         /* when to ask (again); INT64_MAX: nothing is missing */
    int64_t pulled_at_ms;       /* when last asked */
    int64_t sign_at_ms;         /* as the leader: when to sign the next head; INT64_MAX: no need */
    int64_t signed_at_ms;       /* when the last one was */
};

void feed_init(struct feed *feed);
void feed_done(struct feed *feed);

/* Remembers an applied entry for others to pull. When there is no memory the feed forgets all and
 * serves whole intents instead. */
void feed_remember(struct feed *feed, const struct raft_entry *entry);

/* Drops the remembered entries: the intent was replaced as a whole. */
void feed_forget(struct feed *feed);

/* Applies one committed entry of any type to the intent. `ret_admitted` is set when it admitted a
 * key. -ENOMEM: the intent can't be relied on any more. */
int feed_apply_entry(struct intent *intent, const struct raft_entry *entry,
                     struct intent_result *ret_result, struct id *ret_admitted);

int feed_hash(const struct intent *intent, uint8_t ret[FEED_HASH_BYTES]);

/* Makes and signs the head for the intent as it stands. */
int feed_head_sign(const struct intent *intent, const struct identity *identity,
                   struct feed_head *ret);

/* 0 if the signature is the signer's, for that cluster, else -EKEYREJECTED; or -ENOMEM, which is
 * nobody's fault. Who may sign is the caller's question. */
int feed_head_verify(const struct feed_head *head, const struct id *cluster);

void feed_head_write(struct writer *writer, const struct feed_head *head);
int feed_head_read(struct reader *reader, struct feed_head *ret);

/* Appends the answer to "I am at `index`": entries up to feed->head, or the whole intent if those
 * are no longer remembered; nothing when there is nothing newer. */
int feed_push_encode(const struct feed *feed, const struct intent *intent, uint64_t index,
                     struct buffer *ret);

/* Takes such an answer. `*ret` is a new intent, checked against the signed head (`ret_head`), or
 * NULL if there was nothing newer than `intent`. -EBADMSG malformed; -EPROTONOSUPPORT: made by a
 * newer version; -EKEYREJECTED: the signature or the hash is wrong; -ENOMEM. */
int feed_push_decode(const struct intent *intent, struct bytes bytes, struct intent **ret,
                     struct feed_head *ret_head);
