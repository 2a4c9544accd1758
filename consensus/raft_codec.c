/* Messages as MessagePack: one array of thirteen, the same for each type, so that decoding has one
 * path. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/reader.h"
#include "base/writer.h"
#include "consensus/raft_message.h"

enum {
    MESSAGE_FIELDS = 13,
    HEARTBEAT_FIELDS = 5,
    ENTRY_FIELDS = 3,
    SNAPSHOT_FIELDS = 6,
};

static void write_entries(struct writer *writer, const struct raft_message *message)
{
    writer_array(writer, message->entry_count);
    for (size_t i = 0; i < message->entry_count; i++) {
        const struct raft_entry *entry = &message->entries[i];
        writer_array(writer, ENTRY_FIELDS);
        writer_u64(writer, entry->term);
        writer_u64(writer, entry->type);
        writer_binary(writer, entry->data.data, entry->data.size);
    }
}

static void write_snapshot(struct writer *writer, const struct raft_message *message)
{
    const struct raft_snapshot *snapshot = message->snapshot;
    if (!snapshot) {
        writer_nil(writer);
        return;
    }
    writer_array(writer, SNAPSHOT_FIELDS);
    writer_u64(writer, snapshot->index);
    writer_u64(writer, snapshot->term);
    raft_configuration_write(&snapshot->configuration, writer);
    writer_u64(writer, snapshot->data.size);
    writer_binary(writer, snapshot->hash, RAFT_HASH_BYTES);
    writer_binary(writer, message->chunk.data, message->chunk.size);
}

int raft_message_encode(const struct raft_message *message, struct buffer *buffer)
{
    struct writer writer;
    writer_init(&writer, buffer);
    writer_array(&writer, MESSAGE_FIELDS);
    writer_u64(&writer, message->type);
    writer_bool(&writer, message->reject);
    writer_bool(&writer, message->transfer);
    writer_u64(&writer, message->term);
    writer_u64(&writer, message->index);
    writer_u64(&writer, message->log_term);
    writer_u64(&writer, message->commit);
    writer_u64(&writer, message->hint_index);
    writer_u64(&writer, message->round);
    writer_i64(&writer, message->sent_ms);
    write_entries(&writer, message);
    write_snapshot(&writer, message);
    writer_u64(&writer, message->offset);
    return writer_check(&writer);
}

static int read_entries(struct reader *reader, struct raft_message *message)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) < 0)
        return -EBADMSG;
    if (count > RAFT_MESSAGE_ENTRIES_MAX || (count > 0 && message->type != RAFT_APPEND))
        return reader_refuse(reader);
    if (count == 0)
        return 0;
    struct raft_entry *entries = calloc(count, sizeof(*entries));
    if (!entries)
        return -ENOMEM;
    message->entries = entries;
    message->entry_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t type = 0;
        entries[i].index = message->index + 1 + i;
        reader_array_exact(reader, ENTRY_FIELDS);
        reader_u64(reader, &entries[i].term);
        reader_u8(reader, &type);
        reader_binary(reader, &entries[i].data);
        if (reader_check(reader) < 0)
            return -EBADMSG;
        if (type > RAFT_ENTRY_CONFIGURATION || entries[i].data.size > RAFT_ENTRY_BYTES_MAX)
            return reader_refuse(reader);
        entries[i].type = type;
    }
    return 0;
}

static int read_snapshot(struct reader *reader, struct raft_message *message)
{
    if (message->type != RAFT_SNAPSHOT)
        return reader_nil(reader);
    struct raft_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    uint64_t size = 0;
    if (!snapshot)
        return -ENOMEM;
    message->snapshot = snapshot;
    reader_array_exact(reader, SNAPSHOT_FIELDS);
    reader_u64(reader, &snapshot->index);
    reader_u64(reader, &snapshot->term);
    raft_configuration_read(reader, &snapshot->configuration);
    reader_u64(reader, &size);
    reader_fixed(reader, snapshot->hash, RAFT_HASH_BYTES);
    reader_binary(reader, &message->chunk);
    if (reader_check(reader) < 0)
        return -EBADMSG;
    if (size > RAFT_SNAPSHOT_BYTES_MAX || message->chunk.size > RAFT_CHUNK_BYTES_MAX)
        return reader_refuse(reader);
    snapshot->data.size = (size_t)size;
    return 0;
}

int raft_message_decode(struct bytes bytes, struct raft_message *ret)
{
    struct raft_message message = {0};
    struct reader reader;
    uint8_t type = 0;
    if (bytes.size > RAFT_MESSAGE_FRAME_BYTES_MAX)
        return -EBADMSG;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, MESSAGE_FIELDS);
    reader_u8(&reader, &type);
    reader_bool(&reader, &message.reject);
    reader_bool(&reader, &message.transfer);
    reader_u64(&reader, &message.term);
    reader_u64(&reader, &message.index);
    reader_u64(&reader, &message.log_term);
    reader_u64(&reader, &message.commit);
    reader_u64(&reader, &message.hint_index);
    reader_u64(&reader, &message.round);
    reader_i64(&reader, &message.sent_ms);
    if (reader_check(&reader) < 0 || type >= RAFT_MESSAGE_TYPES)
        return -EBADMSG;
    message.type = type;
    int rc = read_entries(&reader, &message);
    if (rc == 0)
        rc = read_snapshot(&reader, &message);
    if (rc == 0)
        reader_u64(&reader, &message.offset);
    if (rc == 0)
        rc = reader_end(&reader);
    if (rc < 0) {
        raft_message_done(&message);
        return rc;
    }
    *ret = message;
    return 0;
}

int raft_heartbeat_encode(const struct raft_message *message, struct buffer *buffer)
{
    struct writer writer;
    assert(message->type == RAFT_HEARTBEAT || message->type == RAFT_HEARTBEAT_REPLY);
    writer_init(&writer, buffer);
    writer_array(&writer, HEARTBEAT_FIELDS);
    writer_bool(&writer, message->type == RAFT_HEARTBEAT_REPLY);
    writer_u64(&writer, message->term);
    writer_u64(&writer, message->commit);
    writer_u64(&writer, message->round);
    writer_i64(&writer, message->sent_ms);
    return writer_check(&writer);
}

bool raft_heartbeat_is(struct bytes bytes)
{
    struct reader reader;
    uint32_t count = 0;
    reader_init(&reader, bytes.data, bytes.size);
    return reader_array(&reader, &count) == 0 && count == HEARTBEAT_FIELDS;
}

int raft_heartbeat_decode(struct bytes bytes, struct raft_message *ret)
{
    struct raft_message message = {0};
    struct reader reader;
    bool is_reply = false;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, HEARTBEAT_FIELDS);
    reader_bool(&reader, &is_reply);
    reader_u64(&reader, &message.term);
    reader_u64(&reader, &message.commit);
    reader_u64(&reader, &message.round);
    reader_i64(&reader, &message.sent_ms);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    message.type = is_reply ? RAFT_HEARTBEAT_REPLY : RAFT_HEARTBEAT;
    *ret = message;
    return 0;
}

void raft_message_done(struct raft_message *message)
{
    if (!message)
        return;
    free((void *)message->entries);
    free((void *)message->snapshot);
    message->entries = NULL;
    message->entry_count = 0;
    message->snapshot = NULL;
}

const char *raft_message_type_name(enum raft_message_type type)
{
    static const char *const names[RAFT_MESSAGE_TYPES] = {
        [RAFT_PRE_VOTE] = "pre-vote",
        [RAFT_PRE_VOTE_REPLY] = "pre-vote reply",
        [RAFT_VOTE] = "vote",
        [RAFT_VOTE_REPLY] = "vote reply",
        [RAFT_APPEND] = "append",
        [RAFT_APPEND_REPLY] = "append reply",
        [RAFT_HEARTBEAT] = "heartbeat",
        [RAFT_HEARTBEAT_REPLY] = "heartbeat reply",
        [RAFT_SNAPSHOT] = "snapshot",
        [RAFT_TIMEOUT_NOW] = "timeout now",
        [RAFT_READ_REQUEST] = "read",
        [RAFT_READ_REPLY] = "read reply",
        [RAFT_SNAPSHOT_REPLY] = "snapshot reply",
    };
    return type < RAFT_MESSAGE_TYPES ? names[type] : "unknown";
}
