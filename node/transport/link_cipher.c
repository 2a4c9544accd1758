#include "node/transport/link_cipher.h"

#include "node/bounds.h"

void link_cipher_init(struct link_cipher *cipher, const struct noise_cipher *key)
{
    *cipher = (struct link_cipher){.cipher = *key};
}

void link_cipher_done(struct link_cipher *cipher)
{
    noise_cipher_done(&cipher->cipher);
}

/* The two sides count the same messages, so they change keys at the same one. */
static void count_message(struct link_cipher *cipher)
{
    if (++cipher->count < LINK_REKEY_MESSAGES)
        return;
    noise_rekey(&cipher->cipher);
    cipher->count = 0;
}

int link_cipher_seal(struct link_cipher *cipher, struct bytes plaintext, struct buffer *output)
{
    int rc = buffer_reserve(output, plaintext.size + NOISE_TAG_BYTES);
    if (rc < 0)
        return rc;
    noise_seal(&cipher->cipher, cipher->count, (struct bytes){0}, plaintext,
               output->bytes + output->size);
    output->size += plaintext.size + NOISE_TAG_BYTES;
    count_message(cipher);
    return 0;
}

int link_cipher_open(struct link_cipher *cipher, uint8_t *sealed, size_t size, struct bytes *ret)
{
    int rc = noise_open(&cipher->cipher, cipher->count, (struct bytes){0},
                        (struct bytes){sealed, size}, sealed);
    if (rc < 0)
        return rc;
    *ret = (struct bytes){sealed, size - NOISE_TAG_BYTES};
    count_message(cipher);
    return 0;
}
