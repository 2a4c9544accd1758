#include "node/transport/mux_frame.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum {
    WINDOW_BODY_BYTES = 4,
    RESET_BODY_BYTES = 2,
    PING_BODY_BYTES = 8,
    ERRNO_MAX = 4095, /* the kernel's own limit */
};

static uint64_t read_number(const uint8_t *data, size_t size)
{
    uint64_t number = 0;
    for (size_t i = 0; i < size; i++)
        number = number << 8 | data[i];
    return number;
}

static void write_number(uint8_t *ret, size_t size, uint64_t number)
{
    for (size_t i = size; i-- > 0; number >>= 8)
        ret[i] = (uint8_t)number;
}

/* The size of a frame's number, for types whose body is nothing but a number (or empty). */
static size_t number_bytes(enum mux_frame_type type)
{
    switch (type) {
    case MUX_FRAME_WINDOW:
        return WINDOW_BODY_BYTES;
    case MUX_FRAME_RESET:
        return RESET_BODY_BYTES;
    case MUX_FRAME_PING:
    case MUX_FRAME_PONG:
        return PING_BODY_BYTES;
    default:
        return 0;
    }
}

static bool is_about_link(enum mux_frame_type type)
{
    return type == MUX_FRAME_PING || type == MUX_FRAME_PONG || type == MUX_FRAME_GOODBYE;
}

static bool number_in_bounds(const struct mux_frame *frame)
{
    switch (frame->type) {
    case MUX_FRAME_WINDOW:
        return frame->number >= 1 && frame->number <= MUX_WINDOW_BYTES;
    case MUX_FRAME_RESET:
        return frame->number >= 1 && frame->number <= ERRNO_MAX;
    default:
        return true;
    }
}

static int decode_body(const uint8_t *body, size_t size, struct mux_frame *frame)
{
    switch (frame->type) {
    case MUX_FRAME_OPEN:
        if (size < 1 || size - 1 > MUX_HEADER_BYTES_MAX)
            return -EBADMSG;
        frame->kind = body[0];
        frame->body = (struct bytes){body + 1, size - 1};
        return 0;
    case MUX_FRAME_DATA:
        if (size < 1 || size > MUX_CHUNK_BYTES)
            return -EBADMSG;
        frame->body = (struct bytes){body, size};
        return 0;
    default:
        if (size != number_bytes(frame->type))
            return -EBADMSG;
        frame->number = read_number(body, size);
        return number_in_bounds(frame) ? 0 : -EBADMSG;
    }
}

int mux_frame_decode(const uint8_t *data, size_t size, struct mux_frame *ret)
{
    if (size < MUX_FRAME_HEAD_BYTES)
        return -EBADMSG;
    if (data[0] < MUX_FRAME_OPEN || data[0] > MUX_FRAME_GOODBYE)
        return -EBADMSG;
    struct mux_frame frame = {
        .type = (enum mux_frame_type)data[0],
        .stream = (uint32_t)read_number(data + 1, sizeof(frame.stream)),
    };
    if (is_about_link(frame.type) != (frame.stream == 0))
        return -EBADMSG;
    int rc = decode_body(data + MUX_FRAME_HEAD_BYTES, size - MUX_FRAME_HEAD_BYTES, &frame);
    if (rc < 0)
        return rc;
    *ret = frame;
    return 0;
}

size_t mux_frame_encode(const struct mux_frame *frame, uint8_t ret[MUX_FRAME_BYTES_MAX])
{
    ret[0] = (uint8_t)frame->type;
    write_number(ret + 1, sizeof(frame->stream), frame->stream);
    size_t size = MUX_FRAME_HEAD_BYTES;
    if (frame->type == MUX_FRAME_OPEN)
        ret[size++] = frame->kind;
    if (frame->type == MUX_FRAME_OPEN || frame->type == MUX_FRAME_DATA) {
        assert(frame->body.size <= MUX_FRAME_BYTES_MAX - size);
        if (frame->body.size > 0)
            memcpy(ret + size, frame->body.data, frame->body.size);
        return size + frame->body.size;
    }
    size_t bytes = number_bytes(frame->type);
    write_number(ret + size, bytes, frame->number);
    return size + bytes;
}
