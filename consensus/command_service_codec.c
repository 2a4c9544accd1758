/* The bodies of an operator's commands about services and stacks. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    DEPLOY_FIELDS = 3,
    SCALE_FIELDS = 2,
    UPDATE_FIELDS = 2,
    ROLLBACK_FIELDS = 2,
    REMOVE_FIELDS = 2,
};

void command_write_deploy(struct writer *writer, const struct command *command)
{
    const struct command_deploy *deploy = &command->deploy;
    writer_array(writer, DEPLOY_FIELDS);
    writer_text(writer, deploy->stack);
    writer_array(writer, deploy->service_count);
    for (size_t i = 0; i < deploy->service_count; i++)
        service_spec_write(writer, command->head.level, &deploy->services[i]);
    writer_array(writer, deploy->blob_count);
    for (size_t i = 0; i < deploy->blob_count; i++)
        intent_blob_write(writer, &deploy->blobs[i]);
}

void command_read_deploy(struct reader *reader, struct command *command)
{
    struct command_deploy *deploy = &command->deploy;
    reader_array_exact(reader, DEPLOY_FIELDS);
    reader_copy_text(reader, deploy->stack, sizeof(deploy->stack));
    deploy->services = codec_read_items(reader, COMMAND_DEPLOY_SERVICES_MAX,
                                        sizeof(*deploy->services), &deploy->service_count);
    for (size_t i = 0; i < deploy->service_count; i++)
        service_spec_read(reader, command->head.level, &deploy->services[i]);
    deploy->blobs = codec_read_items(reader, COMMAND_DEPLOY_BLOBS_MAX, sizeof(*deploy->blobs),
                                     &deploy->blob_count);
    for (size_t i = 0; i < deploy->blob_count; i++)
        intent_blob_read(reader, &deploy->blobs[i]);
}

void command_write_scale(struct writer *writer, const struct command *command)
{
    writer_array(writer, SCALE_FIELDS);
    writer_text(writer, command->scale.service);
    writer_u64(writer, command->scale.replicas);
}

void command_read_scale(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, SCALE_FIELDS);
    reader_copy_text(reader, command->scale.service, sizeof(command->scale.service));
    reader_u32(reader, &command->scale.replicas);
}

void command_write_update(struct writer *writer, const struct command *command)
{
    writer_array(writer, UPDATE_FIELDS);
    writer_text(writer, command->update.service);
    service_spec_write(writer, command->head.level, &command->update.spec);
}

void command_read_update(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, UPDATE_FIELDS);
    reader_copy_text(reader, command->update.service, sizeof(command->update.service));
    service_spec_read(reader, command->head.level, &command->update.spec);
}

void command_write_rollback(struct writer *writer, const struct command *command)
{
    writer_array(writer, ROLLBACK_FIELDS);
    writer_text(writer, command->rollback.service);
    writer_u64(writer, command->rollback.revision);
}

void command_read_rollback(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, ROLLBACK_FIELDS);
    reader_copy_text(reader, command->rollback.service, sizeof(command->rollback.service));
    reader_u32(reader, &command->rollback.revision);
}

void command_write_remove(struct writer *writer, const struct command *command)
{
    writer_array(writer, REMOVE_FIELDS);
    writer_text(writer, command->remove.name);
    writer_bool(writer, command->remove.is_stack);
}

void command_read_remove(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, REMOVE_FIELDS);
    reader_copy_text(reader, command->remove.name, sizeof(command->remove.name));
    reader_bool(reader, &command->remove.is_stack);
}
