/* A command's bytes: an array of the level, the head's fields and the body. */
#include "consensus/command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    COMMAND_FIELDS = 8,
};

const struct command_kind command_kinds[] = {
    [COMMAND_ADMIT] = {command_write_admit, command_read_admit},
    [COMMAND_PEER_STATE] = {command_write_peer_state, command_read_peer_state},
    [COMMAND_TOKEN_CREATE] = {command_write_token_create, command_read_token_create},
    [COMMAND_TOKEN_REVOKE] = {command_write_token_revoke, command_read_token_revoke},
    [COMMAND_DEPLOY] = {command_write_deploy, command_read_deploy},
    [COMMAND_SCALE] = {command_write_scale, command_read_scale},
    [COMMAND_UPDATE] = {command_write_update, command_read_update},
    [COMMAND_ROLLBACK] = {command_write_rollback, command_read_rollback},
    [COMMAND_REMOVE] = {command_write_remove, command_read_remove},
    [COMMAND_PLACE] = {command_write_place, command_read_place},
    [COMMAND_ROLLOUT] = {command_write_rollout, command_read_rollout},
    [COMMAND_GOSSIP] = {command_write_gossip, command_read_gossip},
    [COMMAND_NAMESAKES] = {command_write_namesakes, command_read_namesakes},
    [COMMAND_BLOB_SET] = {command_write_blob_set, command_read_blob_set},
    [COMMAND_BLOB_REMOVE] = {command_write_blob_remove, command_read_blob_remove},
    [COMMAND_QUOTA] = {command_write_quota, command_read_quota},
    [COMMAND_SEAL] = {command_write_seal, command_read_seal},
    [COMMAND_LEVEL] = {command_write_level, command_read_level},
    [COMMAND_VOTERS] = {command_write_voters, command_read_voters},
};

/* The lowest level that has the type and can say the body. */
static uint32_t lowest_level(const struct command *command, const struct command_kind **ret_kind)
{
    uint32_t level = level_of_type(command->head.type, ret_kind);
    bool is_deploy = command->head.type == COMMAND_DEPLOY;
    const struct service_spec *specs = is_deploy ? command->deploy.services : NULL;
    size_t count = is_deploy ? command->deploy.service_count : 0;
    if (command->head.type == COMMAND_UPDATE) {
        specs = &command->update.spec;
        count = 1;
    }
    for (size_t i = 0; i < count; i++) {
        uint32_t of_spec = service_spec_level(&specs[i]);
        level = of_spec > level ? of_spec : level;
    }
    return level;
}

int command_encode(const struct command *command, struct buffer *ret)
{
    const struct command_kind *kind;
    uint32_t lowest = lowest_level(command, &kind);
    struct command written = *command; /* borrows everything */
    if (written.head.level == 0)
        written.head.level = lowest;
    assert(lowest > 0);
    assert(written.head.level >= lowest);
    size_t size_before = ret->size;
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, COMMAND_FIELDS);
    writer_u64(&writer, written.head.level);
    writer_u64(&writer, command->head.type);
    writer_i64(&writer, command->head.wall_ms);
    writer_text(&writer, command->head.actor);
    writer_u64(&writer, command->head.client);
    writer_u64(&writer, command->head.sequence);
    writer_u64(&writer, command->head.since);
    kind->write(&writer, &written);
    int rc = writer_check(&writer);
    if (rc == 0 && ret->size - size_before > COMMAND_BYTES_MAX)
        rc = -E2BIG;
    if (rc < 0)
        ret->size = size_before;
    return rc;
}

static void head_read(struct reader *reader, struct command_head *head)
{
    reader_u8(reader, &head->type);
    reader_i64(reader, &head->wall_ms);
    reader_copy_text(reader, head->actor, sizeof(head->actor));
    reader_u64(reader, &head->client);
    reader_u64(reader, &head->sequence);
    reader_u64(reader, &head->since);
    if (head->client == 0 && head->sequence == 0 && head->since != 0)
        reader_refuse(reader); /* it would mean nothing, and nobody notice who forged it */
}

static int level_read(struct reader *reader, uint32_t *ret_fields, uint32_t *ret_level)
{
    uint32_t fields = 0, level = 0;
    if (reader_array(reader, &fields) < 0 || reader_u32(reader, &level) < 0 || level == 0)
        return -EBADMSG;
    *ret_fields = fields;
    *ret_level = level;
    return 0;
}

int command_level_peek(struct bytes bytes, uint32_t *ret)
{
    struct reader reader;
    uint32_t fields;
    reader_init(&reader, bytes.data, bytes.size);
    return level_read(&reader, &fields, ret);
}

int command_decode(struct bytes bytes, struct command *ret)
{
    if (bytes.size > COMMAND_BYTES_MAX)
        return -EBADMSG;
    struct reader reader;
    struct command command = {0};
    const struct command_kind *kind;
    uint32_t fields = 0, first;
    reader_init(&reader, bytes.data, bytes.size);
    if (level_read(&reader, &fields, &command.head.level) < 0)
        return -EBADMSG;
    if (command.head.level > level_newest)
        return -EPROTONOSUPPORT;
    if (fields != COMMAND_FIELDS)
        return -EBADMSG;
    head_read(&reader, &command.head);
    if (reader_check(&reader) < 0)
        return -EBADMSG;
    first = level_of_type(command.head.type, &kind);
    if (first == 0 || first > command.head.level)
        return -EBADMSG; /* also where the type is known: all peers must take it alike */
    kind->read(&reader, &command);
    int rc = reader_end(&reader);
    if (rc < 0) {
        command_done(&command);
        return rc;
    }
    *ret = command;
    return 0;
}

static void deploy_done(struct command_deploy *deploy)
{
    for (size_t i = 0; i < deploy->service_count; i++)
        service_spec_done(&deploy->services[i]);
    free(deploy->services);
    for (size_t i = 0; i < deploy->blob_count; i++)
        intent_blob_done(&deploy->blobs[i]);
    free(deploy->blobs);
}

void command_done(struct command *command)
{
    if (!command)
        return;
    if (command->head.type == COMMAND_DEPLOY)
        deploy_done(&command->deploy);
    else if (command->head.type == COMMAND_UPDATE)
        service_spec_done(&command->update.spec);
    else if (command->head.type == COMMAND_PLACE)
        free(command->place.changes);
    else if (command->head.type == COMMAND_BLOB_SET)
        intent_blob_done(&command->blob_set.blob);
    else if (command->head.type == COMMAND_SEAL)
        free(command->seal.changes);
    *command = (struct command){0};
}
