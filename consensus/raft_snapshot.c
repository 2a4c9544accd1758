/* Snapshots (§7): for followers that need what was discarded, and discarding. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/raft_internal.h"

bool raft_send_snapshot(struct raft *raft, uint32_t member)
{
    struct raft_progress *progress = &raft->progress[member];
    /* A snapshot is too large to send to who may not be there. */
    if (!(progress->active || progress->is_new) || raft->snapshot.index == 0)
        return false;
    raft_send(raft, (struct raft_message){
                        .type = RAFT_SNAPSHOT,
                        .to = raft->configuration.members[member].id,
                        .term = raft->term,
                        .snapshot = &raft->snapshot,
                    });
    raft_progress_install(progress, raft->snapshot.index, raft->now_ms);
    return true;
}

static void replace_snapshot(struct raft *raft, struct raft_snapshot snapshot)
{
    free((void *)raft->snapshot.data.data);
    raft->snapshot = snapshot;
}

void raft_take_snapshot(struct raft *raft, const struct raft_message *message)
{
    const struct raft_snapshot *offered = message->snapshot;
    if (raft_log_matches(&raft->log, offered->index, offered->term) &&
        offered->index > raft->commit) {
        raft->commit = offered->index; /* this log has all of it */
    } else if (offered->index > raft->commit) {
        struct raft_snapshot snapshot = *offered;
        snapshot.data.data = raft->staged.snapshot_data;
        raft->staged.snapshot_data = NULL;
        replace_snapshot(raft, snapshot);
        raft_log_reset(&raft->log, snapshot.index, snapshot.term);
        raft->commit = raft->applied = snapshot.index;
        raft->snapshot_is_new = true;
        raft_adopt_configuration(raft, &raft->snapshot.configuration);
    }
    raft_reply(raft, (struct raft_message){
                         .type = RAFT_APPEND_REPLY,
                         .to = message->from,
                         .term = raft->term,
                         .index = raft->commit,
                     });
}

int raft_compact(struct raft *raft, uint64_t index, uint64_t keep, struct bytes state)
{
    if (index != raft->applied || index == 0)
        return -EINVAL;
    if (state.size > RAFT_SNAPSHOT_BYTES_MAX)
        return -E2BIG;
    uint8_t *data = malloc(state.size + 1);
    if (!data)
        return -ENOMEM;
    if (state.size > 0)
        memcpy(data, state.data, state.size);
    struct raft_snapshot snapshot = {
        .index = index,
        .configuration = raft->configuration,
        .data = {data, state.size},
    };
    bool is_known = raft_log_term(&raft->log, index, &snapshot.term);
    assert(is_known);
    replace_snapshot(raft, snapshot);
    if (keep < index)
        raft_log_discard(&raft->log, index - keep);
    return 0;
}
