/* What the agent's files share; nobody else includes this. */
#pragma once

#include "base/random.h"
#include "base/table.h"
#include "node/control/agent.h"
#include "node/control/control.h"
#include "node/control/feed.h"
#include "node/control/pending.h"
#include "node/control/succession.h"

/* A read for which somebody waits, see agent_read.c. */
struct agent_read {
    uint64_t request; /* the asker's number for it */
    struct id from;   /* a peer that asked; ID_NONE: this peer's own API */
    enum { AGENT_READ_WAITS, AGENT_READ_ASKED, AGENT_READ_CONFIRMED } step;
    uint64_t index; /* once confirmed: what must be applied */
    int64_t expires_ms;
};

/* What this peer still has of what it promised, while a part of its log is gone. */
struct agent_lost {
    uint64_t through; /* all up to here is */
    struct raft_hard_state hard_state;
    struct raft_entry *entries; /* behind it; their data lies in `arena` */
    size_t entry_count;
    struct buffer arena;
};

/* A message that may be sent only once the write `sequence` is durable. */
struct agent_held {
    uint64_t sequence;
    struct raft_message message;
};

/* How the last heartbeat went to a member, see agent_beat.c. */
struct agent_beat {
    struct id to;
    bool is_unanswered; /* it was a packet, and no packet has answered it yet */
};

/* Two living peers of one name, in the order of their ids. */
struct agent_namesakes {
    struct id ids[2];
    uint64_t proposed_term; /* in which this peer, leading, had it written down; 0: not yet */
};

/* The write of a new epoch: Raft numbers its own from 1 on. */
static const uint64_t AGENT_EPOCH_SEQUENCE = (uint64_t)1 << 63;

/* A new epoch that this peer goes over to once that is on its disk; until then it takes no part in
 * Raft. */
struct agent_renewal {
    struct intent *intent; /* NULL: none is under way */
    struct feed_head head; /* of it; index 0: this peer recovers */
    uint64_t request;      /* of this peer's API, if it recovers */
};

struct agent {
    struct agent_config config; /* defaults filled in */
    struct id self;
    struct certificate_chain chain;
    struct random random;

    struct swim *swim;
    struct swim_output swim_output;
    struct view view;

    struct raft *raft;
    struct agent_held *held;
    size_t held_count, held_capacity;
    struct raft_status raft_status; /* as of the last step */
    struct agent_beat beats[RAFT_MEMBERS_MAX];
    size_t beat_count;
    const struct address
        *beat_source; /* of the heartbeat packet that this step is about, or NULL */
    int64_t raft_deadline_ms;
    struct id known_leader;
    int64_t raft_progress_ms; /* when Raft last brought an entry or heartbeat to a follower */

    struct agent_lost *lost; /* NULL: nothing is */
    bool intent_is_old;      /* by all that is known, and nothing may be removed by it */
    bool is_compacting;      /* the node has it done, and has not given it back yet */

    uint64_t gone_term;       /* in which the leader's process was found gone, see agent_gone.c */
    int64_t campaign_at_ms;   /* when to stand for election because of that; INT64_MAX: not */
    int64_t campaign_each_ms; /* and then again */
    unsigned campaigns_left;

    int64_t start_ms;
    bool has_followed; /* a leader, since this start */
    int64_t reluctant_next_ms;
    bool hands_over; /* see agent_hand_over.c */
    uint32_t hand_over_tries;

    struct intent *intent;
    struct intent *verified; /* of a snapshot that Raft is about to install, else NULL */
    int verified_rc;         /* what came of the last one that was whole */
    struct agent_renewal renewal;
    bool intent_due; /* it was changed, and what follows from that is not done yet */
    struct feed feed;
    struct intent_gossip gossip; /* as swim has it */
    bool swim_due;               /* its timings were changed since it was stepped */

    struct raft_configuration shown; /* by a line, see agent_line.c; counts while it is newer */
    uint64_t shown_index;            /* than the intent's; 0: none */

    struct control *control; /* on the leader, else NULL */
    size_t control_outstanding;
    int64_t control_deadline_ms, voters_deadline_ms;
    bool control_due;
    int64_t learners_since_ms; /* when somebody last came to be to vote */
    int64_t voters_moved_ms;   /* to another zone, or this leader's beginning */
    bool is_moving_voter;

    int64_t lease_until_ms, lease_ask_ms; /* of this peer's exclusive replicas */
    int64_t lease_floor_ms;               /* none counts that was asked for before */

    bool says_holding; /* by gossip, since most voters are gone */
    struct view_holding said_holding;
    int64_t holding_next_ms;

    bool has_quorum; /* as of the last look, see agent_minority.c; so since: */
    int64_t quorum_changed_ms;
    bool stands_in; /* for another peer */
    int64_t minority_next_ms;

    struct pendings pendings;
    uint64_t next_request; /* of forwarded proposals */

    struct agent_read *reads;
    size_t read_count, read_capacity;
    uint64_t read_round;   /* the last one's number; they begin at random, as Raft's do */
    bool read_is_asked;    /* it is under way: */
    struct id read_asked;  /* of this voter; ID_NONE: of our own Raft */
    unsigned read_tries;   /* rounds that came to nothing, in a row */
    int64_t read_retry_ms; /* when that voter's time is over, or when to begin the next */

    struct agent_namesakes namesakes[AGENT_NAMESAKES_MAX]; /* told to the node already */
    size_t namesakes_count;
    bool names_due;        /* who lives has changed since the names were looked at */
    uint64_t names_serial; /* the intent's next serial at that time: who is admitted may have too */
    int64_t names_next_ms;

    struct table shut_out;           /* of struct id: told to the node already */
    int64_t now_ms, now_us, wall_ms; /* of the step under way */
    struct agent_output *output;     /* of the step under way, else NULL */
    struct id heard_from;            /* whose words the step is about; ID_NONE: nobody's */
    bool failed;                     /* ran out of memory where nothing may be left out */
    struct intent_level outdated;    /* failed, since what was agreed on is of this level; 0: no */
};

/* agent_epoch.c: takes the intent over, which is of a later epoch than ours. `head` is NULL if this
 * peer itself recovers. */
void agent_epoch_begin(struct agent *agent, struct intent *intent, const struct feed_head *head,
                       uint64_t request);
void agent_epoch_stored(struct agent *agent);
bool agent_epoch_fits(const struct agent *agent, const struct raft_message *message);
void agent_recover(struct agent *agent, uint64_t request, const struct agent_recovery *recovery);

/* agent_holding.c */
void agent_holding_tick(struct agent *agent);
void agent_holding_seen(struct agent *agent, const struct id *owner, struct bytes value);
void agent_holding_withdrawn(struct agent *agent, const struct id *owner);
bool agent_is_holding_key(struct bytes key);
bool agent_most_voters_are_gone(const struct agent *agent);
/* The first and last index of the log's entries that follow what is applied; 0 if there are none.
 */
uint64_t agent_log_tail(const struct agent *agent);

/* agent_minority.c; and what others say of their stand-ins. */
void agent_minority_tick(struct agent *agent);
int64_t agent_minority_deadline(const struct agent *agent);
void agent_stand_in_heard(struct agent *agent, const struct id *owner,
                          const struct view_replica *heard, const struct intent_replica *stand_in);
void agent_stand_in_withdrawn(struct agent *agent, uint64_t generation);

/* agent_output.c: appending to what a step returns. -ENOMEM marks the agent as failed. */
struct buffer *agent_add_send(struct agent *agent, const struct id *to,
                              const struct address *address, uint8_t kind);
struct agent_write *agent_add_write(struct agent *agent);
struct agent_result *agent_add_result(struct agent *agent, uint64_t request);
struct agent_event *agent_add_event(struct agent *agent, enum agent_event_type type,
                                    const struct id *id);
void agent_output_reset(struct agent_output *output);

/* agent_members.c */
int agent_members_step(struct agent *agent, const struct swim_input *input);
/* What others say of their replicas is read when the intent changes next, all of it: what the
 * intent did not place for a while may be placed again, where it was. */
void agent_members_read_again(struct agent *agent);
void agent_members_intent_changed(struct agent *agent);

/* agent_beat.c: whether it went as a packet; and the ones that come so. */
bool agent_beat_send(struct agent *agent, const struct raft_message *message);
int agent_beat_packet(struct agent *agent, const struct id *from, const struct address *source,
                      struct bytes bytes);

/* agent_raft.c */
int agent_raft_step(struct agent *agent, const struct raft_input *input, uint64_t *ret_index,
                    uint64_t *ret_term);
int agent_raft_message(struct agent *agent, const struct id *from, struct bytes bytes);
int agent_raft_take(struct agent *agent, const struct id *from, struct raft_message *message);
void agent_raft_stored(struct agent *agent, uint64_t sequence);
bool agent_leads(const struct agent *agent);
int agent_raft_verify(void *context, const struct raft_snapshot *snapshot);
void agent_raft_hash(struct bytes state, uint8_t ret[RAFT_HASH_BYTES]);

/* agent_mend.c */
int agent_lost_new(const struct raft_stored *stored, uint64_t through, struct agent_lost **ret);
void agent_lost_free(struct agent_lost *lost);
void agent_mend(struct agent *agent);

/* agent.c */
int agent_raft_start(struct agent *agent, const struct raft_stored *stored, int64_t now_ms);

/* agent_compact.c */
void agent_compact(struct agent *agent);
void agent_compacted(struct agent *agent, struct agent_compaction *compaction);
void agent_role_changed(struct agent *agent);
void agent_leader_changed(struct agent *agent);

/* agent_propose.c */
void agent_propose(struct agent *agent, const struct id *from, uint64_t request, uint8_t hops,
                   struct bytes command);
int agent_propose_control(struct agent *agent, const struct command *command);
int agent_propose_message(struct agent *agent, const struct id *from, struct bytes bytes);
int agent_result_message(struct agent *agent, const struct id *from, struct bytes bytes);
void agent_pending_applied(struct agent *agent, uint64_t index, uint64_t term,
                           const struct intent_result *result, const struct id *admitted);
void agent_pending_expire(struct agent *agent);
void agent_pending_lost(struct agent *agent);
void agent_pending_refuse(struct agent *agent);
void agent_answer(struct agent *agent, uint64_t request, int code, const char *message,
                  const char *hint);
void agent_pending_unanswered(struct agent *agent, const struct id *leader);
int64_t agent_pending_deadline(const struct agent *agent);
struct id agent_leader(const struct agent *agent);

/* agent_gone.c */
void agent_gone(struct agent *agent, const struct id *id);
void agent_gone_tick(struct agent *agent);

/* agent_reluctant.c: tells Raft whether this peer had better not lead; and of any peer what all can
 * see. */
void agent_reluctant_tick(struct agent *agent);
bool agent_is_poor_leader(const struct agent *agent, const struct id *id);

/* agent_hand_over.c */
void agent_hand_over(struct agent *agent);
void agent_hand_over_tick(struct agent *agent);

/* agent_read.c */
void agent_read_start(struct agent *agent, uint64_t request);
void agent_read_outcome(struct agent *agent, const struct raft_read *outcome);
int agent_read_asked(struct agent *agent, const struct id *from, struct bytes bytes);
int agent_read_answered(struct agent *agent, const struct id *from, struct bytes bytes);
void agent_read_lost(struct agent *agent); /* Raft begins anew: it answers none */
void agent_read_unreached(struct agent *agent, const struct id *id);
void agent_read_tick(struct agent *agent);
int64_t agent_read_deadline(const struct agent *agent);

/* agent_feed.c */
void agent_feed_applied(struct agent *agent, const struct raft_entry *entry);
void agent_feed_reached(struct agent *agent);
void agent_feed_sign(struct agent *agent);
int64_t agent_feed_deadline(const struct agent *agent);
void agent_feed_head_seen(struct agent *agent, const struct id *from, struct bytes value);
/* Whether there is a head that our intent has not reached; or may be one. */
bool agent_feed_lags(const struct agent *agent);
bool agent_feed_may_lag(const struct agent *agent);
/* The announced head becomes the one that we serve, once our intent stands at it; it is forgotten
 * if its signer turns out not to vote any more, lest a head that is made up hides the true ones. */
void agent_feed_reach_head(struct agent *agent);
/* -EKEYREJECTED, if it is nobody's word or that of one who can't come to vote; or -ENOMEM. */
int agent_feed_check_head(const struct agent *agent, const struct feed_head *head);

/* agent_feed_store.c: applies to the stored intent what is stored behind it. -EINVAL: that does not
 * follow; or as feed_apply_entry(). */
int agent_feed_start(struct agent *agent, const struct agent_stored *stored, struct intent *intent);
/* The intent was changed by the feed: by the push's entries, from the index `before`; or as a whole
 * (NULL). */
void agent_feed_store(struct agent *agent, const struct feed_push *push, uint64_t before);
void agent_feed_store_whole(struct agent *agent);
/* A snapshot of Raft's is being written: what is stored of the feed may be of no use any more. */
void agent_feed_stored_by_raft(struct agent *agent, struct agent_write *write);

/* agent_feed_pull.c */
void agent_feed_tick(struct agent *agent);
void agent_feed_pull(struct agent *agent, const struct id *from);
void agent_feed_pull_soon(struct agent *agent);
void agent_feed_ask_another(struct agent *agent);

/* agent_feed_push.c */
int agent_feed_message(struct agent *agent, uint8_t kind, const struct id *from,
                       struct bytes bytes);

/* agent_gossip.c: sets what swim is to start with, and what it goes by from now on. */
void agent_gossip_start(struct agent *agent, struct swim_config *config);
void agent_gossip_changed(struct agent *agent);

/* agent_line.c: whether Raft's requests may come from there; and asking for proof of it. */
bool agent_may_request(const struct agent *agent, const struct id *from);
void agent_line_ask(struct agent *agent, const struct id *from);
int agent_line_asked(struct agent *agent, const struct id *from, struct bytes bytes);
int agent_line_told(struct agent *agent, const struct id *from, struct bytes bytes);

/* agent_lead.c and agent_voters.c */
void agent_lead_tick(struct agent *agent);
int64_t agent_lead_deadline(const struct agent *agent);
void agent_voters_tick(struct agent *agent);

/* agent_names.c: looks for two living peers of one name; has the leader write down what was found.
 */
void agent_names_tick(struct agent *agent);
void agent_names_propose(struct agent *agent);

/* agent_level.c: raises the level, as the leader, if all know a higher one; and whether this peer
 * knows the one that was agreed on: if not, it has failed. */
void agent_level_raise(struct agent *agent);
bool agent_level_fits(struct agent *agent, const struct intent_level *level);

/* agent_lease.c */
bool agent_lease_is_valid(const struct agent *agent, int64_t now_ms);
/* Whether that replica is exclusive and shall run here, whenever there is a lease. */
bool agent_lease_is_awaited(const struct agent *agent, uint64_t generation);
void agent_lease_tick(struct agent *agent);
int64_t agent_lease_deadline(const struct agent *agent);
int agent_lease_asked(struct agent *agent, const struct id *from, struct bytes bytes);
int agent_lease_granted(struct agent *agent, const struct id *from, struct bytes bytes);

/* agent.c: whether this peer is out may have changed. */
void agent_shut_out_changed(struct agent *agent, const struct id *id);

/* agent.c: after the intent was changed, by Raft or by the feed. */
void agent_intent_changed(struct agent *agent);
