/* init, join, leave, tokens, revoking peers. */
#include <errno.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "node/api/describe.h"
#include "node/api/find.h"
#include "node/peer/proposals.h"

enum {
    TOKEN_TTL_MS = 24 * 60 * 60 * 1000,
    TOKEN_USES_MAX = 10000,
    TOKEN_TTL_DAYS_MAX = 36500,
    DAY_MS = 24 * 60 * 60 * 1000,
};

/* --- Becoming and ceasing to be a member --- */

static void answer_identity(struct api_call *call)
{
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    writer_init(&writer, &result);
    writer_map(&writer, 3);
    put_id(&writer, "id", &call->peer->identity.id);
    put_id(&writer, "cluster", &call->peer->cluster);
    put_text(&writer, "name", call->peer->options.name);
    api_answer(call, &result);
}

static void on_member(void *context, const struct error *error)
{
    if (error)
        api_fail(context, error);
    else
        answer_identity(context);
}

static void method_init(struct api_call *call, struct bytes params)
{
    struct error error = {0};
    (void)params;
    if (peer_init_cluster(call->peer, on_member, call, &error) < 0)
        api_fail(call, &error);
}

static void method_join(struct api_call *call, struct bytes params)
{
    char text[TOKEN_TEXT_BYTES_MAX];
    struct token token;
    struct error error = {0};
    if (!frame_text(params, "token", text, sizeof(text))) {
        api_fail_with(call, -EINVAL, "make one at a member with: consort token create",
                      "no join token was given");
        return;
    }
    int rc = token_parse(text, &token, &error);
    if (rc == 0)
        rc = peer_join_cluster(call->peer, &token, on_member, call, &error);
    token_done(&token);
    if (rc < 0)
        api_fail(call, &error);
}

static void on_progress(void *context, const char *words)
{
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_text(&writer, words);
    api_note(context, "progress", buffer_view(&payload));
}

static void on_left(void *context, const struct error *error)
{
    if (error)
        api_fail(context, error);
    else
        api_answer(context, NULL);
}

static void method_leave(struct api_call *call, struct bytes params)
{
    struct error error = {0};
    if (peer_leave(call->peer, frame_flag(params, "force"), on_progress, on_left, call, &error) < 0)
        api_fail(call, &error);
}

/* --- Tokens --- */

struct new_token {
    struct token token;
    uint8_t id[TOKEN_ID_BYTES];
    int64_t expires_wall_ms;
};

static void add_addresses(const struct peer *peer, struct token *token)
{
    const struct swim *swim = agent_swim(peer->agent);
    token->addresses[token->address_count++] = peer->options.advertised;
    for (size_t i = 0; i < swim_member_count(swim); i++) {
        const struct swim_member member = swim_member_at(swim, i);
        if (member.state == SWIM_ALIVE && !id_equal(&member.id, &peer->identity.id) &&
            token->address_count < TOKEN_ADDRESS_COUNT_MAX)
            token->addresses[token->address_count++] = member.stream_address;
    }
}

static void on_token(void *context, const struct agent_result *decided)
{
    struct api_call *call = context;
    struct new_token *made = call->context;
    char text[TOKEN_TEXT_BYTES_MAX], id[2 * TOKEN_ID_BYTES + 1];
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    if (!api_fail_if_refused(call, decided)) {
        token_format(&made->token, text);
        hex_encode(made->id, sizeof(made->id), id);
        writer_init(&writer, &result);
        writer_map(&writer, 3);
        put_text(&writer, "token", text);
        put_text(&writer, "id", id);
        put_i64(&writer, "expires_wall_ms", made->expires_wall_ms);
        api_answer(call, &result);
    }
    token_done(&made->token);
    free(made);
}

static void method_token_create(struct api_call *call, struct bytes params)
{
    uint64_t uses = 1, ttl_ms = TOKEN_TTL_MS;
    char role_text[16] = "peer";
    enum role role;
    struct command command = {.head.type = COMMAND_TOKEN_CREATE};
    frame_u64(params, "uses", &uses);
    frame_u64(params, "ttl_ms", &ttl_ms);
    frame_text(params, "role", role_text, sizeof(role_text));
    if (role_parse(role_text, &role) < 0 || uses == 0 || uses > TOKEN_USES_MAX) {
        api_fail_with(call, -EINVAL, "roles are peer, viewer, deployer and admin",
                      "no token for role %s and %" PRIu64 " uses can be made", role_text, uses);
        return;
    }
    if (ttl_ms > (uint64_t)TOKEN_TTL_DAYS_MAX * DAY_MS) {
        api_fail_with(call, -EINVAL, "0 makes one that never ends", "a token lasts at most %d days",
                      TOKEN_TTL_DAYS_MAX);
        return;
    }
    struct new_token *made = calloc(1, sizeof(*made));
    if (!made) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    made->token.cluster = call->peer->cluster;
    randombytes_buf(made->token.secret, sizeof(made->token.secret));
    add_addresses(call->peer, &made->token);
    token_id(made->token.secret, made->id);
    memcpy(command.token.id, made->id, sizeof(command.token.id));
    token_psk(made->token.secret, command.token.psk);
    command.token.role = (uint8_t)(role - ROLE_PEER);
    command.token.uses_left = (uint32_t)uses;
    command.token.created_wall_ms = peer_wall_ms();
    command.token.expires_wall_ms =
        ttl_ms > 0 ? command.token.created_wall_ms + (int64_t)ttl_ms : 0;
    made->expires_wall_ms = command.token.expires_wall_ms;
    memcpy(command.token.actor, call->actor, sizeof(command.token.actor));
    call->context = made;
    propose_for(call, &command, on_token);
    sodium_memzero(&command, sizeof(command));
}

static void method_token_ls(struct api_call *call, struct bytes params)
{
    const struct table *tokens = &agent_intent(call->peer->agent)->tokens;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "tokens");
    writer_array(&writer, tokens->count);
    for (size_t i = 0; i < tokens->count; i++) {
        const struct intent_token *token = tokens->items[i];
        char id[2 * INTENT_TOKEN_ID_BYTES + 1];
        hex_encode(token->id, sizeof(token->id), id);
        writer_map(&writer, 6);
        put_text(&writer, "id", id);
        put_text(&writer, "role", intent_role_text(token->role));
        put_u64(&writer, "uses_left", token->uses_left);
        put_i64(&writer, "expires_wall_ms", token->expires_wall_ms);
        put_i64(&writer, "created_wall_ms", token->created_wall_ms);
        put_text(&writer, "actor", token->actor);
    }
    api_answer(call, &result);
}

static void method_token_revoke(struct api_call *call, struct bytes params)
{
    char words[2 * INTENT_TOKEN_ID_BYTES + 1] = "";
    struct command command = {.head.type = COMMAND_TOKEN_REVOKE};
    struct error error = {0};
    frame_text(params, "id", words, sizeof(words));
    const struct intent_token *token = find_token(agent_intent(call->peer->agent), words, &error);
    if (!token) {
        fail_find(call, &error);
        return;
    }
    memcpy(command.token_id, token->id, sizeof(command.token_id));
    propose_for(call, &command, answer_done);
}

/* --- Revoking --- */

static void method_peer_revoke(struct api_call *call, struct bytes params)
{
    const struct intent_peer *peer = wanted_peer(call, params);
    struct command command = {.head.type = COMMAND_PEER_STATE};
    if (!peer)
        return;
    command.peer_state.id = peer->id;
    command.peer_state.state = INTENT_REVOKED;
    propose_for(call, &command, answer_done);
}

const struct api_entry api_cluster_methods[] = {
    {"init", ROLE_ADMIN, API_ANYWHERE, method_init},
    {"join", ROLE_ADMIN, API_ANYWHERE, method_join},
    {"leave", ROLE_ADMIN, API_IN_CLUSTER, method_leave},
    {"token.create", ROLE_ADMIN, API_IN_CLUSTER, method_token_create},
    {"token.ls", ROLE_ADMIN, API_OF_INTENT, method_token_ls},
    {"token.revoke", ROLE_ADMIN, API_IN_CLUSTER, method_token_revoke},
    {"peer.revoke", ROLE_ADMIN, API_IN_CLUSTER, method_peer_revoke},
    {0},
};
