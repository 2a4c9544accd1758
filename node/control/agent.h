/* The peer's brain: gossip, consensus, intent and the leader's decisions, composed. Pure.
 *
 * One input at a time goes in with the time; what to send, store, run and answer comes out:
 *
 *     agent_step(agent, &(struct agent_input){.now_ms = …, .type = AGENT_TICK}, &output);
 *     agent_output_done(&output) after everything in it was carried out
 *
 * node/peer/ drives it with sockets, LMDB and containers; tests/sim/ drives hundreds of them under
 * a virtual clock. Which peers exist, who leads, what runs where and what a peer may do follow from
 * here alone.
 *
 *     swim  ─ events ─► view ─┐
 *     raft  ─ commits ► intent ┼─► control (on the leader) ─► proposals ─► raft
 *     feed  ─ entries ►───────┘         and agent_wanted() for this peer's own containers
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buffer.h"
#include "base/id.h"
#include "consensus/command.h"
#include "consensus/intent.h"
#include "consensus/raft.h"
#include "gossip/certificate.h"
#include "gossip/identity.h"
#include "gossip/swim.h"
#include "node/control/view.h"

struct agent;

/* The work of writing down a state so that the log can be cut: it needs nothing of the agent's, and
 * may run on another thread. */
struct agent_compaction;

/* What an ordered stream between two peers carries; on the wire. */
enum agent_message_kind {
    AGENT_SYNC = 1,  /* SWIM's anti-entropy */
    AGENT_RAFT,      /* a raft_message */
    AGENT_FEED_PULL, /* "I am at this index: what is newer?" */
    AGENT_FEED_PUSH, /* entries, or the whole intent, under a head that a leader signed */
    AGENT_PROPOSE,   /* a command, forwarded to the leader */
    AGENT_RESULT,    /* what it came to */
    AGENT_LEASE_ASK,
    AGENT_LEASE_GRANT,
    AGENT_LINE_ASK, /* "I don't know that you vote: how did you come to?" */
    AGENT_LINE,     /* by these changes of the voters */
    AGENT_READ_ASK, /* "what was agreed on by now?", of a voter */
    AGENT_READ_ANSWER,
};

struct agent_config {
    const struct identity *identity;       /* borrowed for the agent's life */
    const struct certificate_chain *chain; /* this peer's own; copied */
    struct id cluster;
    char name[BASE_NAME_BYTES_MAX + 1];
    struct address advertised;
    uint32_t generation; /* grows with every start of this peer */
    uint64_t seed;
    struct swim_config swim;      /* its timings; who we are is filled in from above */
    struct fact_pool *pool;       /* see swim_config; NULL outside the simulator */
    uint32_t election_timeout_ms; /* from here on, 0 means the default of bounds.h */
    uint32_t heartbeat_ms;
    uint32_t lease_ms;               /* of exclusive replicas */
    uint32_t voter_replace_after_ms; /* a voter that is dead for so long is replaced */
    uint32_t voter_settle_ms;        /* who is alive for so long does not come and go */
    uint32_t voter_move_ms;          /* between two voters that give way to another zone's */
    uint32_t compact_after_entries;
    uint32_t compact_after_bytes;
    uint32_t voters_max; /* 1, 3, 5 or 7; what the intent says goes before it */
    uint32_t level; /* the highest of the cluster's state that this peer says it knows; tests alone
                       set it, below what the build knows */
    uint32_t clock_drift_permille; /* a leader answers consistent reads by its lease; 0: never. See
                                      raft_config; all voters must be given the same */
};

/* What was stored before this start; borrowed for agent_new(). */
struct agent_stored {
    struct raft_stored raft;
    struct bytes intent; /* from the feed; empty: the raft snapshot's counts */
    const struct raft_entry
        *fed; /* what the feed brought since, in order: they lead to the newest */
    size_t fed_count;
    /* What Raft had up to here is damaged, 0: nothing. `raft` has the entries behind it, and a
     * snapshot only if that is whole: see agent_mend.c. */
    uint64_t lost_through;
    bool intent_is_old; /* a newer one is damaged: see agent_intent_is_old() */
};

enum agent_input_type {
    AGENT_TICK,
    AGENT_PACKET,        /* from, source, bytes */
    AGENT_MESSAGE,       /* from, kind, bytes */
    AGENT_GONE,          /* from: its machine says that no process listens where it did */
    AGENT_UNREACHED,     /* from: a stream to it broke or could not be opened */
    AGENT_STORED,        /* sequence: that write and all before it are durable */
    AGENT_PROPOSE_LOCAL, /* request, bytes: an encoded command from this peer's API */
    AGENT_READ_LOCAL,    /* request: once it is answered, this peer's intent shows all changes that
                            were agreed on before this input */
    AGENT_COMPACTED,     /* compaction: it was run */
    AGENT_RECOVER,       /* request, recovery: begin a new epoch with this peer as the only voter */
    AGENT_HAND_OVER,     /* this peer is about to stop: if it leads, another shall; see
                            agent_is_handing_over() */
};

struct agent_recovery {
    const struct raft_seal *seal; /* NULL: this peer's own, which counts if it votes */
    bool revokes_the_others;      /* its own counts for itself then, and the old voters are out */
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
};

struct agent_input {
    int64_t now_ms;
    int64_t now_us; /* see swim_input */
    int64_t wall_ms;
    enum agent_input_type type;
    struct id from;
    struct address source;
    uint8_t kind; /* enum agent_message_kind, unchecked */
    struct bytes bytes;
    uint64_t sequence;
    uint64_t request;
    struct agent_compaction *compaction; /* passes to the agent */
    const struct agent_recovery *recovery;
    bool more; /* another follows at once: what is due waits for the first without this, and what is
                  proposed until then is stored and sent together */
};

struct agent_send {
    struct id to;           /* ID_NONE: whoever answers at the address */
    struct address address; /* where it is thought to be; none if that is not known */
    uint8_t kind;           /* enum agent_message_kind; 0: a packet */
    struct buffer bytes;
};

/* One write for the disk, to be made durable as a whole and in order. */
struct agent_write {
    uint64_t sequence; /* for AGENT_STORED; 0: nobody waits for it */
    bool hard_state_changed;
    struct raft_hard_state hard_state;
    bool has_snapshot;             /* replaces the log up to its index, see `keeps_log` */
    bool keeps_log;                /* it only compacts: later entries stay */
    struct raft_snapshot snapshot; /* its data lies in `intent` */
    uint64_t log_index, log_term;  /* with keeps_log: entries up to here are deleted */
    uint64_t truncate_from;        /* 0: nothing to delete */
    struct raft_entry *entries;    /* their data lies in `arena` */
    size_t entry_count;
    struct buffer intent;   /* without a snapshot: replaces the stored intent and all `fed` */
    struct raft_entry *fed; /* come behind the stored intent; their data lies in `arena`, too */
    size_t fed_count;
    bool drops_fed; /* the snapshot has all that they led to: those that are stored go */
    struct buffer arena;
};

/* The answer to AGENT_PROPOSE_LOCAL (-EAGAIN: nobody leads at the moment, ask again) or to
 * AGENT_READ_LOCAL, within AGENT_READ_TIMEOUT_MS, perhaps at once (0; -EAGAIN: no majority
 * answered; -ETIMEDOUT: this peer did not catch up; -EBUSY); and to AGENT_RECOVER, once all is
 * stored. */
struct agent_result {
    uint64_t request;
    struct intent_result result;
    struct certificate_chain chain; /* of the key that was admitted, else empty */
};

enum agent_event_type {
    AGENT_MEMBER,       /* id, liveness: a peer was seen to change */
    AGENT_LEADER,       /* id: who leads now; ID_NONE: nobody is known to */
    AGENT_SHUT_OUT,     /* id was revoked or left: drop its sessions and links */
    AGENT_REMOVED,      /* this peer itself was revoked or has left */
    AGENT_FEED_BAD,     /* id: what it sent was not signed by one who votes, or does not fit */
    AGENT_FEED_TOO_FAR, /* id: it is so far ahead that it can't show how the voters changed */
    AGENT_SNAPSHOT_BAD, /* id: the snapshot that it sent is not what its hash says */
    AGENT_PATH,         /* id, path, address: a peer is reached in another way than before */
    AGENT_READDRESSED,  /* id, address: a peer says that it is reached elsewhere from now on */
    AGENT_MISPLACED,    /* id, address: nobody reaches this peer where it says; they see it there */
    AGENT_PLACED,       /* they do reach it (again) */
    AGENT_MENDED,       /* this peer has again what it had lost, and takes part in Raft */
    AGENT_OUTRUN,       /* others know a later generation of this peer: text says which */
    AGENT_NAMESAKES,    /* id and other live and have one name; once for each pair */
    AGENT_EPOCH,        /* id: a new epoch began, in which that peer alone voted at first */
    AGENT_STANDS_IN,    /* id, subject, text: a peer, perhaps this one, runs a replica in another's
                           place */
    AGENT_STOOD_IN,     /* it no longer does */
    AGENT_PONG,         /* what came of an agent_ping(): `pong` */
};

struct agent_event {
    enum agent_event_type type;
    struct id id, other;
    enum view_liveness liveness;
    enum swim_path path;
    struct address address;
    char subject[INTENT_SERVICE_NAME_BYTES_MAX + 16]; /* a replica: "hello_web.2" */
    char text[AGENT_EVENT_TEXT_BYTES_MAX];
    struct agent_pong {
        uint64_t token;
        bool is_lost;
        bool nacked;     /* lost, and the helper said that it gets no answer either */
        uint32_t rtt_us; /* if not lost */
    } pong;
};

/* Reusable: each step empties it first. */
struct agent_output {
    struct agent_send *sends;
    size_t send_count, send_capacity;
    struct agent_write *writes;
    size_t write_count, write_capacity;
    struct agent_result *results;
    size_t result_count, result_capacity;
    struct agent_event *events;
    size_t event_count, event_capacity;
    struct agent_compaction *compaction; /* to be run and given back; NULL: none. Who takes it over
                                            sets it to NULL */
    bool wanted_changed;                 /* ask agent_wanted() again */
    bool routes_changed;                 /* who serves what may have changed */
    int64_t next_deadline_ms;
};

void agent_output_init(struct agent_output *output);
void agent_output_done(struct agent_output *output);

/* Starts a peer from what it has stored. -EINVAL for a configuration or store that contradicts
 * itself (a bad intent, another cluster's); -EPROTONOSUPPORT: a newer version stored it; -ENOMEM.
 * Free with agent_free(). */
int agent_new(const struct agent_config *config, const struct agent_stored *stored, int64_t now_ms,
              struct agent **ret);
void agent_free(struct agent *agent);

/* Makes the bytes of the first intent of a new cluster, in which `self` is the only peer and voter,
 * at a level that it knows (0: the newest), and the raft snapshot that goes with it, whose data
 * borrows from `ret_state`. */
int agent_bootstrap(const struct id *cluster, const struct id *self, const char *name,
                    uint32_t level, int64_t wall_ms, struct buffer *ret_state,
                    struct raft_snapshot *ret_snapshot);

/* Takes one input. -EBADMSG, or -EPROTONOSUPPORT for a newer version's: the bytes made no sense
 * (from whom, the caller knows). The caller should stop at -ENOMEM: the state may lack something;
 * and at -ENOTRECOVERABLE: what was agreed on is of a newer version, see agent_outdated(). The
 * output is valid in every case. */
int agent_step(struct agent *agent, const struct agent_input *input, struct agent_output *output);

/* The level of what was agreed on, if this peer does not know it; else NULL. */
const struct intent_level *agent_outdated(const struct agent *agent);

/* Does the work: long, and pure. Give it back by AGENT_COMPACTED, or free it. */
void agent_compaction_run(struct agent_compaction *compaction);
void agent_compaction_free(struct agent_compaction *compaction);

/* Says what this peer is and can; its level is filled in. The word spreads with the next steps; so
 * for all publishing. */
int agent_publish_capacity(struct agent *agent, int64_t now_ms,
                           const struct view_capacity *capacity);

/* Says how much room there is where this peer's data directory is. */
int agent_publish_disk(struct agent *agent, int64_t now_ms, const struct view_disk *disk);

/* Says how a replica on this peer is. Once it is gone, agent_withdraw_replica(): of one that is
 * only without a lease it says that it waits, until the intent no longer means it to run here. */
int agent_publish_replica(struct agent *agent, int64_t now_ms, const struct view_replica *replica);
int agent_withdraw_replica(struct agent *agent, int64_t now_ms, uint64_t generation);

/* A container that this peer ran in another's place before its daemon was started anew: it goes on
 * until it is given back. -EINVAL: it is none of this peer's; -ENOMEM. */
int agent_adopt_stand_in(struct agent *agent, uint64_t generation, const char *service,
                         uint32_t slot);

/* Says that others may fetch an image here, where it keeps data and under which names it is known
 * ("/data,hello:1,hello:latest"); or that they no longer may. The digest is the manifest's. */
int agent_publish_image(struct agent *agent, int64_t now_ms, const char *digest,
                        const char *references);
int agent_withdraw_image(struct agent *agent, int64_t now_ms, const char *digest);

/* The digest ("sha256:…") of the image that this peer, or else another, knows under that name in
 * its short form ("hello:1"). -ENOENT. */
int agent_image_resolve(const struct agent *agent, const char *reference,
                        char ret[AGENT_DIGEST_TEXT_BYTES]);

/* Adds to `ret` the places where the image keeps data, as any peer says. -ENOENT: nobody can. */
int agent_image_volumes(const struct agent *agent, const char *digest, struct text_list *ret);

/* Calls `each` for every live peer, other than this one, that says it has the image. */
void agent_image_holders(const struct agent *agent, const char *digest,
                         void (*each)(void *context, const struct swim_member *member),
                         void *context);

int agent_add_seed(struct agent *agent, const struct id *id, const struct address *address);
void agent_remove_seed(struct agent *agent, const struct address *address);

/* Tells the others that this peer is reached elsewhere from now on. -ENOMEM. */
int agent_readdress(struct agent *agent, int64_t now_ms, const struct address *advertised);

/* Tells the others goodbye; step on for a second so that the word spreads. */
int agent_leave(struct agent *agent, int64_t now_ms);

/* Pings a peer over gossip's packets, directly or (`via` not NULL) through another: see
 * swim_ping(). AGENT_PONG with the token comes within SWIM_PING_TIMEOUT_MS. Tick after it. */
int agent_ping(struct agent *agent, int64_t now_ms, int64_t now_us, const struct id *id,
               const struct id *via, uint64_t token);

/* Whether that key may talk to this peer. Its chain has been verified up to the root key. */
bool agent_admits(const struct agent *agent, const struct id *id,
                  const struct certificate_chain *chain, const char **ret_reason);

/* A replica that shall run on this peer now. */
struct agent_wanted {
    const struct intent_replica *replica;
    const struct intent_service *service;
    const struct service_spec *spec;
};

/* Calls `each` for all that shall run here, in order of generation, stand-ins last. What is
 * borrowed lives until the next step. */
void agent_wanted(const struct agent *agent, int64_t now_ms,
                  void (*each)(void *context, const struct agent_wanted *wanted), void *context);

/* Since when this peer knows of no quorum; INT64_MAX: there is one. */
int64_t agent_no_quorum_since(const struct agent *agent);

/* True while this peer only has an older intent than it once had: what runs here goes on, and
 * nothing is started or removed, until the others have brought the newest. */
bool agent_intent_is_old(const struct agent *agent);

/* After AGENT_HAND_OVER: true while it is worth waiting for, since another voter can take over the
 * lead, or is about to. The caller bounds the wait. */
bool agent_is_handing_over(const struct agent *agent);

struct agent_status {
    enum raft_role role;
    uint64_t term;
    struct id leader; /* ID_NONE: nobody is known to lead */
    bool leader_is_alive;
    uint64_t applied_index;
    uint64_t newest_index; /* that is known to exist */
    size_t voter_count, live_voter_count;
    bool is_voter;
    size_t member_count, live_count;
};

void agent_status(const struct agent *agent, struct agent_status *ret);

/* What this peer would go on from if it began a new epoch now: what it applied, and what its log
 * holds beyond. Who holds more agreed to more (§5.4.1): compare by view_holding_compare(). */
void agent_holding(const struct agent *agent, struct view_holding *ret);

/* How many vote if there are so many peers: as was agreed on, else the default. */
uint32_t agent_voters_max(const struct agent *agent);

/* Why the peer votes or not, in words for people, as far as it can be told here: the leader chooses
 * by what it sees itself. */
void agent_vote_reason(const struct agent *agent, const struct id *id,
                       char ret[VOTERS_REASON_BYTES_MAX + 1]);

/* Borrowed until the next step. */
const struct raft_status *agent_raft_status(const struct agent *agent);
const struct intent *agent_intent(const struct agent *agent);
const struct view *agent_view(const struct agent *agent);
const struct swim *agent_swim(const struct agent *agent);
