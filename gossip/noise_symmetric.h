/* Noise's symmetric state (section 5.2): the running hash of a handshake and the key that it leads
 * to.
 *
 * noise.c drives it: every byte sent or received is hashed in, every shared secret is mixed into
 * the key, and what follows is encrypted under it with the hash as associated data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "gossip/noise_cipher.h"

enum { NOISE_HASH_BYTES = 64 };

struct noise_symmetric {
    uint8_t hash[NOISE_HASH_BYTES];
    uint8_t chaining_key[NOISE_HASH_BYTES];
    struct noise_cipher cipher;
    uint64_t nonce;
    bool keyed; /* before the first secret, nothing is encrypted */
};

void symmetric_init(struct noise_symmetric *symmetric, const char *protocol_name);
void symmetric_mix_hash(struct noise_symmetric *symmetric, const void *data, size_t size);

/* `secret` has 32 bytes. */
void symmetric_mix_key(struct noise_symmetric *symmetric, const uint8_t *secret);
void symmetric_mix_key_and_hash(struct noise_symmetric *symmetric, const uint8_t *secret);

/* The tag's bytes that encryption adds now. */
size_t symmetric_overhead(const struct noise_symmetric *symmetric);

/* `ret` has room for plaintext.size + symmetric_overhead(). */
void symmetric_encrypt(struct noise_symmetric *symmetric, struct bytes plaintext, uint8_t *ret);

/* `ret` has room for sealed.size - symmetric_overhead(). -EBADMSG if it is too short or not
 * authentic; the state is then spent. */
int symmetric_decrypt(struct noise_symmetric *symmetric, struct bytes sealed, uint8_t *ret);

void symmetric_split(const struct noise_symmetric *symmetric, struct noise_cipher *ret_initiator,
                     struct noise_cipher *ret_responder);
