/* What a stranger sends to a link: the preamble, frames and handshake, against an acceptor with a
 * fixed key. The parts are fuzzed by themselves too, since no mutation gets past the cipher. */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "node/transport/link_handshake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int find_token(void *context, const uint8_t token_id[TOKEN_ID_BYTES],
                      uint8_t ret_psk[NOISE_PSK_BYTES])
{
    (void)context;
    if (token_id[0] % 2)
        return -ENOENT;
    memset(ret_psk, token_id[0], NOISE_PSK_BYTES);
    return 0;
}

static void parts(struct bytes input)
{
    struct link_preamble preamble;
    struct link_payload payload;
    struct bytes body;
    size_t size;
    if (link_preamble_decode(input, &preamble, &size) == 0) {
        uint8_t again[LINK_PREAMBLE_BYTES_MAX];
        assert(link_preamble_encode(&preamble, again) == size);
        assert(memcmp(again, input.data, size) == 0);
    }
    if (link_frame_next(input, LINK_HANDSHAKE_BYTES_MAX, &body, &size) == 0)
        assert(body.size > 0 && size == body.size + LINK_FRAME_HEAD_BYTES && size <= input.size);
    link_payload_decode(input, &payload);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct identity identity;
    static struct certificate_chain chain;
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    if (id_is_none(&identity.id))
        identity_init(&identity, seed);
    const struct link_config config = {
        .identity = &identity, .chain = &chain, .cluster = identity.id, .find_token = find_token};
    const struct bytes input = {data, size};
    struct link_handshake handshake;
    cleanup_buffer struct buffer output = {0};
    size_t offset = 0;
    parts(input);
    link_handshake_accept(&handshake, &config);
    for (int rc = 0; rc == 0 && offset < size;) {
        size_t used = 0;
        struct error error = {0};
        rc = link_handshake_receive(&handshake, (struct bytes){data + offset, size - offset}, &used,
                                    &output, &error);
        assert(rc < 0 || (used > 0 && used <= size - offset));
        assert(rc == 0 || rc == -EAGAIN || error.code == rc);
        assert(!link_handshake_is_done(&handshake));
        offset += used;
    }
    link_handshake_done(&handshake);
    return 0;
}
