/* Applying one committed entry: decoding, doing a repeated command only once, and the history. */
#include "consensus/intent_apply.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_client.h"
#include "consensus/level.h"

void intent_event_push(struct intent *intent, const struct intent_event *event)
{
    struct intent_event *place = &intent->history[intent->history_next];
    free(place->text);
    *place = *event;
    intent->history_next = (intent->history_next + 1) % INTENT_HISTORY_MAX;
    if (intent->history_count < INTENT_HISTORY_MAX)
        intent->history_count++;
}

void intent_event_add(struct intent_apply *apply, const char *kind, const char *subject,
                      const char *format, ...)
{
    char text[INTENT_REASON_BYTES_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);

    struct intent_event event = {.index = apply->index, .wall_ms = apply->head->wall_ms};
    snprintf(event.actor, sizeof(event.actor), "%s", apply->head->actor);
    snprintf(event.kind, sizeof(event.kind), "%s", kind);
    snprintf(event.subject, sizeof(event.subject), "%s", subject);
    event.text = strdup(text);
    if (event.text)
        intent_event_push(apply->intent, &event);
    else
        apply->no_memory = true;
}

int intent_refuse_service(struct intent_apply *apply, const char *name)
{
    error_set(&apply->result->error, -ENOENT, "there is no service %s", name);
    error_hint(&apply->result->error, "see what there is: consort service ls");
    return -ENOENT;
}

int intent_apply_command(struct intent_apply *apply, struct command *command)
{
    switch ((enum command_type)command->head.type) {
    case COMMAND_ADMIT:
        return intent_apply_admit(apply, &command->admit);
    case COMMAND_PEER_STATE:
        return intent_apply_peer_state(apply, &command->peer_state);
    case COMMAND_TOKEN_CREATE:
        return intent_apply_token_create(apply, &command->token);
    case COMMAND_TOKEN_REVOKE:
        return intent_apply_token_revoke(apply, command->token_id);
    case COMMAND_DEPLOY:
        return intent_apply_deploy(apply, &command->deploy);
    case COMMAND_SCALE:
        return intent_apply_scale(apply, &command->scale);
    case COMMAND_UPDATE:
        return intent_apply_update(apply, &command->update);
    case COMMAND_ROLLBACK:
        return intent_apply_rollback(apply, &command->rollback);
    case COMMAND_REMOVE:
        return intent_apply_remove(apply, &command->remove);
    case COMMAND_PLACE:
        return intent_apply_place(apply, &command->place);
    case COMMAND_ROLLOUT:
        return intent_apply_rollout(apply, &command->rollout);
    case COMMAND_GOSSIP:
        return intent_apply_gossip(apply, &command->gossip);
    case COMMAND_NAMESAKES:
        return intent_apply_namesakes(apply, &command->namesakes);
    case COMMAND_BLOB_SET:
        return intent_apply_blob_set(apply, &command->blob_set);
    case COMMAND_BLOB_REMOVE:
        return intent_apply_blob_remove(apply, &command->blob_remove);
    case COMMAND_QUOTA:
        return intent_apply_quota(apply, &command->quota);
    case COMMAND_SEAL:
        return intent_apply_seal(apply, &command->seal);
    case COMMAND_LEVEL:
        return intent_apply_level(apply, &command->level);
    case COMMAND_VOTERS:
        return intent_apply_voters(apply, &command->voters);
    }
    return error_set(&apply->result->error, -EBADMSG, "the command is of no known type");
}

static int dispatch(struct intent_apply *apply, struct command *command)
{
    const struct command_kind *kind;
    uint32_t level = level_of_type(command->head.type, &kind);
    return levels[level - 1].apply(apply, command);
}

static int apply_once(struct intent_apply *apply, struct command *command)
{
    if (command->head.client == 0 && command->head.sequence == 0)
        return dispatch(apply, command);
    if (intent_client_answers(apply))
        return apply->result->error.code;
    int rc = dispatch(apply, command);
    return rc == -ENOMEM ? rc : intent_client_remember(apply, rc);
}

/* Reads and applies a command of a level that is in force. */
static int apply_bytes(struct intent *intent, uint64_t index, struct bytes bytes,
                       struct intent_result *result, bool *ret_can_go_on)
{
    struct command command;
    struct intent_apply apply = {
        .intent = intent, .index = index, .head = &command.head, .result = result};
    int rc = command_decode(bytes, &command);
    if (rc == -EBADMSG)
        return error_set(&result->error, rc, "the command's bytes are malformed");
    if (rc == 0) {
        rc = apply_once(&apply, &command);
        command_done(&command);
    }
    if (apply.no_memory)
        rc = -ENOMEM;
    *ret_can_go_on = rc != -ENOMEM && !apply.is_outdated;
    return rc;
}

int intent_apply(struct intent *intent, uint64_t index, uint64_t term, struct bytes command,
                 struct intent_result *ret_result)
{
    assert(index > intent->applied_index);
    struct intent_result result = {0};
    bool can_go_on = true;
    uint32_t level = 0;
    if (command_level_peek(command, &level) == 0 && level > intent->level.number)
        result.code = intent_refuse_level(&result.error, level, &intent->level);
    else
        result.code = apply_bytes(intent, index, command, &result, &can_go_on);
    if (can_go_on)
        intent_apply_nothing(intent, index, term);
    *ret_result = result;
    return can_go_on ? 0 : result.code;
}

void intent_succession_add(struct intent *intent, uint64_t index, const struct raft_seal *seal)
{
    struct intent_succession *successions = intent->successions;
    if (intent->succession_count == INTENT_SUCCESSIONS_MAX) {
        intent->succession_count--;
        memmove(successions, successions + 1, intent->succession_count * sizeof(*successions));
    }
    successions[intent->succession_count++] =
        (struct intent_succession){.from = intent->configuration_index,
                                   .index = index,
                                   .configuration = intent->configuration,
                                   .seal = *seal};
}

void intent_apply_changes(struct intent *intent, uint64_t index, uint64_t term,
                          const struct raft_changes *changes)
{
    bool is_first = intent->configuration.count == 0; /* founding: there is nobody to follow */
    int rc = raft_configuration_change(&intent->configuration, changes, &intent->configuration);
    if (rc == 0 && changes->count > 0) {
        if (!is_first)
            intent_succession_add(intent, index, &changes->seal);
        intent->configuration_index = index;
    }
    intent_apply_nothing(intent, index, term);
}

void intent_apply_nothing(struct intent *intent, uint64_t index, uint64_t term)
{
    assert(index > intent->applied_index);
    intent->applied_index = index;
    intent->applied_term = term;
}
