/* Who takes part in Raft: voters, learners, and while membership changes, the outgoing voters too.
 *
 * A configuration is one sorted list of members with their parts in it. While `outgoing` voters
 * exist it is joint (Ongaro and Ousterhout, "In search of an understandable consensus algorithm",
 * §6): every decision needs a majority of the voters and a majority of the outgoing voters.
 * A change of one voter at a time needs no joint phase (Ongaro's thesis, §4.1).
 *
 * Everything here is plain data of bounded size: no function allocates, all can be copied.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "base/reader.h"
#include "base/writer.h"
#include "consensus/bounds.h"

enum raft_part {
    RAFT_VOTER = 1,        /* votes and counts for commitment */
    RAFT_OUTGOING = 2,     /* does so in the configuration that is being left */
    RAFT_LEARNER = 4,      /* receives the log and counts for nothing; never also a RAFT_VOTER */
    RAFT_LEARNER_NEXT = 8, /* RAFT_OUTGOING that becomes a learner when the joint phase ends */
};

struct raft_member {
    struct id id;
    uint8_t parts; /* a set of enum raft_part, never empty */
};

struct raft_configuration {
    struct raft_member members[RAFT_MEMBERS_MAX]; /* by id, ascending */
    uint32_t count;
    bool auto_leave; /* the leader itself ends the joint phase */
};

enum raft_change_type {
    RAFT_ADD_VOTER,   /* also promotes a learner */
    RAFT_ADD_LEARNER, /* also demotes a voter */
    RAFT_REMOVE,
    RAFT_CHANGE_TYPES,
};

struct raft_change {
    enum raft_change_type type;
    struct id id;
};

enum raft_transition {
    RAFT_TRANSITION_AUTO,     /* joint if there are several changes; the leader ends that phase */
    RAFT_TRANSITION_JOINT,    /* always joint; the leader ends the joint phase */
    RAFT_TRANSITION_EXPLICIT, /* always joint; only a change without members ends it */
    RAFT_TRANSITION_SIMPLE,   /* never joint: refused if more than one voter would change */
    RAFT_TRANSITIONS,
};

/* Who vouches for a change to peers outside of Raft. Opaque in here: Raft itself trusts quorums. */
struct raft_seal {
    struct id signer; /* ID_NONE: nobody */
    uint8_t signature[RAFT_SEAL_SIGNATURE_BYTES];
};

/* One change of configuration: what a RAFT_ENTRY_CONFIGURATION carries. Without members and with
 * RAFT_TRANSITION_AUTO it ends the joint phase. */
struct raft_changes {
    struct raft_change members[RAFT_MEMBERS_MAX];
    uint32_t count;
    enum raft_transition transition;
    struct raft_seal seal;
};

enum raft_vote_result {
    RAFT_VOTE_PENDING,
    RAFT_VOTE_WON,
    RAFT_VOTE_LOST,
};

/* The member with that id (borrowed), or NULL. */
const struct raft_member *raft_configuration_find(const struct raft_configuration *configuration,
                                                  const struct id *id);

bool raft_configuration_is_joint(const struct raft_configuration *configuration);

/* True if `id` is a voter, incoming or outgoing. */
bool raft_configuration_votes(const struct raft_configuration *configuration, const struct id *id);

bool raft_configuration_equal(const struct raft_configuration *a,
                              const struct raft_configuration *b);

/* The configuration that `changes` make of `*before`. -EINVAL if they are not allowed there: no
 * voter would be left, a joint phase would start inside another or end without one; -E2BIG if there
 * would be more than RAFT_MEMBERS_MAX members. `before` and `ret` may be the same. */
int raft_configuration_change(const struct raft_configuration *before,
                              const struct raft_changes *changes, struct raft_configuration *ret);

/* Ends the joint phase, if it is in one. */
void raft_configuration_settle(struct raft_configuration *configuration);

/* The highest index that a quorum holds, when member i holds everything up to held[i]; UINT64_MAX
 * if there are no voters (nobody's consent is needed, as for the empty half of a joint quorum). */
uint64_t raft_configuration_committed(const struct raft_configuration *configuration,
                                      const uint64_t held[]);

/* The outcome of a vote in which member i said votes[i]: 1 yes, -1 no, 0 nothing yet. */
enum raft_vote_result raft_configuration_vote(const struct raft_configuration *configuration,
                                              const int8_t votes[]);

/* MessagePack, for snapshots and for configuration entries. Reading fails the reader unless the
 * value is one that a configuration can have. */
void raft_configuration_write(const struct raft_configuration *configuration,
                              struct writer *writer);
int raft_configuration_read(struct reader *reader, struct raft_configuration *ret);
void raft_seal_write(const struct raft_seal *seal, struct writer *writer);
int raft_seal_read(struct reader *reader, struct raft_seal *ret);
void raft_changes_write(const struct raft_changes *changes, struct writer *writer);

/* Decodes a configuration entry's bytes; no bytes at all are the change that ends a joint phase. */
int raft_changes_decode(struct bytes bytes, struct raft_changes *ret);
