/* What Raft peers say to each other, and its encoding as MessagePack.
 *
 * A message does not name its sender and receiver on the wire: the authenticated stream that it
 * came by does. Decode, then set `from` to the peer at the other end before giving it to raft_step.
 *
 *     struct raft_message message;
 *     int rc = raft_message_decode(bytes, &message);
 *     …
 *     message.from = *peer;
 *     raft_step(raft, &(struct raft_input){.type = RAFT_MESSAGE, .message = &message, …}, &output);
 *     raft_message_done(&message);
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "consensus/bounds.h"
#include "consensus/raft_configuration.h"

enum raft_entry_type {
    RAFT_ENTRY_EMPTY,         /* a new leader's first; nothing to apply */
    RAFT_ENTRY_COMMAND,       /* bytes that were proposed */
    RAFT_ENTRY_CONFIGURATION, /* struct raft_changes; the core itself applies it */
};

struct raft_entry {
    uint64_t index;
    uint64_t term;
    enum raft_entry_type type;
    struct bytes data;
    uint64_t sequence; /* the core's own: the write that stores it */
};

/* The whole state after the entry `index`. */
struct raft_snapshot {
    uint64_t index;
    uint64_t term;
    struct raft_configuration configuration;
    struct bytes data;             /* of a message's snapshot only the size is meant */
    uint8_t hash[RAFT_HASH_BYTES]; /* of the data; the core compares it, and computes none */
};

enum raft_message_type {
    RAFT_PRE_VOTE,
    RAFT_PRE_VOTE_REPLY,
    RAFT_VOTE,
    RAFT_VOTE_REPLY,
    RAFT_APPEND,
    RAFT_APPEND_REPLY,
    RAFT_HEARTBEAT,
    RAFT_HEARTBEAT_REPLY,
    RAFT_SNAPSHOT,     /* a chunk of one; the last that was missing is answered by
                          RAFT_APPEND_REPLY, any other by RAFT_SNAPSHOT_REPLY */
    RAFT_TIMEOUT_NOW,  /* the leader hands over: campaign at once */
    RAFT_READ_REQUEST, /* what is committed now? */
    RAFT_READ_REPLY,
    RAFT_SNAPSHOT_REPLY,
    RAFT_MESSAGE_TYPES,
};

struct raft_message {
    enum raft_message_type type;
    bool reject;   /* replies: the request was refused; SNAPSHOT_REPLY: the whole was not what its
                      hash says, and none of it is held any more */
    bool transfer; /* VOTE: by leave of the leader, so its followers need not be loyal */
    struct id from;
    struct id to;
    uint64_t term;     /* the sender's; a pre-vote's is the one it would campaign in */
    uint64_t index;    /* VOTE: the last entry's; APPEND: that of the entry before `entries`;
                          APPEND_REPLY: what is held up to there, or the refused `index`;
                          READ_REPLY: what was committed when it was asked;
                          SNAPSHOT_REPLY: the snapshot's */
    uint64_t log_term; /* the term of the entry at `index`; refusing APPEND_REPLY: at hint_index */
    uint64_t commit;   /* APPEND, HEARTBEAT: what the receiver may take as committed */
    uint64_t hint_index; /* refusing APPEND_REPLY: where the logs may agree */
    uint64_t round;      /* HEARTBEAT and its reply: which reads it confirms; READ_REQUEST and its
                            reply: the asker's number */
    int64_t sent_ms;     /* HEARTBEAT and its reply: the leader's clock at sending, for its lease */
    const struct raft_entry *entries;     /* APPEND */
    size_t entry_count;                   /* at most RAFT_MESSAGE_ENTRIES_MAX */
    const struct raft_snapshot *snapshot; /* SNAPSHOT, else NULL: what `chunk` is a part of */
    uint64_t offset;    /* SNAPSHOT: of `chunk`; SNAPSHOT_REPLY: all before it is held */
    struct bytes chunk; /* SNAPSHOT: at most RAFT_CHUNK_BYTES_MAX */
};

/* Appends the message's encoding to `buffer`. -ENOMEM, and then the buffer holds a part of it. */
int raft_message_encode(const struct raft_message *message, struct buffer *buffer);

/* Decodes one whole message; `bytes` must live as long as `*ret`, which borrows entries' data and
 * the chunk from it and is released by raft_message_done(). -EBADMSG for anything else than a
 * message that raft_message_encode() could have made; -ENOMEM. */
int raft_message_decode(struct bytes bytes, struct raft_message *ret);

/* Heartbeats and their replies alone, in few bytes, for a packet. Encoding: -ENOMEM. Decoding:
 * -EBADMSG; nothing is allocated. */
int raft_heartbeat_encode(const struct raft_message *message, struct buffer *buffer);
int raft_heartbeat_decode(struct bytes bytes, struct raft_message *ret);

/* Whether a packet's payload claims to be one of these: gossip's have another number of fields. */
bool raft_heartbeat_is(struct bytes bytes);

/* Releases what raft_message_decode() allocated; NULL is accepted. */
void raft_message_done(struct raft_message *message);

/* Whether that is said to a leader or candidate, by any member; all else is said by one who votes.
 */
bool raft_message_is_to_leader(enum raft_message_type type);

/* "append", "vote reply", …, for logs. */
const char *raft_message_type_name(enum raft_message_type type);
