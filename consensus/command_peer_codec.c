/* The bodies of the commands about who belongs to the cluster: peers, operators, tokens. */
#include "consensus/codec.h"
#include "consensus/command_codec.h"

enum {
    ADMIT_FIELDS = 4,
    PEER_STATE_FIELDS = 2,
    TOKEN_FIELDS = 7,
    NAMESAKES_FIELDS = 2,
};

void command_write_admit(struct writer *writer, const struct command *command)
{
    const struct command_admit *admit = &command->admit;
    writer_array(writer, ADMIT_FIELDS);
    codec_write_id(writer, &admit->id);
    writer_text(writer, admit->name);
    writer_u64(writer, admit->role);
    if (admit->has_token)
        writer_binary(writer, admit->token_id, sizeof(admit->token_id));
    else
        writer_nil(writer);
}

void command_read_admit(struct reader *reader, struct command *command)
{
    struct command_admit *admit = &command->admit;
    reader_array_exact(reader, ADMIT_FIELDS);
    codec_read_id(reader, &admit->id);
    reader_copy_text(reader, admit->name, sizeof(admit->name));
    codec_read_enum(reader, INTENT_ADMIN, &admit->role);
    if (reader_peek(reader) == READER_NIL)
        reader_nil(reader);
    else
        admit->has_token = reader_fixed(reader, admit->token_id, sizeof(admit->token_id)) == 0;
}

void command_write_peer_state(struct writer *writer, const struct command *command)
{
    writer_array(writer, PEER_STATE_FIELDS);
    codec_write_id(writer, &command->peer_state.id);
    writer_u64(writer, command->peer_state.state);
}

void command_read_peer_state(struct reader *reader, struct command *command)
{
    reader_array_exact(reader, PEER_STATE_FIELDS);
    codec_read_id(reader, &command->peer_state.id);
    codec_read_enum(reader, INTENT_REVOKED, &command->peer_state.state);
}

void intent_token_write(struct writer *writer, const struct intent_token *token)
{
    writer_array(writer, TOKEN_FIELDS);
    writer_binary(writer, token->id, sizeof(token->id));
    writer_binary(writer, token->psk, sizeof(token->psk));
    writer_u64(writer, token->role);
    writer_u64(writer, token->uses_left);
    writer_i64(writer, token->created_wall_ms);
    writer_i64(writer, token->expires_wall_ms);
    writer_text(writer, token->actor);
}

void intent_token_read(struct reader *reader, struct intent_token *ret)
{
    reader_array_exact(reader, TOKEN_FIELDS);
    reader_fixed(reader, ret->id, sizeof(ret->id));
    reader_fixed(reader, ret->psk, sizeof(ret->psk));
    codec_read_enum(reader, INTENT_ADMIN, &ret->role);
    reader_u32(reader, &ret->uses_left);
    reader_i64(reader, &ret->created_wall_ms);
    reader_i64(reader, &ret->expires_wall_ms);
    reader_copy_text(reader, ret->actor, sizeof(ret->actor));
}

void command_write_token_create(struct writer *writer, const struct command *command)
{
    intent_token_write(writer, &command->token);
}

void command_read_token_create(struct reader *reader, struct command *command)
{
    intent_token_read(reader, &command->token);
}

void command_write_token_revoke(struct writer *writer, const struct command *command)
{
    writer_binary(writer, command->token_id, sizeof(command->token_id));
}

void command_read_token_revoke(struct reader *reader, struct command *command)
{
    reader_fixed(reader, command->token_id, sizeof(command->token_id));
}

void command_write_namesakes(struct writer *writer, const struct command *command)
{
    writer_array(writer, NAMESAKES_FIELDS);
    codec_write_id(writer, &command->namesakes.ids[0]);
    codec_write_id(writer, &command->namesakes.ids[1]);
}

void command_read_namesakes(struct reader *reader, struct command *command)
{
    struct command_namesakes *namesakes = &command->namesakes;
    reader_array_exact(reader, NAMESAKES_FIELDS);
    codec_read_id(reader, &namesakes->ids[0]);
    codec_read_id(reader, &namesakes->ids[1]);
    if (id_compare(&namesakes->ids[0], &namesakes->ids[1]) >= 0)
        reader_refuse(reader); /* two pairs would be one */
}
