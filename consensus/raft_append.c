/* Replication (§5.3) and commitment (§5.4.2): the leader's side, then the follower's. */
#include <assert.h>

#include "consensus/raft_internal.h"

void raft_append_own(struct raft *raft, enum raft_entry_type type, struct bytes data)
{
    raft_log_append(&raft->log, (struct raft_entry){
                                    .index = raft_log_last_index(&raft->log) + 1,
                                    .term = raft->term,
                                    .type = type,
                                    .data = data,
                                });
    raft->uncommitted_bytes += data.size;
}

bool raft_send_append(struct raft *raft, uint32_t member, bool even_if_empty)
{
    struct raft_progress *progress = &raft->progress[member];
    struct raft_message message = {
        .type = RAFT_APPEND,
        .to = raft->configuration.members[member].id,
        .term = raft->term,
        .index = progress->next - 1,
        .commit = raft->commit,
    };
    if (!raft_progress_may_send(progress))
        return false;
    if (!raft_log_term(&raft->log, message.index, &message.log_term))
        return raft_send_snapshot(raft, member);
    /* A follower with too much under way still gets an empty append: should all of that be lost,
     * its refusal says so. */
    if (progress->state != RAFT_REPLICATE ||
        !raft_progress_is_full(progress, raft->config.inflight_max))
        message.entry_count =
            raft_log_batch(&raft->log, progress->next, raft->config.message_bytes_max);
    if (message.entry_count == 0 && !even_if_empty)
        return false;
    raft_send(raft, message);
    raft_progress_sent(progress, message.entry_count, raft->commit, raft->config.inflight_max);
    return true;
}

void raft_send_appends(struct raft *raft)
{
    for (uint32_t i = 0; i < raft->configuration.count; i++)
        if (!raft_is_self(raft, i))
            raft_send_append(raft, i, true);
}

bool raft_advance_commit(struct raft *raft)
{
    uint64_t held[RAFT_MEMBERS_MAX];
    for (uint32_t i = 0; i < raft->configuration.count; i++)
        held[i] = raft->progress[i].match;
    uint64_t index = raft_configuration_committed(&raft->configuration, held);
    uint64_t term;
    /* §5.4.2: only an entry of its own term is committed by counting. */
    if (index == UINT64_MAX || !raft_log_term(&raft->log, index, &term) || term != raft->term)
        return false;
    if (index <= raft->commit)
        return false;
    raft->commit = index;
    return true;
}

/* Goes on after news of what a member holds. */
static void go_on(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    if (raft_advance_commit(raft))
        raft_send_appends(raft);
    else if (!raft_is_self(raft, member) && raft_progress_wants_commit(progress, raft->commit))
        raft_send_append(raft, member, true);
    if (raft_is_self(raft, member))
        return;
    while (raft_send_append(raft, member, false)) {
    }
    if (id_equal(&raft->transfer_target, &raft->configuration.members[member].id) &&
        progress->match == raft_log_last_index(&raft->log))
        raft_send_timeout_now(raft, &raft->transfer_target);
}

void raft_own_log_was_stored(struct raft *raft)
{
    int self = raft_member_of(raft, &raft->config.self);
    if (raft->role != RAFT_LEADER || self < 0)
        return;
    struct raft_progress *progress = &raft->progress[self];
    progress->active = true;
    if (progress->state != RAFT_REPLICATE)
        raft_progress_replicate(progress);
    if (raft_progress_acknowledge(progress, raft->log.stored))
        go_on(raft, (uint32_t)self);
}

static void take_refusal(struct raft *raft, uint32_t member, const struct raft_message *message)
{
    struct raft_progress *progress = &raft->progress[member];
    uint64_t hint = message->hint_index;
    uint64_t term;
    /* §5.3, the fast way back: skip all that is of a later term than the follower has there. */
    if (message->log_term > 0)
        hint = raft_log_conflict(&raft->log, hint, message->log_term, &term);
    if (!raft_progress_step_back(progress, message->index, hint))
        return;
    if (progress->state == RAFT_REPLICATE)
        raft_progress_probe(progress);
    raft_send_append(raft, member, true);
}

void raft_take_append_reply(struct raft *raft, uint32_t member, const struct raft_message *message)
{
    struct raft_progress *progress = &raft->progress[member];
    if (message->reject) {
        take_refusal(raft, member, message);
        return;
    }
    bool is_news = raft_progress_acknowledge(progress, message->index);
    if (!is_news && !(progress->match == message->index && progress->state == RAFT_PROBE))
        return;
    if (progress->state == RAFT_PROBE ||
        (progress->state == RAFT_INSTALL && progress->match >= raft->log.offset))
        raft_progress_replicate(progress);
    go_on(raft, member);
}

static void reply_to_append(struct raft *raft, const struct id *to, uint64_t index)
{
    raft_reply(raft, (struct raft_message){
                         .type = RAFT_APPEND_REPLY, .to = *to, .term = raft->term, .index = index});
}

void raft_take_append(struct raft *raft, const struct raft_message *message)
{
    if (message->index < raft->commit) {
        reply_to_append(raft, &message->from, raft->commit);
        return;
    }
    if (!raft_log_matches(&raft->log, message->index, message->log_term)) {
        struct raft_message refusal = {
            .type = RAFT_APPEND_REPLY,
            .to = message->from,
            .term = raft->term,
            .reject = true,
            .index = message->index,
        };
        uint64_t last = raft_log_last_index(&raft->log);
        refusal.hint_index =
            raft_log_conflict(&raft->log, message->index < last ? message->index : last,
                              message->log_term, &refusal.log_term);
        raft_reply(raft, refusal);
        return;
    }
    /* Staged are the entries from the first on that is not in the log (§5.3: an entry that is there
     * with another term goes, with all behind it; one that is there stays). */
    struct raft_staged *staged = &raft->staged;
    if (staged->entry_count > 0)
        raft_log_truncate(&raft->log, staged->entries[0].index);
    for (size_t i = 0; i < staged->entry_count; i++)
        raft_log_append(&raft->log, staged->entries[i]);
    staged->entry_count = 0;

    uint64_t last_new = message->index + message->entry_count;
    uint64_t commit = message->commit < last_new ? message->commit : last_new;
    if (commit > raft->commit)
        raft->commit = commit;
    raft_learn_commit(raft);
    reply_to_append(raft, &message->from, last_new);
}
