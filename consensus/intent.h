/* The replicated state machine of intent: what must be, as agreed through Raft.
 *
 * Each committed entry is one command (consensus/command.h). intent_apply() is deterministic: the
 * same commands from the same start give the same state, and intent_write() gives the same bytes on
 * every peer; the feed compares their hash. A command that cannot be carried out changes nothing
 * but the applied index, and its result says why. Time in here is the wall clock as the proposer
 * wrote it into the command, for people to read; nothing is decided by it but a token's expiry.
 *
 * All lists iterate in key order. What is found is borrowed until the next apply.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/id.h"
#include "base/table.h"
#include "consensus/bounds.h"
#include "consensus/raft_configuration.h"
#include "consensus/spec.h"

enum intent_role { INTENT_PEER, INTENT_VIEWER, INTENT_DEPLOYER, INTENT_ADMIN };
enum intent_peer_state { INTENT_ACTIVE, INTENT_DRAINING, INTENT_LEFT, INTENT_REVOKED };

/* One admitted key: a peer of the fleet, or an operator. */
struct intent_peer {
    struct id id;
    char name[BASE_NAME_BYTES_MAX + 1];
    uint8_t role;  /* enum intent_role */
    uint8_t state; /* enum intent_peer_state */
    uint64_t serial;
    uint64_t admitted_index;
    int64_t admitted_wall_ms;
    int64_t state_wall_ms; /* when it came into its state */
};

struct intent_token {
    uint8_t id[INTENT_TOKEN_ID_BYTES];
    uint8_t psk[INTENT_TOKEN_PSK_BYTES];
    uint8_t role;
    uint32_t uses_left;
    int64_t created_wall_ms, expires_wall_ms; /* expires 0: never */
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

struct intent_revision {
    uint32_t number; /* 1, 2, … within the service */
    int64_t wall_ms;
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
    struct service_spec spec;
};

enum intent_rollout_state {
    INTENT_ROLLOUT_NONE, /* nothing was rolled out since the first deploy settled */
    INTENT_ROLLOUT_RUNNING,
    INTENT_ROLLOUT_PAUSED, /* failure_action: pause */
    INTENT_ROLLOUT_DONE,
    INTENT_ROLLOUT_ROLLING_BACK, /* on its own, after a failure */
    INTENT_ROLLOUT_ROLLED_BACK,
    INTENT_ROLLOUT_FAILED, /* the first revision failed, or rolling back did */
};

struct intent_rollout {
    uint64_t id;       /* the log index that began it */
    uint8_t state;     /* enum intent_rollout_state */
    uint32_t from, to; /* revision numbers; `from` is the last that settled, 0: first deploy */
    int64_t started_wall_ms, ended_wall_ms;
    char reason[INTENT_REASON_BYTES_MAX + 1]; /* which replica failed, with its last log lines */
};

struct intent_service {
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1]; /* "stack_web": unique in the cluster */
    char stack[BASE_NAME_BYTES_MAX + 1];
    uint16_t virtual_ip;    /* host part in the cluster's virtual range; unique; never 0 */
    uint32_t replicas;      /* wanted now, by the last deploy or scale; ignored in global mode */
    uint32_t revision;      /* the wanted one */
    bool removing;          /* gone once its last replica is */
    struct table revisions; /* of struct intent_revision, by number: the last few */
    struct intent_rollout rollout;
};

enum intent_want { INTENT_RUN, INTENT_STOP };

/* One replica on one peer. A new placement is a new generation; nothing is ever moved. */
struct intent_replica {
    uint64_t generation; /* unique in the cluster: never reused */
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t slot; /* 1..replicas; in global mode a number per peer */
    uint32_t revision;
    struct id peer;
    uint8_t want; /* enum intent_want; a stopped one is deleted once it is seen gone */
    int64_t since_wall_ms;
    char reason[INTENT_PLACE_REASON_BYTES_MAX + 1]; /* why here, or why stopped: for `why` */
};

/* What happened, for `events`, `why` and `rollback`: the last INTENT_HISTORY_MAX. */
struct intent_event {
    uint64_t index; /* of the log */
    int64_t wall_ms;
    char actor[INTENT_ACTOR_BYTES_MAX + 1]; /* who asked; "consort" for the leader */
    char kind[INTENT_KIND_BYTES_MAX + 1];   /* "deploy", "place", "rollout", "peer", "token", … */
    char subject[INTENT_SERVICE_NAME_BYTES_MAX + 24]; /* "hello_web", "hello_web.1", peer's name */
    char *text; /* owned by the event; at most INTENT_REASON_BYTES_MAX long */
};

/* The key of a secret, sealed to one peer: nobody else can open it. */
struct intent_wrap {
    struct id peer;
    uint8_t box[INTENT_WRAP_BYTES];
};

/* One version of a config or secret. The newest is what the next deploy shows; earlier ones are
 * kept as long as a remembered revision shows them. */
struct intent_blob {
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1]; /* "stack_name", or the cluster's own "name" */
    uint8_t kind;                                 /* enum spec_file_kind */
    struct buffer content;     /* of a secret: sealed by a key of its own (node/peer/seal.h) */
    struct intent_wrap *wraps; /* of a secret: that key, in order of peers */
    size_t wrap_count;
    uint64_t version;                    /* the log index that set it */
    char stack[BASE_NAME_BYTES_MAX + 1]; /* whose deploy set it; empty: the cluster's own */
    int64_t wall_ms;
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

/* What the services of a stack may have together; 0: no limit. */
struct intent_quota {
    char stack[BASE_NAME_BYTES_MAX + 1];
    uint32_t replicas;
    uint64_t cpu_millis, memory_bytes;
    int64_t wall_ms; /* who set it, and when */
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

/* What services have together: all replicas that are wanted, each with its limits, or, of what it
 * has no limit of, with what is reserved for it. */
struct intent_usage {
    uint64_t replicas, cpu_millis, memory_bytes;
};

/* What a client's last deduplicated command came to; the INTENT_CLIENTS_MAX latest clients. */
struct intent_client {
    uint64_t client, sequence, since; /* as its last command said */
    uint64_t index; /* of the log: the client unheard of for longest is forgotten first */
    int code;
    uint64_t serial, version;
    uint32_t revision;
    bool unchanged;
    char *message, *hint; /* of one that was refused: the words; else NULL */
};

/* A change of who votes, or (its index is the first of an epoch) a recovery; with the word of one
 * who voted before: by these, peers outside of Raft follow the voters (node/control/succession.h).
 * The end of a joint phase is part of the change that began it. */
struct intent_succession {
    uint64_t from;                           /* the log index of the change before this one */
    uint64_t index;                          /* and of this one */
    struct raft_configuration configuration; /* after it; joint, if it began a joint phase */
    struct raft_seal seal;
};

enum intent_profile { INTENT_PROFILE_LAN, INTENT_PROFILE_WAN, INTENT_PROFILE_EDGE };

/* How patiently the peers watch one another. The values stand on top of the profile; 0 is what the
 * profile says itself. */
struct intent_gossip {
    uint8_t profile; /* enum intent_profile */
    uint32_t probe_interval_ms;
    uint32_t suspicion; /* how many probe intervals a suspect has, in a fleet of ten */
    uint32_t fanout;    /* to how many peers news is sent at a time */
    int64_t wall_ms;    /* who set it, and when; 0 and "": nobody yet */
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

/* At which level the state is (consensus/level.h), and the version of consort that it takes. */
struct intent_level {
    uint32_t number;
    char version[INTENT_VERSION_BYTES_MAX + 1];
};

/* How many of the peers vote, if there are so many. */
struct intent_voters {
    uint32_t max;    /* 1, 3, 5 or 7; 0: nobody has said */
    int64_t wall_ms; /* who set it, and when; 0 and "": nobody yet */
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

struct intent {
    struct intent_level level; /* grows only */
    uint64_t applied_index, applied_term;
    uint8_t chain[INTENT_CHAIN_BYTES]; /* of all entries up to there; made by who applies them, see
                                          node/control/feed.h */
    uint64_t epoch;                    /* of applied_index; grows only by intent_recover() */
    uint64_t next_serial, next_generation;
    struct id cluster;     /* the root public key */
    struct table peers;    /* of struct intent_peer, by id */
    struct table tokens;   /* of struct intent_token, by id */
    struct table services; /* of struct intent_service, by name */
    struct table replicas; /* of struct intent_replica, by generation */
    struct table blobs;    /* of struct intent_blob, by kind, name and version */
    struct table quotas;   /* of struct intent_quota, by stack */
    struct table clients;  /* of struct intent_client, by client */
    size_t client_bytes;   /* of all their texts */
    uint64_t forgotten;    /* the newest index of a client that is not remembered any more */
    struct intent_gossip gossip;
    struct intent_voters voters;
    struct raft_configuration configuration; /* who takes part in Raft, as the entries say */
    uint64_t configuration_index;            /* of the entry that last changed the members */
    struct intent_succession *successions;   /* the newest INTENT_SUCCESSIONS_MAX, by index */
    size_t succession_count;
    struct intent_event *history; /* ring of INTENT_HISTORY_MAX */
    size_t history_count, history_next;
};

/* What a command came to. */
struct intent_result {
    int code;           /* 0, or a negative errno: the command changed nothing */
    struct error error; /* in words, when code is not 0 */
    uint64_t serial;    /* of the peer or operator that this admitted, else 0 */
    uint64_t version;   /* of the config or secret that this set, else 0 */
    uint32_t revision;  /* the service's revision after a deploy of one service, update, rollback */
    bool unchanged;     /* all was as the command says already */
};

/* Empty, at level 1. */
struct intent *intent_new(const struct id *cluster);
void intent_free(struct intent *intent);

/* Applies the committed entry (index, term) with `command`'s bytes. Returns 0 also for a command
 * that was refused or malformed, or of a level above the state's (see ret_result->code). Any other
 * return means that this peer can't tell the state any more, and the caller must stop applying:
 * -ENOMEM, or -EPROTONOSUPPORT when the state was raised to a level that this build does not know:
 * only intent->level is right then. `index` is greater than the applied one. */
int intent_apply(struct intent *intent, uint64_t index, uint64_t term, struct bytes command,
                 struct intent_result *ret_result);

/* A configuration entry was applied. Changes that are not possible change nothing, as in Raft. */
void intent_apply_changes(struct intent *intent, uint64_t index, uint64_t term,
                          const struct raft_changes *changes);

/* An entry without a command (a new leader's first) was applied. */
void intent_apply_nothing(struct intent *intent, uint64_t index, uint64_t term);

/* Epochs. Log indices and terms of one are all above those of the epochs before it, so that an
 * index or a term says which epoch it is of, and what belongs to one that is over is older than
 * anything of the present one. The first index of an epoch is that of the recovery that began it.
 */
uint64_t intent_epoch_of(uint64_t index_or_term);
uint64_t intent_epoch_base(uint64_t epoch);
bool intent_is_recovery(const struct intent_succession *succession);

/* How a new epoch begins: with one voter, whatever the intent was up to. */
struct intent_recovery {
    struct id voter;
    struct raft_seal seal;   /* see node/control/succession.h */
    bool revokes_the_others; /* who voted: nobody vouches for the recovery before them */
    int64_t wall_ms;
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

/* Begins the next epoch. -EOVERFLOW: there are no more; -EINVAL: the voter is no peer of the
 * cluster; -ENOMEM: the intent can't be relied on any more. */
int intent_recover(struct intent *intent, const struct intent_recovery *recovery);

/* The whole state as bytes: the snapshot, and what the feed's hash is taken of. */
int intent_write(const struct intent *intent, struct buffer *ret);

/* Makes a new state from such bytes. -EBADMSG when they are malformed, -EPROTONOSUPPORT when they
 * are of a level that this build does not know, or -ENOMEM. */
int intent_read(struct bytes bytes, struct intent **ret);

/* The level of such bytes, known or not. -EBADMSG. */
int intent_level_peek(struct bytes bytes, struct intent_level *ret);

/* What stands for a version of consort: as names do. */
bool intent_version_is_valid(const char *version);

/* Says that a change of that level waits until the state is there. Returns -EPROTONOSUPPORT. */
int intent_refuse_level(struct error *error, uint32_t level, const struct intent_level *agreed);

/* One succession, as the intent's bytes hold it. Reading fails the reader if it is malformed. */
void intent_succession_write(struct writer *writer, const struct intent_succession *succession);
int intent_succession_read(struct reader *reader, struct intent_succession *ret);

/* The finders return NULL when there is no such thing. A name that several keys had in turn finds
 * the one that belongs to the cluster now, else any. */
struct intent_peer *intent_peer_find(const struct intent *intent, const struct id *id);
struct intent_peer *intent_peer_by_name(const struct intent *intent, const char *name);
struct intent_token *intent_token_find(const struct intent *intent, const uint8_t *id);
struct intent_service *intent_service_find(const struct intent *intent, const char *name);
struct intent_replica *intent_replica_find(const struct intent *intent, uint64_t generation);
const struct intent_revision *intent_revision_find(const struct intent_service *service,
                                                   uint32_t number);
const struct service_spec *intent_spec_of(const struct intent *intent,
                                          const struct intent_replica *replica);
/* The newest version of a config or secret; and one certain version. */
const struct intent_blob *intent_blob_find(const struct intent *intent, uint8_t kind,
                                           const char *name);
const struct intent_blob *intent_blob_at(const struct intent *intent, uint8_t kind,
                                         const char *name, uint64_t version);

/* The key of a secret as it is sealed to that peer; NULL if it is not. */
const struct intent_wrap *intent_wrap_find(const struct intent_blob *blob, const struct id *peer);

/* How many bytes a config or secret has for the containers that read it. */
size_t intent_blob_size(const struct intent_blob *blob);

/* Frees what the blob holds, and not the blob. */
void intent_blob_done(struct intent_blob *blob);

/* Which version of it the service shows: in the revision that is wanted, else in one that a replica
 * still runs or that a rollout may return to. 0: none, it does not use it. */
uint64_t intent_blob_used_by(const struct intent *intent, const struct intent_service *service,
                             uint8_t kind, const char *name);

/* The i-th remembered event, oldest first; NULL past the end. */
const struct intent_event *intent_event_at(const struct intent *intent, size_t i);

bool intent_is_voter(const struct intent *intent, const struct id *id);

const struct intent_quota *intent_quota_find(const struct intent *intent, const char *stack);

/* What a stack's services have together; those that are being removed don't count. */
struct intent_usage intent_usage_of(const struct intent *intent, const char *stack);

/* Words for people: "peer", "viewer"; "active", "draining"; "running", "rolled back". */
const char *intent_role_text(uint8_t role);
const char *intent_peer_state_text(uint8_t state);
const char *intent_rollout_state_text(uint8_t state);
const char *intent_profile_text(uint8_t profile);
const char *intent_blob_kind_text(uint8_t kind); /* "config", "secret" */

/* -EINVAL unless it is one of those words. */
int intent_profile_parse(const char *text, uint8_t *ret);

/* Whether the values are 0 or within bounds.h. */
bool intent_gossip_is_valid(const struct intent_gossip *gossip);

/* Whether so many can be chosen to vote: 1, 3, 5 or 7. */
bool intent_voters_max_is_valid(uint32_t max);

/* Neither left nor revoked: belongs to the cluster. */
bool intent_peer_is_member(const struct intent_peer *peer);
