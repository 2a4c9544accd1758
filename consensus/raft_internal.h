/* The core's state, and what its files offer each other. Only consensus/raft_*.c includes this.
 *
 * raft.c           making, freeing, raft_step, questions
 * raft_stage.c     everything of a step that can fail, before anything changes
 * raft_message.c   who may say what, and terms
 * raft_election.c  roles, timeouts, votes
 * raft_append.c    replication: the leader's and the follower's side, commitment
 * raft_snapshot.c  sending, restoring, compaction
 * raft_membership.c changes of configuration, and applying
 * raft_leader.c    the leader's other duties: heartbeats, quorum checks, transfer
 * raft_read.c      reads, at the leader and elsewhere, and the lease
 * raft_output.c    collecting what a step wants done
 */
#pragma once

#include "base/random.h"
#include "consensus/raft.h"
#include "consensus/raft_log.h"
#include "consensus/raft_progress.h"

enum {
    RAFT_LOG_SPARE = 4, /* room for entries that the core appends by itself in one step */
};

/* Who said what in the present campaign: more than one configuration's members may. What does not
 * fit is not counted. */
struct raft_ballot {
    struct id voters[2 * RAFT_MEMBERS_MAX];
    int8_t votes[2 * RAFT_MEMBERS_MAX];
    uint32_t count;
};

struct raft_queue {
    struct raft_message *messages;
    size_t count;
    size_t capacity;
};

/* A read of this peer's own. */
struct raft_pending_read {
    uint64_t context;
    uint64_t index;   /* at the leader: what was committed when it came */
    uint64_t round;   /* that confirms it; at others the number of the question that covers it */
    int64_t asked_ms; /* at others */
};

/* A read that another peer asked this leader about. */
struct raft_forwarded_read {
    struct id asker;
    uint64_t number; /* the asker's */
    uint64_t index;
    uint64_t round;
};

/* A snapshot that comes from the leader, chunk by chunk. It outlives leaders: who offers the same
 * one goes on where it stands. */
struct raft_incoming {
    struct raft_snapshot snapshot; /* index 0: none; its data has room for all of it */
    uint8_t *data;                 /* that data */
    size_t held;                   /* bytes from its start on */
    uint64_t term;                 /* in which it was last fed */
};

/* What a step needs, allocated before it begins. */
struct raft_staged {
    struct raft_entry *entries; /* each owns its data */
    size_t entry_count;
    uint8_t *incoming;      /* room for a snapshot that begins */
    bool has_chunk;         /* the chunk was put into its place */
    size_t held;            /* with it */
    bool snapshot_is_wrong; /* now that it is whole */
};

struct raft {
    struct raft_config config;
    struct random random;
    int64_t now_ms;

    /* Figure 2 of the paper: persistent, then volatile state. */
    uint64_t term;
    struct id vote;
    struct raft_log log;
    uint64_t commit;
    uint64_t applied;

    enum raft_role role;
    struct id leader;
    struct raft_configuration configuration; /* as of `applied` */
    struct raft_snapshot snapshot;           /* owns its data; index 0: none */
    struct raft_incoming incoming;
    uint64_t snapshots_refused;

    int64_t election_start_ms;
    int64_t election_timeout_ms; /* drawn at random */
    bool is_reluctant;
    bool refused_shorter;   /* log of a candidate, since a leader was last heard */
    int64_t quiet_until_ms; /* no vote before, but to whom the leader handed over */
    struct raft_ballot ballot;
    uint64_t elections, elections_won;

    /* Of the leader. */
    struct raft_progress progress[RAFT_MEMBERS_MAX]; /* of configuration.members[] */
    struct raft_snapshot outgoing; /* sent to all who need one; index 0: none. Its data is the
                                      snapshot's, or its own once that was replaced */
    int64_t heartbeat_due_ms;
    bool appends_due;               /* something was proposed and not sent yet */
    uint64_t pending_configuration; /* no other change before this index is applied */
    size_t uncommitted_bytes;
    struct id transfer_target;
    bool lease_void;
    uint64_t round; /* of reads; each heartbeat carries the latest */
    struct raft_pending_read reads[RAFT_READS_MAX];
    size_t read_count;
    struct raft_forwarded_read forwarded[RAFT_FORWARDED_READS_MAX];
    size_t forwarded_count;

    /* Of who does not lead, and reads. */
    uint64_t read_number;  /* of the latest own read; begins at random */
    bool read_is_asked;    /* a question is under way */
    int64_t read_retry_ms; /* ask again if there is no answer by then */

    /* Writes that were asked for. */
    uint64_t sequence;
    uint64_t stored_sequence;
    uint64_t hard_state_sequence; /* of the write with the present term and vote */
    uint64_t snapshot_sequence;   /* of the write with the last snapshot that was received */
    struct raft_hard_state handed_out;
    bool snapshot_is_new;

    /* Of the present step. */
    struct raft_staged staged;
    struct raft_queue now;
    struct raft_queue once_stored;
    struct raft_read outcomes[RAFT_READS_MAX];
    size_t outcome_count;
    bool configuration_changed;
    uint64_t proposed_index;
};

/* raft_stage.c: checks the input and allocates for it; on failure nothing is kept. */
int raft_stage(struct raft *raft, const struct raft_input *input);
void raft_stage_done(struct raft_staged *staged);

/* raft_message.c: acts on a staged message. */
void raft_receive(struct raft *raft, const struct raft_message *message);

/* raft_election.c */
enum raft_campaign {
    RAFT_CAMPAIGN_PRE_VOTE,
    RAFT_CAMPAIGN_VOTE,
    RAFT_CAMPAIGN_TRANSFER,
};
void raft_become_follower(struct raft *raft, uint64_t term, const struct id *leader);
bool raft_may_campaign(const struct raft *raft);
bool raft_is_promotable(const struct raft *raft);
int64_t raft_election_due_ms(const struct raft *raft);
void raft_campaign(struct raft *raft, enum raft_campaign campaign);
bool raft_is_loyal(const struct raft *raft, int64_t now_ms);
void raft_answer_vote(struct raft *raft, const struct raft_message *message);
void raft_count_vote(struct raft *raft, const struct raft_message *message);
void raft_vote_was_stored(struct raft *raft);
bool raft_may_answer(const struct raft *raft, const struct id *id);

/* raft_append.c */
void raft_append_own(struct raft *raft, enum raft_entry_type type, struct bytes data);
bool raft_send_append(struct raft *raft, uint32_t member, bool even_if_empty);
void raft_send_appends(struct raft *raft);
bool raft_advance_commit(struct raft *raft);
void raft_take_append(struct raft *raft, const struct raft_message *message);
void raft_take_append_reply(struct raft *raft, uint32_t member, const struct raft_message *message);
void raft_own_log_was_stored(struct raft *raft);

/* raft_snapshot.c */
bool raft_send_snapshot(struct raft *raft, uint32_t member);
void raft_take_snapshot(struct raft *raft, const struct raft_message *message);
void raft_take_snapshot_reply(struct raft *raft, uint32_t member,
                              const struct raft_message *message);
void raft_go_on_installing(struct raft *raft, uint32_t member);
int raft_stage_chunk(struct raft *raft, const struct raft_message *message);
uint64_t raft_sent_snapshot(const struct raft *raft);
void raft_drop_useless_snapshots(struct raft *raft);
void raft_drop_snapshots(struct raft *raft);

/* raft_membership.c */
void raft_learn_commit(struct raft *raft);
void raft_latest_configuration(const struct raft *raft, struct raft_configuration *ret);
void raft_apply(struct raft *raft, uint64_t last);
void raft_adopt_configuration(struct raft *raft, const struct raft_configuration *configuration);

/* raft_leader.c */
void raft_leader_tick(struct raft *raft);
void raft_send_heartbeats(struct raft *raft);
void raft_take_heartbeat_reply(struct raft *raft, uint32_t member,
                               const struct raft_message *message);
void raft_start_transfer(struct raft *raft, const struct id *target);
void raft_send_timeout_now(struct raft *raft, const struct id *target);
void raft_lost_contact(struct raft *raft, uint32_t member);

/* raft_read.c */
void raft_start_read(struct raft *raft, uint64_t context);
void raft_confirm_reads(struct raft *raft);
void raft_take_read_request(struct raft *raft, const struct raft_message *message);
void raft_take_read_reply(struct raft *raft, const struct raft_message *message);
void raft_reads_tick(struct raft *raft);
int64_t raft_reads_deadline(const struct raft *raft);
void raft_cancel_reads(struct raft *raft);
bool raft_committed_in_term(const struct raft *raft);

/* raft_output.c */
void raft_send(struct raft *raft, struct raft_message message);
void raft_reply(struct raft *raft, struct raft_message message);
void raft_output(struct raft *raft, bool writes, struct raft_output *ret);
void raft_output_begin(struct raft *raft);

/* The member's place in the configuration and progress[], or -1. */
int raft_member_of(const struct raft *raft, const struct id *id);
bool raft_is_self(const struct raft *raft, uint32_t member);
