/* One end of a connection, either a local socket (TCP or UNIX) or a stream to another peer, behind
 * the same few words: the mesh passes bytes between any two, and the API is served over either.
 *
 * Bytes flow with backpressure: pipe_end_write() takes all it is given, and says when the writer
 * should wait for on_drained; a reader is paused meanwhile.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/buffer.h"
#include "node/transport/mux.h"

struct pipe_end;

struct pipe_handler {
    void (*on_data)(void *context, struct pipe_end *end, struct bytes data);
    void (*on_end)(void *context, struct pipe_end *end); /* the other side writes no more */
    void (*on_drained)(void *context, struct pipe_end *end);
    /* All that was written has gone, after pipe_end_finish(). A stream is over a little later. */
    void (*on_flushed)(void *context, struct pipe_end *end);
    /* The end failed or is over; called at most once, and not after pipe_end_close(). */
    void (*on_close)(void *context, struct pipe_end *end, int reason);
};

struct pipe_end {
    const struct pipe_handler *handler;
    void *context;
    uv_stream_t *socket;       /* on the heap; NULL: a stream */
    struct mux_stream *stream; /* NULL: a socket, or over */
    struct buffer unsent;      /* a stream's: what its queue had no room for */
    size_t queued_bytes;       /* a socket's: handed to the kernel's queue */
    size_t unconsumed_bytes;   /* a stream's: given to on_data while paused */
    bool is_paused, is_ending, is_flushed, wants_drained;
};

/* Starts using a connected or accepted socket, a heap block with the handle first, which now
 * belongs to `end`. */
void pipe_end_use_socket(struct pipe_end *end, uv_stream_t *socket,
                         const struct pipe_handler *handler, void *context);

/* The handler for streams: mux_open() or stream_accept() with `end` as the context. */
extern const struct stream_handler pipe_stream_handler;
void pipe_end_use_stream(struct pipe_end *end, struct mux_stream *stream,
                         const struct pipe_handler *handler, void *context);

/* Begins to hand over what arrives. Nothing is before. */
void pipe_end_start(struct pipe_end *end);
void pipe_end_pause(struct pipe_end *end, bool pause);

/* Copies the bytes. Returns 1 when the writer should wait for on_drained, 0, or a negative errno.
 */
int pipe_end_write(struct pipe_end *end, struct bytes data);

/* Nothing more will be written: the other side reads the end after what was written. */
void pipe_end_finish(struct pipe_end *end);

/* Lets go; `reason` 0 or a negative errno that a stream's other side is told. No callback follows.
 */
void pipe_end_close(struct pipe_end *end, int reason);
bool pipe_end_is_open(const struct pipe_end *end);
