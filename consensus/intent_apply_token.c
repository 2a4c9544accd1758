/* Join tokens: made, used up, revoked. The wall clock that counts is the commands' own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "consensus/intent_apply.h"

enum {
    TOKEN_TEXT_BYTES = 2 * INTENT_TOKEN_ID_BYTES + 1,
    TOKEN_SHORT_BYTES = 4, /* enough of the id to tell tokens apart */
};

static void token_short(const uint8_t *token_id, char ret[TOKEN_TEXT_BYTES])
{
    hex_encode(token_id, TOKEN_SHORT_BYTES, ret);
}

static bool is_expired(const struct intent_token *token, int64_t wall_ms)
{
    return token->expires_wall_ms != 0 && wall_ms >= token->expires_wall_ms;
}

static void token_remove(struct intent *intent, const uint8_t *token_id)
{
    free(table_remove(&intent->tokens, token_id));
}

/* Drops expired tokens, backwards, so that what is left keeps its place. */
static void expired_sweep(struct intent *intent, int64_t wall_ms)
{
    for (size_t i = intent->tokens.count; i-- > 0;) {
        const struct intent_token *token = intent->tokens.items[i];
        if (is_expired(token, wall_ms))
            token_remove(intent, token->id);
    }
}

static int refuse_token(struct intent_apply *apply, int code, const char *why)
{
    error_set(&apply->result->error, code, "the token %s", why);
    error_hint(&apply->result->error, "make a new one on any peer: consort token create");
    return code;
}

int intent_token_check(struct intent_apply *apply, const uint8_t *token_id, uint8_t role)
{
    const struct intent_token *token = intent_token_find(apply->intent, token_id);
    if (!token)
        return refuse_token(apply, -EACCES, "is not known: it was used up or revoked");
    if (is_expired(token, apply->head->wall_ms))
        return refuse_token(apply, -EACCES, "has expired");
    if (token->role != role)
        return refuse_token(apply, -EACCES, "is for another role");
    return 0;
}

void intent_token_use(struct intent *intent, const uint8_t *token_id)
{
    struct intent_token *token = intent_token_find(intent, token_id);
    if (--token->uses_left == 0)
        token_remove(intent, token_id);
}

/* How many tokens are left once the expired ones are gone. */
static size_t valid_count(const struct intent *intent, int64_t wall_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < intent->tokens.count; i++)
        count += !is_expired(intent->tokens.items[i], wall_ms);
    return count;
}

static int create_check(struct intent_apply *apply, const struct intent_token *token)
{
    struct error *error = &apply->result->error;
    if (token->uses_left == 0)
        return error_set(error, -EINVAL, "a token needs at least one use");
    if (is_expired(token, apply->head->wall_ms))
        return error_set(error, -EINVAL, "the token would have expired already");
    if (intent_token_find(apply->intent, token->id))
        return error_set(error, -EEXIST, "there is a token with this id already");
    if (valid_count(apply->intent, apply->head->wall_ms) >= INTENT_TOKENS_MAX) {
        error_set(error, -ENOSPC, "there are %d tokens already", INTENT_TOKENS_MAX);
        error_hint(error, "revoke some: consort token revoke");
        return -ENOSPC;
    }
    return 0;
}

int intent_apply_token_create(struct intent_apply *apply, const struct intent_token *token)
{
    struct intent *intent = apply->intent;
    int rc = create_check(apply, token);
    if (rc < 0)
        return rc;
    expired_sweep(intent, apply->head->wall_ms);
    struct intent_token *added = malloc(sizeof(*added));
    if (!added)
        return -ENOMEM;
    *added = *token;
    added->created_wall_ms = apply->head->wall_ms;
    snprintf(added->actor, sizeof(added->actor), "%s", apply->head->actor);
    if (table_insert(&intent->tokens, added) < 0) {
        free(added);
        return -ENOMEM;
    }
    char subject[TOKEN_TEXT_BYTES];
    token_short(token->id, subject);
    intent_event_add(apply, "token", subject, "created for role %s, %u use%s",
                     intent_role_text(token->role), token->uses_left,
                     token->uses_left == 1 ? "" : "s");
    return 0;
}

int intent_apply_token_revoke(struct intent_apply *apply, const uint8_t *token_id)
{
    if (!intent_token_find(apply->intent, token_id))
        return refuse_token(apply, -ENOENT, "is not known: it was used up or revoked");
    token_remove(apply->intent, token_id);
    char subject[TOKEN_TEXT_BYTES];
    token_short(token_id, subject);
    intent_event_add(apply, "token", subject, "revoked");
    return 0;
}
