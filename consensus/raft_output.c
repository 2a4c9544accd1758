/* What a step wants done: messages are collected, and everything is turned into slices at its end.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/raft_internal.h"

enum {
    QUEUE_CAPACITY_MIN = 8,
};

/* Without memory the message is lost, as in a network: all of Raft's are repeated where needed. */
static void push(struct raft_queue *queue, const struct raft_message *message)
{
    if (queue->count == queue->capacity) {
        size_t capacity = queue->capacity ? 2 * queue->capacity : QUEUE_CAPACITY_MIN;
        struct raft_message *messages = reallocarray(queue->messages, capacity, sizeof(*messages));
        if (!messages)
            return;
        queue->messages = messages;
        queue->capacity = capacity;
    }
    queue->messages[queue->count++] = *message;
}

void raft_send(struct raft *raft, struct raft_message message)
{
    message.from = raft->config.self;
    push(&raft->now, &message);
}

/* What a reply, or a request for votes, promises must be on the disk first: the term, the vote, the
 * entries. */
void raft_reply(struct raft *raft, struct raft_message message)
{
    message.from = raft->config.self;
    push(&raft->once_stored, &message);
}

void raft_output_begin(struct raft *raft)
{
    raft->now.count = 0;
    raft->once_stored.count = 0;
    raft->outcome_count = 0;
    raft->configuration_changed = false;
    raft->proposed_index = 0;
}

/* As much of the commit index as may be stored at any time: were it stored before the entries, a
 * crash could leave it beside others in their place. */
static uint64_t storable_commit(const struct raft *raft)
{
    if (raft->snapshot_is_new || raft->snapshot_sequence > raft->stored_sequence)
        return raft->handed_out.commit;
    return raft->commit < raft->log.stored ? raft->commit : raft->log.stored;
}

static void hand_out_writes(struct raft *raft, struct raft_output *ret)
{
    struct raft_hard_state state = {raft->term, raft->vote, storable_commit(raft)};
    bool term_or_vote_changed =
        state.term != raft->handed_out.term || !id_equal(&state.vote, &raft->handed_out.vote);
    uint64_t first = raft->log.handed_out + 1;
    ret->truncate_from = raft->log.truncated_from;
    bool needs_sync = term_or_vote_changed || raft->snapshot_is_new || ret->truncate_from > 0 ||
                      first <= raft_log_last_index(&raft->log);
    if (needs_sync) {
        ret->sequence = ++raft->sequence;
        ret->entry_count = raft_log_hand_out(&raft->log, ret->sequence);
        ret->entries = ret->entry_count > 0 ? raft_log_at(&raft->log, first) : NULL;
    }
    if (raft->snapshot_is_new) {
        ret->snapshot = &raft->snapshot;
        raft->snapshot_sequence = ret->sequence;
        raft->snapshot_is_new = false;
    }
    if (term_or_vote_changed)
        raft->hard_state_sequence = ret->sequence;
    ret->hard_state = state;
    ret->hard_state_changed = term_or_vote_changed || state.commit != raft->handed_out.commit;
    raft->handed_out = state;
}

/* Appends were queued with the place of their entries only: these may have moved since. */
static void find_entries(struct raft *raft)
{
    for (size_t i = 0; i < raft->now.count; i++) {
        struct raft_message *message = &raft->now.messages[i];
        if (message->type != RAFT_APPEND || message->entry_count == 0)
            continue;
        message->entries = raft_log_at(&raft->log, message->index + 1);
        assert(message->entries);
        assert(message->index + message->entry_count <= raft_log_last_index(&raft->log));
    }
}

static int64_t next_deadline(const struct raft *raft)
{
    if (raft->appends_due)
        return raft->now_ms;
    if (raft->role == RAFT_LEADER) {
        int64_t check_ms = raft->election_start_ms + raft->config.election_timeout_ms;
        return check_ms < raft->heartbeat_due_ms ? check_ms : raft->heartbeat_due_ms;
    }
    int64_t reads_ms = raft_reads_deadline(raft);
    int64_t election_ms = INT64_MAX;
    if (raft_is_promotable(raft))
        election_ms = raft_election_due_ms(raft);
    return election_ms < reads_ms ? election_ms : reads_ms;
}

void raft_output(struct raft *raft, bool writes, struct raft_output *ret)
{
    *ret = (struct raft_output){0};
    if (writes)
        hand_out_writes(raft, ret);
    find_entries(raft);
    if (raft->stored_sequence == raft->sequence) {
        for (size_t i = 0; i < raft->once_stored.count; i++)
            push(&raft->now, &raft->once_stored.messages[i]);
        raft->once_stored.count = 0;
    }
    ret->messages = raft->now.messages;
    ret->message_count = raft->now.count;
    ret->messages_once_stored = raft->once_stored.messages;
    ret->message_once_stored_count = raft->once_stored.count;
    ret->once_stored = raft->once_stored.count > 0 ? raft->sequence : 0;
    ret->reads = raft->outcomes;
    ret->read_count = raft->outcome_count;
    ret->proposed_index = raft->proposed_index;
    ret->proposed_term = raft->proposed_index > 0 ? raft->term : 0;
    ret->next_deadline_ms = next_deadline(raft);
}
