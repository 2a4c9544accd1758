/* The records of a peer's store: the checksum around them, and Raft's hard state, snapshot and
 * entries in them. What is read writes back and reads the same.
 */
#include <assert.h>
#include <stdint.h>

#include "base/writer.h"
#include "node/peer/stored.h"
#include "node/store/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_sealed(struct bytes bytes)
{
    struct bytes key = bytes_of_text("raft.snapshot"), value;
    cleanup_buffer struct buffer sealed = {0};
    if (record_open(key, bytes, &value) == 0)
        assert(value.size < bytes.size);
    assert(record_seal(key, bytes, &sealed) == 0);
    assert(record_open(key, buffer_view(&sealed), &value) == 0);
    assert(bytes_equal(value, bytes));
    assert(record_open(bytes_of_text("raft.hard_state"), buffer_view(&sealed), &value) < 0);
}

static void try_hard_state(struct bytes bytes)
{
    struct raft_hard_state state, again;
    cleanup_buffer struct buffer written = {0};
    struct writer writer;
    if (stored_hard_state_read(bytes, &state) < 0)
        return;
    writer_init(&writer, &written);
    stored_hard_state_write(&writer, &state);
    assert(stored_hard_state_read(buffer_view(&written), &again) == 0);
    assert(again.term == state.term && again.commit == state.commit);
    assert(id_equal(&again.vote, &state.vote));
}

static void try_snapshot(struct bytes bytes)
{
    struct stored_snapshot stored, again;
    cleanup_buffer struct buffer written = {0};
    struct writer writer;
    if (stored_snapshot_read(bytes, &stored) < 0)
        return;
    writer_init(&writer, &written);
    stored_snapshot_write(&writer, &stored);
    assert(stored_snapshot_read(buffer_view(&written), &again) == 0);
    assert(again.log_index == stored.log_index && again.log_term == stored.log_term);
    assert(again.snapshot.index == stored.snapshot.index);
    assert(bytes_equal(again.snapshot.data, stored.snapshot.data));
}

static void try_entry(struct bytes bytes)
{
    struct raft_entry entry, again;
    struct raft_changes changes;
    cleanup_buffer struct buffer written = {0};
    struct writer writer;
    if (stored_entry_read(bytes, &entry) < 0)
        return;
    writer_init(&writer, &written);
    stored_entry_write(&writer, &entry);
    assert(stored_entry_read(buffer_view(&written), &again) == 0);
    assert(again.term == entry.term && again.type == entry.type);
    assert(bytes_equal(again.data, entry.data));
    if (entry.type == RAFT_ENTRY_CONFIGURATION && raft_changes_decode(entry.data, &changes) == 0)
        assert(changes.count <= RAFT_MEMBERS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes bytes = {data, size};
    try_sealed(bytes);
    try_hard_state(bytes);
    try_snapshot(bytes);
    try_entry(bytes);
    return 0;
}
