#include "tests/sim/raft/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/reader.h"
#include "base/writer.h"
#include "node/bounds.h"
#include "node/store/record.h"
#include "tests/sim/raft/machine.h"

enum {
    SECTOR_BYTES = 64, /* smaller than real ones, so that rubbish hits a part of a record */
    INDEX_BYTES = 8,
    ENTRY_HEAD_BYTES = 9, /* term and type */
};

void *sim_grow(void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return items;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    void *grown = reallocarray(items, wanted, size);
    if (!grown)
        abort();
    *capacity = wanted;
    return grown;
}

struct bytes sim_copy(struct bytes bytes)
{
    uint8_t *data = malloc(bytes.size + 1);
    if (!data)
        abort();
    if (bytes.size > 0)
        memcpy(data, bytes.data, bytes.size);
    return (struct bytes){data, bytes.size};
}

struct raft_snapshot *sim_snapshot_copy(const struct raft_snapshot *snapshot)
{
    struct raft_snapshot *copy = malloc(sizeof(*copy));
    if (!copy)
        abort();
    *copy = *snapshot;
    copy->data = sim_copy(snapshot->data);
    return copy;
}

void sim_store_init(struct sim_store *store)
{
    *store = (struct sim_store){0};
}

static void batch_done(struct sim_batch *batch)
{
    if (batch->snapshot)
        free((void *)batch->snapshot->data.data);
    free(batch->snapshot);
    for (size_t i = 0; i < batch->entry_count; i++)
        free((void *)batch->entries[i].data.data);
    free(batch->entries);
    *batch = (struct sim_batch){0};
}

static void record_done(struct sim_record *record)
{
    free(record->bytes);
    *record = (struct sim_record){0};
}

static void truncate_log(struct sim_store *store, uint64_t from)
{
    while (store->log_count > 0 && store->log_index + store->log_count >= from)
        record_done(&store->log[--store->log_count]);
}

void sim_store_done(struct sim_store *store)
{
    for (size_t i = 0; i < store->waiting_count; i++)
        batch_done(&store->waiting[i]);
    truncate_log(store, 0);
    record_done(&store->hard_state);
    record_done(&store->snapshot);
    free(store->waiting);
    free(store->log);
    *store = (struct sim_store){0};
}

void sim_store_queue(struct sim_store *store, struct sim_batch *batch)
{
    store->waiting = sim_grow(store->waiting, store->waiting_count, &store->waiting_capacity,
                              sizeof(*store->waiting));
    store->waiting[store->waiting_count++] = *batch;
    *batch = (struct sim_batch){0};
}

bool sim_store_begin(struct sim_store *store)
{
    if (store->committing > 0 || store->waiting_count == 0)
        return false;
    store->committing = store->waiting_count;
    return true;
}

/* ---- records --------------------------------------------------------------------------------- */

static struct bytes log_key(uint64_t index, uint8_t key[INDEX_BYTES])
{
    for (int i = 0; i < INDEX_BYTES; i++)
        key[i] = (uint8_t)(index >> 8 * (INDEX_BYTES - 1 - i));
    return (struct bytes){key, INDEX_BYTES};
}

static void put(struct sim_record *record, struct bytes key, struct bytes value)
{
    struct buffer sealed = {0};
    if (record_seal(key, value, &sealed) < 0)
        abort();
    free(record->bytes);
    *record = (struct sim_record){sealed.bytes, sealed.size};
}

static void put_hard_state(struct sim_store *store, const struct raft_hard_state *state)
{
    uint8_t value[sizeof(*state)];
    memcpy(value, state, sizeof(*state));
    put(&store->hard_state, bytes_of_text("raft.hard_state"), (struct bytes){value, sizeof(value)});
    store->durable = *state;
}

static void put_snapshot(struct sim_store *store, const struct raft_snapshot *snapshot)
{
    cleanup_buffer struct buffer value = {0};
    struct writer writer;
    writer_init(&writer, &value);
    writer_u64(&writer, snapshot->index);
    writer_u64(&writer, snapshot->term);
    writer_u64(&writer, store->log_index);
    writer_u64(&writer, store->log_term);
    raft_configuration_write(&snapshot->configuration, &writer);
    writer_binary(&writer, snapshot->data.data, snapshot->data.size);
    if (writer_check(&writer) < 0)
        abort();
    put(&store->snapshot, bytes_of_text("raft.snapshot"), buffer_view(&value));
    store->snapshot_index = snapshot->index;
}

static void append(struct sim_store *store, const struct raft_entry *entry)
{
    uint8_t key[INDEX_BYTES], head[ENTRY_HEAD_BYTES];
    cleanup_buffer struct buffer value = {0};
    if (entry->index != store->log_index + store->log_count + 1)
        abort(); /* LMDB's store refuses a gap, too */
    log_key(entry->term, head);
    head[INDEX_BYTES] = (uint8_t)entry->type;
    if (buffer_append(&value, head, sizeof(head)) < 0 ||
        buffer_append(&value, entry->data.data, entry->data.size) < 0)
        abort();
    store->log = sim_grow(store->log, store->log_count, &store->log_capacity, sizeof(*store->log));
    store->log[store->log_count] = (struct sim_record){0};
    put(&store->log[store->log_count++], log_key(entry->index, key), buffer_view(&value));
}

static uint64_t read_index(const uint8_t *bytes)
{
    uint64_t index = 0;
    for (int i = 0; i < INDEX_BYTES; i++)
        index = index << 8 | bytes[i];
    return index;
}

bool sim_store_term(const struct sim_store *store, uint64_t index, uint64_t *ret)
{
    if (index <= store->log_index || index > store->log_index + store->log_count)
        return false;
    *ret = read_index(store->log[index - store->log_index - 1].bytes + STORE_CHECKSUM_BYTES);
    return true;
}

bool sim_store_holds(const struct sim_store *store, uint64_t index, uint64_t term)
{
    uint64_t ours;
    if (index <= store->snapshot_index)
        return true;
    return sim_store_term(store, index, &ours) && ours == term;
}

/* ---- commits --------------------------------------------------------------------------------- */

static void compact_log(struct sim_store *store, uint64_t through)
{
    size_t count = 0;
    while (count < store->log_count && store->log_index + count + 1 <= through) {
        sim_store_term(store, store->log_index + count + 1, &store->log_term);
        record_done(&store->log[count++]);
    }
    store->log_index += count;
    store->log_count -= count;
    if (count > 0)
        memmove(store->log, store->log + count, store->log_count * sizeof(*store->log));
}

/* In the order of peer_store_write(). */
static void apply(struct sim_store *store, const struct sim_batch *batch)
{
    if (batch->has_hard_state)
        put_hard_state(store, &batch->hard_state);
    if (batch->snapshot && batch->discard_through > 0) {
        compact_log(store, batch->discard_through);
        put_snapshot(store, batch->snapshot);
    } else if (batch->snapshot) {
        truncate_log(store, 0);
        store->log_index = batch->snapshot->index;
        store->log_term = batch->snapshot->term;
        put_snapshot(store, batch->snapshot);
    }
    if (batch->truncate_from > 0)
        truncate_log(store, batch->truncate_from);
    for (size_t i = 0; i < batch->entry_count; i++)
        append(store, &batch->entries[i]);
}

uint64_t sim_store_finish(struct sim_store *store)
{
    uint64_t sequence = 0;
    size_t count = store->committing;
    for (size_t i = 0; i < count; i++) {
        apply(store, &store->waiting[i]);
        if (store->waiting[i].sequence > 0)
            sequence = store->waiting[i].sequence;
        batch_done(&store->waiting[i]);
    }
    store->waiting_count -= count;
    memmove(store->waiting, store->waiting + count, store->waiting_count * sizeof(*store->waiting));
    store->committing = 0;
    store->transaction++;
    return sequence;
}

void sim_store_crash(struct sim_store *store, struct random *random)
{
    if (store->committing > 0 && random_chance(random, 1, 2))
        sim_store_finish(store);
    for (size_t i = 0; i < store->waiting_count; i++)
        batch_done(&store->waiting[i]);
    store->waiting_count = store->committing = 0;
}

static bool spoil_record(struct sim_record *record, struct random *random)
{
    if (!record->bytes)
        return false;
    size_t sectors = (record->size + SECTOR_BYTES - 1) / SECTOR_BYTES;
    size_t at = random_below(random, sectors) * SECTOR_BYTES;
    size_t size = record->size - at < SECTOR_BYTES ? record->size - at : SECTOR_BYTES;
    cleanup_buffer struct buffer before = {0};
    if (buffer_append(&before, record->bytes + at, size) < 0)
        abort();
    random_fill(random, record->bytes + at, size);
    return memcmp(before.bytes, record->bytes + at, size) != 0;
}

bool sim_store_spoil(struct sim_store *store, struct random *random)
{
    switch (random_below(random, 5)) {
    case 0: /* the meta page that a torn write would hit */
        store->meta_is_rubbish[(store->transaction + 1) % 2] = true;
        return true;
    case 1:
        return spoil_record(&store->hard_state, random);
    case 2:
        return spoil_record(&store->snapshot, random);
    case 3:
        return store->log_count > 0 &&
               spoil_record(&store->log[random_below(random, store->log_count)], random);
    default:
        return false; /* a free page */
    }
}

/* ---- opening --------------------------------------------------------------------------------- */

static int damaged(char *words, size_t size, const char *what)
{
    snprintf(words, size, "%s is corrupt", what);
    return -EBADMSG;
}

static int open_snapshot(const struct sim_store *store, struct sim_opened *opened)
{
    struct bytes value, data;
    struct reader reader;
    if (record_open(bytes_of_text("raft.snapshot"),
                    (struct bytes){store->snapshot.bytes, store->snapshot.size}, &value) < 0)
        return -EBADMSG;
    struct raft_snapshot *snapshot = &opened->snapshot;
    reader_init(&reader, value.data, value.size);
    reader_u64(&reader, &snapshot->index);
    reader_u64(&reader, &snapshot->term);
    reader_u64(&reader, &opened->stored.log_index);
    reader_u64(&reader, &opened->stored.log_term);
    raft_configuration_read(&reader, &snapshot->configuration);
    reader_binary(&reader, &data);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    snapshot->data = sim_copy(data);
    sim_machine_hash(snapshot->data, snapshot->hash);
    opened->stored.snapshot = snapshot;
    return 0;
}

static int open_log(const struct sim_store *store, struct sim_opened *opened, char *words,
                    size_t size)
{
    struct raft_entry *entries = calloc(store->log_count + 1, sizeof(*entries));
    if (!entries)
        abort();
    opened->stored.entries = entries;
    for (size_t i = 0; i < store->log_count; i++) {
        uint8_t key[INDEX_BYTES];
        struct bytes value;
        uint64_t index = opened->stored.log_index + 1 + i;
        if (record_open(log_key(index, key),
                        (struct bytes){store->log[i].bytes, store->log[i].size}, &value) < 0 ||
            value.size < ENTRY_HEAD_BYTES) {
            snprintf(words, size, "entry %llu of the log is corrupt", (unsigned long long)index);
            return -EBADMSG;
        }
        entries[i] = (struct raft_entry){
            .index = index,
            .term = read_index(value.data),
            .type = (enum raft_entry_type)value.data[INDEX_BYTES],
            .data = sim_copy(
                (struct bytes){value.data + ENTRY_HEAD_BYTES, value.size - ENTRY_HEAD_BYTES}),
        };
        opened->stored.entry_count++;
    }
    return 0;
}

int sim_store_open(const struct sim_store *store, struct sim_opened *ret, char *words, size_t size)
{
    struct bytes value;
    *ret = (struct sim_opened){0};
    for (int i = 0; i < 2; i++)
        if (store->meta_is_rubbish[i])
            return damaged(words, size, i == 0 ? "meta page 0" : "meta page 1");
    if (store->hard_state.bytes) {
        if (record_open(bytes_of_text("raft.hard_state"),
                        (struct bytes){store->hard_state.bytes, store->hard_state.size},
                        &value) < 0 ||
            value.size != sizeof(ret->stored.hard_state))
            return damaged(words, size, "record 'raft.hard_state'");
        memcpy(&ret->stored.hard_state, value.data, value.size);
    }
    if (store->snapshot.bytes && open_snapshot(store, ret) < 0)
        return damaged(words, size, "record 'raft.snapshot'");
    return open_log(store, ret, words, size);
}

void sim_opened_done(struct sim_opened *opened)
{
    for (size_t i = 0; i < opened->stored.entry_count; i++)
        free((void *)opened->stored.entries[i].data.data);
    free((void *)opened->stored.entries);
    free((void *)opened->snapshot.data.data);
    *opened = (struct sim_opened){0};
}
