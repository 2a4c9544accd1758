#include "consensus/raft_log.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOG_CAPACITY_MIN = 16,
};

static void drop_entries(struct raft_log *log, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        log->bytes -= log->entries[i].data.size;
        free((void *)log->entries[i].data.data);
    }
}

void raft_log_init(struct raft_log *log, uint64_t index, uint64_t term)
{
    *log = (struct raft_log){0};
    raft_log_reset(log, index, term);
}

void raft_log_done(struct raft_log *log)
{
    drop_entries(log, 0, log->count);
    free(log->entries);
    *log = (struct raft_log){0};
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
    drop_entries(log, 0, log->count);
    log->count = 0;
    log->offset = log->stored = log->handed_out = index;
    log->offset_term = term;
    log->truncated_from = 0;
    log->last_configuration = 0;
}

int raft_log_reserve(struct raft_log *log, size_t count)
{
    if (count <= log->capacity - log->count)
        return 0;
    if (count > SIZE_MAX / sizeof(*log->entries) / 2 - log->count)
        return -ENOMEM;
    size_t capacity = log->capacity ? log->capacity : LOG_CAPACITY_MIN;
    while (capacity - log->count < count)
        capacity *= 2;
    struct raft_entry *entries = reallocarray(log->entries, capacity, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    log->entries = entries;
    log->capacity = capacity;
    return 0;
}

void raft_log_append(struct raft_log *log, struct raft_entry entry)
{
    assert(log->count < log->capacity);
    assert(entry.index == raft_log_last_index(log) + 1);
    assert(entry.term >= raft_log_last_term(log));
    if (entry.type == RAFT_ENTRY_CONFIGURATION)
        log->last_configuration = entry.index;
    log->bytes += entry.data.size;
    log->entries[log->count++] = entry;
}

/* The highest configuration entry up to where the log ends now. */
static void find_last_configuration(struct raft_log *log)
{
    size_t i = log->count;
    while (i > 0 && log->entries[i - 1].type != RAFT_ENTRY_CONFIGURATION)
        i--;
    log->last_configuration = i > 0 ? log->entries[i - 1].index : 0;
}

void raft_log_truncate(struct raft_log *log, uint64_t index)
{
    assert(index > log->offset);
    if (index > raft_log_last_index(log))
        return;
    size_t keep = index - log->offset - 1;
    drop_entries(log, keep, log->count);
    log->count = keep;
    if (index <= log->handed_out) {
        if (log->truncated_from == 0 || index < log->truncated_from)
            log->truncated_from = index;
        log->handed_out = index - 1;
    }
    if (index <= log->stored)
        log->stored = index - 1;
    if (log->last_configuration >= index)
        find_last_configuration(log);
}

void raft_log_discard(struct raft_log *log, uint64_t index)
{
    assert(index <= log->stored);
    if (index <= log->offset)
        return;
    size_t count = index - log->offset;
    log->offset_term = log->entries[count - 1].term;
    log->offset = index;
    drop_entries(log, 0, count);
    log->count -= count;
    memmove(log->entries, log->entries + count, log->count * sizeof(*log->entries));
    if (log->last_configuration <= index)
        log->last_configuration = 0;
}

uint64_t raft_log_last_index(const struct raft_log *log)
{
    return log->offset + log->count;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->count > 0 ? log->entries[log->count - 1].term : log->offset_term;
}

const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index)
{
    if (index <= log->offset || index > raft_log_last_index(log))
        return NULL;
    return &log->entries[index - log->offset - 1];
}

bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *ret)
{
    if (index == log->offset) {
        *ret = log->offset_term;
        return true;
    }
    const struct raft_entry *entry = raft_log_at(log, index);
    if (!entry)
        return false;
    *ret = entry->term;
    return true;
}

bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t ours;
    return raft_log_term(log, index, &ours) && ours == term;
}

uint64_t raft_log_conflict(const struct raft_log *log, uint64_t index, uint64_t term,
                           uint64_t *ret_term)
{
    for (; index > 0; index--) {
        uint64_t ours = 0;
        if (!raft_log_term(log, index, &ours) || ours <= term) {
            *ret_term = ours;
            return index;
        }
    }
    *ret_term = 0;
    return 0;
}

size_t raft_log_batch(const struct raft_log *log, uint64_t index, size_t bytes_max)
{
    size_t count = 0, bytes = 0;
    while (count < RAFT_MESSAGE_ENTRIES_MAX) {
        const struct raft_entry *entry = raft_log_at(log, index + count);
        if (!entry || (count > 0 && (bytes >= bytes_max || entry->data.size > bytes_max - bytes)))
            break;
        bytes += entry->data.size;
        count++;
    }
    return count;
}

const struct raft_entry *raft_log_next_configuration(const struct raft_log *log, uint64_t after,
                                                     uint64_t last)
{
    if (log->last_configuration <= after)
        return NULL;
    for (uint64_t index = after + 1; index <= last; index++) {
        const struct raft_entry *entry = raft_log_at(log, index);
        if (entry && entry->type == RAFT_ENTRY_CONFIGURATION)
            return entry;
    }
    return NULL;
}

size_t raft_log_hand_out(struct raft_log *log, uint64_t sequence)
{
    size_t first = log->handed_out - log->offset;
    for (size_t i = first; i < log->count; i++)
        log->entries[i].sequence = sequence;
    log->handed_out = raft_log_last_index(log);
    log->truncated_from = 0;
    return log->count - first;
}

void raft_log_store(struct raft_log *log, uint64_t sequence)
{
    while (log->stored < log->handed_out &&
           log->entries[log->stored - log->offset].sequence <= sequence)
        log->stored++;
}
