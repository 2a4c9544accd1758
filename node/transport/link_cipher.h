/* One direction of an open link: frames sealed with a counted nonce, and a new key every
 * LINK_REKEY_MESSAGES, so that a key stolen from memory does not open what was said long before.
 */
#pragma once

#include "base/buffer.h"
#include "gossip/noise_cipher.h"

struct link_cipher {
    struct noise_cipher cipher;
    uint64_t count; /* messages under this key; the nonce */
};

void link_cipher_init(struct link_cipher *cipher, const struct noise_cipher *key);

/* Wipes the key. */
void link_cipher_done(struct link_cipher *cipher);

/* Appends `plaintext`, sealed, without a head. 0 or -ENOMEM. */
int link_cipher_seal(struct link_cipher *cipher, struct bytes plaintext, struct buffer *output);

/* Opens in place; *ret lies within `sealed`. -EBADMSG: the link cannot go on. */
int link_cipher_open(struct link_cipher *cipher, uint8_t *sealed, size_t size, struct bytes *ret);
