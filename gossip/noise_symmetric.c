#include "gossip/noise_symmetric.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

enum {
    BLOCK_BYTES = 128, /* BLAKE2b's, for HMAC */
    SECRET_BYTES = 32,
    OUTPUTS_MAX = 3,
};

/* HMAC (RFC 2104) over BLAKE2b of first || second. Noise asks for HMAC although BLAKE2b has a keyed
 * mode of its own. */
static void hmac(const uint8_t key[NOISE_HASH_BYTES], struct bytes first, struct bytes second,
                 uint8_t ret[NOISE_HASH_BYTES])
{
    uint8_t pad[BLOCK_BYTES], inner[NOISE_HASH_BYTES];
    crypto_generichash_state state;

    memset(pad, 0x36, sizeof(pad));
    for (size_t i = 0; i < NOISE_HASH_BYTES; i++)
        pad[i] ^= key[i];
    crypto_generichash_init(&state, NULL, 0, NOISE_HASH_BYTES);
    crypto_generichash_update(&state, pad, sizeof(pad));
    crypto_generichash_update(&state, first.data, first.size);
    crypto_generichash_update(&state, second.data, second.size);
    crypto_generichash_final(&state, inner, sizeof(inner));

    for (size_t i = 0; i < BLOCK_BYTES; i++)
        pad[i] ^= 0x36 ^ 0x5c;
    crypto_generichash_init(&state, NULL, 0, NOISE_HASH_BYTES);
    crypto_generichash_update(&state, pad, sizeof(pad));
    crypto_generichash_update(&state, inner, sizeof(inner));
    crypto_generichash_final(&state, ret, NOISE_HASH_BYTES);

    sodium_memzero(pad, sizeof(pad));
    sodium_memzero(inner, sizeof(inner));
    sodium_memzero(&state, sizeof(state));
}

/* Section 4.3's HKDF with `count` outputs of 64 bytes. */
static void hkdf(const uint8_t chaining_key[NOISE_HASH_BYTES], struct bytes secret, int count,
                 uint8_t ret[OUTPUTS_MAX][NOISE_HASH_BYTES])
{
    uint8_t key[NOISE_HASH_BYTES];
    struct bytes previous = {NULL, 0};
    hmac(chaining_key, secret, previous, key);
    for (int i = 0; i < count; i++) {
        uint8_t number = (uint8_t)(i + 1);
        hmac(key, previous, (struct bytes){&number, 1}, ret[i]);
        previous = (struct bytes){ret[i], NOISE_HASH_BYTES};
    }
    sodium_memzero(key, sizeof(key));
}

static void set_key(struct noise_symmetric *symmetric, const uint8_t key[NOISE_HASH_BYTES])
{
    memcpy(symmetric->cipher.key, key, NOISE_KEY_BYTES);
    symmetric->nonce = 0;
    symmetric->keyed = true;
}

void symmetric_init(struct noise_symmetric *symmetric, const char *protocol_name)
{
    size_t length = strlen(protocol_name);
    assert(length <= NOISE_HASH_BYTES);
    *symmetric = (struct noise_symmetric){0};
    memcpy(symmetric->hash, protocol_name, length);
    memcpy(symmetric->chaining_key, symmetric->hash, NOISE_HASH_BYTES);
}

void symmetric_mix_hash(struct noise_symmetric *symmetric, const void *data, size_t size)
{
    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, NOISE_HASH_BYTES);
    crypto_generichash_update(&state, symmetric->hash, NOISE_HASH_BYTES);
    crypto_generichash_update(&state, data, size);
    crypto_generichash_final(&state, symmetric->hash, NOISE_HASH_BYTES);
}

void symmetric_mix_key(struct noise_symmetric *symmetric, const uint8_t *secret)
{
    uint8_t output[OUTPUTS_MAX][NOISE_HASH_BYTES];
    hkdf(symmetric->chaining_key, (struct bytes){secret, SECRET_BYTES}, 2, output);
    memcpy(symmetric->chaining_key, output[0], NOISE_HASH_BYTES);
    set_key(symmetric, output[1]);
    sodium_memzero(output, sizeof(output));
}

void symmetric_mix_key_and_hash(struct noise_symmetric *symmetric, const uint8_t *secret)
{
    uint8_t output[OUTPUTS_MAX][NOISE_HASH_BYTES];
    hkdf(symmetric->chaining_key, (struct bytes){secret, SECRET_BYTES}, 3, output);
    memcpy(symmetric->chaining_key, output[0], NOISE_HASH_BYTES);
    symmetric_mix_hash(symmetric, output[1], NOISE_HASH_BYTES);
    set_key(symmetric, output[2]);
    sodium_memzero(output, sizeof(output));
}

size_t symmetric_overhead(const struct noise_symmetric *symmetric)
{
    return symmetric->keyed ? NOISE_TAG_BYTES : 0;
}

void symmetric_encrypt(struct noise_symmetric *symmetric, struct bytes plaintext, uint8_t *ret)
{
    struct bytes associated = {symmetric->hash, NOISE_HASH_BYTES};
    if (symmetric->keyed)
        noise_seal(&symmetric->cipher, symmetric->nonce++, associated, plaintext, ret);
    else if (plaintext.size > 0)
        memcpy(ret, plaintext.data, plaintext.size);
    symmetric_mix_hash(symmetric, ret, plaintext.size + symmetric_overhead(symmetric));
}

int symmetric_decrypt(struct noise_symmetric *symmetric, struct bytes sealed, uint8_t *ret)
{
    struct bytes associated = {symmetric->hash, NOISE_HASH_BYTES};
    if (symmetric->keyed) {
        if (noise_open(&symmetric->cipher, symmetric->nonce++, associated, sealed, ret) < 0)
            return -EBADMSG;
    } else if (sealed.size > 0) {
        memcpy(ret, sealed.data, sealed.size);
    }
    symmetric_mix_hash(symmetric, sealed.data, sealed.size);
    return 0;
}

void symmetric_split(const struct noise_symmetric *symmetric, struct noise_cipher *ret_initiator,
                     struct noise_cipher *ret_responder)
{
    uint8_t output[OUTPUTS_MAX][NOISE_HASH_BYTES];
    hkdf(symmetric->chaining_key, (struct bytes){NULL, 0}, 2, output);
    memcpy(ret_initiator->key, output[0], NOISE_KEY_BYTES);
    memcpy(ret_responder->key, output[1], NOISE_KEY_BYTES);
    sodium_memzero(output, sizeof(output));
}
