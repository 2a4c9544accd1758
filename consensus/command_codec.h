/* The bodies of commands: one pair of functions a type, called by command.c alone.
 *
 * Readers follow base/reader.h: after a failure they do nothing more, and what they allocated so
 * far hangs on the command, which command_done() frees.
 */
#pragma once

#include "consensus/command.h"
#include "consensus/level.h"

/* Of level 1, by enum command_type. */
extern const struct command_kind command_kinds[];

void command_write_admit(struct writer *writer, const struct command *command);
void command_read_admit(struct reader *reader, struct command *command);
void command_write_peer_state(struct writer *writer, const struct command *command);
void command_read_peer_state(struct reader *reader, struct command *command);
void command_write_token_create(struct writer *writer, const struct command *command);
void command_read_token_create(struct reader *reader, struct command *command);
void command_write_token_revoke(struct writer *writer, const struct command *command);
void command_read_token_revoke(struct reader *reader, struct command *command);

void command_write_deploy(struct writer *writer, const struct command *command);
void command_read_deploy(struct reader *reader, struct command *command);
void command_write_scale(struct writer *writer, const struct command *command);
void command_read_scale(struct reader *reader, struct command *command);
void command_write_update(struct writer *writer, const struct command *command);
void command_read_update(struct reader *reader, struct command *command);
void command_write_rollback(struct writer *writer, const struct command *command);
void command_read_rollback(struct reader *reader, struct command *command);
void command_write_remove(struct writer *writer, const struct command *command);
void command_read_remove(struct reader *reader, struct command *command);

void command_write_place(struct writer *writer, const struct command *command);
void command_read_place(struct reader *reader, struct command *command);
void command_write_rollout(struct writer *writer, const struct command *command);
void command_read_rollout(struct reader *reader, struct command *command);
void command_write_gossip(struct writer *writer, const struct command *command);
void command_read_gossip(struct reader *reader, struct command *command);
void command_write_namesakes(struct writer *writer, const struct command *command);
void command_read_namesakes(struct reader *reader, struct command *command);

void command_write_blob_set(struct writer *writer, const struct command *command);
void command_read_blob_set(struct reader *reader, struct command *command);
void command_write_blob_remove(struct writer *writer, const struct command *command);
void command_read_blob_remove(struct reader *reader, struct command *command);

void command_write_seal(struct writer *writer, const struct command *command);
void command_read_seal(struct reader *reader, struct command *command);

void command_write_quota(struct writer *writer, const struct command *command);
void command_read_quota(struct reader *reader, struct command *command);

void command_write_level(struct writer *writer, const struct command *command);
void command_read_level(struct reader *reader, struct command *command);

/* A level's number and version, two values, as its raise and a snapshot carry them. */
void intent_level_write(struct writer *writer, const struct intent_level *level);
void intent_level_read(struct reader *reader, struct intent_level *ret);

void command_write_voters(struct writer *writer, const struct command *command);
void command_read_voters(struct reader *reader, struct command *command);

/* A blob's name, kind, content and wraps, as commands and a snapshot carry it; what is read is the
 * blob's own. */
void intent_blob_write(struct writer *writer, const struct intent_blob *blob);
void intent_blob_read(struct reader *reader, struct intent_blob *ret);

/* A token, as its creation and a snapshot carry it. */
void intent_token_write(struct writer *writer, const struct intent_token *token);
void intent_token_read(struct reader *reader, struct intent_token *ret);
