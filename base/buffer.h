/* A growable byte buffer: bytes are appended at the end and consumed at the front.
 *
 * The owner calls buffer_done(). All appends return 0 or -ENOMEM (also when the buffer would pass
 * BASE_BUFFER_BYTES_MAX) and leave the contents as they were on failure. `bytes` may move on
 * append.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buffer {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/* A borrowed run of bytes; whoever hands it out says how long it lives. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

void buffer_init(struct buffer *buffer);
void buffer_done(struct buffer *buffer);

/* Makes room for `size` more bytes without changing the contents. */
int buffer_reserve(struct buffer *buffer, size_t size);
int buffer_append(struct buffer *buffer, const void *data, size_t size);
int buffer_append_text(struct buffer *buffer, const char *text);
int buffer_printf(struct buffer *buffer, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Drops the first `size` bytes; `size` is at most buffer->size. */
void buffer_consume(struct buffer *buffer, size_t size);

/* Empties the buffer and keeps its memory. */
void buffer_clear(struct buffer *buffer);

/* Passes the bytes, NUL-terminated behind their end, to the caller, who frees them; the buffer is
 * empty afterwards. Returns NULL when there is no memory for the NUL. */
char *buffer_take_text(struct buffer *buffer);

struct bytes buffer_view(const struct buffer *buffer);
struct bytes bytes_of_text(const char *text);
bool bytes_equal(struct bytes a, struct bytes b);

static inline void cleanup_buffer_done(struct buffer *buffer)
{
    buffer_done(buffer);
}

#define cleanup_buffer __attribute__((cleanup(cleanup_buffer_done)))
