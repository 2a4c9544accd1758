/* Everything of a step that can fail: the input is checked and all memory for it allocated before
 * anything changes, so that what follows cannot stop halfway. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/writer.h"
#include "consensus/raft_internal.h"

void raft_stage_done(struct raft_staged *staged)
{
    for (size_t i = 0; i < staged->entry_count; i++)
        free((void *)staged->entries[i].data.data);
    free(staged->entries);
    free(staged->incoming);
    *staged = (struct raft_staged){0};
}

static int copy_bytes(struct bytes bytes, struct bytes *ret)
{
    uint8_t *data = NULL;
    if (bytes.size > 0) {
        data = malloc(bytes.size);
        if (!data)
            return -ENOMEM;
        memcpy(data, bytes.data, bytes.size);
    }
    *ret = (struct bytes){data, bytes.size};
    return 0;
}

static int stage_entries(struct raft *raft, const struct raft_entry *entries, size_t count)
{
    struct raft_staged *staged = &raft->staged;
    int rc = raft_log_reserve(&raft->log, count + RAFT_LOG_SPARE);
    if (rc < 0 || count == 0)
        return rc;
    staged->entries = calloc(count, sizeof(*staged->entries));
    if (!staged->entries)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        struct raft_entry entry = entries[i];
        entry.sequence = 0;
        rc = copy_bytes(entries[i].data, &entry.data);
        if (rc < 0)
            return rc;
        staged->entries[staged->entry_count++] = entry;
    }
    return 0;
}

/* The entries follow `index` and each other, and no term goes back or is not begun yet. */
static bool entries_are_consistent(const struct raft_message *message)
{
    if (message->entry_count > RAFT_MESSAGE_ENTRIES_MAX || message->log_term > message->term)
        return false;
    uint64_t term = message->log_term;
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        if (entry->index != message->index + 1 + i || entry->term < term || entry->term == 0 ||
            entry->term > message->term || entry->type > RAFT_ENTRY_CONFIGURATION ||
            entry->data.size > RAFT_ENTRY_BYTES_MAX)
            return false;
        term = entry->term;
    }
    return true;
}

/* A chunk comes from the one leader of its term, and lies within what it is a part of. */
static bool chunk_is_consistent(const struct raft *raft, const struct raft_message *message)
{
    const struct raft_snapshot *snapshot = message->snapshot;
    bool comes_from_another = message->term == raft->term && !id_is_none(&raft->leader) &&
                              !id_equal(&raft->leader, &message->from);
    return snapshot && snapshot->index > 0 && snapshot->index <= INT64_MAX && snapshot->term > 0 &&
           snapshot->term <= message->term && snapshot->data.size <= RAFT_SNAPSHOT_BYTES_MAX &&
           message->chunk.size <= RAFT_CHUNK_BYTES_MAX && message->offset <= snapshot->data.size &&
           message->chunk.size <= snapshot->data.size - message->offset && !comes_from_another;
}

static int check_message(const struct raft *raft, const struct raft_message *message)
{
    if (id_is_none(&message->from) || id_equal(&message->from, &raft->config.self) ||
        message->type >= RAFT_MESSAGE_TYPES || message->term == 0 || message->term > INT64_MAX ||
        message->index > INT64_MAX || message->hint_index > INT64_MAX)
        return -EPROTO;
    if (raft_message_is_to_leader(message->type) && !raft_may_answer(raft, &message->from))
        return -ESRCH;
    bool is_answer_to_leader = raft->role == RAFT_LEADER && message->term == raft->term;
    switch (message->type) {
    case RAFT_APPEND:
        return entries_are_consistent(message) ? 0 : -EPROTO;
    case RAFT_APPEND_REPLY:
        if (is_answer_to_leader && !message->reject &&
            message->index > raft_log_last_index(&raft->log))
            return -EPROTO;
        return 0;
    case RAFT_SNAPSHOT:
        return chunk_is_consistent(raft, message) ? 0 : -EPROTO;
    default:
        return 0;
    }
}

static int stage_message(struct raft *raft, const struct raft_message *message)
{
    int rc = check_message(raft, message);
    if (rc < 0)
        return rc;
    size_t known = 0, count = 0;
    if (message->type == RAFT_APPEND && message->term >= raft->term &&
        message->index >= raft->commit &&
        raft_log_matches(&raft->log, message->index, message->log_term)) {
        count = message->entry_count;
        while (known < count && raft_log_matches(&raft->log, message->entries[known].index,
                                                 message->entries[known].term))
            known++;
    }
    if (message->type == RAFT_SNAPSHOT)
        rc = raft_stage_chunk(raft, message);
    if (rc == 0 && known < count)
        rc = stage_entries(raft, message->entries + known, count - known);
    return rc;
}

static int check_leads(const struct raft *raft)
{
    if (raft->role != RAFT_LEADER)
        return -EREMOTE;
    if (raft_member_of(raft, &raft->config.self) < 0 || !id_is_none(&raft->transfer_target))
        return -EAGAIN;
    return 0;
}

static int stage_proposal(struct raft *raft, struct bytes data)
{
    int rc = check_leads(raft);
    if (rc < 0)
        return rc;
    if (data.size > RAFT_ENTRY_BYTES_MAX)
        return -E2BIG;
    size_t used = raft->uncommitted_bytes, max = raft->config.uncommitted_bytes_max;
    if (used > 0 && data.size > 0 && (used >= max || data.size > max - used))
        return -EBUSY;
    return stage_entries(raft, &(struct raft_entry){.type = RAFT_ENTRY_COMMAND, .data = data}, 1);
}

static int stage_changes(struct raft *raft, const struct raft_changes *changes)
{
    struct raft_configuration after;
    int rc = check_leads(raft);
    if (rc < 0)
        return rc;
    if (raft->pending_configuration > raft->applied)
        return -EBUSY;
    rc = raft_configuration_change(&raft->configuration, changes, &after);
    if (rc < 0)
        return rc;
    cleanup_buffer struct buffer buffer;
    struct writer writer;
    buffer_init(&buffer);
    writer_init(&writer, &buffer);
    raft_changes_write(changes, &writer);
    rc = writer_check(&writer);
    if (rc < 0)
        return rc;
    struct raft_entry entry = {.type = RAFT_ENTRY_CONFIGURATION, .data = buffer_view(&buffer)};
    return stage_entries(raft, &entry, 1);
}

static int check_read(const struct raft *raft)
{
    if (raft->role != RAFT_LEADER && id_is_none(&raft->leader))
        return -EREMOTE;
    if (raft->role == RAFT_LEADER && !raft_committed_in_term(raft))
        return -EAGAIN;
    return raft->read_count == RAFT_READS_MAX ? -EBUSY : 0;
}

static int check_transfer(const struct raft *raft, const struct id *target)
{
    if (raft->role != RAFT_LEADER)
        return -EREMOTE;
    return raft_configuration_votes(&raft->configuration, target) ? 0 : -ENOENT;
}

/* A lease that is read by counts on this peer's loyalty. */
static int check_disloyal(const struct raft *raft, int64_t now_ms)
{
    return raft->config.read_by_lease && raft_is_loyal(raft, now_ms) ? -EPERM : 0;
}

static int stage_by_type(struct raft *raft, const struct raft_input *input)
{
    switch (input->type) {
    case RAFT_MESSAGE:
        return stage_message(raft, input->message);
    case RAFT_STORED:
        return input->sequence > raft->sequence ? -EINVAL : 0;
    case RAFT_PROPOSE:
        return stage_proposal(raft, input->data);
    case RAFT_PROPOSE_CONFIGURATION:
        return stage_changes(raft, input->changes);
    case RAFT_TRANSFER:
        return check_transfer(raft, &input->peer);
    case RAFT_READ:
        return check_read(raft);
    case RAFT_UNREACHABLE:
        return raft_member_of(raft, &input->peer) < 0 ? -ENOENT : 0;
    case RAFT_CAMPAIGN:
        if (raft->role == RAFT_LEADER)
            return 0;
        return raft_may_campaign(raft) ? check_disloyal(raft, input->now_ms) : -EAGAIN;
    case RAFT_FORGET_LEADER:
        return check_disloyal(raft, input->now_ms);
    case RAFT_TICK:
        return 0;
    }
    return -EINVAL;
}

int raft_stage(struct raft *raft, const struct raft_input *input)
{
    int rc = raft_log_reserve(&raft->log, RAFT_LOG_SPARE);
    if (rc == 0)
        rc = stage_by_type(raft, input);
    if (rc < 0)
        raft_stage_done(&raft->staged);
    return rc;
}
