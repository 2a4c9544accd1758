/* The messages of SWIM as bytes: packets (one datagram each) and sync messages (over a stream).
 *
 * On the wire, in MessagePack:
 *     packet  [kind, sequence, subject or nil, place or nil, view,
 *              [[prefix, incarnation, version, accusers]…], [fact…]]
 *             where incarnation and version are two numbers each: generation, counter
 *     digest  [1, reply wanted, after, through, [[id, incarnation, version, accusers]…]]
 *     delta   [2, more, [fact…]]
 *     ping    [3, sequence]
 *     ack     [4, sequence]
 *
 * A digest speaks of the members whose ids are in (after, through]. Both readers check everything,
 * so that what is read from a message afterwards can't fail.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "base/reader.h"
#include "gossip/bounds.h"
#include "gossip/fact.h"

enum packet_kind {
    PACKET_PING = 1,  /* are you there? Answered with the same sequence. */
    PACKET_ACK = 2,   /* I am; or, with a subject: that peer, whom you asked me to probe, is */
    PACKET_RELAY = 3, /* please probe the subject for me */
    PACKET_NACK = 4,  /* the subject has not answered me either (but I am there) */
    PACKET_GOSSIP = 5,
};

/* What the sender holds of one member. In packets the id is cut to its first 8 bytes, big-endian:
 * two members with the same prefix only cost a repair that was not needed. */
struct digest_entry {
    uint64_t prefix;
    struct id id;
    uint64_t incarnation;
    uint64_t version; /* all of its records up to here */
    uint8_t accusers;
};

struct packet {
    enum packet_kind kind;
    uint32_t sequence;
    struct id subject;    /* ID_NONE if there is none */
    struct address place; /* where the sender sends to, or sees, the receiver, if that is not where
                           * it advertises; else none. In pings and acks only. */
    uint32_t view;        /* a hash of what the sender knows; 0: it says none */
    size_t digest_count;
    struct digest_entry digests[SWIM_PACKET_DIGESTS_MAX]; /* without ids */
    size_t fact_count;
    struct fact_view facts[SWIM_PACKET_FACTS_MAX]; /* borrow from the bytes */
};

/* -EBADMSG; `*ret` may be half written then. */
int packet_read(struct bytes bytes, struct packet *ret);

/* Whether a packet, written by this side, asks for an answer. */
bool packet_asks(struct bytes bytes);

/* A packet to be written, filled up to `room` bytes. Facts are borrowed. */
struct packet_draft {
    enum packet_kind kind;
    uint32_t sequence;
    struct id subject;
    struct address place;
    uint32_t view;
    size_t room; /* bytes left */
    size_t digest_count;
    struct digest_entry digests[SWIM_PACKET_DIGESTS_MAX];
    size_t fact_count;
    const struct fact *facts[SWIM_PACKET_FACTS_MAX];
};

/* Starts an empty packet of at most `size` bytes, which is at least PACKET_OVERHEAD_BYTES. */
void packet_draft_init(struct packet_draft *draft, enum packet_kind kind, uint32_t sequence,
                       const struct id *subject, size_t size);

/* Say where the receiver is, and what the sender knows, if there is room left. */
void packet_draft_place(struct packet_draft *draft, const struct address *place);
void packet_draft_view(struct packet_draft *draft, uint32_t view);

/* Whether it found room. A fact that is there already is not added twice, and counts as added. */
bool packet_draft_add(struct packet_draft *draft, const struct fact *fact);
bool packet_draft_add_digest(struct packet_draft *draft, const struct digest_entry *entry);

/* Appends the packet to `ret`. -ENOMEM. */
int packet_write(const struct packet_draft *draft, struct buffer *ret);

enum {
    PACKET_BARE_BYTES = 16,    /* all but what follows, at most */
    PACKET_SUBJECT_BYTES = 33, /* more than if there is none; so are the next two */
    PACKET_OVERHEAD_BYTES = PACKET_BARE_BYTES + PACKET_SUBJECT_BYTES, /* of a draft */
    PACKET_VIEW_BYTES = 4,
    PACKET_PLACE_BYTES = 19,
    PACKET_DIGEST_BYTES = 32,       /* one digest entry at most */
    PACKET_FACT_OVERHEAD_BYTES = 3, /* before each fact */
    ID_PREFIX_BYTES = sizeof(uint64_t),
};

uint64_t id_prefix(const struct id *id);

enum sync_kind {
    SYNC_DIGEST = 1,
    SYNC_DELTA = 2,
    SYNC_PING = 3, /* are you there? Packets may not get through. */
    SYNC_ACK = 4,
    SYNC_SUMMARY = 5,
    SYNC_WANT = 6,
};

/* A range of ids, and a hash of what is known of the members in it. */
struct sync_range {
    struct id after, through; /* (after, through] */
    uint64_t hash;            /* of a summary */
};

struct sync_message {
    enum sync_kind kind;
    bool flag; /* a digest's: please answer with yours; a delta's: there is more than this */
    uint32_t sequence;        /* a ping's, and its ack's */
    struct id after, through; /* a digest's range; a summary's, read so far, begins with `after` */
    uint64_t salt;            /* a summary's: what its hashes are keyed with */
    uint32_t count;           /* of entries, facts or ranges */
    struct reader items;
};

/* -EBADMSG. A digest's entries are in ascending order and in its range; a summary's ranges follow
 * one another without a gap, those that are wanted do not overlap. */
int sync_read(struct bytes bytes, struct sync_message *ret);

/* The next entry (fact) of a digest (delta) that sync_read() accepted; false at the end. */
bool sync_next_entry(struct sync_message *message, struct digest_entry *ret);
bool sync_next_fact(struct sync_message *message, struct fact_view *ret);

/* The next range of a summary or of what is wanted. */
bool sync_next_range(struct sync_message *message, struct sync_range *ret);

/* Append a message to `ret`. -ENOMEM. */
int sync_write_digest(bool reply_wanted, const struct id *after, const struct id *through,
                      const struct digest_entry *entries, size_t count, struct buffer *ret);
int sync_write_delta(bool more, struct fact *const *facts, size_t count, struct buffer *ret);
int sync_write_ping(enum sync_kind kind, uint32_t sequence, struct buffer *ret);
int sync_write_summary(uint64_t salt, const struct sync_range *ranges, size_t count,
                       struct buffer *ret);
int sync_write_want(const struct sync_range *ranges, size_t count, struct buffer *ret);
