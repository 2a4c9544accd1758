/* The feed: how committed intent reaches peers that do not take part in Raft.
 *
 * Each entry that is applied goes into a hash that the intent holds, its chain. The leader signs a
 * head: the index, and the chain there. The head spreads by gossip; a peer that is behind pulls the
 * entries from any peer, and applies them if they lead from its own chain to the head's. So whoever
 * serves them cannot change a byte, and a head costs nobody more than what is new.
 *
 * Who is too far behind for that pulls a whole intent: the head names the newest that is offered,
 * by a hash over the hashes of its parts (feed_state). It is pulled part by part, from several
 * peers if need be (feed_fetch). Who comes by entries to where one is offered compares, and so
 * notices an intent that two peers compute differently.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "consensus/intent.h"
#include "consensus/raft.h"
#include "gossip/identity.h"
#include "node/control/bounds.h"

struct feed_head {
    uint64_t index, term;
    uint32_t level;                      /* of the intent at `index` */
    uint8_t chain[INTENT_CHAIN_BYTES];   /* of the intent at `index` */
    uint64_t state_index;                /* of the whole intent that is offered; at most `index` */
    uint8_t state_hash[FEED_HASH_BYTES]; /* see feed_state */
    struct id signer;
    uint8_t signature[SIGNATURE_BYTES];
};

/* An entry as it was committed, with its own copy of the data. */
struct feed_entry {
    uint64_t index, term;
    enum raft_entry_type type;
    struct buffer data;
};

/* A whole intent, for others to pull: intent_write()'s bytes, in parts of FEED_PART_BYTES. */
struct feed_state {
    uint64_t index;                /* 0: there is none */
    struct feed_head head;         /* one that names it; index 0: none was heard of yet */
    struct buffer bytes, hashes;   /* each part has a hash there */
    uint8_t hash[FEED_HASH_BYTES]; /* of their size and all those hashes */
};

/* One that is being pulled: what has come of it, each part checked. */
struct feed_fetch {
    struct feed_head head; /* names it; index 0: nothing is being pulled */
    size_t size;
    struct buffer bytes, hashes;
    int64_t started_ms, progress_ms;
};

/* What the disk has of what the feed brought, once all that was said so is written. */
struct feed_stored {
    uint64_t index;      /* where the stored intent and the entries behind it lead; 0: not known */
    uint32_t level;      /* of that */
    size_t intent_bytes; /* 0: there is none */
    size_t entry_count, entry_bytes;
    bool is_damaged; /* nobody knows any more where it led: it stays until the whole is stored */
};

struct feed {
    struct feed_entry *recent; /* ascending, without gaps; the last one is the newest applied */
    size_t recent_count;
    size_t recent_bytes;
    struct feed_head head;      /* the newest that our intent has reached; index 0: none */
    struct feed_head announced; /* the newest heard of from one who votes, its signature checked */
    uint64_t hinted_index;      /* said by one whom we don't know to vote: reason to ask, no more */
    struct feed_state state;    /* what we offer */
    uint64_t state_term;        /* in which we made it, as the leader; 0: we did not */
    uint64_t new_entries, new_bytes; /* applied since we did */
    struct feed_fetch fetch;
    struct feed_stored stored;
    bool wants_state;      /* entries led elsewhere than to the intent that is offered */
    struct id teller;      /* who told us of `announced`; ID_NONE: nobody, or it was asked */
    unsigned tries;        /* pulls since we last got anything */
    int64_t pull_at_ms;    /* when to ask (again); INT64_MAX: nothing is missing */
    int64_t pulled_at_ms;  /* when last asked */
    int64_t sign_at_ms;    /* as the leader: when to sign the next head; INT64_MAX: no need */
    int64_t signed_at_ms;  /* when the last one was */
    int64_t served_at_ms;  /* when `serve_bytes` was right */
    int64_t serve_bytes;   /* that may be answered then */
    uint64_t hashed_bytes; /* by the leader for its heads, since the start: what tests bound */
};

void feed_init(struct feed *feed);
void feed_done(struct feed *feed);

/* Remembers an applied entry for others to pull. When there is no memory the feed forgets all. */
void feed_remember(struct feed *feed, const struct raft_entry *entry);

/* Drops the remembered entries: the intent was replaced as a whole. */
void feed_forget(struct feed *feed);

/* Whether the entries that lead from `index` to `to` are remembered; which is the first. */
bool feed_remembers(const struct feed *feed, uint64_t index, uint64_t to, size_t *ret_first);

/* Applies one committed entry of any type to the intent, and to its chain. `ret_admitted` is set
 * when it admitted a key. -ENOMEM: the intent can't be relied on any more. */
int feed_apply_entry(struct intent *intent, const struct raft_entry *entry,
                     struct intent_result *ret_result, struct id *ret_admitted);

/* What the chain is after that entry. */
void feed_chain_next(const uint8_t chain[INTENT_CHAIN_BYTES], const struct raft_entry *entry,
                     uint8_t ret[INTENT_CHAIN_BYTES]);

/* After intent_recover(): the chain goes on from the recovery's seal. */
void feed_chain_recovered(struct intent *intent, const struct raft_seal *seal);

/* feed_head.c: makes and signs the head for the intent as it stands, with what is offered. -ENOMEM.
 */
int feed_head_sign(const struct intent *intent, const struct feed_state *state,
                   const struct identity *identity, struct feed_head *ret);

/* 0 if the signature is the signer's, for that cluster, else -EKEYREJECTED; or -ENOMEM, which is
 * nobody's fault. Who may sign is the caller's question. */
int feed_head_verify(const struct feed_head *head, const struct id *cluster);

void feed_head_write(struct writer *writer, const struct feed_head *head);
int feed_head_read(struct reader *reader, struct feed_head *ret);

/* feed_state.c: offers the intent as it stands, without a head. -ENOMEM; -EFBIG. */
int feed_state_make(const struct intent *intent, struct feed_state *ret);
void feed_state_done(struct feed_state *state);
bool feed_state_is(const struct feed_state *state, const struct feed_head *head);
size_t feed_part_count(size_t size);
size_t feed_part_size(size_t size, uint32_t part); /* the last is what is left */

/* What feed_state's hash would be: two intents that are the same have the same. */
int feed_hash(const struct intent *intent, uint8_t ret[FEED_HASH_BYTES]);

/* feed_push.c: what is said in answer to "I am at `index`; of the intent at `state_index` I need
 * the parts from `part` on". */
struct feed_pull {
    uint64_t index;
    uint64_t state_index; /* 0: of none */
    uint32_t part;
};

enum feed_push_kind { FEED_PUSH_NOTHING, FEED_PUSH_ENTRIES, FEED_PUSH_PART };

/* Borrows from the bytes that it was read from. */
struct feed_push {
    enum feed_push_kind kind;
    struct feed_head head;
    uint32_t entry_count; /* that lead to head.index: well-formed, each */
    struct bytes entries;
    bool has_configuration; /* one of the entries changes the members of Raft */
    uint64_t size;          /* of the whole intent that head names */
    uint32_t part;
    struct bytes hashes; /* with part 0 */
    struct bytes data;
};

void feed_pull_write(struct writer *writer, const struct feed_pull *pull);
int feed_pull_read(struct bytes bytes, struct feed_pull *ret);

/* Appends the answer: entries up to feed->head, or a part of what is offered, or that there is
 * nothing (newer) here. -ENOMEM. */
int feed_push_encode(const struct feed *feed, const struct feed_pull *pull, struct buffer *ret);

/* -EBADMSG. */
int feed_push_read(struct bytes bytes, struct feed_push *ret);

/* Whether the entries lead from the intent to the head: 0; -EKEYREJECTED: they don't. What the
 * intent has already is passed over. */
int feed_entries_check(const struct intent *intent, const struct feed_push *push);

/* Applies them, once they were checked. If that passes the intent which the head offers,
 * `*ret_state` is that (unless it is NULL). -EKEYREJECTED: what we came to there is another intent;
 * -EPROTONOSUPPORT; -ENOMEM. The intent is to be thrown away then. */
int feed_entries_apply(struct intent *intent, const struct feed_push *push,
                       struct feed_state *ret_state);

/* Remembers those that come after `index`. */
void feed_entries_remember(struct feed *feed, const struct feed_push *push, uint64_t index);

/* A copy of those that come after `index`; their data lies in `ret_arena`. Free `*ret_entries`.
 * -ENOMEM. */
int feed_entries_copy(const struct feed_push *push, uint64_t index, struct buffer *ret_arena,
                      struct raft_entry **ret_entries, size_t *ret_count);

/* feed_state.c: begins with, or goes on by, what came. -EKEYREJECTED: it is not what the head says,
 * and what was there before stays; -EAGAIN: it is not the part that comes next; -ENOMEM. */
int feed_fetch_begin(struct feed_fetch *fetch, const struct feed_push *push, int64_t now_ms);
int feed_fetch_take(struct feed_fetch *fetch, const struct feed_push *push, int64_t now_ms);
bool feed_fetch_is_of(const struct feed_fetch *fetch, const struct feed_head *head);
bool feed_fetch_is_whole(const struct feed_fetch *fetch);
uint32_t feed_fetch_part(const struct feed_fetch *fetch);
void feed_fetch_done(struct feed_fetch *fetch);
