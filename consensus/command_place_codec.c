/* The bodies of the leader's own commands: placements and rollouts. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    ADD_FIELDS = 6,
    END_FIELDS = 3, /* stop, delete */
    ROLLOUT_FIELDS = 5,
};

static void change_write(struct writer *writer, const struct command_place_change *change)
{
    bool add = change->action == COMMAND_PLACE_ADD;
    writer_array(writer, add ? ADD_FIELDS : END_FIELDS);
    writer_u64(writer, change->action);
    if (add) {
        writer_text(writer, change->service);
        writer_u64(writer, change->slot);
        writer_u64(writer, change->revision);
        codec_write_id(writer, &change->peer);
    } else {
        writer_u64(writer, change->generation);
    }
    writer_text(writer, change->reason);
}

static void change_read(struct reader *reader, struct command_place_change *change)
{
    uint32_t fields = 0;
    reader_array(reader, &fields);
    codec_read_enum(reader, COMMAND_PLACE_DELETE, &change->action);
    bool add = change->action == COMMAND_PLACE_ADD;
    if (fields != (add ? ADD_FIELDS : END_FIELDS)) {
        reader_refuse(reader);
        return;
    }
    if (add) {
        reader_copy_text(reader, change->service, sizeof(change->service));
        reader_u32(reader, &change->slot);
        reader_u32(reader, &change->revision);
        codec_read_id(reader, &change->peer);
    } else {
        reader_u64(reader, &change->generation);
    }
    reader_copy_text(reader, change->reason, sizeof(change->reason));
}

void command_write_place(struct writer *writer, const struct command *command)
{
    const struct command_place *place = &command->place;
    writer_array(writer, place->change_count);
    for (size_t i = 0; i < place->change_count; i++)
        change_write(writer, &place->changes[i]);
}

void command_read_place(struct reader *reader, struct command *command)
{
    struct command_place *place = &command->place;
    place->changes = codec_read_items(reader, COMMAND_PLACE_CHANGES_MAX, sizeof(*place->changes),
                                      &place->change_count);
    for (size_t i = 0; place->changes && i < place->change_count; i++)
        change_read(reader, &place->changes[i]);
}

void command_write_rollout(struct writer *writer, const struct command *command)
{
    const struct command_rollout *rollout = &command->rollout;
    writer_array(writer, ROLLOUT_FIELDS);
    writer_text(writer, rollout->service);
    writer_u64(writer, rollout->rollout);
    writer_u64(writer, rollout->state);
    writer_u64(writer, rollout->revision);
    writer_text(writer, rollout->reason);
}

void command_read_rollout(struct reader *reader, struct command *command)
{
    struct command_rollout *rollout = &command->rollout;
    reader_array_exact(reader, ROLLOUT_FIELDS);
    reader_copy_text(reader, rollout->service, sizeof(rollout->service));
    reader_u64(reader, &rollout->rollout);
    codec_read_enum(reader, INTENT_ROLLOUT_FAILED, &rollout->state);
    reader_u32(reader, &rollout->revision);
    reader_copy_text(reader, rollout->reason, sizeof(rollout->reason));
}
