/* Packs MessagePack into a buffer, on msgpack-c's packer.
 *
 * The first failure sticks (out of memory is the only one), so that a record is written without a
 * check a field: writer_check() at the end says whether the buffer holds all of it.
 */
#pragma once

#include <msgpack.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

struct writer {
    struct buffer *buffer; /* borrowed */
    msgpack_packer packer;
    bool failed;
};

/* The writer appends to `buffer` and keeps pointers to itself: it must not be moved. */
void writer_init(struct writer *writer, struct buffer *buffer);

void writer_nil(struct writer *writer);
void writer_bool(struct writer *writer, bool value);
void writer_u64(struct writer *writer, uint64_t value);
void writer_i64(struct writer *writer, int64_t value);
void writer_double(struct writer *writer, double value);
void writer_text(struct writer *writer, const char *text); /* NULL is written as nil */
void writer_text_bytes(struct writer *writer, struct bytes text);
void writer_binary(struct writer *writer, const void *data, size_t size);
void writer_array(struct writer *writer, size_t count);
void writer_map(struct writer *writer, size_t count);

/* Appends bytes that are MessagePack already. */
void writer_raw(struct writer *writer, struct bytes packed);

/* 0, or -ENOMEM if anything failed to be written. */
int writer_check(const struct writer *writer);
