#include "gossip/noise_cipher.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

_Static_assert(NOISE_KEY_BYTES == crypto_aead_chacha20poly1305_ietf_KEYBYTES, "one key size");
_Static_assert(NOISE_TAG_BYTES == crypto_aead_chacha20poly1305_ietf_ABYTES, "one tag size");

enum { NONCE_BYTES = crypto_aead_chacha20poly1305_ietf_NPUBBYTES };

/* Section 12.3: 32 bits of zeros, then the counter in little-endian. */
static void nonce_encode(uint64_t nonce, uint8_t ret[NONCE_BYTES])
{
    for (int i = 0; i < 4; i++)
        ret[i] = 0;
    for (int i = 0; i < 8; i++)
        ret[4 + i] = (uint8_t)(nonce >> (8 * i));
}

void noise_seal(const struct noise_cipher *cipher, uint64_t nonce, struct bytes associated,
                struct bytes plaintext, uint8_t *ret)
{
    assert(nonce < UINT64_MAX);
    uint8_t encoded[NONCE_BYTES];
    nonce_encode(nonce, encoded);
    crypto_aead_chacha20poly1305_ietf_encrypt(ret, NULL, plaintext.data, plaintext.size,
                                              associated.data, associated.size, NULL, encoded,
                                              cipher->key);
}

int noise_open(const struct noise_cipher *cipher, uint64_t nonce, struct bytes associated,
               struct bytes sealed, uint8_t *ret)
{
    if (sealed.size < NOISE_TAG_BYTES || nonce == UINT64_MAX)
        return -EBADMSG;
    uint8_t encoded[NONCE_BYTES];
    nonce_encode(nonce, encoded);
    int rc = crypto_aead_chacha20poly1305_ietf_decrypt(ret, NULL, NULL, sealed.data, sealed.size,
                                                       associated.data, associated.size, encoded,
                                                       cipher->key);
    return rc < 0 ? -EBADMSG : 0;
}

void noise_rekey(struct noise_cipher *cipher)
{
    static const uint8_t zeros[NOISE_KEY_BYTES];
    uint8_t encoded[NONCE_BYTES], sealed[NOISE_KEY_BYTES + NOISE_TAG_BYTES];
    nonce_encode(UINT64_MAX, encoded);
    crypto_aead_chacha20poly1305_ietf_encrypt(sealed, NULL, zeros, sizeof(zeros), NULL, 0, NULL,
                                              encoded, cipher->key);
    memcpy(cipher->key, sealed, sizeof(cipher->key));
    sodium_memzero(sealed, sizeof(sealed));
}

void noise_cipher_done(struct noise_cipher *cipher)
{
    if (cipher)
        sodium_memzero(cipher, sizeof(*cipher));
}
