/* Noise's cipher, ChaCha20-Poly1305, for one direction, with an explicit nonce.
 *
 * The nonce is the caller's counter (a stream counts, a packet carries it). It must never be used
 * twice with one key; UINT64_MAX is reserved by Noise.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "gossip/bounds.h"

enum { NOISE_KEY_BYTES = 32 };

struct noise_cipher {
    uint8_t key[NOISE_KEY_BYTES];
};

/* Encrypts into `ret`, which has room for plaintext.size + NOISE_TAG_BYTES. In place is fine. */
void noise_seal(const struct noise_cipher *cipher, uint64_t nonce, struct bytes associated,
                struct bytes plaintext, uint8_t *ret);

/* Decrypts into `ret`, which has room for sealed.size - NOISE_TAG_BYTES. In place is fine. -EBADMSG
 * if it is not authentic or shorter than a tag; `ret` holds nothing secret then. */
int noise_open(const struct noise_cipher *cipher, uint64_t nonce, struct bytes associated,
               struct bytes sealed, uint8_t *ret);

/* Replaces the key by one derived from it (Noise section 4.2, REKEY), so that a key found out later
 * opens nothing that came before. Both sides do so at the same count. */
void noise_rekey(struct noise_cipher *cipher);

/* Wipes the key. */
void noise_cipher_done(struct noise_cipher *cipher);
