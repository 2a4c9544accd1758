#include "gossip/identity.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

enum { DIGEST_BYTES = 64 };

void identity_init(struct identity *identity, const uint8_t seed[IDENTITY_SEED_BYTES])
{
    int rc = crypto_sign_seed_keypair(identity->id.bytes, identity->secret, seed);
    assert(rc == 0);
    rc = crypto_sign_ed25519_sk_to_curve25519(identity->exchange_secret, identity->secret);
    assert(rc == 0);
    rc = crypto_scalarmult_curve25519_base(identity->exchange_public, identity->exchange_secret);
    assert(rc == 0);
}

void identity_done(struct identity *identity)
{
    if (identity)
        sodium_memzero(identity, sizeof(*identity));
}

int id_to_exchange(const struct id *id, uint8_t ret[EXCHANGE_KEY_BYTES])
{
    uint8_t key[EXCHANGE_KEY_BYTES];
    if (crypto_sign_ed25519_pk_to_curve25519(key, id->bytes) < 0)
        return -EINVAL;
    memcpy(ret, key, sizeof(key));
    return 0;
}

/* Hashes purpose and message; the purpose's length goes first, so that no two pairs run together.
 */
static void sync_digest_of(const char *purpose, struct bytes message, uint8_t ret[DIGEST_BYTES])
{
    size_t length = strlen(purpose);
    assert(length > 0);
    assert(length <= UINT8_MAX);
    uint8_t prefix = (uint8_t)length;

    crypto_generichash_state state;
    crypto_generichash_init(&state, NULL, 0, DIGEST_BYTES);
    crypto_generichash_update(&state, &prefix, 1);
    crypto_generichash_update(&state, (const uint8_t *)purpose, length);
    crypto_generichash_update(&state, message.data, message.size);
    crypto_generichash_final(&state, ret, DIGEST_BYTES);
}

void identity_sign(const struct identity *identity, const char *purpose, struct bytes message,
                   uint8_t ret_signature[SIGNATURE_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    sync_digest_of(purpose, message, digest);
    int rc = crypto_sign_detached(ret_signature, NULL, digest, sizeof(digest), identity->secret);
    assert(rc == 0);
}

bool identity_verify(const struct id *id, const char *purpose, struct bytes message,
                     const uint8_t signature[SIGNATURE_BYTES])
{
    uint8_t digest[DIGEST_BYTES];
    sync_digest_of(purpose, message, digest);
    return crypto_sign_verify_detached(signature, digest, sizeof(digest), id->bytes) == 0;
}
