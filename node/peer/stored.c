#include "node/peer/stored.h"

#include <errno.h>

#include "base/reader.h"

void stored_hard_state_write(struct writer *writer, const struct raft_hard_state *state)
{
    writer_array(writer, 3);
    writer_u64(writer, state->term);
    writer_binary(writer, state->vote.bytes, ID_BYTES);
    writer_u64(writer, state->commit);
}

int stored_hard_state_read(struct bytes record, struct raft_hard_state *ret)
{
    struct reader reader;
    struct raft_hard_state state = {0};
    reader_init(&reader, record.data, record.size);
    reader_array_exact(&reader, 3);
    reader_u64(&reader, &state.term);
    reader_fixed(&reader, state.vote.bytes, ID_BYTES);
    reader_u64(&reader, &state.commit);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = state;
    return 0;
}

void stored_snapshot_write(struct writer *writer, const struct stored_snapshot *stored)
{
    const struct raft_snapshot *snapshot = &stored->snapshot;
    writer_array(writer, 6);
    writer_u64(writer, snapshot->index);
    writer_u64(writer, snapshot->term);
    raft_configuration_write(&snapshot->configuration, writer);
    writer_u64(writer, stored->log_index);
    writer_u64(writer, stored->log_term);
    writer_binary(writer, snapshot->data.data, snapshot->data.size);
}

int stored_snapshot_read(struct bytes record, struct stored_snapshot *ret)
{
    struct reader reader;
    struct stored_snapshot stored = {0};
    reader_init(&reader, record.data, record.size);
    reader_array_exact(&reader, 6);
    reader_u64(&reader, &stored.snapshot.index);
    reader_u64(&reader, &stored.snapshot.term);
    if (reader_check(&reader) == 0)
        raft_configuration_read(&reader, &stored.snapshot.configuration);
    reader_u64(&reader, &stored.log_index);
    reader_u64(&reader, &stored.log_term);
    reader_binary(&reader, &stored.snapshot.data);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = stored;
    return 0;
}

void stored_entry_write(struct writer *writer, const struct raft_entry *entry)
{
    writer_array(writer, 3);
    writer_u64(writer, entry->term);
    writer_u64(writer, entry->type);
    writer_binary(writer, entry->data.data, entry->data.size);
}

int stored_entry_read(struct bytes record, struct raft_entry *ret)
{
    struct reader reader;
    struct raft_entry entry = {0};
    uint8_t type = 0;
    reader_init(&reader, record.data, record.size);
    reader_array_exact(&reader, 3);
    reader_u64(&reader, &entry.term);
    reader_u8(&reader, &type);
    reader_binary(&reader, &entry.data);
    if (reader_end(&reader) < 0 || type > RAFT_ENTRY_CONFIGURATION)
        return -EBADMSG;
    entry.type = (enum raft_entry_type)type;
    *ret = entry;
    return 0;
}
