/* The SHA-256 digest by which OCI names every blob: "sha256:" and 64 lower-case hex digits.
 *
 * A digest is the identity of an image's manifest, its configuration and its layers; whatever
 * arrives from a registry, an archive or another peer is hashed while it streams in and refused
 * when the digest is not the one that was asked for. SHA-256 is the only algorithm accepted.
 *
 * By nettle, which uses the processor's own instructions where there are some: five times as fast
 * as libsodium's portable code, and every byte of an image is hashed at least twice.
 *
 * Thread-safe: nothing here is shared.
 */
#pragma once

#include <nettle/sha2.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DIGEST_BYTES = 32,
    DIGEST_HEX_BYTES = 2 * DIGEST_BYTES + 1,  /* with the NUL */
    DIGEST_TEXT_BYTES = DIGEST_HEX_BYTES + 7, /* "sha256:" before it */
    DIGEST_SHORT_TEXT_BYTES = 13,             /* 12 digits and the NUL */
};

struct digest {
    uint8_t bytes[DIGEST_BYTES];
};

struct digest_hasher {
    struct sha256_ctx state;
};

int digest_compare(const struct digest *a, const struct digest *b);
bool digest_equal(const struct digest *a, const struct digest *b);

/* "sha256:<64 hex digits>" */
void digest_format(const struct digest *digest, char ret[DIGEST_TEXT_BYTES]);

/* The 64 hex digits alone, as file names have them. */
void digest_format_hex(const struct digest *digest, char ret[DIGEST_HEX_BYTES]);

/* The first 12 hex digits, for messages to people. */
void digest_format_short(const struct digest *digest, char ret[DIGEST_SHORT_TEXT_BYTES]);

/* -EINVAL unless `text` is exactly "sha256:" and 64 lower-case hex digits: a digest has one
 * spelling only, so that it can be a file name. */
int digest_parse(const char *text, struct digest *ret);

/* As digest_parse, for the digits alone. */
int digest_parse_hex(const char *text, struct digest *ret);

void digest_of(const void *data, size_t size, struct digest *ret);

/* Streaming: init, any number of updates, one final. */
void digest_hasher_init(struct digest_hasher *hasher);
void digest_hasher_update(struct digest_hasher *hasher, const void *data, size_t size);
void digest_hasher_final(struct digest_hasher *hasher, struct digest *ret);

/* A growable set of digests in order, for marking what is reachable and for reporting what is
 * missing. Start from zeroes; digest_set_done() frees it. */
struct digest_set {
    struct digest *items; /* ascending, without repetition */
    size_t count;
    size_t capacity;
};

/* 0 also when it was there already, or -ENOMEM. */
int digest_set_add(struct digest_set *set, const struct digest *digest);
bool digest_set_has(const struct digest_set *set, const struct digest *digest);
void digest_set_done(struct digest_set *set);
