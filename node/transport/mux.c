#include "node/transport/mux.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "node/transport/mux_frame.h"
#include "node/transport/mux_private.h"

enum {
    STREAM_NUMBER_MAX = 0x7fffffff, /* then the link is given up and another one dialed */
};

static int compare_number(const void *item, const void *key)
{
    uint32_t a = ((const struct mux_stream *)item)->number, b = *(const uint32_t *)key;
    return a < b ? -1 : a > b;
}

static const void *number_of(const void *item)
{
    return &((const struct mux_stream *)item)->number;
}

struct mux *mux_new(const struct mux_config *config)
{
    struct mux *mux = calloc(1, sizeof(*mux));
    if (!mux)
        return NULL;
    mux->config = *config;
    mux->next_number = config->is_dialer ? 1 : 2;
    table_init(&mux->streams, compare_number, number_of);
    return mux;
}

static void enter(struct mux *mux)
{
    mux->depth++;
}

static void leave(struct mux *mux)
{
    assert(mux->depth > 0);
    if (--mux->depth > 0)
        return;
    while (mux->dead) {
        struct mux_stream *stream = mux->dead;
        mux->dead = stream->next_dead;
        stream_free(stream);
    }
}

void mux_free(struct mux *mux)
{
    if (!mux)
        return;
    assert(mux->depth == 0);
    for (size_t i = 0; i < mux->streams.count; i++)
        stream_free(mux->streams.items[i]);
    table_done(&mux->streams);
    free(mux);
}

int mux_open(struct mux *mux, uint8_t kind, struct bytes header,
             const struct stream_handler *handler, void *context, struct mux_stream **ret)
{
    if (header.size > MUX_HEADER_BYTES_MAX)
        return -EMSGSIZE;
    if (!mux_is_usable(mux) || mux->next_number > STREAM_NUMBER_MAX)
        return -EPIPE;
    if (mux->opened_here >= MUX_STREAMS_MAX)
        return -EMFILE;
    struct mux_stream *stream = stream_new(mux, mux->next_number);
    if (!stream)
        return -ENOMEM;
    if (buffer_append(&stream->header, header.data, header.size) < 0) {
        stream_bury(stream);
        return -ENOMEM;
    }
    mux->next_number += 2;
    stream->kind = kind;
    stream->handler = handler;
    stream->context = context;
    stream->open_waits = true;
    stream_ready_add(stream);
    *ret = stream;
    return 0;
}

/* --- Sending --- */

static void send_frame(struct mux *mux, const struct mux_frame *frame)
{
    uint8_t bytes[MUX_FRAME_BYTES_MAX];
    size_t size = mux_frame_encode(frame, bytes);
    if (frame->type != MUX_FRAME_PONG) /* which is the last word of a ping */
        mux->sent_since_word = true;
    mux->config.carrier.send(mux->config.carrier.context, bytes, size);
}

static void send_open(struct mux_stream *stream)
{
    send_frame(stream->mux, &(struct mux_frame){.type = MUX_FRAME_OPEN,
                                                .stream = stream->number,
                                                .kind = stream->kind,
                                                .body = buffer_view(&stream->header)});
    stream->open_waits = false;
    buffer_done(&stream->header);
}

static void send_data(struct mux_stream *stream)
{
    size_t size = stream_queued(stream);
    if (size > stream->send_window)
        size = stream->send_window;
    if (size > MUX_CHUNK_BYTES)
        size = MUX_CHUNK_BYTES;
    send_frame(stream->mux,
               &(struct mux_frame){.type = MUX_FRAME_DATA,
                                   .stream = stream->number,
                                   .body = {stream->queue.bytes + stream->queue_start, size}});
    stream->queue_start += size;
    stream->send_window -= size;
    if (stream_queued(stream) == 0) {
        buffer_done(&stream->queue); /* an idle stream holds no memory */
        stream->queue_start = 0;
    }
}

/* Sends the one frame that is next for a stream. There may be none: what it had to send when it was
 * found ready may have become needless. */
static void send_next(struct mux_stream *stream)
{
    struct mux_frame frame = {.stream = stream->number};
    if (stream->open_waits) {
        send_open(stream);
    } else if (stream->reset_waits) {
        frame.type = MUX_FRAME_RESET;
        frame.number = (uint64_t)stream->reset_waits;
        send_frame(stream->mux, &frame);
        stream_bury(stream);
    } else if (stream_credit_waits(stream)) {
        frame.type = MUX_FRAME_WINDOW;
        frame.number = stream->credit;
        send_frame(stream->mux, &frame);
        stream->receive_window += stream->credit;
        stream->credit = 0;
    } else if (stream_queued(stream) > 0) {
        if (stream->send_window > 0)
            send_data(stream);
    } else if (stream->end_waits && !stream->end_sent) {
        frame.type = MUX_FRAME_END;
        send_frame(stream->mux, &frame);
        stream->end_sent = true;
        if (stream->end_received)
            stream_finish(stream, 0);
    }
}

static bool send_about_link(struct mux *mux)
{
    struct mux_frame frame = {0};
    if (mux->pong_waits) {
        frame = (struct mux_frame){.type = MUX_FRAME_PONG, .number = mux->pong_mark};
        mux->pong_waits = false;
    } else if (mux->ping_waits) {
        frame = (struct mux_frame){.type = MUX_FRAME_PING, .number = ++mux->ping_mark};
        mux->ping_waits = false;
    } else if (mux->goodbye_waits) {
        frame = (struct mux_frame){.type = MUX_FRAME_GOODBYE};
        mux->goodbye_waits = false;
        mux->goodbye_sent = true;
    } else {
        return false;
    }
    send_frame(mux, &frame);
    return true;
}

static bool carrier_is_ready(const struct mux *mux)
{
    return mux->failed == 0 && mux->config.carrier.is_ready(mux->config.carrier.context);
}

/* Tells the writers whose queue has half a queue's room again. A handler may open, reset or write
 * to any stream meanwhile, so the place is found again by number. */
static void notify_drained(struct mux *mux)
{
    uint32_t number = 0;
    while (mux->drained_wanted > 0) {
        size_t index = table_lower_bound(&mux->streams, &number);
        if (index == mux->streams.count)
            return;
        struct mux_stream *stream = mux->streams.items[index];
        number = stream->number + 1;
        if (!stream->drained_wanted || stream_queued(stream) > MUX_QUEUE_BYTES / 2)
            continue;
        stream_set_drained_wanted(stream, false);
        if (stream->handler && stream->handler->on_drained)
            stream->handler->on_drained(stream->context, stream);
    }
}

void mux_pump(struct mux *mux)
{
    enter(mux);
    while (carrier_is_ready(mux)) {
        if (send_about_link(mux))
            continue;
        struct mux_stream *stream = mux->ready_first;
        if (!stream)
            break;
        stream_ready_remove(stream);
        send_next(stream);
        if (table_find(&mux->streams, &stream->number) == stream)
            stream_ready_add(stream);
    }
    notify_drained(mux);
    leave(mux);
}

/* --- Receiving --- */

static int receive_open(struct mux *mux, const struct mux_frame *frame)
{
    if (mux_is_from_here(mux, frame->stream) || frame->stream <= mux->last_number_there)
        return -EPROTO;
    if (mux->goodbye_received || mux->opened_there >= MUX_STREAMS_MAX)
        return -EPROTO;
    struct mux_stream *stream = stream_new(mux, frame->stream);
    if (!stream)
        return -ENOMEM;
    mux->last_number_there = frame->stream;
    if (mux->config.on_open)
        mux->config.on_open(mux->config.context, stream, frame->kind, frame->body);
    if (table_find(&mux->streams, &frame->stream) == stream && !stream->handler &&
        !stream->reset_waits)
        stream_reset(stream, -ENOPROTOOPT);
    return 0;
}

static int receive_data(struct mux_stream *stream, struct bytes data)
{
    if (stream->end_received || data.size > stream->receive_window)
        return -EPROTO;
    stream->receive_window -= data.size;
    stream->unconsumed += data.size;
    if (stream->handler && stream->handler->on_data)
        stream->handler->on_data(stream->context, stream, data);
    else
        stream_consumed(stream, data.size);
    return 0;
}

static int receive_window(struct mux_stream *stream, uint64_t credit)
{
    if (credit > MUX_WINDOW_BYTES - stream->send_window)
        return -EPROTO;
    stream->send_window += credit;
    stream_ready_add(stream);
    return 0;
}

static int receive_end(struct mux_stream *stream)
{
    if (stream->end_received)
        return -EPROTO;
    stream->end_received = true;
    if (stream->handler && stream->handler->on_end)
        stream->handler->on_end(stream->context, stream);
    if (stream->end_sent && table_find(&stream->mux->streams, &stream->number) == stream)
        stream_finish(stream, 0);
    return 0;
}

static int receive_on_stream(struct mux *mux, const struct mux_frame *frame)
{
    struct mux_stream *stream = table_find(&mux->streams, &frame->stream);
    if (!stream) {
        bool was_there = mux_is_from_here(mux, frame->stream)
                             ? frame->stream < mux->next_number
                             : frame->stream <= mux->last_number_there;
        return was_there ? 0 : -EPROTO; /* sent before our RESET got there */
    }
    if (stream->open_waits)
        return -EPROTO;
    switch (frame->type) {
    case MUX_FRAME_DATA:
        return stream->reset_waits ? 0 : receive_data(stream, frame->body);
    case MUX_FRAME_WINDOW:
        return receive_window(stream, frame->number);
    case MUX_FRAME_END:
        return receive_end(stream);
    default:
        stream_finish(stream, -(int)frame->number);
        return 0;
    }
}

int mux_receive(struct mux *mux, const uint8_t *data, size_t size)
{
    struct mux_frame frame;
    if (mux->failed)
        return mux->failed;
    int rc = mux_frame_decode(data, size, &frame);
    if (rc < 0)
        return rc;
    mux->silence_ms = mux->rest_ms = 0;
    mux->sent_since_word = false;
    enter(mux);
    switch (frame.type) {
    case MUX_FRAME_OPEN:
        rc = receive_open(mux, &frame);
        break;
    case MUX_FRAME_PING:
        mux->pong_waits = true;
        mux->pong_mark = frame.number;
        mux_wake(mux);
        break;
    case MUX_FRAME_PONG:
        break;
    case MUX_FRAME_GOODBYE:
        mux->goodbye_received = true;
        break;
    default:
        rc = receive_on_stream(mux, &frame);
        break;
    }
    leave(mux);
    return rc;
}

/* --- The link as a whole --- */

static bool waits(const struct mux *mux)
{
    return mux->sent_since_word || mux->streams.count > mux->patient;
}

bool mux_rests(const struct mux *mux)
{
    return !waits(mux) && !mux->ping_waits && !mux->ready_first;
}

int mux_tick(struct mux *mux, int64_t now_ms)
{
    int64_t elapsed_ms = mux->ticked_ms == 0 ? 0 : now_ms - mux->ticked_ms;
    int64_t *counter = waits(mux) ? &mux->silence_ms : &mux->rest_ms;
    int64_t limit_ms = waits(mux) ? MUX_PING_MS : MUX_REST_MS;
    int64_t pace_ms = waits(mux) ? MUX_TICK_MS : MUX_REST_TICK_MS;
    mux->ticked_ms = now_ms;
    bool was_quiet = *counter >= limit_ms;
    *counter += elapsed_ms < 2 * pace_ms ? elapsed_ms : pace_ms;
    if (mux->silence_ms >= MUX_DEAD_MS)
        return -ETIMEDOUT;
    if (!was_quiet && *counter >= limit_ms) {
        mux->ping_waits = true;
        mux_wake(mux);
    }
    return 0;
}

void mux_fail(struct mux *mux, int reason)
{
    assert(reason < 0);
    if (mux->failed)
        return;
    mux->failed = reason;
    enter(mux);
    while (mux->streams.count > 0)
        stream_finish(mux->streams.items[0], reason);
    leave(mux);
}

void mux_goodbye(struct mux *mux)
{
    if (mux->goodbye_sent || mux->goodbye_waits)
        return;
    mux->goodbye_waits = true;
    mux_wake(mux);
}

bool mux_is_usable(const struct mux *mux)
{
    return !mux->failed && !mux->goodbye_waits && !mux->goodbye_sent && !mux->goodbye_received;
}

bool mux_has_room(const struct mux *mux)
{
    return mux_is_usable(mux) && mux->opened_here < MUX_STREAMS_MAX;
}

bool mux_has_goodbye(const struct mux *mux)
{
    return mux->goodbye_waits || mux->goodbye_sent || mux->goodbye_received;
}

bool mux_is_finished(const struct mux *mux)
{
    return mux->goodbye_received && mux->streams.count == 0;
}

size_t mux_stream_count(const struct mux *mux)
{
    return mux->streams.count;
}

bool mux_was_busy(struct mux *mux)
{
    bool was_busy = mux->was_opened || mux->streams.count > 0;
    mux->was_opened = false;
    return was_busy;
}
