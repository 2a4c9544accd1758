#include "base/buffer.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bounds.h"

void buffer_init(struct buffer *buffer)
{
    *buffer = (struct buffer){0};
}

void buffer_done(struct buffer *buffer)
{
    if (!buffer)
        return;
    free(buffer->bytes);
    *buffer = (struct buffer){0};
}

int buffer_reserve(struct buffer *buffer, size_t size)
{
    if (size <= buffer->capacity - buffer->size)
        return 0;
    if (size > BASE_BUFFER_BYTES_MAX - buffer->size)
        return -ENOMEM;
    size_t wanted = buffer->capacity < 64 ? 64 : buffer->capacity;
    while (wanted - buffer->size < size)
        wanted *= 2;
    uint8_t *bytes = realloc(buffer->bytes, wanted);
    if (!bytes)
        return -ENOMEM;
    buffer->bytes = bytes;
    buffer->capacity = wanted;
    return 0;
}

int buffer_append(struct buffer *buffer, const void *data, size_t size)
{
    if (size == 0)
        return 0;
    int rc = buffer_reserve(buffer, size);
    if (rc < 0)
        return rc;
    memcpy(buffer->bytes + buffer->size, data, size);
    buffer->size += size;
    return 0;
}

int buffer_append_text(struct buffer *buffer, const char *text)
{
    return buffer_append(buffer, text, strlen(text));
}

int buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length < 0)
        return -EINVAL;
    int rc = buffer_reserve(buffer, (size_t)length + 1);
    if (rc < 0)
        return rc;
    va_start(arguments, format);
    vsnprintf((char *)buffer->bytes + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
    return 0;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    assert(size <= buffer->size);
    if (size == 0)
        return;
    memmove(buffer->bytes, buffer->bytes + size, buffer->size - size);
    buffer->size -= size;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
}

char *buffer_take_text(struct buffer *buffer)
{
    if (buffer_reserve(buffer, 1) < 0)
        return NULL;
    buffer->bytes[buffer->size] = '\0';
    char *text = (char *)buffer->bytes;
    *buffer = (struct buffer){0};
    return text;
}

struct bytes buffer_view(const struct buffer *buffer)
{
    return (struct bytes){buffer->bytes, buffer->size};
}

struct bytes bytes_of_text(const char *text)
{
    return (struct bytes){(const uint8_t *)text, strlen(text)};
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
