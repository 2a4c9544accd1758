/* The bodies of commands about the cluster's own configs and secrets, and blobs themselves. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    BLOB_FIELDS = 3,
    SET_FIELDS = 2,
    REMOVE_FIELDS = 2,
};

void intent_blob_write(struct writer *writer, const struct intent_blob *blob)
{
    writer_array(writer, BLOB_FIELDS);
    writer_text(writer, blob->name);
    writer_u64(writer, blob->kind);
    writer_binary(writer, blob->content.bytes, blob->content.size);
}

void intent_blob_read(struct reader *reader, struct intent_blob *ret)
{
    struct bytes content;
    reader_array_exact(reader, BLOB_FIELDS);
    reader_copy_text(reader, ret->name, sizeof(ret->name));
    codec_read_enum(reader, SPEC_FILE_SECRET, &ret->kind);
    if (reader_binary(reader, &content) < 0)
        return;
    if (content.size > INTENT_BLOB_BYTES_MAX)
        reader_refuse(reader);
    else if (buffer_append(&ret->content, content.data, content.size) < 0)
        reader_refuse_memory(reader);
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
