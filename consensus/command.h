/* Commands: what is proposed to Raft and applied by the intent.
 *
 * Every command carries who asked, when (the proposer's wall clock, for people), and a (client,
 * sequence) pair by which the intent applies a command that was proposed twice only once
 * (docs/decisions/applied-once.md). Encoders append to a buffer; the decoder is bounded, and knows
 * all up to level_newest (consensus/level.h).
 */
#pragma once

#include "base/buffer.h"
#include "base/id.h"
#include "consensus/intent.h"

enum command_type {
    COMMAND_ADMIT,      /* a peer or operator, optionally using up a token */
    COMMAND_PEER_STATE, /* draining, active again, left, revoked */
    COMMAND_TOKEN_CREATE,
    COMMAND_TOKEN_REVOKE,
    COMMAND_DEPLOY, /* a stack: services and blobs; services it no longer has are removed */
    COMMAND_SCALE,
    COMMAND_UPDATE, /* one service's spec replaced: a new revision */
    COMMAND_ROLLBACK,
    COMMAND_REMOVE,    /* a service or a whole stack */
    COMMAND_PLACE,     /* the leader's: replicas to add, to stop, to delete */
    COMMAND_ROLLOUT,   /* the leader's: a rollout's state, and the revision to return to */
    COMMAND_GOSSIP,    /* the profile by which peers watch one another */
    COMMAND_NAMESAKES, /* the leader's: two that live have one name */
    COMMAND_BLOB_SET,  /* a config or secret of the cluster's own: a new version */
    COMMAND_BLOB_REMOVE,
    COMMAND_QUOTA,  /* what a stack's services may have together */
    COMMAND_SEAL,   /* a holder's: keys of secrets sealed to more peers, or to fewer */
    COMMAND_LEVEL,  /* the leader's: all peers know a higher level of the state */
    COMMAND_VOTERS, /* how many peers vote */
};

struct command_head {
    uint8_t type;   /* enum command_type, or one that a later level adds */
    uint32_t level; /* by which the body is written; 0: by the lowest one that can say it */
    int64_t wall_ms;
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
    uint64_t client, sequence; /* 0, 0: not deduplicated. A client has one command at a time */
    uint64_t since;            /* what its proposer had applied when it first proposed it */
};

struct command_admit {
    struct id id;
    char name[BASE_NAME_BYTES_MAX + 1];
    uint8_t role;
    bool has_token;
    uint8_t token_id[INTENT_TOKEN_ID_BYTES];
};

struct command_peer_state {
    struct id id;
    uint8_t state; /* enum intent_peer_state */
};

struct command_deploy {
    char stack[BASE_NAME_BYTES_MAX + 1];
    struct service_spec *services;
    size_t service_count;
    struct intent_blob *blobs;
    size_t blob_count;
};

struct command_scale {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t replicas;
};

struct command_update {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    struct service_spec spec;
};

struct command_rollback {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t revision; /* 0: the one before the present one */
};

struct command_remove {
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    bool is_stack;
};

enum command_place_action { COMMAND_PLACE_ADD, COMMAND_PLACE_STOP, COMMAND_PLACE_DELETE };

struct command_place_change {
    uint8_t action; /* enum command_place_action */
    /* add: */
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t slot, revision;
    struct id peer;
    /* stop, delete: */
    uint64_t generation;
    char reason[INTENT_PLACE_REASON_BYTES_MAX + 1];
};

/* A batch is applied whole or, when one change no longer fits the state, not at all. */
struct command_place {
    struct command_place_change *changes;
    size_t change_count;
};

struct command_rollout {
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint64_t rollout;  /* the id of the rollout meant: refused when another has begun since */
    uint8_t state;     /* enum intent_rollout_state */
    uint32_t revision; /* the service's wanted revision from now on */
    char reason[INTENT_REASON_BYTES_MAX + 1]; /* empty: as it was */
};

/* What is not said stays; but a profile that is named brings its own values, and those that were
 * set on top of another are gone. */
struct command_gossip {
    bool has_profile, has_probe_interval, has_suspicion, has_fanout;
    uint8_t profile; /* enum intent_profile */
    uint32_t probe_interval_ms, suspicion, fanout;
};

/* Changes nothing: it is written down for people, once for each pair. */
struct command_namesakes {
    struct id ids[2]; /* in order */
};

/* Compare and set: with `has_expected`, refused unless that is the present version; 0: there must
 * be none. */
struct command_blob_set {
    struct intent_blob blob; /* name, kind, content */
    bool has_expected;
    uint64_t expected;
};

/* The key of one version of a secret: sealed to a peer, or (`drops`) no longer. What is gone since,
 * or is so already, is passed over; and the last one of a secret is never dropped. */
struct command_seal_change {
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint64_t version;
    bool drops;
    struct intent_wrap wrap; /* only `peer` of one that drops */
};

struct command_seal {
    struct command_seal_change *changes;
    size_t change_count;
};

struct command_blob_remove {
    uint8_t kind; /* enum spec_file_kind */
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
};

/* What is not said stays. A quota of which nothing is left is none. */
struct command_quota {
    char stack[BASE_NAME_BYTES_MAX + 1];
    bool has_replicas, has_cpu, has_memory;
    uint32_t replicas; /* 0: no limit */
    uint64_t cpu_millis, memory_bytes;
};

/* Refused if anybody was admitted since the leader looked: that one may not know the level. */
struct command_level {
    struct intent_level level;
    uint64_t next_serial; /* the intent's, as the leader saw it */
};

struct command_voters {
    uint32_t max; /* 1, 3, 5 or 7 */
};

struct command {
    struct command_head head;
    union {
        struct command_admit admit;
        struct command_peer_state peer_state;
        struct intent_token token;               /* create */
        uint8_t token_id[INTENT_TOKEN_ID_BYTES]; /* revoke */
        struct command_deploy deploy;
        struct command_scale scale;
        struct command_update update;
        struct command_rollback rollback;
        struct command_remove remove;
        struct command_place place;
        struct command_rollout rollout;
        struct command_gossip gossip;
        struct command_namesakes namesakes;
        struct command_blob_set blob_set;
        struct command_blob_remove blob_remove;
        struct command_quota quota;
        struct command_seal seal;
        struct command_level level;
        struct command_voters voters;
    };
};

/* Appends the command's bytes. -ENOMEM, or -E2BIG past COMMAND_BYTES_MAX. */
int command_encode(const struct command *command, struct buffer *ret);

/* The level by which the bytes are written, which is all that can be told of one that is not known.
 * -EBADMSG. */
int command_level_peek(struct bytes bytes, uint32_t *ret);

/* -EBADMSG, which a type above the command's own level is, too; or -EPROTONOSUPPORT for a level
 * that this build does not know. On success the caller calls command_done(). */
int command_decode(struct bytes bytes, struct command *ret);
void command_done(struct command *command);
