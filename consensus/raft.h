/* Raft: peers that agree on one sequence of entries, and lose none while a majority lives.
 *
 * The core is a state machine without I/O, clock or random source. It is given inputs one by one
 * and says what to do: what to store, what to send, what to apply, when to call again.
 *
 *     raft_config_init(&config, &self, seed);
 *     raft_new(&config, stored, now_ms, &raft);
 *     for each tick, message, proposal, finished write:
 *         raft_step(raft, &input, &output);
 *         send output.messages; start the write of what there is to store, if output.sequence > 0;
 *         load output.snapshot, apply output.committed to the state machine, in this order;
 *         keep output.messages_once_stored until the write `once_stored` is done, then send them;
 *     when the write with that sequence (and so all before it) is on the disk:
 *         raft_step(raft, &(struct raft_input){.type = RAFT_STORED, .sequence = sequence, …}, …)
 *
 * Follows Ongaro and Ousterhout's paper ("§") and Ongaro's thesis ("thesis §"), with pre-vote,
 * leader stickiness, quorum checks, learners, joint consensus, transfer and reads without a log
 * entry. As in etcd, a configuration is in force when its entry is applied; raft_membership.c says
 * why this is safe.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"
#include "consensus/bounds.h"
#include "consensus/raft_configuration.h"
#include "consensus/raft_message.h"

struct raft;

struct raft_config {
    struct id self;
    uint64_t seed;                   /* of the election timeouts */
    int64_t election_timeout_ms;     /* the shortest; also how long followers stay loyal */
    int64_t election_timeout_max_ms; /* the longest: each is drawn between the two */
    int64_t heartbeat_ms;
    int64_t snapshot_timeout_ms;  /* ask anew what a follower has of a snapshot when it acknowledged
                                     nothing for so long */
    int64_t quiet_after_start_ms; /* a restored peer votes for nobody this long: it may have been
                                     loyal to a leader, whose lease counts on it */
    size_t uncommitted_bytes_max; /* proposals beyond it are refused: -EBUSY */
    size_t message_bytes_max;     /* entries' data in one append, unless one alone is larger */
    size_t chunk_bytes;           /* of a snapshot in one message, ≤ RAFT_CHUNK_BYTES_MAX */
    uint32_t chunks_max;          /* unacknowledged chunks to one follower */
    uint32_t inflight_max;  /* unacknowledged appends to one follower, ≤ RAFT_INFLIGHT_MAX */
    bool pre_vote;          /* thesis §9.6 */
    bool check_quorum;      /* thesis §6.2; also the stickiness of §4.2.3 */
    bool lead_when_removed; /* as etcd by default; else the leader resigns, thesis §4.2.2 */
    bool read_by_lease;     /* a leader with a valid lease answers reads without a round, thesis
                               §6.4.1: only as right as the next line is */
    uint32_t clock_drift_permille; /* how much faster one peer's clock may run than another's; 0:
                                      nobody knows, and no lease is ever valid */

    /* Whether a snapshot that has come whole is what its hash says, and a state that the caller
     * can load: 0; -EBADMSG, and it is dropped and asked for anew; -ENOMEM fails the step. Nothing
     * is installed without its leave: NULL refuses all. */
    int (*verify)(void *context, const struct raft_snapshot *snapshot);
    void *verify_context;
};

/* Consort's defaults: 300–600 ms, 75 ms, pre-vote and quorum checks on, bounds from bounds.h. */
void raft_config_init(struct raft_config *config, const struct id *self, uint64_t seed);

/* The state that must outlive a crash (§5, figure 2). */
struct raft_hard_state {
    uint64_t term;
    struct id vote;  /* ID_NONE: none in this term */
    uint64_t commit; /* of what is stored; it may be stored late, so that a restart begins nearer */
};

/* What was on the disk. The log's entries follow each other from log_index + 1 and may begin before
 * the snapshot's index (the tail that was kept) but must not leave a gap behind it. */
struct raft_stored {
    struct raft_hard_state hard_state;
    const struct raft_snapshot *snapshot; /* NULL: none */
    uint64_t log_index;                   /* of the last entry that was discarded; 0: none */
    uint64_t log_term;
    const struct raft_entry *entries;
    size_t entry_count;
};

/* Makes a peer; everything in `stored` is copied, NULL is a peer that knows nothing, which waits to
 * be contacted. The first peer of a cluster bootstraps with a snapshot of index 1, term 1, that
 * names it the only voter (index 0 would let others miss the configuration). The caller's state
 * machine starts from the snapshot; entries behind it come again as committed ones. -ENOMEM;
 * -EINVAL if `stored` contradicts itself. Release with raft_free(). */
int raft_new(const struct raft_config *config, const struct raft_stored *stored, int64_t now_ms,
             struct raft **ret);
void raft_free(struct raft *raft);

enum raft_input_type {
    RAFT_TICK,                  /* time went by; due at next_deadline_ms, harmless at any time */
    RAFT_MESSAGE,               /* `message` came from message->from, authenticated */
    RAFT_STORED,                /* the writes up to `sequence` are on the disk */
    RAFT_PROPOSE,               /* append `data` as a command */
    RAFT_PROPOSE_CONFIGURATION, /* change the members by `changes` */
    RAFT_TRANSFER,              /* hand leadership to `peer` */
    RAFT_READ,                  /* what must be applied so that a read here sees all that was
                                   committed by now; a raft_read with `context` says it */
    RAFT_UNREACHABLE,           /* the stream to `peer` broke: what was under way may be lost */
    RAFT_CAMPAIGN,              /* stand for election without waiting; voids a leader's lease too */
    RAFT_FORGET_LEADER,         /* the leader is known dead: vote for another at once; voids the
                                   old leader's lease, so never on a mere suspicion */
};

struct raft_input {
    enum raft_input_type type;
    int64_t now_ms; /* never less than before */
    const struct raft_message *message;
    uint64_t sequence;
    struct bytes data; /* at most RAFT_ENTRY_BYTES_MAX; copied */
    const struct raft_changes *changes;
    struct id peer;
    uint64_t context;
    bool defer_apply;   /* any input: hand out no committed entries yet, a later step will */
    bool more;          /* propose: another input follows at once, and the first without this sends
                           and stores what was gathered */
    uint64_t apply_max; /* any input: hand them out up to this index only; 0: all */
};

enum raft_changed {
    RAFT_CHANGED_ROLE = 1,
    RAFT_CHANGED_LEADER = 2,
    RAFT_CHANGED_CONFIGURATION = 4,
};

struct raft_read {
    uint64_t context;
    int rc;         /* 0, or -ECANCELED: the leader changed, or did not answer: read again */
    uint64_t index; /* answer from the state once entries up to here are applied */
};

/* Everything here is borrowed from the core and valid until its next raft_* call that changes it. A
 * message of messages_once_stored has neither entries nor a snapshot, so it can be kept by copying
 * the struct. */
struct raft_output {
    /* To store, in one atomic write; `sequence` numbers it, 0 if nothing needs a sync. Order: the
     * snapshot replaces the whole log; entries from truncate_from on are deleted; then append. */
    uint64_t sequence;
    bool hard_state_changed; /* with sequence 0 only `commit` changed: store it any time */
    struct raft_hard_state hard_state;
    const struct raft_snapshot *snapshot; /* also replaces the state machine's state, at once */
    uint64_t truncate_from;               /* 0: nothing to delete */
    const struct raft_entry *entries;
    size_t entry_count;

    const struct raft_message *messages; /* to send now */
    size_t message_count;
    const struct raft_message *messages_once_stored; /* votes, requests for them, acks */
    size_t message_once_stored_count;
    uint64_t once_stored; /* the write that they wait for; may be an earlier one */

    const struct raft_entry *committed; /* to apply, in order, each once; all are stored */
    size_t committed_count;

    const struct raft_read *reads; /* outcomes of RAFT_READ */
    size_t read_count;

    unsigned changed;        /* a set of enum raft_changed; ask raft_status() what they are now */
    uint64_t proposed_index; /* RAFT_PROPOSE*: committed if an entry of this index and term is */
    uint64_t proposed_term;
    int64_t next_deadline_ms; /* INT64_MAX: none */
};

/* Takes one input. On failure the state is as it was and `*output` is all zero:
 *   -ENOMEM;
 *   -EREMOTE    propose, transfer: this peer does not lead; raft_status() knows who may; read: nor
 *               does it know who does;
 *   -EBUSY      propose: too many uncommitted bytes; another configuration change is under way;
 *               read: too many reads wait;
 *   -EAGAIN     propose: leadership is being transferred, or this leader was removed; read: this
 *               leader has not committed an entry of its own term yet; campaign: not a voter, or a
 *               committed configuration is not applied yet;
 *   -EPERM     campaign, forget leader: reads go by leases, and a leader counts on this peer;
 *   -EINVAL     the change is not possible in this configuration, see raft_configuration_change();
 *   -E2BIG      data above RAFT_ENTRY_BYTES_MAX; too many members;
 *   -ENOENT     transfer: no such voter; unreachable: no such member;
 *   -EPROTO     a message that no correct peer sends; -ESRCH a reply from outside the
 * configuration. Messages, the only thing allocated after the state began to change, are dropped
 * when there is no memory for them, as a network would. */
int raft_step(struct raft *raft, const struct raft_input *input, struct raft_output *output);

/* Discards the log up to `keep` entries before snapshot->index and makes `snapshot` (copied; its
 * term is looked up) the one for those who need what is discarded. It holds the state machine's
 * whole state and the configuration after that index, which was handed out as committed some time
 * ago: the state can be written down while the log goes on. The caller stores the snapshot
 * (raft_snapshot()) and deletes what lies before raft_status's first_index. -EINVAL if that index
 * is not applied yet, or older than the present snapshot's; -E2BIG; -ENOMEM. */
int raft_compact(struct raft *raft, const struct raft_snapshot *snapshot, uint64_t keep);

/* Whether this peer would be a poor leader at the moment. It then stands for election by itself
 * only after all others had the time to: later than they by the whole spread of election timeouts;
 * unless it had to refuse its vote to a shorter log: it may be the only one who can win. It votes
 * as ever, and stands at once when it is told to (RAFT_CAMPAIGN, a transfer). From the next step
 * on. */
void raft_set_reluctant(struct raft *raft, bool is_reluctant);

enum raft_role {
    RAFT_FOLLOWER,
    RAFT_PRE_CANDIDATE,
    RAFT_CANDIDATE,
    RAFT_LEADER,
};

struct raft_status {
    enum raft_role role;
    uint64_t term;
    struct id vote;
    struct id leader;          /* ID_NONE: unknown */
    struct id transfer_target; /* ID_NONE: none under way */
    uint64_t commit;
    uint64_t applied;        /* handed out as committed */
    uint64_t first_index;    /* of the log; last_index + 1 if it is empty */
    uint64_t discarded_term; /* of the entry before it */
    uint64_t last_index;
    uint64_t last_term;
    uint64_t stored_index; /* entries up to here are on the disk */
    size_t log_bytes;      /* of all entries' data: a reason to compact */
    uint64_t sent_index;   /* of the snapshot that is being sent, if any: who gets it will need the
                              entries behind it; 0: none */
    size_t uncommitted_bytes;
    uint64_t elections, elections_won; /* since raft_new() */
    uint64_t snapshots_refused;        /* that were not what their hash says */
};

void raft_status(const struct raft *raft, struct raft_status *ret);

const char *raft_role_name(enum raft_role role);

/* The configuration in force (borrowed, until the next step). */
const struct raft_configuration *raft_configuration(const struct raft *raft);

/* The entry at `index` (borrowed, until the next step or compaction), or NULL if it is not there.
 */
const struct raft_entry *raft_entry_at(const struct raft *raft, uint64_t index);

/* The latest snapshot that this peer could send (borrowed, until the next step or compaction), or
 * NULL if there is none. */
const struct raft_snapshot *raft_snapshot(const struct raft *raft);

enum raft_progress_state {
    RAFT_PROBE,     /* where the logs meet is not known: one append at a time */
    RAFT_REPLICATE, /* appends are streamed */
    RAFT_INSTALL,   /* a snapshot is under way */
};

struct raft_progress_status {
    enum raft_progress_state state;
    uint64_t match; /* known to be held by the follower */
    uint64_t next;  /* the next entry to send */
    bool paused;
    bool recently_active; /* was heard of since the last quorum check, or the one before */
    uint32_t inflight;
};

/* What the leader knows about a member; -EREMOTE if this is not the leader, -ENOENT. */
int raft_progress_of(const struct raft *raft, const struct id *id,
                     struct raft_progress_status *ret);

/* True while this leader can rely on nobody else leading (thesis §6.4.1): a quorum answered
 * heartbeats that were sent less than an election timeout, minus the clocks' drift, ago. A transfer
 * voids it for the rest of the term. */
bool raft_leader_lease_valid(const struct raft *raft, int64_t now_ms);

/* For tests: replaces the drawn election timeout until the next one is drawn. */
void raft_set_election_timeout(struct raft *raft, int64_t timeout_ms);
