/* A pull reader of MessagePack over borrowed bytes; it never allocates.
 *
 * Each call reads one value. The first thing that does not fit (wrong type, count larger than the
 * bytes left, depth over BASE_READER_DEPTH_MAX) makes the reader fail for good: later calls return
 * -EBADMSG too, and results stay untouched, so that a decoder may read a whole record and check
 * once:
 *
 *     uint32_t count;
 *     reader_array_exact(&reader, 3);
 *     reader_u64(&reader, &term);
 *     …
 *     if (reader_end(&reader) < 0) return -EBADMSG;
 *
 * Authenticate and cap the frame before reading it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum reader_type {
    READER_NIL,
    READER_BOOL,
    READER_INTEGER,
    READER_FLOAT,
    READER_TEXT,
    READER_BINARY,
    READER_ARRAY,
    READER_MAP,
    READER_OTHER, /* extension types and the reserved byte; reader_skip passes over them */
    READER_FAILED,
};

struct reader {
    const uint8_t *data;
    size_t size;
    size_t offset;
    int depth;
    uint32_t left[9]; /* values still to come at each depth; [0] is unlimited */
    bool failed;
    bool no_memory; /* what failed was an allocation, not the bytes */
};

void reader_init(struct reader *reader, const void *data, size_t size);

/* What the next value is, without reading it; READER_FAILED at the end or after a failure. */
enum reader_type reader_peek(const struct reader *reader);

int reader_nil(struct reader *reader);
int reader_bool(struct reader *reader, bool *ret);
int reader_u64(struct reader *reader, uint64_t *ret);
int reader_i64(struct reader *reader, int64_t *ret);
int reader_u32(struct reader *reader, uint32_t *ret);
int reader_u16(struct reader *reader, uint16_t *ret);
int reader_u8(struct reader *reader, uint8_t *ret);
int reader_double(struct reader *reader, double *ret);

/* `*ret` borrows from the reader's bytes. Text is not checked for UTF-8. */
int reader_text(struct reader *reader, struct bytes *ret);
int reader_binary(struct reader *reader, struct bytes *ret);

/* Reads binary of exactly `size` bytes into `ret`. */
int reader_fixed(struct reader *reader, void *ret, size_t size);

/* Copies text, NUL-terminated, into `ret` of `capacity` bytes; refuses longer text and text with a
 * NUL inside. */
int reader_copy_text(struct reader *reader, char *ret, size_t capacity);

/* As reader_copy_text, into fresh memory that the caller frees; at most `max` bytes. */
int reader_dup_text(struct reader *reader, char **ret, size_t max);

/* Enters an array (map) and tells how many values (pairs) it has: at most the bytes left. */
int reader_array(struct reader *reader, uint32_t *ret_count);
int reader_map(struct reader *reader, uint32_t *ret_count);
int reader_array_exact(struct reader *reader, uint32_t count);

/* Passes over one value with all that is inside it. */
int reader_skip(struct reader *reader);

/* 0 if all went well so far, else -EBADMSG, or -ENOMEM when there was no memory for a text. */
int reader_check(const struct reader *reader);

/* As reader_check, and -EBADMSG if anything is left. */
int reader_end(const struct reader *reader);

/* Fails the reader on purpose: a value was well-formed but not acceptable. Returns -EBADMSG. */
int reader_refuse(struct reader *reader);

/* Fails the reader for want of memory: reader_check() then says so, and a decoder can tell "these
 * bytes are bad" (the same on every peer) from "this machine is out of memory". Returns -ENOMEM. */
int reader_refuse_memory(struct reader *reader);
