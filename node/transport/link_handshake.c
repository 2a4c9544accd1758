#include "node/transport/link_handshake.h"

#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
    DESCRIPTION_BYTES = 192,
    REFUSAL_BYTES = 2, /* code, version */
};

static void fill_random(void *context, void *ret, size_t size)
{
    (void)context;
    randombytes_buf(ret, size);
}

void link_remote_describe(const struct link_remote *remote, char *ret, size_t size)
{
    char address[ADDRESS_TEXT_BYTES];
    address_format(&remote->address, address);
    if (id_is_none(&remote->id))
        snprintf(ret, size, "peer at %s", address);
    else if (remote->by_token)
        snprintf(ret, size, "newcomer %s at %s", id_short(&remote->id), address);
    else if (remote->chain.count == 0)
        snprintf(ret, size, "peer %s at %s", id_short(&remote->id), address);
    else
        snprintf(ret, size, "%s %s (%s) at %s", role_name(remote->chain.certificates[0].role),
                 id_short(&remote->id), remote->chain.certificates[0].name, address);
}

/* --- Beginning --- */

static enum noise_pattern pattern_of(enum link_kind kind)
{
    switch (kind) {
    case LINK_KIND_ADMITTED:
    case LINK_KIND_MESH:
        return NOISE_IK;
    case LINK_KIND_TOKEN:
        return NOISE_XXPSK3;
    case LINK_KIND_SEED:
        return NOISE_XX;
    }
    return NOISE_IK;
}

static void begin_noise(struct link_handshake *handshake, const struct link_preamble *preamble,
                        const uint8_t *remote_static, const uint8_t *psk)
{
    uint8_t prologue[LINK_PREAMBLE_BYTES_MAX];
    size_t size = link_preamble_encode(preamble, prologue);
    const struct noise_config config = {
        .pattern = pattern_of(preamble->kind),
        .initiator = handshake->is_dialer,
        .prologue = {prologue, size},
        .static_secret = handshake->config->identity->exchange_secret,
        .remote_static = remote_static,
        .psk = psk,
        .entropy = {.fill = fill_random},
    };
    noise_handshake_init(&handshake->noise, &config);
    handshake->kind = preamble->kind;
    handshake->has_preamble = true;
}

/* Appends the next Noise message, with this side's id and chain unless it is XX's first. */
static int send_noise(struct link_handshake *handshake, bool with_payload, struct buffer *output)
{
    cleanup_buffer struct buffer payload = {0}, message = {0};
    const struct link_config *config = handshake->config;
    int rc = with_payload ? link_payload_encode(&config->identity->id, config->chain, &payload) : 0;
    if (rc == 0)
        rc = noise_write(&handshake->noise, buffer_view(&payload), &message);
    return rc < 0 ? rc : link_frame_append(output, LINK_FRAME_NOISE, buffer_view(&message));
}

static int dial(struct link_handshake *handshake, const struct link_preamble *preamble,
                const uint8_t *remote_static, const uint8_t *psk, struct buffer *output)
{
    uint8_t bytes[LINK_PREAMBLE_BYTES_MAX];
    begin_noise(handshake, preamble, remote_static, psk);
    int rc = buffer_append(output, bytes, link_preamble_encode(preamble, bytes));
    return rc < 0 ? rc : send_noise(handshake, pattern_of(preamble->kind) == NOISE_IK, output);
}

int link_handshake_dial(struct link_handshake *handshake, const struct link_config *config,
                        const struct id *remote, bool is_for_mesh, struct buffer *output)
{
    uint8_t remote_static[EXCHANGE_KEY_BYTES];
    const struct link_preamble preamble = {.version = LINK_PROTOCOL_VERSION,
                                           .kind =
                                               is_for_mesh ? LINK_KIND_MESH : LINK_KIND_ADMITTED};
    *handshake = (struct link_handshake){.config = config, .is_dialer = true, .expected = *remote};
    handshake->remote.id = *remote;
    int rc = id_to_exchange(remote, remote_static);
    return rc < 0 ? rc : dial(handshake, &preamble, remote_static, NULL, output);
}

int link_handshake_dial_token(struct link_handshake *handshake, const struct link_config *config,
                              const uint8_t secret[TOKEN_SECRET_BYTES], struct buffer *output)
{
    uint8_t psk[NOISE_PSK_BYTES];
    struct link_preamble preamble = {.version = LINK_PROTOCOL_VERSION, .kind = LINK_KIND_TOKEN};
    *handshake = (struct link_handshake){.config = config, .is_dialer = true};
    token_id(secret, preamble.token_id);
    token_psk(secret, psk);
    int rc = dial(handshake, &preamble, NULL, psk, output);
    sodium_memzero(psk, sizeof(psk));
    return rc;
}

int link_handshake_dial_seed(struct link_handshake *handshake, const struct link_config *config,
                             struct buffer *output)
{
    struct link_preamble preamble = {.version = LINK_PROTOCOL_VERSION, .kind = LINK_KIND_SEED};
    *handshake = (struct link_handshake){.config = config, .is_dialer = true};
    link_cluster_tag(&config->cluster, preamble.cluster_tag);
    return dial(handshake, &preamble, NULL, NULL, output);
}

void link_handshake_accept(struct link_handshake *handshake, const struct link_config *config)
{
    *handshake = (struct link_handshake){.config = config};
}

void link_handshake_done(struct link_handshake *handshake)
{
    if (!handshake)
        return;
    noise_done(&handshake->noise);
    link_cipher_done(&handshake->send);
    link_cipher_done(&handshake->receive);
}

bool link_handshake_is_done(const struct link_handshake *handshake)
{
    return handshake->has_keys && handshake->has_hello;
}

/* --- Refusing --- */

static int refuse_in_the_clear(enum link_refusal refusal, struct buffer *output)
{
    const uint8_t body[REFUSAL_BYTES] = {(uint8_t)refusal, LINK_PROTOCOL_VERSION};
    return link_frame_append(output, LINK_FRAME_REFUSAL, (struct bytes){body, sizeof(body)});
}

static int send_hello(struct link_handshake *handshake, enum link_refusal refusal,
                      struct buffer *output)
{
    cleanup_buffer struct buffer sealed = {0};
    const uint8_t code = (uint8_t)refusal;
    int rc = link_cipher_seal(&handshake->send, (struct bytes){&code, sizeof(code)}, &sealed);
    return rc < 0 ? rc : link_frame_append(output, LINK_FRAME_HELLO, buffer_view(&sealed));
}

/* This side refuses: says so to the other, and in `error`. `words` say more than the refusal's own,
 * or are NULL. */
static int refuse(struct link_handshake *handshake, enum link_refusal refusal, const char *words,
                  struct buffer *output, struct error *error)
{
    char who[DESCRIPTION_BYTES];
    link_remote_describe(&handshake->remote, who, sizeof(who));
    if (handshake->has_keys)
        send_hello(handshake, refusal, output);
    else
        refuse_in_the_clear(refusal, output);
    return error_set(error, link_refusal_errno(refusal), "link with %s refused: %s", who,
                     words ? words : link_refusal_words(refusal));
}

/* The other side refuses. */
static int refused(struct link_handshake *handshake, uint8_t code, struct error *error)
{
    char who[DESCRIPTION_BYTES];
    enum link_refusal refusal = (enum link_refusal)code;
    handshake->was_refused = true;
    link_remote_describe(&handshake->remote, who, sizeof(who));
    return error_set(error, link_refusal_errno(refusal), "%s refused the link: %s", who,
                     link_refusal_words(refusal));
}

static int other_version(const struct link_handshake *handshake, uint8_t version,
                         struct error *error)
{
    char who[DESCRIPTION_BYTES];
    link_remote_describe(&handshake->remote, who, sizeof(who));
    return error_set(error, -EPROTONOSUPPORT, "%s speaks protocol %u, this is %d: upgrade %s", who,
                     version, LINK_PROTOCOL_VERSION,
                     version > LINK_PROTOCOL_VERSION ? "this peer" : "that one");
}

/* --- Who is it? --- */

/* Checks what the other side says about itself against its key and this cluster. */
static enum link_refusal check_remote(struct link_handshake *handshake,
                                      const struct link_payload *payload, const char **ret_words)
{
    const struct link_config *config = handshake->config;
    const uint8_t *remote_static = noise_remote_static(&handshake->noise);
    uint8_t key[EXCHANGE_KEY_BYTES];
    const struct certificate *leaf = &payload->chain.certificates[0];
    if (id_to_exchange(&payload->id, key) < 0 ||
        sodium_memcmp(key, remote_static, sizeof(key)) != 0)
        return LINK_REFUSED_KEY;
    handshake->remote.id = payload->id;
    if (id_equal(&payload->id, &config->identity->id))
        return LINK_REFUSED_SELF;
    if (!id_is_none(&handshake->expected) && !id_equal(&payload->id, &handshake->expected))
        return LINK_REFUSED_KEY;
    if (handshake->kind == LINK_KIND_TOKEN && !handshake->is_dialer)
        return LINK_ACCEPTED; /* a newcomer: the token speaks for it */
    enum certificate_verdict verdict = certificate_chain_verify(&payload->chain, &config->cluster);
    if (verdict != CERTIFICATE_GOOD) {
        *ret_words = certificate_verdict_words(verdict);
        return verdict == CERTIFICATE_FOREIGN_CLUSTER ? LINK_REFUSED_FOREIGN
                                                      : LINK_REFUSED_CERTIFICATE;
    }
    if (!id_equal(&leaf->subject, &payload->id))
        return LINK_REFUSED_KEY;
    handshake->remote.chain = payload->chain;
    if ((handshake->is_dialer || handshake->kind == LINK_KIND_MESH) && leaf->role != ROLE_PEER)
        return LINK_REFUSED_ROLE;
    if (handshake->kind == LINK_KIND_TOKEN || !config->admit)
        return LINK_ACCEPTED;
    return config->admit(config->context, &payload->id, &payload->chain);
}

static int check_payload(struct link_handshake *handshake, struct bytes bytes,
                         enum link_refusal *ret, const char **ret_words)
{
    struct link_payload payload;
    int rc = link_payload_decode(bytes, &payload);
    if (rc == 0)
        *ret = check_remote(handshake, &payload, ret_words);
    return rc;
}

/* --- Receiving --- */

/* Gives no answer, so that a scanner learns nothing. */
static int ignore(const struct link_handshake *handshake, int code, const char *words,
                  struct error *error)
{
    char who[DESCRIPTION_BYTES];
    link_remote_describe(&handshake->remote, who, sizeof(who));
    return error_set(error, code, "%s %s", who, words);
}

/* A peer that is in no cluster yet has nothing to tell. */
static bool knows_cluster(const struct link_config *config, const struct link_preamble *preamble)
{
    uint8_t tag[LINK_CLUSTER_TAG_BYTES];
    link_cluster_tag(&config->cluster, tag);
    return config->chain->count > 0 && sodium_memcmp(tag, preamble->cluster_tag, sizeof(tag)) == 0;
}

static int receive_preamble(struct link_handshake *handshake, struct bytes input, size_t *ret_size,
                            struct buffer *output, struct error *error)
{
    struct link_preamble preamble;
    uint8_t psk[NOISE_PSK_BYTES];
    const struct link_config *config = handshake->config;
    int rc = link_preamble_decode(input, &preamble, ret_size);
    if (rc == -EAGAIN)
        return rc;
    if (rc == -EPROTONOSUPPORT) {
        refuse_in_the_clear(LINK_REFUSED_VERSION, output);
        return other_version(handshake, preamble.version, error);
    }
    if (rc < 0)
        return ignore(handshake, rc, "does not speak Consort's protocol", error);
    if (preamble.kind == LINK_KIND_SEED && !knows_cluster(config, &preamble))
        return ignore(handshake, -EACCES, "looks for peers of another cluster", error);
    if (preamble.kind != LINK_KIND_TOKEN) {
        begin_noise(handshake, &preamble, NULL, NULL);
        return 0;
    }
    if (!config->find_token || config->find_token(config->context, preamble.token_id, psk) < 0)
        return refuse(handshake, LINK_REFUSED_TOKEN, NULL, output, error);
    handshake->remote.by_token = true;
    memcpy(handshake->remote.token_id, preamble.token_id, sizeof(preamble.token_id));
    begin_noise(handshake, &preamble, NULL, psk);
    sodium_memzero(psk, sizeof(psk));
    return 0;
}

static int take_keys(struct link_handshake *handshake, enum link_refusal refusal, const char *words,
                     struct buffer *output, struct error *error)
{
    struct noise_cipher send, receive;
    noise_split(&handshake->noise, &send, &receive);
    link_cipher_init(&handshake->send, &send);
    link_cipher_init(&handshake->receive, &receive);
    noise_cipher_done(&send);
    noise_cipher_done(&receive);
    handshake->has_keys = true;
    if (refusal != LINK_ACCEPTED)
        return refuse(handshake, refusal, words, output, error);
    return send_hello(handshake, LINK_ACCEPTED, output);
}

/* A Noise message came: reads it, judges what it says, and sends what is next. */
static int receive_noise(struct link_handshake *handshake, struct bytes message,
                         struct buffer *output, struct error *error)
{
    cleanup_buffer struct buffer payload = {0};
    enum link_refusal refusal = LINK_ACCEPTED;
    const char *words = NULL;
    bool is_xx = pattern_of(handshake->kind) != NOISE_IK;
    bool is_first = handshake->noise.message_count == 0;
    bool needs_psk = handshake->kind == LINK_KIND_TOKEN && !handshake->is_dialer && !is_first;
    if (noise_is_done(&handshake->noise))
        return refuse(handshake, LINK_REFUSED_HANDSHAKE, NULL, output, error);
    int rc = noise_read(&handshake->noise, message, &payload);
    if (rc == -EBADMSG)
        return refuse(handshake, needs_psk ? LINK_REFUSED_TOKEN : LINK_REFUSED_HANDSHAKE, NULL,
                      output, error);
    if (rc == 0 && !(is_xx && is_first)) /* XX's first says nothing */
        rc = check_payload(handshake, buffer_view(&payload), &refusal, &words);
    if (rc == -EBADMSG)
        return refuse(handshake, LINK_REFUSED_HANDSHAKE, NULL, output, error);
    if (rc == 0 && is_xx && handshake->is_dialer && refusal != LINK_ACCEPTED)
        return refuse(handshake, refusal, words, output, error); /* it learns nothing of us */
    if (rc == 0 && noise_is_my_turn(&handshake->noise))
        rc = send_noise(handshake, true, output);
    if (rc == 0 && noise_is_done(&handshake->noise))
        rc = take_keys(handshake, refusal, words, output, error);
    if (rc < 0 && (!error || error->code == 0))
        return error_set_errno(error, rc, "handshake of a link");
    return rc;
}

static int receive_hello(struct link_handshake *handshake, struct bytes sealed,
                         struct buffer *output, struct error *error)
{
    uint8_t code[1 + NOISE_TAG_BYTES];
    struct bytes opened;
    if (!handshake->has_keys || handshake->has_hello || sealed.size != sizeof(code))
        return refuse(handshake, LINK_REFUSED_HANDSHAKE, NULL, output, error);
    memcpy(code, sealed.data, sizeof(code));
    if (link_cipher_open(&handshake->receive, code, sizeof(code), &opened) < 0)
        return refuse(handshake, LINK_REFUSED_HANDSHAKE, NULL, output, error);
    if (opened.data[0] != LINK_ACCEPTED)
        return refused(handshake, opened.data[0], error);
    handshake->has_hello = true;
    return 0;
}

static int receive_refusal(struct link_handshake *handshake, struct bytes body, struct error *error)
{
    if (body.size != REFUSAL_BYTES || body.data[0] == LINK_ACCEPTED)
        return error_set(error, -EBADMSG, "link: a refusal that is none");
    if (body.data[0] == LINK_REFUSED_VERSION)
        return other_version(handshake, body.data[1], error);
    return refused(handshake, body.data[0], error);
}

int link_handshake_receive(struct link_handshake *handshake, struct bytes input, size_t *ret_size,
                           struct buffer *output, struct error *error)
{
    struct bytes body;
    if (!handshake->is_dialer && !handshake->has_preamble)
        return receive_preamble(handshake, input, ret_size, output, error);
    int rc = link_frame_next(input, LINK_HANDSHAKE_BYTES_MAX, &body, ret_size);
    if (rc == -EAGAIN)
        return rc;
    if (rc < 0)
        return refuse(handshake, LINK_REFUSED_HANDSHAKE, NULL, output, error);
    const struct bytes rest = {body.data + 1, body.size - 1};
    switch (body.data[0]) {
    case LINK_FRAME_NOISE:
        return receive_noise(handshake, rest, output, error);
    case LINK_FRAME_HELLO:
        return receive_hello(handshake, rest, output, error);
    case LINK_FRAME_REFUSAL:
        return receive_refusal(handshake, rest, error);
    default:
        return refuse(handshake, LINK_REFUSED_HANDSHAKE, NULL, output, error);
    }
}
