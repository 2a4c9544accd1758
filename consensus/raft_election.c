/* Elections: roles, timeouts, votes (§5.2, §5.4.1; pre-vote: thesis §9.6).
 *
 * A candidate must win under the latest configuration in its log, committed or not (§6), although
 * otherwise the one in force is that of what it applied: see raft_membership.c.
 */
#include <assert.h>

#include "consensus/raft_internal.h"

static void reset(struct raft *raft, uint64_t term)
{
    if (raft->term != term) {
        assert(term > raft->term);
        raft->term = term;
        raft->vote = ID_NONE;
    }
    raft->leader = ID_NONE;
    raft->refused_shorter = false;
    raft->election_start_ms = raft->now_ms;
    /* §5.2: drawn anew each time, so that split votes are rare and do not repeat. */
    uint64_t spread =
        (uint64_t)(raft->config.election_timeout_max_ms - raft->config.election_timeout_ms) + 1;
    raft->election_timeout_ms =
        raft->config.election_timeout_ms + (int64_t)random_below(&raft->random, spread);
    raft->transfer_target = ID_NONE;
    raft->lease_void = false;
    raft->ballot.count = 0;
    raft->pending_configuration = 0;
    raft->uncommitted_bytes = 0;
    raft_cancel_reads(raft);
}

void raft_become_follower(struct raft *raft, uint64_t term, const struct id *leader)
{
    reset(raft, term);
    raft->role = RAFT_FOLLOWER;
    raft->leader = *leader;
}

static bool others_vote(const struct raft *raft)
{
    for (uint32_t i = 0; i < raft->configuration.count; i++) {
        const struct id *id = &raft->configuration.members[i].id;
        if (raft_configuration_votes(&raft->configuration, id) && !id_equal(id, &raft->config.self))
            return true;
    }
    return false;
}

static void become_leader(struct raft *raft)
{
    reset(raft, raft->term);
    raft->role = RAFT_LEADER;
    raft->elections_won++;
    raft->leader = raft->config.self;
    raft->heartbeat_due_ms = raft->now_ms + raft->config.heartbeat_ms;
    for (uint32_t i = 0; i < raft->configuration.count; i++)
        raft_progress_init(&raft->progress[i], raft_log_last_index(&raft->log) + 1);
    /* A change of configuration could be among the entries taken over: no other before they are
     * all applied. */
    raft->pending_configuration = raft_log_last_index(&raft->log);
    /* §8: an entry of the new term, without which the entries before it cannot be committed. */
    raft_append_own(raft, RAFT_ENTRY_EMPTY, (struct bytes){0});
    /* Nor before that one is: a former leader could have one in its log, and be elected by the
     * members that it left, this one by those that its own did, and no member be in both (seed
     * 581817). Where nobody else votes, there was no other leader. */
    if (others_vote(raft))
        raft->pending_configuration = raft_log_last_index(&raft->log);
    raft_own_log_was_stored(raft);
    raft_send_appends(raft);
}

bool raft_is_promotable(const struct raft *raft)
{
    struct raft_configuration latest;
    raft_latest_configuration(raft, &latest);
    return raft_configuration_votes(&raft->configuration, &raft->config.self) ||
           raft_configuration_votes(&latest, &raft->config.self);
}

/* Later than the latest of those who are not reluctant, if all heard of the leader last at one
 * time. But who has a longer log than one that asks may be the only one who can win: were it to
 * wait longer, it might hear that one's next term, and begin to wait anew, for ever (seed 181). */
int64_t raft_election_due_ms(const struct raft *raft)
{
    int64_t later_ms = raft->config.election_timeout_max_ms - raft->config.election_timeout_ms + 1;
    return raft->election_start_ms + raft->election_timeout_ms +
           (raft->is_reluctant && !raft->refused_shorter ? later_ms : 0);
}

bool raft_may_campaign(const struct raft *raft)
{
    return raft_is_promotable(raft) &&
           !raft_log_next_configuration(&raft->log, raft->applied, raft->commit);
}

bool raft_is_loyal(const struct raft *raft, int64_t now_ms)
{
    if (!raft->config.check_quorum)
        return false;
    return now_ms < raft->quiet_until_ms ||
           (raft->role == RAFT_LEADER &&
            now_ms - raft->election_start_ms < raft->config.election_timeout_ms);
}

/* The vote of `id` in this campaign, or NULL. */
static int8_t *find_vote(struct raft_ballot *ballot, const struct id *id)
{
    for (uint32_t i = 0; i < ballot->count; i++)
        if (id_equal(&ballot->voters[i], id))
            return &ballot->votes[i];
    return NULL;
}

static void record_vote(struct raft_ballot *ballot, const struct id *id, int8_t vote)
{
    int8_t *known = find_vote(ballot, id);
    if (known) {
        if (*known == 0)
            *known = vote;
    } else if (ballot->count < 2 * RAFT_MEMBERS_MAX) {
        ballot->voters[ballot->count] = *id;
        ballot->votes[ballot->count++] = vote;
    }
}

static enum raft_vote_result tally(struct raft *raft)
{
    struct raft_configuration latest;
    int8_t votes[RAFT_MEMBERS_MAX] = {0};
    raft_latest_configuration(raft, &latest);
    for (uint32_t i = 0; i < latest.count; i++) {
        const int8_t *vote = find_vote(&raft->ballot, &latest.members[i].id);
        votes[i] = vote ? *vote : 0;
    }
    enum raft_vote_result result = raft_configuration_vote(&latest, votes);
    /* Without its own vote on the disk a peer could lead, crash, forget, and lead again in the same
     * term with another log. */
    const int8_t *own = find_vote(&raft->ballot, &raft->config.self);
    return result == RAFT_VOTE_WON && !(own && *own > 0) ? RAFT_VOTE_PENDING : result;
}

static void finish_campaign(struct raft *raft)
{
    switch (tally(raft)) {
    case RAFT_VOTE_PENDING:
        break;
    case RAFT_VOTE_LOST:
        raft_become_follower(raft, raft->term, &ID_NONE);
        break;
    case RAFT_VOTE_WON:
        if (raft->role == RAFT_PRE_CANDIDATE)
            raft_campaign(raft, RAFT_CAMPAIGN_VOTE);
        else
            become_leader(raft);
        break;
    }
}

static void ask_for_votes(struct raft *raft, enum raft_campaign campaign)
{
    bool is_pre_vote = campaign == RAFT_CAMPAIGN_PRE_VOTE;
    struct raft_message request = {
        .type = is_pre_vote ? RAFT_PRE_VOTE : RAFT_VOTE,
        .transfer = campaign == RAFT_CAMPAIGN_TRANSFER,
        .term = is_pre_vote ? raft->term + 1 : raft->term,
        .index = raft_log_last_index(&raft->log),
        .log_term = raft_log_last_term(&raft->log),
    };
    struct raft_configuration latest;
    raft_latest_configuration(raft, &latest);
    for (uint32_t i = 0; i < latest.count; i++) {
        request.to = latest.members[i].id;
        if (!raft_configuration_votes(&latest, &request.to) ||
            id_equal(&request.to, &raft->config.self))
            continue;
        /* A candidate that crashed before its term and log were stored could stand in the same term
         * again with a shorter log, and count a late vote for the longer one. */
        if (is_pre_vote)
            raft_send(raft, request);
        else
            raft_reply(raft, request);
    }
}

void raft_campaign(struct raft *raft, enum raft_campaign campaign)
{
    if (campaign == RAFT_CAMPAIGN_PRE_VOTE) {
        /* No term is begun before a majority would vote: a peer that was cut off disturbs nobody.
         */
        raft->role = RAFT_PRE_CANDIDATE;
        raft->leader = ID_NONE;
        raft->ballot.count = 0;
        ask_for_votes(raft, campaign);
        record_vote(&raft->ballot, &raft->config.self, 1);
        finish_campaign(raft);
    } else {
        reset(raft, raft->term + 1);
        raft->role = RAFT_CANDIDATE;
        raft->elections++;
        raft->vote = raft->config.self; /* counts in raft_vote_was_stored() */
        ask_for_votes(raft, campaign);
    }
}

void raft_vote_was_stored(struct raft *raft)
{
    if (raft->role != RAFT_CANDIDATE || raft->hard_state_sequence > raft->stored_sequence ||
        raft->handed_out.term != raft->term)
        return;
    const int8_t *own = find_vote(&raft->ballot, &raft->config.self);
    if (own && *own > 0)
        return;
    record_vote(&raft->ballot, &raft->config.self, 1);
    finish_campaign(raft);
}

void raft_count_vote(struct raft *raft, const struct raft_message *message)
{
    enum raft_role asking =
        message->type == RAFT_PRE_VOTE_REPLY ? RAFT_PRE_CANDIDATE : RAFT_CANDIDATE;
    if (raft->role != asking)
        return;
    record_vote(&raft->ballot, &message->from, message->reject ? -1 : 1);
    finish_campaign(raft);
}

bool raft_may_answer(const struct raft *raft, const struct id *id)
{
    struct raft_configuration latest;
    raft_latest_configuration(raft, &latest);
    return raft_configuration_find(&raft->configuration, id) ||
           raft_configuration_find(&latest, id);
}

/* §5.4.1: the candidate's log is at least as complete as this one. */
static bool is_up_to_date(const struct raft *raft, const struct raft_message *message)
{
    uint64_t term = raft_log_last_term(&raft->log);
    return message->log_term > term ||
           (message->log_term == term && message->index >= raft_log_last_index(&raft->log));
}

/* Any peer answers, also a learner or one outside its own configuration: the candidate may know of
 * a newer configuration in which this peer votes. */
void raft_answer_vote(struct raft *raft, const struct raft_message *message)
{
    bool is_pre_vote = message->type == RAFT_PRE_VOTE;
    bool is_free = id_is_none(&raft->vote) && id_is_none(&raft->leader) &&
                   (message->transfer || !raft_is_loyal(raft, raft->now_ms));
    bool may_vote = id_equal(&raft->vote, &message->from) || is_free ||
                    (is_pre_vote && message->term > raft->term);
    bool grants = may_vote && is_up_to_date(raft, message);
    raft_reply(raft, (struct raft_message){
                         .type = is_pre_vote ? RAFT_PRE_VOTE_REPLY : RAFT_VOTE_REPLY,
                         .to = message->from,
                         .term = grants ? message->term : raft->term,
                         .reject = !grants,
                     });
    raft->refused_shorter = raft->refused_shorter || !is_up_to_date(raft, message);
    if (grants && !is_pre_vote) {
        raft->election_start_ms = raft->now_ms;
        raft->vote = message->from;
    }
}
