/* Acting on what a peer says: terms first (§5.1), then by type.
 *
 * What is said to a leader is taken only from members (see raft_stage.c). All else are taken from
 * any admitted peer, since the sender may know of a newer configuration: so a newcomer gets its
 * first snapshot, and a lagging voter follows, and votes for, those that it does not know of yet
 * (thesis §4.1).
 */
#include "consensus/raft_internal.h"

static bool is_from_leader(enum raft_message_type type)
{
    return type == RAFT_APPEND || type == RAFT_HEARTBEAT || type == RAFT_SNAPSHOT;
}

/* Tells a leader or candidate of an older term that it is out of date; others need no answer. One
 * who alone can win, and never hears of the terms that others begin in vain, would stay behind them
 * for ever (seed 309333). */
static void answer_older_term(struct raft *raft, const struct raft_message *message)
{
    struct raft_message reply = {.to = message->from, .term = raft->term};
    if (is_from_leader(message->type))
        reply.type = RAFT_APPEND_REPLY;
    else if (message->type == RAFT_PRE_VOTE)
        reply.type = RAFT_PRE_VOTE_REPLY, reply.reject = true;
    else if (message->type == RAFT_VOTE)
        reply.type = RAFT_VOTE_REPLY, reply.reject = true;
    else
        return;
    raft_reply(raft, reply);
}

static void adopt_term(struct raft *raft, const struct raft_message *message)
{
    /* A pre-vote is about a term that nobody began yet. */
    if (message->type == RAFT_PRE_VOTE ||
        (message->type == RAFT_PRE_VOTE_REPLY && !message->reject))
        return;
    raft_become_follower(raft, message->term,
                         is_from_leader(message->type) ? &message->from : &ID_NONE);
}

static void take_heartbeat(struct raft *raft, const struct raft_message *message)
{
    /* The leader says no more than it knows this peer to hold. */
    if (message->commit > raft->commit && message->commit <= raft_log_last_index(&raft->log))
        raft->commit = message->commit;
    raft_reply(raft, (struct raft_message){
                         .type = RAFT_HEARTBEAT_REPLY,
                         .to = message->from,
                         .term = raft->term,
                         .round = message->round,
                         .sent_ms = message->sent_ms,
                     });
}

static void follow(struct raft *raft, const struct raft_message *message)
{
    if (raft->role == RAFT_LEADER)
        return;
    if (raft->role != RAFT_FOLLOWER)
        raft_become_follower(raft, raft->term, &message->from);
    raft->election_start_ms = raft->now_ms;
    /* Also if it learns of a newer term meanwhile: the lease counts on it (seed 623460). */
    int64_t loyal_until_ms = raft->now_ms + raft->config.election_timeout_ms;
    if (raft->quiet_until_ms < loyal_until_ms)
        raft->quiet_until_ms = loyal_until_ms;
    raft->refused_shorter = false;
    raft->leader = message->from;
    if (message->type == RAFT_APPEND)
        raft_take_append(raft, message);
    else if (message->type == RAFT_SNAPSHOT)
        raft_take_snapshot(raft, message);
    else
        take_heartbeat(raft, message);
}

static void lead(struct raft *raft, const struct raft_message *message)
{
    int member = raft_member_of(raft, &message->from);
    if (raft->role != RAFT_LEADER || member < 0)
        return;
    raft->progress[member].active = true;
    if (message->type == RAFT_APPEND_REPLY)
        raft_take_append_reply(raft, (uint32_t)member, message);
    else if (message->type == RAFT_SNAPSHOT_REPLY)
        raft_take_snapshot_reply(raft, (uint32_t)member, message);
    else
        raft_take_heartbeat_reply(raft, (uint32_t)member, message);
}

bool raft_message_is_to_leader(enum raft_message_type type)
{
    return type == RAFT_PRE_VOTE_REPLY || type == RAFT_VOTE_REPLY || type == RAFT_APPEND_REPLY ||
           type == RAFT_HEARTBEAT_REPLY || type == RAFT_SNAPSHOT_REPLY || type == RAFT_READ_REQUEST;
}

void raft_receive(struct raft *raft, const struct raft_message *message)
{
    if (message->term > raft->term) {
        /* Thesis §4.2.3: who hears from a leader does not help to depose it. */
        bool asks_for_vote = message->type == RAFT_VOTE || message->type == RAFT_PRE_VOTE;
        if (asks_for_vote && !message->transfer && raft_is_loyal(raft, raft->now_ms))
            return;
        adopt_term(raft, message);
    } else if (message->term < raft->term) {
        answer_older_term(raft, message);
        return;
    }
    switch (message->type) {
    case RAFT_PRE_VOTE:
    case RAFT_VOTE:
        raft_answer_vote(raft, message);
        break;
    case RAFT_PRE_VOTE_REPLY:
    case RAFT_VOTE_REPLY:
        raft_count_vote(raft, message);
        break;
    case RAFT_APPEND:
    case RAFT_HEARTBEAT:
    case RAFT_SNAPSHOT:
        follow(raft, message);
        break;
    case RAFT_APPEND_REPLY:
    case RAFT_HEARTBEAT_REPLY:
    case RAFT_SNAPSHOT_REPLY:
        lead(raft, message);
        break;
    case RAFT_TIMEOUT_NOW:
        if (raft->role == RAFT_FOLLOWER && id_equal(&raft->leader, &message->from) &&
            raft_may_campaign(raft))
            raft_campaign(raft, RAFT_CAMPAIGN_TRANSFER);
        break;
    case RAFT_READ_REQUEST:
        raft_take_read_request(raft, message);
        break;
    case RAFT_READ_REPLY:
        raft_take_read_reply(raft, message);
        break;
    case RAFT_MESSAGE_TYPES:
        break;
    }
}
