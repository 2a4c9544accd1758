/* The frames that a multiplexed link carries, one in each encrypted message.
 *
 *     type u8 | stream u32 | body, as long as the message
 *
 *     OPEN     kind u8, then the header: a new stream; dialers use odd numbers, acceptors even ones
 *     DATA     bytes of the stream
 *     WINDOW   u32: that many more bytes may be sent
 *     END      nothing: this side has written all it will
 *     RESET    u16: the stream is over at once, with an errno (asm-generic numbers) that says why
 *     PING     u64, which PONG repeats; stream 0
 *     GOODBYE  nothing; stream 0: no new streams from here on, close when the last is over
 *
 * Numbers are in network order. Pure: used by mux.c, by tests and by the fuzzer.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "node/bounds.h"

enum mux_frame_type {
    MUX_FRAME_OPEN = 1,
    MUX_FRAME_DATA = 2,
    MUX_FRAME_WINDOW = 3,
    MUX_FRAME_END = 4,
    MUX_FRAME_RESET = 5,
    MUX_FRAME_PING = 6,
    MUX_FRAME_PONG = 7,
    MUX_FRAME_GOODBYE = 8,
};

struct mux_frame {
    enum mux_frame_type type;
    uint32_t stream;
    uint8_t kind;      /* OPEN */
    uint64_t number;   /* WINDOW: bytes; RESET: errno, positive; PING and PONG: the mark */
    struct bytes body; /* OPEN: the header; DATA: the bytes; borrowed */
};

/* Reads one whole frame; -EBADMSG for anything that mux_frame_encode would not have written.
 * `ret->body` borrows from `data`. */
int mux_frame_decode(const uint8_t *data, size_t size, struct mux_frame *ret);

/* Writes the frame, whose body is within bounds, into `ret` and returns its size in bytes. */
size_t mux_frame_encode(const struct mux_frame *frame, uint8_t ret[MUX_FRAME_BYTES_MAX]);
