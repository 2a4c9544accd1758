/* Cutting the log while it goes on.
 *
 * To write down a large intent takes long, and it changes meanwhile. So the state at an index is
 * made elsewhere, from what does not change: the snapshot before, and the entries that lead from it
 * to that index. That is long work, for another thread; the agent only copies these bytes, and
 * takes the result when it comes. Should it not come while the log outgrows its bounds twice over,
 * the work is done on the spot.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_private.h"

enum {
    OVERDUE_FACTOR = 2,
};

struct agent_compaction {
    uint64_t index;
    struct raft_configuration configuration; /* in force after it */
    struct buffer from;                      /* the snapshot's data before, and then … */
    struct raft_entry *entries;              /* … these entries; their data lies in `arena` */
    size_t entry_count;
    struct buffer arena;
    int rc; /* of making what follows */
    struct buffer state;
    uint8_t hash[RAFT_HASH_BYTES];
};

void agent_compaction_free(struct agent_compaction *compaction)
{
    if (!compaction)
        return;
    buffer_done(&compaction->from);
    buffer_done(&compaction->arena);
    buffer_done(&compaction->state);
    free(compaction->entries);
    free(compaction);
}

static int copy_entries(struct agent_compaction *compaction, const struct raft *raft,
                        uint64_t after)
{
    size_t size = 0, count = (size_t)(compaction->index - after);
    for (uint64_t i = after + 1; i <= compaction->index; i++)
        size += raft_entry_at(raft, i)->data.size;
    compaction->entries = calloc(count + 1, sizeof(*compaction->entries));
    if (!compaction->entries || buffer_reserve(&compaction->arena, size + 1) < 0)
        return -ENOMEM;
    for (; compaction->entry_count < count; compaction->entry_count++) {
        struct raft_entry entry = *raft_entry_at(raft, after + 1 + compaction->entry_count);
        const uint8_t *copy = compaction->arena.bytes + compaction->arena.size;
        buffer_append(&compaction->arena, entry.data.data, entry.data.size); /* there is room */
        entry.data.data = copy;
        compaction->entries[compaction->entry_count] = entry;
    }
    return 0;
}

/* What makes the state that the peer has applied now; NULL without memory, and then later. */
static struct agent_compaction *begin(const struct agent *agent)
{
    const struct raft_snapshot *before = raft_snapshot(agent->raft);
    struct agent_compaction *compaction = calloc(1, sizeof(*compaction));
    if (!compaction)
        return NULL;
    compaction->index = agent->raft_status.applied;
    compaction->configuration = *raft_configuration(agent->raft);
    compaction->rc = -ECANCELED;
    if (buffer_append(&compaction->from, before->data.data, before->data.size) < 0 ||
        copy_entries(compaction, agent->raft, before->index) < 0) {
        agent_compaction_free(compaction);
        return NULL;
    }
    return compaction;
}

static int make(struct agent_compaction *compaction, struct intent *intent)
{
    int rc = 0;
    for (size_t i = 0; i < compaction->entry_count && rc == 0; i++) {
        struct intent_result result = {0};
        struct id admitted;
        rc = feed_apply_entry(intent, &compaction->entries[i], &result, &admitted);
    }
    if (rc == 0)
        rc = intent_write(intent, &compaction->state);
    if (rc == 0)
        agent_raft_hash(buffer_view(&compaction->state), compaction->hash);
    return rc;
}

void agent_compaction_run(struct agent_compaction *compaction)
{
    struct intent *intent = NULL;
    compaction->rc = intent_read(buffer_view(&compaction->from), &intent);
    if (compaction->rc == 0)
        compaction->rc = make(compaction, intent);
    intent_free(intent);
}

/* How many of the entries up to `index` stay in the log, for slow followers, and behind a snapshot
 * that one of them is being sent: their bytes are bounded, too. */
static uint64_t entries_to_keep(const struct agent *agent, uint64_t index)
{
    const struct raft_status *status = &agent->raft_status;
    size_t left = agent->config.compact_after_bytes / AGENT_COMPACT_KEEP_PART;
    uint64_t keep = 0, most = AGENT_COMPACT_KEEP;
    if (status->sent_index > 0 && index > status->sent_index && index - status->sent_index > most)
        most = index - status->sent_index;
    while (keep < most) {
        const struct raft_entry *entry = raft_entry_at(agent->raft, index - keep);
        if (!entry || entry->data.size > left)
            break;
        left -= entry->data.size;
        keep++;
    }
    return keep;
}

static int add_write(struct agent *agent, struct agent_compaction *compaction)
{
    struct agent_write *write = agent_add_write(agent);
    if (!write)
        return -ENOMEM;
    write->has_snapshot = write->keeps_log = true;
    write->intent = compaction->state;
    buffer_init(&compaction->state);
    write->snapshot = *raft_snapshot(agent->raft);
    write->snapshot.data = buffer_view(&write->intent);
    write->log_index = agent->raft_status.first_index - 1;
    write->log_term = agent->raft_status.discarded_term;
    agent_feed_stored_by_raft(agent, write);
    return 0;
}

static int take(struct agent *agent, struct agent_compaction *compaction)
{
    struct raft_snapshot snapshot = {.index = compaction->index,
                                     .configuration = compaction->configuration,
                                     .data = buffer_view(&compaction->state)};
    memcpy(snapshot.hash, compaction->hash, sizeof(snapshot.hash));
    if (compaction->rc < 0)
        return 0; /* no memory was there: later */
    int rc = raft_compact(agent->raft, &snapshot, entries_to_keep(agent, compaction->index));
    if (rc < 0)
        return rc == -ENOMEM ? rc : 0; /* a snapshot of the leader's is newer */
    raft_status(agent->raft, &agent->raft_status);
    return add_write(agent, compaction);
}

void agent_compacted(struct agent *agent, struct agent_compaction *compaction)
{
    agent->is_compacting = false;
    if (agent->renewal.intent) {
        agent_compaction_free(compaction); /* the log that it is of is over, and so written */
        return;
    }
    if (take(agent, compaction) < 0)
        agent->failed = true;
    agent_compaction_free(compaction);
}

/* Whether the log is `factor` times as long as it may be, in entries or in bytes. */
static bool is_long(const struct agent *agent, unsigned factor)
{
    const struct raft_status *status = &agent->raft_status;
    uint64_t new_entries = status->applied - raft_snapshot(agent->raft)->index;
    uint64_t log_entries = status->last_index + 1 - status->first_index;
    uint64_t most = (uint64_t)factor * agent->config.compact_after_entries;
    if (new_entries == 0)
        return false;
    return (new_entries >= most && log_entries >= most + AGENT_COMPACT_KEEP) ||
           status->log_bytes >= (uint64_t)factor * agent->config.compact_after_bytes;
}

void agent_compact(struct agent *agent)
{
    if (agent->renewal.intent || !raft_snapshot(agent->raft) || !is_long(agent, 1))
        return;
    bool was_compacting = agent->is_compacting;
    if (was_compacting && !is_long(agent, OVERDUE_FACTOR))
        return;
    struct agent_compaction *compaction = begin(agent);
    if (!compaction)
        return;
    agent->is_compacting = true;
    if (!was_compacting) {
        agent->output->compaction = compaction;
        return;
    }
    agent_compaction_run(compaction);
    agent_compacted(agent, compaction);
    agent->is_compacting = true; /* the other one still is to come */
}
