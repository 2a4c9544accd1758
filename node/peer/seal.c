#include "node/peer/seal.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { KEY_BYTES = crypto_aead_xchacha20poly1305_ietf_KEYBYTES };

static_assert(INTENT_SEAL_BYTES == crypto_aead_xchacha20poly1305_ietf_ABYTES, "the tag");
static_assert(INTENT_WRAP_BYTES == KEY_BYTES + crypto_box_SEALBYTES, "a sealed key");
static_assert(EXCHANGE_KEY_BYTES == crypto_box_PUBLICKEYBYTES, "X25519");

static const char PURPOSE[] = "consort secret";
static const uint8_t NONCE[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES];

void seal_wipe(struct buffer *buffer)
{
    if (buffer->bytes)
        sodium_memzero(buffer->bytes, buffer->capacity);
    buffer_done(buffer);
}

/* What is authenticated beside the content. */
static int associate(const struct intent_blob *blob, const struct id *cluster, struct buffer *ret)
{
    int rc = buffer_append(ret, PURPOSE, sizeof(PURPOSE));
    if (rc == 0)
        rc = buffer_append(ret, cluster->bytes, ID_BYTES);
    return rc < 0 ? rc : buffer_append_text(ret, blob->name);
}

static int wrap_key(const uint8_t key[KEY_BYTES], const struct id *peer, struct intent_wrap *ret)
{
    uint8_t exchange[EXCHANGE_KEY_BYTES];
    struct intent_wrap wrap = {.peer = *peer};
    if (id_to_exchange(peer, exchange) < 0 ||
        crypto_box_seal(wrap.box, key, KEY_BYTES, exchange) != 0)
        return -EKEYREJECTED;
    *ret = wrap;
    return 0;
}

static int compare_wraps(const void *a, const void *b)
{
    return id_compare(&((const struct intent_wrap *)a)->peer,
                      &((const struct intent_wrap *)b)->peer);
}

static int wrap_to_all(struct intent_blob *blob, const uint8_t key[KEY_BYTES],
                       const struct id *peers, size_t peer_count)
{
    struct intent_wrap *wraps = calloc(peer_count ? peer_count : 1, sizeof(*wraps));
    size_t count = 0;
    if (!wraps)
        return -ENOMEM;
    for (size_t i = 0; i < peer_count; i++)
        count += wrap_key(key, &peers[i], &wraps[count]) == 0;
    if (count == 0) {
        free(wraps);
        return -EKEYREJECTED;
    }
    qsort(wraps, count, sizeof(*wraps), compare_wraps);
    free(blob->wraps);
    blob->wraps = wraps;
    blob->wrap_count = count;
    return 0;
}

/* Encrypts into `ret`, which is empty. */
static int encrypt(const struct intent_blob *blob, const struct id *cluster,
                   const uint8_t key[KEY_BYTES], struct buffer *ret)
{
    cleanup_buffer struct buffer associated = {0};
    int rc = associate(blob, cluster, &associated);
    if (rc == 0)
        rc = buffer_reserve(ret, blob->content.size + INTENT_SEAL_BYTES);
    if (rc < 0)
        return rc;
    assert(ret->bytes);
    crypto_aead_xchacha20poly1305_ietf_encrypt(ret->bytes, NULL, blob->content.bytes,
                                               blob->content.size, associated.bytes,
                                               associated.size, NULL, NONCE, key);
    ret->size = blob->content.size + INTENT_SEAL_BYTES;
    return 0;
}

int seal_blob(struct intent_blob *blob, const struct id *cluster, const struct id *peers,
              size_t peer_count)
{
    uint8_t key[KEY_BYTES];
    struct buffer sealed = {0};
    crypto_aead_xchacha20poly1305_ietf_keygen(key);
    int rc = encrypt(blob, cluster, key, &sealed);
    if (rc == 0)
        rc = wrap_to_all(blob, key, peers, peer_count);
    sodium_memzero(key, sizeof(key));
    seal_wipe(&blob->content);
    if (rc < 0)
        buffer_done(&sealed);
    else
        blob->content = sealed;
    return rc;
}

/* The caller wipes the key. */
static int open_key(const struct intent_blob *blob, const struct identity *identity,
                    uint8_t ret[KEY_BYTES])
{
    const struct intent_wrap *wrap = intent_wrap_find(blob, &identity->id);
    if (!wrap)
        return -EAGAIN;
    return crypto_box_seal_open(ret, wrap->box, INTENT_WRAP_BYTES, identity->exchange_public,
                                identity->exchange_secret) == 0
               ? 0
               : -EBADMSG;
}

int seal_open(const struct intent_blob *blob, const struct id *cluster,
              const struct identity *identity, struct buffer *ret)
{
    cleanup_buffer struct buffer associated = {0};
    uint8_t key[KEY_BYTES];
    if (blob->content.size < INTENT_SEAL_BYTES)
        return -EBADMSG;
    int rc = open_key(blob, identity, key);
    if (rc == 0)
        rc = associate(blob, cluster, &associated);
    if (rc == 0)
        rc = buffer_reserve(ret, blob->content.size); /* never nothing, for an empty secret */
    if (rc == 0 && crypto_aead_xchacha20poly1305_ietf_decrypt(
                       ret->bytes, NULL, NULL, blob->content.bytes, blob->content.size,
                       associated.bytes, associated.size, NONCE, key) != 0)
        rc = -EBADMSG;
    sodium_memzero(key, sizeof(key));
    if (rc == 0)
        ret->size = blob->content.size - INTENT_SEAL_BYTES;
    return rc;
}

int seal_wrap(const struct intent_blob *blob, const struct identity *identity,
              const struct id *peer, struct intent_wrap *ret)
{
    uint8_t key[KEY_BYTES];
    int rc = open_key(blob, identity, key);
    if (rc == 0)
        rc = wrap_key(key, peer, ret);
    sodium_memzero(key, sizeof(key));
    return rc;
}
