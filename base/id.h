/* A peer's id is its Ed25519 public key; a cluster's id is its root public key.
 *
 * Ids are compared and hashed as bytes, written in full as 64 hex digits, and shown to people by
 * their first 12.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ID_BYTES = 32,
    ID_TEXT_BYTES = 2 * ID_BYTES + 1, /* with the NUL */
    ID_SHORT_TEXT_BYTES = 13,
};

struct id {
    uint8_t bytes[ID_BYTES];
};

extern const struct id ID_NONE; /* all zero: no peer */

int id_compare(const struct id *a, const struct id *b);
bool id_equal(const struct id *a, const struct id *b);
bool id_is_none(const struct id *id);

void id_format(const struct id *id, char ret[ID_TEXT_BYTES]);

/* -EINVAL unless `text` is exactly 64 hex digits. */
int id_parse(const char *text, struct id *ret);

/* Writes the short form into one of a few static buffers, for use inside one log or error call. */
const char *id_short(const struct id *id);

/* Lower-case hex of `size` bytes into `ret`, which has room for 2 * size + 1. */
void hex_encode(const uint8_t *data, size_t size, char *ret);

/* Reads exactly `size` bytes from 2 * size hex digits; -EINVAL otherwise. */
int hex_decode(const char *text, uint8_t *ret, size_t size);
