#include "tests/sim/disk.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void disk_init(struct disk *disk)
{
    *disk = (struct disk){0};
    disk->last = &disk->first;
}

struct disk_batch *disk_batch_new(void)
{
    return sim_allocate(sizeof(struct disk_batch));
}

struct disk_batch *disk_batch_of(struct agent_write *write)
{
    struct disk_batch *batch = disk_batch_new();
    batch->has_write = true;
    batch->write = *write; /* the entries' and snapshot's data are in memory that moves along */
    write->entries = NULL;
    write->entry_count = 0;
    write->fed = NULL;
    write->fed_count = 0;
    buffer_init(&write->intent);
    buffer_init(&write->arena);
    return batch;
}

static void batch_free(struct disk_batch *batch)
{
    free(batch->write.entries);
    free(batch->write.fed);
    buffer_done(&batch->write.intent);
    buffer_done(&batch->write.arena);
    free(batch);
}

static void batches_free(struct disk_batch *batch)
{
    while (batch) {
        struct disk_batch *next = batch->next;
        batch_free(batch);
        batch = next;
    }
}

static void truncate_from(struct disk_entries *entries, uint64_t index)
{
    while (entries->count > 0 && entries->items[entries->count - 1].index >= index)
        free((void *)entries->items[--entries->count].data.data);
}

static void compact_to(struct disk_entries *entries, uint64_t index)
{
    size_t dropped = 0;
    while (dropped < entries->count && entries->items[dropped].index <= index)
        free((void *)entries->items[dropped++].data.data);
    entries->count -= dropped;
    if (dropped > 0)
        memmove(entries->items, entries->items + dropped, entries->count * sizeof(*entries->items));
}

static void put_bytes(struct buffer *buffer, struct bytes bytes)
{
    buffer_clear(buffer);
    if (buffer_append(buffer, bytes.data, bytes.size) < 0)
        abort();
}

static void put_snapshot(struct disk_content *content, const struct raft_snapshot *snapshot,
                         uint64_t log_index, uint64_t log_term)
{
    put_bytes(&content->snapshot_data, snapshot->data);
    content->has_snapshot = true;
    content->snapshot = *snapshot;
    content->log_index = log_index;
    content->log_term = log_term;
}

static void append(struct disk_entries *entries, const struct raft_entry *entry)
{
    assert(entries->count == 0 || entry->index == entries->items[entries->count - 1].index + 1);
    entries->items =
        sim_grow(entries->items, entries->count, &entries->capacity, sizeof(*entries->items));
    uint8_t *data = sim_allocate(entry->data.size + 1);
    if (entry->data.size > 0)
        memcpy(data, entry->data.data, entry->data.size);
    entries->items[entries->count++] = (struct raft_entry){.index = entry->index,
                                                           .term = entry->term,
                                                           .type = entry->type,
                                                           .data = {data, entry->data.size}};
}

static void forget(struct disk_content *content)
{
    truncate_from(&content->log, 0);
    truncate_from(&content->fed, 0);
    content->fed_index = 0;
    content->chain.count = 0;
    content->hard_state = (struct raft_hard_state){0};
    content->has_snapshot = false;
    content->log_index = content->log_term = 0;
    buffer_clear(&content->snapshot_data);
    buffer_clear(&content->intent);
    memset(content->seeds, 0, sizeof(content->seeds));
}

/* In the order of peer_store_write(). */
static void apply_write(struct disk_content *content, const struct agent_write *write)
{
    if (write->hard_state_changed)
        content->hard_state = write->hard_state;
    if (write->has_snapshot && write->keeps_log) {
        put_snapshot(content, &write->snapshot, write->log_index, write->log_term);
        compact_to(&content->log, write->log_index);
    } else if (write->has_snapshot) {
        put_snapshot(content, &write->snapshot, write->snapshot.index, write->snapshot.term);
        truncate_from(&content->log, 1);
    } else if (write->intent.size > 0) {
        put_bytes(&content->intent, buffer_view(&write->intent));
        truncate_from(&content->fed, 0);
    }
    if (write->drops_fed)
        truncate_from(&content->fed, 0);
    for (size_t i = 0; i < write->fed_count; i++)
        append(&content->fed, &write->fed[i]);
    if (write->truncate_from > 0)
        truncate_from(&content->log, write->truncate_from);
    for (size_t i = 0; i < write->entry_count; i++)
        append(&content->log, &write->entries[i]);
}

static void apply(struct disk_content *content, const struct disk_batch *batch)
{
    if (batch->has_seed)
        content->seeds[batch->seed] = batch->has_known;
    if (batch->has_write)
        apply_write(content, &batch->write);
    if (batch->fed_index > 0)
        content->fed_index = batch->fed_index;
}

void disk_done(struct disk *disk)
{
    batches_free(disk->first);
    batches_free(disk->syncing);
    forget(&disk->content);
    free(disk->content.log.items);
    free(disk->content.fed.items);
    buffer_done(&disk->content.snapshot_data);
    buffer_done(&disk->content.intent);
    disk_init(disk);
}

void disk_write(struct disk *disk, struct disk_batch *batch)
{
    *disk->last = batch;
    disk->last = &batch->next;
}

bool disk_sync_begin(struct disk *disk)
{
    if (disk->syncing || !disk->first)
        return false;
    disk->syncing = disk->first;
    disk->first = NULL;
    disk->last = &disk->first;
    return true;
}

void disk_sync_end(struct disk *disk, void (*each)(void *context, uint64_t sequence), void *context)
{
    struct disk_batch *batch = disk->syncing;
    disk->syncing = NULL;
    for (const struct disk_batch *applied = batch; applied; applied = applied->next)
        apply(&disk->content, applied);
    while (batch) {
        struct disk_batch *next = batch->next;
        uint64_t sequence = batch->write.sequence;
        batch_free(batch);
        if (sequence > 0)
            each(context, sequence);
        batch = next;
    }
}

void disk_crash(struct disk *disk, bool kept)
{
    for (const struct disk_batch *batch = disk->syncing; kept && batch; batch = batch->next)
        apply(&disk->content, batch);
    batches_free(disk->syncing);
    batches_free(disk->first);
    disk->syncing = disk->first = NULL;
    disk->last = &disk->first;
}

void disk_lose_tail(struct disk *disk)
{
    struct disk_content *content = &disk->content;
    if (content->log.count == 0)
        return;
    uint64_t last = content->log.items[content->log.count - 1].index;
    uint64_t floor = content->has_snapshot ? content->snapshot.index : 0;
    uint64_t from = last > floor + 3 ? last - 3 : floor + 1;
    truncate_from(&content->log, from);
    if (content->hard_state.commit >= from)
        content->hard_state.commit = from - 1;
}

void disk_lose_fed(struct disk *disk)
{
    truncate_from(&disk->content.fed, 0);
}

void disk_join(struct disk *disk, const struct certificate_chain *chain, struct bytes intent)
{
    disk->content.chain = *chain;
    put_bytes(&disk->content.intent, intent);
}

void disk_found(struct disk *disk, const struct certificate_chain *chain,
                const struct raft_snapshot *snapshot)
{
    disk->content.chain = *chain;
    put_snapshot(&disk->content, snapshot, snapshot->index, snapshot->term);
}

void disk_forget(struct disk *disk)
{
    forget(&disk->content);
}

void disk_load(const struct disk *disk, struct agent_stored *ret)
{
    struct disk_content *content = (struct disk_content *)&disk->content;
    content->snapshot.data = buffer_view(&content->snapshot_data);
    *ret = (struct agent_stored){
        .raft =
            {
                .hard_state = content->hard_state,
                .snapshot = content->has_snapshot ? &content->snapshot : NULL,
                .log_index = content->log_index,
                .log_term = content->log_term,
                .entries = content->log.items,
                .entry_count = content->log.count,
            },
        .intent = buffer_view(&content->intent),
        .fed = content->fed.items,
        .fed_count = content->fed.count,
    };
}
