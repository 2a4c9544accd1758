/* The body of the command that says what a stack may have. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    QUOTA_FIELDS = 4,
};

static void optional_write(struct writer *writer, bool is_said, uint64_t value)
{
    if (is_said)
        writer_u64(writer, value);
    else
        writer_nil(writer);
}

static void optional_read(struct reader *reader, bool *ret_is_said, uint64_t *ret_value)
{
    if (reader_peek(reader) == READER_NIL)
        reader_nil(reader);
    else
        *ret_is_said = reader_u64(reader, ret_value) == 0;
}

void command_write_quota(struct writer *writer, const struct command *command)
{
    const struct command_quota *quota = &command->quota;
    writer_array(writer, QUOTA_FIELDS);
    writer_text(writer, quota->stack);
    optional_write(writer, quota->has_replicas, quota->replicas);
    optional_write(writer, quota->has_cpu, quota->cpu_millis);
    optional_write(writer, quota->has_memory, quota->memory_bytes);
}

void command_read_quota(struct reader *reader, struct command *command)
{
    struct command_quota *quota = &command->quota;
    uint64_t replicas = 0;
    reader_array_exact(reader, QUOTA_FIELDS);
    reader_copy_text(reader, quota->stack, sizeof(quota->stack));
    optional_read(reader, &quota->has_replicas, &replicas);
    optional_read(reader, &quota->has_cpu, &quota->cpu_millis);
    optional_read(reader, &quota->has_memory, &quota->memory_bytes);
    if (replicas > UINT32_MAX)
        reader_refuse(reader);
    quota->replicas = (uint32_t)replicas;
}
