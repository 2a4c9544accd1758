#include "runtime/image/digest.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/id.h"

static const char digest_prefix[] = "sha256:";

int digest_compare(const struct digest *a, const struct digest *b)
{
    return memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

bool digest_equal(const struct digest *a, const struct digest *b)
{
    return digest_compare(a, b) == 0;
}

void digest_format(const struct digest *digest, char ret[DIGEST_TEXT_BYTES])
{
    memcpy(ret, digest_prefix, sizeof(digest_prefix) - 1);
    hex_encode(digest->bytes, sizeof(digest->bytes), ret + sizeof(digest_prefix) - 1);
}

void digest_format_hex(const struct digest *digest, char ret[DIGEST_HEX_BYTES])
{
    hex_encode(digest->bytes, sizeof(digest->bytes), ret);
}

void digest_format_short(const struct digest *digest, char ret[DIGEST_SHORT_TEXT_BYTES])
{
    hex_encode(digest->bytes, (DIGEST_SHORT_TEXT_BYTES - 1) / 2, ret);
}

int digest_parse_hex(const char *text, struct digest *ret)
{
    if (strspn(text, "0123456789abcdef") != 2 * DIGEST_BYTES || text[2 * DIGEST_BYTES])
        return -EINVAL;
    struct digest digest;
    int r = hex_decode(text, digest.bytes, sizeof(digest.bytes));
    if (r < 0)
        return r;
    *ret = digest;
    return 0;
}

int digest_parse(const char *text, struct digest *ret)
{
    size_t prefix = sizeof(digest_prefix) - 1;
    if (strncmp(text, digest_prefix, prefix) != 0)
        return -EINVAL;
    return digest_parse_hex(text + prefix, ret);
}

void digest_of(const void *data, size_t size, struct digest *ret)
{
    struct digest_hasher hasher;
    digest_hasher_init(&hasher);
    digest_hasher_update(&hasher, data, size);
    digest_hasher_final(&hasher, ret);
}

void digest_hasher_init(struct digest_hasher *hasher)
{
    sha256_init(&hasher->state);
}

void digest_hasher_update(struct digest_hasher *hasher, const void *data, size_t size)
{
    sha256_update(&hasher->state, size, data);
}

void digest_hasher_final(struct digest_hasher *hasher, struct digest *ret)
{
    sha256_digest(&hasher->state, sizeof(ret->bytes), ret->bytes);
}

static size_t digest_set_lower_bound(const struct digest_set *set, const struct digest *digest)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (digest_compare(&set->items[middle], digest) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool digest_set_has(const struct digest_set *set, const struct digest *digest)
{
    size_t index = digest_set_lower_bound(set, digest);
    return index < set->count && digest_equal(&set->items[index], digest);
}

int digest_set_add(struct digest_set *set, const struct digest *digest)
{
    size_t index = digest_set_lower_bound(set, digest);
    if (index < set->count && digest_equal(&set->items[index], digest))
        return 0;
    if (set->count == set->capacity) {
        size_t capacity = set->capacity ? 2 * set->capacity : 16;
        struct digest *items = reallocarray(set->items, capacity, sizeof(*items));
        if (!items)
            return -ENOMEM;
        set->items = items;
        set->capacity = capacity;
    }
    memmove(set->items + index + 1, set->items + index, (set->count - index) * sizeof(*set->items));
    set->items[index] = *digest;
    set->count++;
    return 0;
}

void digest_set_done(struct digest_set *set)
{
    free(set->items);
    *set = (struct digest_set){0};
}
