/* The body of the command that raises the level. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    LEVEL_FIELDS = 3,
};

void intent_level_write(struct writer *writer, const struct intent_level *level)
{
    writer_u64(writer, level->number);
    writer_text(writer, level->version);
}

void intent_level_read(struct reader *reader, struct intent_level *ret)
{
    struct intent_level level = {0};
    reader_u32(reader, &level.number);
    reader_copy_text(reader, level.version, sizeof(level.version));
    if (level.number == 0 || !intent_version_is_valid(level.version))
        reader_refuse(reader);
    if (reader_check(reader) == 0)
        *ret = level;
}

void command_write_level(struct writer *writer, const struct command *command)
{
    writer_array(writer, LEVEL_FIELDS);
    intent_level_write(writer, &command->level.level);
    writer_u64(writer, command->level.next_serial);
}

void command_read_level(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, LEVEL_FIELDS);
    intent_level_read(reader, &command->level.level);
    reader_u64(reader, &command->level.next_serial);
}
