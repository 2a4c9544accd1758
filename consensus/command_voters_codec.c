/* The body of the command that says how many vote. */
#include "consensus/command_codec.h"

enum {
    VOTERS_FIELDS = 1,
};

void command_write_voters(struct writer *writer, const struct command *command)
{
    writer_array(writer, VOTERS_FIELDS);
    writer_u64(writer, command->voters.max);
}

void command_read_voters(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, VOTERS_FIELDS);
    reader_u32(reader, &command->voters.max);
}
