/* The bodies of commands about the cluster's own configs and secrets, and blobs themselves. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    BLOB_FIELDS = 4,
    WRAP_FIELDS = 2,
    SEAL_FIELDS = 4,
    SET_FIELDS = 2,
    REMOVE_FIELDS = 2,
};

void intent_blob_write(struct writer *writer, const struct intent_blob *blob)
{
    writer_array(writer, BLOB_FIELDS);
    writer_text(writer, blob->name);
    writer_u64(writer, blob->kind);
    writer_binary(writer, blob->content.bytes, blob->content.size);
    writer_array(writer, blob->wrap_count);
    for (size_t i = 0; i < blob->wrap_count; i++) {
        writer_array(writer, WRAP_FIELDS);
        codec_write_id(writer, &blob->wraps[i].peer);
        writer_binary(writer, blob->wraps[i].box, INTENT_WRAP_BYTES);
    }
}

static void wraps_read(struct reader *reader, struct intent_blob *ret)
{
    uint32_t max = ret->kind == SPEC_FILE_SECRET ? INTENT_WRAPS_MAX : 0;
    ret->wraps = codec_read_items(reader, max, sizeof(*ret->wraps), &ret->wrap_count);
    for (size_t i = 0; i < ret->wrap_count; i++) {
        struct intent_wrap *wrap = &ret->wraps[i];
        reader_array_exact(reader, WRAP_FIELDS);
        codec_read_id(reader, &wrap->peer);
        reader_fixed(reader, wrap->box, INTENT_WRAP_BYTES);
        if (i > 0 && id_compare(&ret->wraps[i - 1].peer, &wrap->peer) >= 0)
            reader_refuse(reader);
    }
}

void intent_blob_read(struct reader *reader, struct intent_blob *ret)
{
    struct bytes content;
    reader_array_exact(reader, BLOB_FIELDS);
    reader_copy_text(reader, ret->name, sizeof(ret->name));
    codec_read_enum(reader, SPEC_FILE_SECRET, &ret->kind);
    if (reader_binary(reader, &content) < 0)
        return;
    size_t more = ret->kind == SPEC_FILE_SECRET ? INTENT_SEAL_BYTES : 0;
    if (content.size > INTENT_BLOB_BYTES_MAX + more)
        reader_refuse(reader);
    else if (buffer_append(&ret->content, content.data, content.size) < 0)
        reader_refuse_memory(reader);
    wraps_read(reader, ret);
}

void command_write_blob_set(struct writer *writer, const struct command *command)
{
    const struct command_blob_set *set = &command->blob_set;
    writer_array(writer, SET_FIELDS);
    intent_blob_write(writer, &set->blob);
    if (set->has_expected)
        writer_u64(writer, set->expected);
    else
        writer_nil(writer);
}

void command_read_blob_set(struct reader *reader, struct command *command)
{
    struct command_blob_set *set = &command->blob_set;
    reader_array_exact(reader, SET_FIELDS);
    intent_blob_read(reader, &set->blob);
    if (reader_peek(reader) == READER_NIL)
        reader_nil(reader);
    else
        set->has_expected = reader_u64(reader, &set->expected) == 0;
}

void command_write_blob_remove(struct writer *writer, const struct command *command)
{
    writer_array(writer, REMOVE_FIELDS);
    writer_u64(writer, command->blob_remove.kind);
    writer_text(writer, command->blob_remove.name);
}

void command_read_blob_remove(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, REMOVE_FIELDS);
    codec_read_enum(reader, SPEC_FILE_SECRET, &command->blob_remove.kind);
    reader_copy_text(reader, command->blob_remove.name, sizeof(command->blob_remove.name));
}

void command_write_seal(struct writer *writer, const struct command *command)
{
    const struct command_seal *seal = &command->seal;
    writer_array(writer, seal->change_count);
    for (size_t i = 0; i < seal->change_count; i++) {
        const struct command_seal_change *change = &seal->changes[i];
        writer_array(writer, SEAL_FIELDS);
        writer_text(writer, change->name);
        writer_u64(writer, change->version);
        codec_write_id(writer, &change->wrap.peer);
        if (change->drops)
            writer_nil(writer);
        else
            writer_binary(writer, change->wrap.box, INTENT_WRAP_BYTES);
    }
}

void command_read_seal(struct reader *reader, struct command *command)
{
    struct command_seal *seal = &command->seal;
    seal->changes = codec_read_items(reader, COMMAND_SEAL_CHANGES_MAX, sizeof(*seal->changes),
                                     &seal->change_count);
    for (size_t i = 0; seal->changes && i < seal->change_count; i++) {
        struct command_seal_change *change = &seal->changes[i];
        reader_array_exact(reader, SEAL_FIELDS);
        reader_copy_text(reader, change->name, sizeof(change->name));
        reader_u64(reader, &change->version);
        codec_read_id(reader, &change->wrap.peer);
        change->drops = reader_peek(reader) == READER_NIL;
        if (change->drops)
            reader_nil(reader);
        else
            reader_fixed(reader, change->wrap.box, INTENT_WRAP_BYTES);
    }
}
