#include "gossip/noise.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

/* Section 7.5 and 9: the patterns, each a row of messages, each message a row of tokens. */
enum token {
    END, /* of the message */
    E,
    S,
    EE,
    ES,
    SE,
    SS,
    PSK,
};

enum {
    MESSAGES_MAX = 3,
    TOKENS_MAX = 5,
};

struct pattern {
    const char *name; /* the protocol name, hashed into every handshake */
    uint8_t message_count;
    bool responder_known; /* its static key is a pre-message */
    bool psk;             /* ephemeral keys are mixed into the key too (section 9.2) */
    enum token tokens[MESSAGES_MAX][TOKENS_MAX];
};

static const struct pattern PATTERNS[] = {
    [NOISE_IK] = {"Noise_IK_25519_ChaChaPoly_BLAKE2b",
                  2,
                  true,
                  false,
                  {{E, ES, S, SS, END}, {E, EE, SE, END}}},
    [NOISE_XX] = {"Noise_XX_25519_ChaChaPoly_BLAKE2b",
                  3,
                  false,
                  false,
                  {{E, END}, {E, EE, S, ES, END}, {S, SE, END}}},
    [NOISE_XXPSK3] = {"Noise_XXpsk3_25519_ChaChaPoly_BLAKE2b",
                      3,
                      false,
                      true,
                      {{E, END}, {E, EE, S, ES, END}, {S, SE, PSK, END}}},
};

static const struct pattern *pattern_of(const struct noise_handshake *handshake)
{
    return &PATTERNS[handshake->pattern];
}

void noise_handshake_init(struct noise_handshake *handshake, const struct noise_config *config)
{
    const struct pattern *pattern = &PATTERNS[config->pattern];
    assert(config->static_secret);
    assert(pattern->psk == (config->psk != NULL));
    assert((pattern->responder_known && config->initiator) == (config->remote_static != NULL));

    *handshake = (struct noise_handshake){
        .pattern = config->pattern,
        .initiator = config->initiator,
        .entropy = config->entropy,
    };
    symmetric_init(&handshake->symmetric, pattern->name);
    symmetric_mix_hash(&handshake->symmetric, config->prologue.data, config->prologue.size);
    memcpy(handshake->static_secret, config->static_secret, EXCHANGE_KEY_BYTES);
    crypto_scalarmult_curve25519_base(handshake->static_public, handshake->static_secret);
    if (config->psk)
        memcpy(handshake->psk, config->psk, NOISE_PSK_BYTES);
    if (config->remote_static) {
        memcpy(handshake->remote_static, config->remote_static, EXCHANGE_KEY_BYTES);
        handshake->remote_static_known = true;
    }
    if (pattern->responder_known)
        symmetric_mix_hash(&handshake->symmetric,
                           config->initiator ? handshake->remote_static : handshake->static_public,
                           EXCHANGE_KEY_BYTES);
}

void noise_done(struct noise_handshake *handshake)
{
    if (handshake)
        sodium_memzero(handshake, sizeof(*handshake));
}

bool noise_is_done(const struct noise_handshake *handshake)
{
    return handshake->message_count == pattern_of(handshake)->message_count;
}

bool noise_is_my_turn(const struct noise_handshake *handshake)
{
    bool initiators = handshake->message_count % 2 == 0;
    return !noise_is_done(handshake) && initiators == handshake->initiator;
}

const uint8_t *noise_remote_static(const struct noise_handshake *handshake)
{
    return handshake->remote_static_known ? handshake->remote_static : NULL;
}

const uint8_t *noise_hash(const struct noise_handshake *handshake)
{
    return handshake->symmetric.hash;
}

void noise_split(const struct noise_handshake *handshake, struct noise_cipher *ret_send,
                 struct noise_cipher *ret_receive)
{
    assert(noise_is_done(handshake));
    if (handshake->initiator)
        symmetric_split(&handshake->symmetric, ret_send, ret_receive);
    else
        symmetric_split(&handshake->symmetric, ret_receive, ret_send);
}

/* Mixes in the secret that a DH or psk token stands for; its first letter is the initiator's key.
 */
static int mix_token(struct noise_handshake *handshake, enum token token)
{
    if (token == PSK) {
        symmetric_mix_key_and_hash(&handshake->symmetric, handshake->psk);
        return 0;
    }
    enum token initiators = token == EE || token == ES ? E : S;
    enum token responders = token == EE || token == SE ? E : S;
    enum token own = handshake->initiator ? initiators : responders;
    enum token remote = handshake->initiator ? responders : initiators;
    uint8_t secret[crypto_scalarmult_curve25519_BYTES];
    /* It refuses the points that give zero, which the other side could choose to void the secret.
     */
    int rc = crypto_scalarmult_curve25519(
        secret, own == E ? handshake->ephemeral_secret : handshake->static_secret,
        remote == E ? handshake->remote_ephemeral : handshake->remote_static);
    if (rc == 0)
        symmetric_mix_key(&handshake->symmetric, secret);
    sodium_memzero(secret, sizeof(secret));
    return rc < 0 ? -EBADMSG : 0;
}

static void mix_ephemeral(struct noise_handshake *handshake, const uint8_t *ephemeral_public)
{
    symmetric_mix_hash(&handshake->symmetric, ephemeral_public, EXCHANGE_KEY_BYTES);
    if (pattern_of(handshake)->psk)
        symmetric_mix_key(&handshake->symmetric, ephemeral_public);
}

/* Appends what `token` puts into a message. */
static int write_token(struct noise_handshake *handshake, enum token token, struct buffer *message)
{
    uint8_t sealed[EXCHANGE_KEY_BYTES + NOISE_TAG_BYTES];
    size_t size;
    switch (token) {
    case E:
        entropy_fill(&handshake->entropy, handshake->ephemeral_secret, EXCHANGE_KEY_BYTES);
        crypto_scalarmult_curve25519_base(handshake->ephemeral_public, handshake->ephemeral_secret);
        mix_ephemeral(handshake, handshake->ephemeral_public);
        return buffer_append(message, handshake->ephemeral_public, EXCHANGE_KEY_BYTES);
    case S:
        size = EXCHANGE_KEY_BYTES + symmetric_overhead(&handshake->symmetric);
        symmetric_encrypt(&handshake->symmetric,
                          (struct bytes){handshake->static_public, EXCHANGE_KEY_BYTES}, sealed);
        return buffer_append(message, sealed, size);
    default:
        return mix_token(handshake, token);
    }
}

/* Takes the first `size` bytes of `*message`; -EBADMSG if there are fewer. */
static int take(struct bytes *message, size_t size, struct bytes *ret)
{
    if (size > message->size)
        return -EBADMSG;
    *ret = (struct bytes){message->data, size};
    message->data += size;
    message->size -= size;
    return 0;
}

static int read_token(struct noise_handshake *handshake, enum token token, struct bytes *message)
{
    struct bytes run;
    switch (token) {
    case E:
        if (take(message, EXCHANGE_KEY_BYTES, &run) < 0)
            return -EBADMSG;
        memcpy(handshake->remote_ephemeral, run.data, EXCHANGE_KEY_BYTES);
        mix_ephemeral(handshake, handshake->remote_ephemeral);
        return 0;
    case S:
        if (take(message, EXCHANGE_KEY_BYTES + symmetric_overhead(&handshake->symmetric), &run) < 0)
            return -EBADMSG;
        if (symmetric_decrypt(&handshake->symmetric, run, handshake->remote_static) < 0)
            return -EBADMSG;
        handshake->remote_static_known = true;
        return 0;
    default:
        return mix_token(handshake, token);
    }
}

/* The tokens of the message that is next. */
static const enum token *next_tokens(const struct noise_handshake *handshake)
{
    return pattern_of(handshake)->tokens[handshake->message_count];
}

static int write_message(struct noise_handshake *handshake, struct bytes payload,
                         struct buffer *message)
{
    for (const enum token *token = next_tokens(handshake); *token != END; token++) {
        int rc = write_token(handshake, *token, message);
        if (rc < 0)
            return rc;
    }
    size_t size = payload.size + symmetric_overhead(&handshake->symmetric);
    int rc = buffer_reserve(message, size);
    if (rc < 0)
        return rc;
    symmetric_encrypt(&handshake->symmetric, payload, message->bytes + message->size);
    message->size += size;
    handshake->message_count++;
    return 0;
}

int noise_write(struct noise_handshake *handshake, struct bytes payload, struct buffer *ret_message)
{
    assert(noise_is_my_turn(handshake));
    if (payload.size > NOISE_PAYLOAD_BYTES_MAX)
        return -EMSGSIZE;
    /* Works on a copy, so that a failure leaves no half-used state behind. */
    struct noise_handshake next = *handshake;
    size_t size_before = ret_message->size;
    int rc = write_message(&next, payload, ret_message);
    if (rc < 0)
        ret_message->size = size_before;
    else
        *handshake = next;
    noise_done(&next);
    return rc;
}

static int read_message(struct noise_handshake *handshake, struct bytes message,
                        struct buffer *payload)
{
    for (const enum token *token = next_tokens(handshake); *token != END; token++) {
        int rc = read_token(handshake, *token, &message);
        if (rc < 0)
            return rc;
    }
    size_t overhead = symmetric_overhead(&handshake->symmetric);
    if (message.size < overhead)
        return -EBADMSG;
    /* One more, so that there is a place also for an empty payload. */
    int rc = buffer_reserve(payload, message.size - overhead + 1);
    if (rc < 0)
        return rc;
    rc = symmetric_decrypt(&handshake->symmetric, message, payload->bytes + payload->size);
    if (rc < 0)
        return rc;
    payload->size += message.size - overhead;
    handshake->message_count++;
    return 0;
}

int noise_read(struct noise_handshake *handshake, struct bytes message, struct buffer *ret_payload)
{
    assert(!noise_is_done(handshake));
    assert(!noise_is_my_turn(handshake));
    if (message.size > NOISE_MESSAGE_BYTES_MAX)
        return -EBADMSG;
    struct noise_handshake next = *handshake;
    size_t size_before = ret_payload->size;
    int rc = read_message(&next, message, ret_payload);
    if (rc < 0)
        ret_payload->size = size_before;
    else
        *handshake = next;
    noise_done(&next);
    return rc;
}
