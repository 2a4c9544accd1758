/* A peer's (or operator's, or cluster's root) key pair: Ed25519 to sign, and the X25519 pair
 * derived from it for Noise. Its public half is the `struct id`.
 *
 * Every signature names what it is for. The purpose is hashed with the message, so that a signature
 * made for one purpose never verifies for another:
 *
 *     identity_sign(&identity, "consort record", message, signature);
 *     identity_verify(&id, "consort record", message, signature);   true
 *     identity_verify(&id, "consort accusation", message, signature);   false
 *
 * Callers run sodium_init() once at start (it picks the fastest code for the processor).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"

enum {
    IDENTITY_SEED_BYTES = 32,
    IDENTITY_SECRET_BYTES = 64,
    SIGNATURE_BYTES = 64,
    EXCHANGE_KEY_BYTES = 32, /* an X25519 key, public or secret */
};

struct identity {
    struct id id;
    uint8_t secret[IDENTITY_SECRET_BYTES];
    uint8_t exchange_secret[EXCHANGE_KEY_BYTES];
    uint8_t exchange_public[EXCHANGE_KEY_BYTES];
};

/* Derives everything from the seed, which is what is stored on disk. The same seed gives the same
 * identity. The caller wipes the seed, and calls identity_done(). */
void identity_init(struct identity *identity, const uint8_t seed[IDENTITY_SEED_BYTES]);

/* Wipes the secrets. */
void identity_done(struct identity *identity);

/* The X25519 public key of a peer. -EINVAL if the id is not a valid point of the main subgroup, so
 * that no one can be addressed by a key without a secret. An id and its negative (the same point
 * mirrored) give the same key: whoever holds one holds the other. */
int id_to_exchange(const struct id *id, uint8_t ret[EXCHANGE_KEY_BYTES]);

/* `purpose` is a fixed text of the programmer's, at most 255 bytes. */
void identity_sign(const struct identity *identity, const char *purpose, struct bytes message,
                   uint8_t ret_signature[SIGNATURE_BYTES]);

/* False also for an id that is not a valid key. Costs about 50 to 500 microseconds: cache it. */
bool identity_verify(const struct id *id, const char *purpose, struct bytes message,
                     const uint8_t signature[SIGNATURE_BYTES]);
