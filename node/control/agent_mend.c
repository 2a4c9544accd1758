/* A peer that lost a part of its log, or the snapshot under it, but neither its vote nor what comes
 * behind that part.
 *
 * It acknowledged what is gone: were it to vote or acknowledge as if it had not, what is committed
 * could be lost. So it takes no part in Raft, like one that is down, until the feed has brought a
 * state that was agreed on and is as new as all that it lost. With that as its snapshot it holds
 * again whatever it promised (docs/decisions/corrupt-records.md).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_private.h"

void agent_lost_free(struct agent_lost *lost)
{
    if (!lost)
        return;
    buffer_done(&lost->arena);
    free(lost->entries);
    free(lost);
}

int agent_lost_new(const struct raft_stored *stored, uint64_t through, struct agent_lost **ret)
{
    struct agent_lost *lost = calloc(1, sizeof(*lost));
    size_t size = 0;
    for (size_t i = 0; i < stored->entry_count; i++)
        size += stored->entries[i].data.size;
    if (lost)
        lost->entries = calloc(stored->entry_count + 1, sizeof(*lost->entries));
    if (!lost || !lost->entries || buffer_reserve(&lost->arena, size + 1) < 0) {
        agent_lost_free(lost);
        return -ENOMEM;
    }
    lost->through = through;
    lost->hard_state = stored->hard_state;
    for (; lost->entry_count < stored->entry_count; lost->entry_count++) {
        struct raft_entry entry = stored->entries[lost->entry_count];
        const uint8_t *copy = lost->arena.bytes + lost->arena.size;
        buffer_append(&lost->arena, entry.data.data, entry.data.size); /* there is room */
        entry.data.data = copy;
        lost->entries[lost->entry_count] = entry;
    }
    *ret = lost;
    return 0;
}

/* The own entries behind the state at (index, term): if there is another term at that index here,
 * what is here was never committed, nor what follows it. */
static size_t entries_behind(const struct agent_lost *lost, uint64_t index, uint64_t term)
{
    for (size_t i = 0; i < lost->entry_count; i++)
        if (lost->entries[i].index == index && lost->entries[i].term == term)
            return i + 1;
    return lost->entry_count;
}

static int store(struct agent *agent, const struct raft_stored *stored, struct buffer *state)
{
    struct agent_write *write = agent_add_write(agent);
    if (!write)
        return -ENOMEM;
    write->hard_state_changed = write->has_snapshot = true;
    write->keeps_log = stored->entry_count > 0;
    write->hard_state = stored->hard_state;
    write->intent = *state;
    buffer_init(state);
    write->snapshot = *stored->snapshot;
    write->snapshot.data = buffer_view(&write->intent);
    write->log_index = stored->log_index;
    write->log_term = stored->log_term;
    agent_feed_stored_by_raft(agent, write);
    return 0;
}

static int take_part_again(struct agent *agent)
{
    const struct agent_lost *lost = agent->lost;
    const struct intent *intent = agent->intent;
    size_t first = entries_behind(lost, intent->applied_index, intent->applied_term);
    cleanup_buffer struct buffer state = {0};
    struct raft_snapshot snapshot = {.index = intent->applied_index,
                                     .term = intent->applied_term,
                                     .configuration = intent->configuration};
    struct raft_stored stored = {.hard_state = lost->hard_state,
                                 .snapshot = &snapshot,
                                 .log_index = snapshot.index,
                                 .log_term = snapshot.term,
                                 .entries = lost->entries + first,
                                 .entry_count = lost->entry_count - first};
    if (stored.hard_state.term < snapshot.term)
        stored.hard_state = (struct raft_hard_state){.term = snapshot.term};
    if (stored.hard_state.commit < snapshot.index)
        stored.hard_state.commit = snapshot.index;
    int rc = intent_write(intent, &state);
    snapshot.data = buffer_view(&state);
    struct raft *before = agent->raft;
    if (rc == 0)
        rc = agent_raft_start(agent, &stored, agent->now_ms);
    if (rc < 0)
        return rc;
    raft_free(before);
    agent->raft_deadline_ms = agent->now_ms;
    return store(agent, &stored, &state);
}

void agent_mend(struct agent *agent)
{
    const struct agent_lost *lost = agent->lost;
    /* What follows the last that is lost hangs on nothing until the state is past it. */
    if (!lost || agent->intent->applied_index < lost->through + (lost->entry_count > 0))
        return;
    if (take_part_again(agent) < 0) {
        agent->failed = true;
        return;
    }
    agent_lost_free(agent->lost);
    agent->lost = NULL;
    agent_add_event(agent, AGENT_MENDED, &agent->self);
}
