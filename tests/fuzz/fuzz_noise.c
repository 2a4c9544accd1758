/* Noise: a message of input bytes never passes where a key protects it, and never changes the
 * state, so that the true message still passes afterwards.
 *
 * The first byte picks the pattern and the message that is forged. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "base/random.h"
#include "gossip/noise.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fill(void *context, void *ret, size_t size)
{
    random_fill(context, ret, size);
}

static void start(enum noise_pattern pattern, struct random *random,
                  struct noise_handshake sides[2])
{
    static const uint8_t psk[NOISE_PSK_BYTES] = {7};
    static const uint8_t seeds[2][IDENTITY_SEED_BYTES] = {{1}, {2}};
    struct identity identities[2];

    identity_init(&identities[0], seeds[0]);
    identity_init(&identities[1], seeds[1]);
    for (int i = 0; i < 2; i++)
        noise_handshake_init(&sides[i], &(struct noise_config){
                                            .pattern = pattern,
                                            .initiator = i == 0,
                                            .static_secret = identities[i].exchange_secret,
                                            .remote_static = pattern == NOISE_IK && i == 0
                                                                 ? identities[1].exchange_public
                                                                 : NULL,
                                            .psk = pattern == NOISE_XXPSK3 ? psk : NULL,
                                            .entropy = {fill, random},
                                        });
}

static void forge(struct noise_handshake *reader, int turn, struct bytes message)
{
    cleanup_buffer struct buffer payload = {0};
    struct noise_handshake kept;
    memcpy(&kept, reader, sizeof(kept)); /* with what lies between its members */
    int rc = noise_read(reader, message, &payload);

    /* The first message of XX is in the clear: anything is one. */
    assert(rc < 0 || (turn == 0 && reader->pattern != NOISE_IK));
    if (rc < 0) {
        /* NOLINTNEXTLINE(bugprone-suspicious-memory-comparison): untouched, to the byte */
        assert(memcmp(reader, &kept, sizeof(kept)) == 0);
        assert(payload.size == 0);
    }
    *reader = kept;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct noise_handshake sides[2];
    struct random random;

    if (size == 0)
        return 0;
    random_init(&random, 1);
    start(data[0] % 3, &random, sides);
    int forged_turn = data[0] / 3 % 3;
    for (int turn = 0; !noise_is_done(&sides[turn % 2]); turn++) {
        cleanup_buffer struct buffer message = {0};
        cleanup_buffer struct buffer payload = {0};
        struct noise_handshake *reader = &sides[(turn + 1) % 2];

        if (turn == forged_turn)
            forge(reader, turn, (struct bytes){data + 1, size - 1});
        assert(noise_write(&sides[turn % 2], (struct bytes){data, size < 64 ? size : 64},
                           &message) == 0);
        assert(noise_read(reader, buffer_view(&message), &payload) == 0);
    }
    assert(memcmp(noise_hash(&sides[0]), noise_hash(&sides[1]), NOISE_HASH_BYTES) == 0);
    return 0;
}
