/* Many streams over one link: each ordered, flow-controlled and closed by itself.
 *
 * A stream opens with a kind and a few header bytes, so that the other side can route it before any
 * data comes. What arrives is handed over at once; the receiver says stream_consumed() when it has
 * passed the bytes on, and only that lets the sender go on: a slow reader holds up its own stream
 * and no other. Streams with something to send take turns, a chunk each.
 *
 * The mux is pure: whoever owns it (link.c, or a test) gives it a carrier for frames, feeds it what
 * arrives, and ticks it. Callbacks to streams come from mux_receive, mux_pump and mux_fail only, so
 * that nothing happens behind the back of someone inside a stream_ function.
 *
 *     stream's life: mux_open or on_open  →  data both ways  →  stream_end by both, or a reset
 *
 * on_close comes exactly once and is the last callback, unless this side called stream_reset, after
 * which none comes. In both cases the stream is gone: the pointer must not be used again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "node/bounds.h"

struct mux;
struct mux_stream;

/* A stream's user. Any of these may be NULL; all may call any stream_ function on any stream. */
struct stream_handler {
    /* Bytes arrived; borrowed for the call. At most MUX_WINDOW_BYTES come before they are given
     * back with stream_consumed(). */
    void (*on_data)(void *context, struct mux_stream *stream, struct bytes data);
    /* The other side has written all it will. */
    void (*on_end)(void *context, struct mux_stream *stream);
    /* After an -EAGAIN from stream_write: there is room for half a queue. */
    void (*on_drained)(void *context, struct mux_stream *stream);
    /* The stream is over: 0 when both sides ended it, -errno when the other side reset it (with its
     * reason) or the link failed (-ETIMEDOUT: dead, -EPIPE: closed, -EACCES: refused, …). */
    void (*on_close)(void *context, struct mux_stream *stream, int reason);
};

/* What carries the frames: in order, without loss, or failing as a whole. */
struct mux_carrier {
    void *context;
    /* There is something to send: the carrier calls mux_pump soon, but not from inside wake. */
    void (*wake)(void *context);
    /* True while it takes one more frame; when that becomes true again it calls mux_pump. */
    bool (*is_ready)(void *context);
    /* Takes a frame, copying it. A carrier that fails says so later, with mux_fail, not here. */
    void (*send)(void *context, const uint8_t *frame, size_t size);
};

struct mux_config {
    bool is_dialer; /* of the link; the two sides differ */
    struct mux_carrier carrier;
    void *context;
    /* The other side opened a stream: accept it with stream_accept() before returning, or it is
     * refused with -ENOPROTOOPT (or by stream_reset, with a better reason). `header` is borrowed
     * for the call. NULL refuses all. */
    void (*on_open)(void *context, struct mux_stream *stream, uint8_t kind, struct bytes header);
};

/* NULL when there is no memory. The carrier must outlive the mux. */
struct mux *mux_new(const struct mux_config *config);

/* Streams still open get no callback here: call mux_fail first. Not from inside a callback. */
void mux_free(struct mux *mux);

/* Opens a stream. Works before the carrier is ready: what is written waits in the stream's queue.
 * `header` is copied. -EMSGSIZE: header over MUX_HEADER_BYTES_MAX; -EMFILE: MUX_STREAMS_MAX are
 * open; -EPIPE: the link failed or says goodbye; -ENOMEM. `context` is the handler's. */
int mux_open(struct mux *mux, uint8_t kind, struct bytes header,
             const struct stream_handler *handler, void *context, struct mux_stream **ret);

/* One frame arrived. -EPROTO (or -EBADMSG, -ENOMEM): the link must be closed, mux_fail included. */
int mux_receive(struct mux *mux, const uint8_t *data, size_t size);

/* Sends what waits, as long as the carrier is ready. Called after a wake, and when the carrier has
 * become ready again. */
void mux_pump(struct mux *mux);

/* Whether nobody waits for anything. */
bool mux_rests(const struct mux *mux);

/* To be called every MUX_TICK_MS, MUX_REST_TICK_MS while it rests: asks a silent other side for a
 * sign of life, after MUX_PING_MS while something is waited for (a stream is open that is not
 * patient, or something was sent and nothing came back), else after MUX_REST_MS. -ETIMEDOUT when it
 * was waited for and silent for MUX_DEAD_MS; the owner then closes the link. A tick that comes late
 * (the process was paused) counts as one tick: the other side is not blamed for our pause. */
int mux_tick(struct mux *mux, int64_t now_ms);

/* Ends all streams with `reason` (negative errno) and refuses new ones. */
void mux_fail(struct mux *mux, int reason);

/* Announces that this side opens no more streams; the ones there are go on. */
void mux_goodbye(struct mux *mux);

/* True while new streams can be opened: not failed, and no goodbye from either side. */
bool mux_is_usable(const struct mux *mux);

/* True if it is usable and fewer than MUX_STREAMS_MAX streams of this side are open. */
bool mux_has_room(const struct mux *mux);

/* True if either side has said goodbye: the end of the link is no surprise. */
bool mux_has_goodbye(const struct mux *mux);

/* True once the other side has said goodbye and the last stream is over: time to close. (Whoever
 * says goodbye waits to be closed, since a stream may be on its way to it.) */
bool mux_is_finished(const struct mux *mux);

/* Streams open in both directions. */
size_t mux_stream_count(const struct mux *mux);

/* True if a stream is open, or one was opened since this was last asked: also one that was over
 * again soon. */
bool mux_was_busy(struct mux *mux);

/* Nobody waits for the other side just because this stream is open: it is one that rests between
 * messages. */
void stream_set_patient(struct mux_stream *stream);

/* Accepts an incoming stream inside on_open, or gives a stream to another handler later (NULL:
 * nobody listens any more). `handler` is borrowed for the stream's life: usually a static const. */
void stream_accept(struct mux_stream *stream, const struct stream_handler *handler, void *context);

/* Queues all of `data` (copied) or nothing. -EAGAIN: the queue has no room, on_drained will come;
 * -EMSGSIZE: more than MUX_QUEUE_BYTES in one call; -EPIPE: after stream_end; -ENOMEM. */
int stream_write(struct mux_stream *stream, const void *data, size_t size);

/* How many bytes stream_write takes now. */
size_t stream_room(const struct mux_stream *stream);

/* Asks for on_drained as a full queue would, without writing. */
void stream_want_drained(struct mux_stream *stream);

/* Gives back `size` bytes of the window: they have been passed on or thrown away. */
void stream_consumed(struct mux_stream *stream, size_t size);

/* Nothing more will be written: what is queued is sent, then END. Calling it again does nothing. */
void stream_end(struct mux_stream *stream);

/* Lets go of the stream at once; the other side's on_close gets `reason` (negative errno, not 0).
 * No callback follows and the pointer is dead. */
void stream_reset(struct mux_stream *stream, int reason);
