#include "base/reader.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bounds.h"

_Static_assert(BASE_READER_DEPTH_MAX + 1 == sizeof((struct reader){0}.left) / sizeof(uint32_t),
               "one counter a depth");

void reader_init(struct reader *reader, const void *data, size_t size)
{
    *reader = (struct reader){.data = data, .size = size};
}

int reader_refuse(struct reader *reader)
{
    reader->failed = true;
    return -EBADMSG;
}

int reader_refuse_memory(struct reader *reader)
{
    reader->failed = true;
    reader->no_memory = true;
    return -ENOMEM;
}

static size_t bytes_left(const struct reader *reader)
{
    return reader->size - reader->offset;
}

/* Reads a big-endian unsigned of `width` bytes at the offset, which has been checked. */
static uint64_t take_be(struct reader *reader, size_t width)
{
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++)
        value = value << 8 | reader->data[reader->offset + i];
    reader->offset += width;
    return value;
}

/* One value has been read: leaves every array that it completed. */
static void value_done(struct reader *reader)
{
    while (reader->depth > 0 && --reader->left[reader->depth] == 0)
        reader->depth--;
}

static int take_tag(struct reader *reader, uint8_t *ret_tag)
{
    if (reader->failed || bytes_left(reader) == 0)
        return reader_refuse(reader);
    *ret_tag = reader->data[reader->offset++];
    return 0;
}

/* Reads the length field of `width` bytes. */
static int take_length(struct reader *reader, size_t width, uint64_t *ret)
{
    if (width > bytes_left(reader))
        return reader_refuse(reader);
    *ret = take_be(reader, width);
    return 0;
}

enum reader_type reader_peek(const struct reader *reader)
{
    if (reader->failed || bytes_left(reader) == 0)
        return READER_FAILED;
    uint8_t tag = reader->data[reader->offset];
    if (tag <= 0x7f || tag >= 0xe0 || (tag >= 0xcc && tag <= 0xd3))
        return READER_INTEGER;
    if (tag <= 0x8f || tag == 0xde || tag == 0xdf)
        return READER_MAP;
    if (tag <= 0x9f || tag == 0xdc || tag == 0xdd)
        return READER_ARRAY;
    if (tag <= 0xbf || (tag >= 0xd9 && tag <= 0xdb))
        return READER_TEXT;
    if (tag >= 0xc4 && tag <= 0xc6)
        return READER_BINARY;
    if (tag == 0xc0)
        return READER_NIL;
    if (tag == 0xc2 || tag == 0xc3)
        return READER_BOOL;
    if (tag == 0xca || tag == 0xcb)
        return READER_FLOAT;
    return READER_OTHER;
}

int reader_nil(struct reader *reader)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag != 0xc0)
        return reader_refuse(reader);
    value_done(reader);
    return 0;
}

int reader_bool(struct reader *reader, bool *ret)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag != 0xc2 && tag != 0xc3)
        return reader_refuse(reader);
    *ret = tag == 0xc3;
    value_done(reader);
    return 0;
}

/* Reads any integer as sign and magnitude: `*ret_negative` says that `*ret` is two's complement. */
static int take_integer(struct reader *reader, uint64_t *ret, bool *ret_negative)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag <= 0x7f || tag >= 0xe0) {
        *ret = (uint64_t)(int64_t)(int8_t)tag;
        *ret_negative = tag >= 0xe0;
        return 0;
    }
    if (tag < 0xcc || tag > 0xd3)
        return reader_refuse(reader);
    bool is_signed = tag >= 0xd0;
    size_t bits = (size_t)8 << (tag & 3); /* of cc-cf and of d0-d3 alike */
    uint64_t value;
    if (take_length(reader, bits / 8, &value) < 0)
        return -EBADMSG;
    bool negative = is_signed && value >> (bits - 1) != 0;
    if (negative && bits < 64)
        value |= UINT64_MAX << bits;
    *ret = value;
    *ret_negative = negative;
    return 0;
}

int reader_u64(struct reader *reader, uint64_t *ret)
{
    uint64_t value;
    bool negative;
    if (take_integer(reader, &value, &negative) < 0)
        return -EBADMSG;
    if (negative)
        return reader_refuse(reader);
    *ret = value;
    value_done(reader);
    return 0;
}

int reader_i64(struct reader *reader, int64_t *ret)
{
    uint64_t value;
    bool negative;
    if (take_integer(reader, &value, &negative) < 0)
        return -EBADMSG;
    if (!negative && value > INT64_MAX)
        return reader_refuse(reader);
    *ret = (int64_t)value;
    value_done(reader);
    return 0;
}

/* Reads an unsigned of at most `max`. */
static int take_bounded(struct reader *reader, uint64_t max, uint64_t *ret)
{
    uint64_t value;
    if (reader_u64(reader, &value) < 0)
        return -EBADMSG;
    if (value > max)
        return reader_refuse(reader);
    *ret = value;
    return 0;
}

int reader_u32(struct reader *reader, uint32_t *ret)
{
    uint64_t value;
    if (take_bounded(reader, UINT32_MAX, &value) < 0)
        return -EBADMSG;
    *ret = (uint32_t)value;
    return 0;
}

int reader_u16(struct reader *reader, uint16_t *ret)
{
    uint64_t value;
    if (take_bounded(reader, UINT16_MAX, &value) < 0)
        return -EBADMSG;
    *ret = (uint16_t)value;
    return 0;
}

int reader_u8(struct reader *reader, uint8_t *ret)
{
    uint64_t value;
    if (take_bounded(reader, UINT8_MAX, &value) < 0)
        return -EBADMSG;
    *ret = (uint8_t)value;
    return 0;
}

int reader_double(struct reader *reader, double *ret)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag != 0xca && tag != 0xcb)
        return reader_refuse(reader);
    uint64_t bits;
    if (take_length(reader, tag == 0xca ? 4 : 8, &bits) < 0)
        return -EBADMSG;
    if (tag == 0xca) {
        uint32_t narrow_bits = (uint32_t)bits;
        float narrow;
        memcpy(&narrow, &narrow_bits, sizeof(narrow));
        *ret = (double)narrow;
    } else {
        memcpy(ret, &bits, sizeof(*ret));
    }
    value_done(reader);
    return 0;
}

/* Reads a run of bytes whose length field has `width` bytes, or is `length` if `width` is 0. */
static int take_run(struct reader *reader, size_t width, uint64_t length, struct bytes *ret)
{
    if (width > 0 && take_length(reader, width, &length) < 0)
        return -EBADMSG;
    if (length > bytes_left(reader))
        return reader_refuse(reader);
    *ret = (struct bytes){reader->data + reader->offset, (size_t)length};
    reader->offset += (size_t)length;
    value_done(reader);
    return 0;
}

int reader_text(struct reader *reader, struct bytes *ret)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag >= 0xa0 && tag <= 0xbf)
        return take_run(reader, 0, tag & 0x1f, ret);
    if (tag >= 0xd9 && tag <= 0xdb)
        return take_run(reader, (size_t)1 << (tag - 0xd9), 0, ret);
    return reader_refuse(reader);
}

int reader_binary(struct reader *reader, struct bytes *ret)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag >= 0xc4 && tag <= 0xc6)
        return take_run(reader, (size_t)1 << (tag - 0xc4), 0, ret);
    return reader_refuse(reader);
}

int reader_fixed(struct reader *reader, void *ret, size_t size)
{
    struct bytes run;
    if (reader_binary(reader, &run) < 0)
        return -EBADMSG;
    if (run.size != size)
        return reader_refuse(reader);
    memcpy(ret, run.data, size);
    return 0;
}

/* Reads text without a NUL inside, of at most `max` bytes. */
static int take_c_text(struct reader *reader, size_t max, struct bytes *ret)
{
    struct bytes run;
    if (reader_text(reader, &run) < 0)
        return -EBADMSG;
    if (run.size > max || (run.size > 0 && memchr(run.data, 0, run.size)))
        return reader_refuse(reader);
    *ret = run;
    return 0;
}

int reader_copy_text(struct reader *reader, char *ret, size_t capacity)
{
    struct bytes run;
    if (take_c_text(reader, capacity - 1, &run) < 0)
        return -EBADMSG;
    if (run.size > 0)
        memcpy(ret, run.data, run.size);
    ret[run.size] = '\0';
    return 0;
}

int reader_dup_text(struct reader *reader, char **ret, size_t max)
{
    struct bytes run;
    if (take_c_text(reader, max, &run) < 0)
        return -EBADMSG;
    char *text = malloc(run.size + 1);
    if (!text)
        return reader_refuse_memory(reader);
    if (run.size > 0)
        memcpy(text, run.data, run.size);
    text[run.size] = '\0';
    *ret = text;
    return 0;
}

/* Enters a container of `count` entries with `values` values in each. */
static int enter(struct reader *reader, uint64_t count, uint64_t values, uint32_t *ret_count)
{
    if (count > bytes_left(reader) / values)
        return reader_refuse(reader);
    if (count == 0) {
        value_done(reader);
    } else {
        if (reader->depth == BASE_READER_DEPTH_MAX)
            return reader_refuse(reader);
        reader->left[++reader->depth] = (uint32_t)(count * values);
    }
    *ret_count = (uint32_t)count;
    return 0;
}

static int take_container(struct reader *reader, uint8_t fix, uint8_t wide, uint64_t values,
                          uint32_t *ret_count)
{
    uint8_t tag;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if ((tag & 0xf0) == fix)
        return enter(reader, tag & 0x0f, values, ret_count);
    if (tag != wide && tag != wide + 1)
        return reader_refuse(reader);
    uint64_t count;
    if (take_length(reader, tag == wide ? 2 : 4, &count) < 0)
        return -EBADMSG;
    return enter(reader, count, values, ret_count);
}

int reader_array(struct reader *reader, uint32_t *ret_count)
{
    return take_container(reader, 0x90, 0xdc, 1, ret_count);
}

int reader_map(struct reader *reader, uint32_t *ret_count)
{
    return take_container(reader, 0x80, 0xde, 2, ret_count);
}

int reader_array_exact(struct reader *reader, uint32_t count)
{
    uint32_t found;
    if (reader_array(reader, &found) < 0)
        return -EBADMSG;
    return found == count ? 0 : reader_refuse(reader);
}

/* Passes over an extension value: tag, length unless fixed, type byte, bytes. */
static int skip_extension(struct reader *reader)
{
    uint8_t tag;
    struct bytes run;
    uint64_t length;
    if (take_tag(reader, &tag) < 0)
        return -EBADMSG;
    if (tag >= 0xd4 && tag <= 0xd8)
        return take_run(reader, 0, ((uint64_t)1 << (tag - 0xd4)) + 1, &run);
    if (tag < 0xc7 || tag > 0xc9)
        return reader_refuse(reader);
    if (take_length(reader, (size_t)1 << (tag - 0xc7), &length) < 0)
        return -EBADMSG;
    return take_run(reader, 0, length + 1, &run);
}

/* Reads one value; containers are entered, so that their values follow. */
static int skip_one(struct reader *reader)
{
    struct bytes run;
    uint64_t integer;
    uint32_t count;
    double real;
    bool flag;

    switch (reader_peek(reader)) {
    case READER_NIL:
        return reader_nil(reader);
    case READER_BOOL:
        return reader_bool(reader, &flag);
    case READER_INTEGER:
        if (take_integer(reader, &integer, &flag) < 0)
            return -EBADMSG;
        value_done(reader);
        return 0;
    case READER_FLOAT:
        return reader_double(reader, &real);
    case READER_TEXT:
        return reader_text(reader, &run);
    case READER_BINARY:
        return reader_binary(reader, &run);
    case READER_ARRAY:
        return reader_array(reader, &count);
    case READER_MAP:
        return reader_map(reader, &count);
    case READER_OTHER:
        return skip_extension(reader);
    case READER_FAILED:
        break;
    }
    return reader_refuse(reader);
}

int reader_skip(struct reader *reader)
{
    int depth = reader->depth;
    do {
        if (skip_one(reader) < 0)
            return -EBADMSG;
    } while (reader->depth > depth);
    return 0;
}

int reader_check(const struct reader *reader)
{
    if (!reader->failed)
        return 0;
    return reader->no_memory ? -ENOMEM : -EBADMSG;
}

int reader_end(const struct reader *reader)
{
    if (reader->failed)
        return reader_check(reader);
    return reader->offset != reader->size || reader->depth != 0 ? -EBADMSG : 0;
}
