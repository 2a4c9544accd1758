/* The body of the command that changes how peers watch one another. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    GOSSIP_FIELDS = 4,
};

static void optional_write(struct writer *writer, bool is_said, uint32_t value)
{
    if (is_said)
        writer_u64(writer, value);
    else
        writer_nil(writer);
}

static void optional_read(struct reader *reader, bool *ret_is_said, uint32_t *ret_value)
{
    if (reader_peek(reader) == READER_NIL)
        reader_nil(reader);
    else
        *ret_is_said = reader_u32(reader, ret_value) == 0;
}

void command_write_gossip(struct writer *writer, const struct command *command)
{
    const struct command_gossip *gossip = &command->gossip;
    writer_array(writer, GOSSIP_FIELDS);
    optional_write(writer, gossip->has_profile, gossip->profile);
    optional_write(writer, gossip->has_probe_interval, gossip->probe_interval_ms);
    optional_write(writer, gossip->has_suspicion, gossip->suspicion);
    optional_write(writer, gossip->has_fanout, gossip->fanout);
}

void command_read_gossip(struct reader *reader, struct command *command)
{
    struct command_gossip *gossip = &command->gossip;
    uint32_t profile = 0;
    reader_array_exact(reader, GOSSIP_FIELDS);
    optional_read(reader, &gossip->has_profile, &profile);
    if (profile > INTENT_PROFILE_EDGE)
        reader_refuse(reader);
    gossip->profile = (uint8_t)profile;
    optional_read(reader, &gossip->has_probe_interval, &gossip->probe_interval_ms);
    optional_read(reader, &gossip->has_suspicion, &gossip->suspicion);
    optional_read(reader, &gossip->has_fanout, &gossip->fanout);
}
