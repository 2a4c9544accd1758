/* Whole intents in parts: what a peer offers, and what it is fetching. */
#include <endian.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "node/control/feed.h"

size_t feed_part_count(size_t size)
{
    return size / FEED_PART_BYTES + (size % FEED_PART_BYTES != 0);
}

size_t feed_part_size(size_t size, uint32_t part)
{
    size_t offset = (size_t)part * FEED_PART_BYTES;
    return size - offset < FEED_PART_BYTES ? size - offset : FEED_PART_BYTES;
}

static void hash_list(uint64_t size, struct bytes hashes, uint8_t ret[FEED_HASH_BYTES])
{
    crypto_generichash_state state;
    uint64_t size_bytes = htobe64(size);
    crypto_generichash_init(&state, NULL, 0, FEED_HASH_BYTES);
    crypto_generichash_update(&state, (const uint8_t *)&size_bytes, sizeof(size_bytes));
    crypto_generichash_update(&state, hashes.data, hashes.size);
    crypto_generichash_final(&state, ret, FEED_HASH_BYTES);
}

static int hash_parts(struct feed_state *state)
{
    size_t count = feed_part_count(state->bytes.size);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t hash[FEED_HASH_BYTES];
        crypto_generichash(hash, sizeof(hash), state->bytes.bytes + (size_t)i * FEED_PART_BYTES,
                           feed_part_size(state->bytes.size, i), NULL, 0);
        if (buffer_append(&state->hashes, hash, sizeof(hash)) < 0)
            return -ENOMEM;
    }
    hash_list(state->bytes.size, buffer_view(&state->hashes), state->hash);
    return 0;
}

int feed_state_make(const struct intent *intent, struct feed_state *ret)
{
    struct feed_state state = {.index = intent->applied_index};
    int rc = intent_write(intent, &state.bytes);
    if (rc == 0 && state.bytes.size > FEED_STATE_BYTES_MAX)
        rc = -EFBIG;
    if (rc == 0)
        rc = hash_parts(&state);
    if (rc < 0) {
        feed_state_done(&state);
        return rc;
    }
    *ret = state;
    return 0;
}

void feed_state_done(struct feed_state *state)
{
    buffer_done(&state->bytes);
    buffer_done(&state->hashes);
    *state = (struct feed_state){0};
}

bool feed_state_is(const struct feed_state *state, const struct feed_head *head)
{
    return state->index > 0 && state->index == head->state_index &&
           memcmp(state->hash, head->state_hash, sizeof(state->hash)) == 0;
}

int feed_hash(const struct intent *intent, uint8_t ret[FEED_HASH_BYTES])
{
    struct feed_state state;
    int rc = feed_state_make(intent, &state);
    if (rc < 0)
        return rc;
    memcpy(ret, state.hash, FEED_HASH_BYTES);
    feed_state_done(&state);
    return 0;
}

uint32_t feed_fetch_part(const struct feed_fetch *fetch)
{
    return (uint32_t)(fetch->bytes.size / FEED_PART_BYTES);
}

bool feed_fetch_is_of(const struct feed_fetch *fetch, const struct feed_head *head)
{
    return fetch->head.index > 0 && fetch->head.state_index == head->state_index &&
           memcmp(fetch->head.state_hash, head->state_hash, sizeof(head->state_hash)) == 0;
}

bool feed_fetch_is_whole(const struct feed_fetch *fetch)
{
    return fetch->head.index > 0 && fetch->bytes.size == fetch->size;
}

/* Memory grows as parts come, never by what somebody says is to come. */
int feed_fetch_take(struct feed_fetch *fetch, const struct feed_push *push, int64_t now_ms)
{
    uint8_t hash[FEED_HASH_BYTES];
    if (push->part != feed_fetch_part(fetch) || feed_fetch_is_whole(fetch))
        return -EAGAIN;
    if (push->size != fetch->size || push->data.size != feed_part_size(fetch->size, push->part))
        return -EKEYREJECTED;
    crypto_generichash(hash, sizeof(hash), push->data.data, push->data.size, NULL, 0);
    if (memcmp(hash, fetch->hashes.bytes + (size_t)push->part * FEED_HASH_BYTES, sizeof(hash)) != 0)
        return -EKEYREJECTED;
    if (buffer_append(&fetch->bytes, push->data.data, push->data.size) < 0)
        return -ENOMEM;
    fetch->progress_ms = now_ms;
    return 0;
}

int feed_fetch_begin(struct feed_fetch *fetch, const struct feed_push *push, int64_t now_ms)
{
    struct feed_fetch begun = {.head = push->head, .size = push->size, .started_ms = now_ms};
    uint8_t hash[FEED_HASH_BYTES];
    if (push->part != 0)
        return -EAGAIN;
    hash_list(push->size, push->hashes, hash);
    if (push->hashes.size != feed_part_count(push->size) * FEED_HASH_BYTES ||
        memcmp(hash, push->head.state_hash, sizeof(hash)) != 0)
        return -EKEYREJECTED;
    int rc = buffer_append(&begun.hashes, push->hashes.data, push->hashes.size);
    if (rc == 0)
        rc = feed_fetch_take(&begun, push, now_ms);
    if (rc < 0) {
        feed_fetch_done(&begun);
        return rc;
    }
    feed_fetch_done(fetch);
    *fetch = begun;
    return 0;
}

void feed_fetch_done(struct feed_fetch *fetch)
{
    buffer_done(&fetch->bytes);
    buffer_done(&fetch->hashes);
    *fetch = (struct feed_fetch){0};
}
