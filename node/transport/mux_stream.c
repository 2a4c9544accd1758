#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "node/transport/mux_private.h"

void stream_free(struct mux_stream *stream)
{
    buffer_done(&stream->header);
    buffer_done(&stream->queue);
    free(stream);
}

/* --- The ring of streams with something to send --- */

size_t stream_queued(const struct mux_stream *stream)
{
    return stream->queue.size - stream->queue_start;
}

bool stream_credit_waits(const struct mux_stream *stream)
{
    return stream->credit >= CREDIT_WORTH_SENDING_BYTES && !stream->end_received;
}

static bool has_work(const struct mux_stream *stream)
{
    if (stream->open_waits || stream->reset_waits)
        return true;
    if (stream_credit_waits(stream))
        return true;
    if (stream_queued(stream) > 0)
        return stream->send_window > 0;
    return stream->end_waits && !stream->end_sent;
}

void stream_ready_remove(struct mux_stream *stream)
{
    struct mux *mux = stream->mux;
    if (!stream->is_ready)
        return;
    *(stream->previous ? &stream->previous->next : &mux->ready_first) = stream->next;
    *(stream->next ? &stream->next->previous : &mux->ready_last) = stream->previous;
    stream->previous = stream->next = NULL;
    stream->is_ready = false;
}

void mux_wake(struct mux *mux)
{
    if (mux->failed == 0)
        mux->config.carrier.wake(mux->config.carrier.context);
}

void stream_ready_add(struct mux_stream *stream)
{
    struct mux *mux = stream->mux;
    if (stream->is_ready || !has_work(stream))
        return;
    stream->previous = mux->ready_last;
    stream->next = NULL;
    *(mux->ready_last ? &mux->ready_last->next : &mux->ready_first) = stream;
    mux->ready_last = stream;
    stream->is_ready = true;
    mux_wake(mux);
}

/* --- A stream's birth and death --- */

bool mux_is_from_here(const struct mux *mux, uint32_t number)
{
    return (number % 2 == 1) == mux->config.is_dialer;
}

void stream_set_drained_wanted(struct mux_stream *stream, bool wanted)
{
    if (stream->drained_wanted == wanted)
        return;
    stream->drained_wanted = wanted;
    if (wanted)
        stream->mux->drained_wanted++;
    else
        stream->mux->drained_wanted--;
}

void stream_bury(struct mux_stream *stream)
{
    struct mux *mux = stream->mux;
    stream_ready_remove(stream);
    stream_set_drained_wanted(stream, false);
    if (stream->is_patient)
        mux->patient--;
    table_remove(&mux->streams, &stream->number);
    if (mux_is_from_here(mux, stream->number))
        mux->opened_here--;
    else
        mux->opened_there--;
    if (mux->depth == 0) {
        stream_free(stream);
        return;
    }
    stream->next_dead = mux->dead;
    mux->dead = stream;
}

void stream_finish(struct mux_stream *stream, int reason)
{
    const struct stream_handler *handler = stream->handler;
    assert(stream->mux->depth > 0);
    stream->handler = NULL;
    stream_bury(stream);
    if (handler && handler->on_close)
        handler->on_close(stream->context, stream, reason);
}

struct mux_stream *stream_new(struct mux *mux, uint32_t number)
{
    struct mux_stream *stream = calloc(1, sizeof(*stream));
    if (!stream)
        return NULL;
    stream->mux = mux;
    stream->number = number;
    stream->send_window = stream->receive_window = MUX_WINDOW_BYTES;
    if (table_insert(&mux->streams, stream) < 0) {
        free(stream);
        return NULL;
    }
    mux->was_opened = true;
    if (mux_is_from_here(mux, number))
        mux->opened_here++;
    else
        mux->opened_there++;
    return stream;
}

void stream_set_patient(struct mux_stream *stream)
{
    if (stream->is_patient)
        return;
    stream->is_patient = true;
    stream->mux->patient++;
}

void stream_accept(struct mux_stream *stream, const struct stream_handler *handler, void *context)
{
    stream->handler = handler;
    stream->context = context;
}

/* --- Writing --- */

size_t stream_room(const struct mux_stream *stream)
{
    return stream->end_waits ? 0 : MUX_QUEUE_BYTES - stream_queued(stream);
}

void stream_want_drained(struct mux_stream *stream)
{
    stream_set_drained_wanted(stream, true);
    mux_wake(stream->mux);
}

int stream_write(struct mux_stream *stream, const void *data, size_t size)
{
    if (stream->end_waits || stream->mux->failed)
        return -EPIPE;
    if (size > MUX_QUEUE_BYTES)
        return -EMSGSIZE;
    if (size > stream_room(stream)) {
        stream_set_drained_wanted(stream, true);
        return -EAGAIN;
    }
    if (stream->queue_start >= MUX_QUEUE_BYTES || stream_queued(stream) == 0) {
        buffer_consume(&stream->queue, stream->queue_start);
        stream->queue_start = 0;
    }
    int rc = buffer_append(&stream->queue, data, size);
    if (rc < 0)
        return rc;
    stream_ready_add(stream);
    return 0;
}

void stream_end(struct mux_stream *stream)
{
    stream->end_waits = true;
    stream_ready_add(stream);
}

void stream_consumed(struct mux_stream *stream, size_t size)
{
    assert(size <= stream->unconsumed);
    stream->unconsumed -= size;
    stream->credit += size;
    stream_ready_add(stream);
}

void stream_reset(struct mux_stream *stream, int reason)
{
    assert(reason < 0);
    stream->handler = NULL;
    stream_set_drained_wanted(stream, false);
    if (stream->open_waits || stream->mux->failed) { /* the other side never hears of it */
        stream_bury(stream);
        return;
    }
    buffer_done(&stream->queue);
    stream->queue_start = 0;
    stream->reset_waits = -reason;
    stream_ready_add(stream);
}
