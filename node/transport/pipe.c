#include "node/transport/pipe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/transport/socket.h"

enum {
    PIPE_QUEUE_BYTES = 256 * 1024, /* above which a writer should wait */
    PIPE_READ_BYTES = 64 * 1024,
};

bool pipe_end_is_open(const struct pipe_end *end)
{
    return end->socket || end->stream;
}

static void closed(struct pipe_end *end, int reason)
{
    pipe_end_close(end, reason < 0 ? reason : -EPIPE);
    end->handler->on_close(end->context, end, reason);
}

/* --- Sockets --- */

/* One buffer serves all reads, which are those of one loop: what is read is passed on before the
 * next read. (One for each thread would be zeroed, and so take memory, in threads without a loop.)
 */
static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char buffer[PIPE_READ_BYTES];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(buffer, sizeof(buffer));
}

static void on_socket_read(uv_stream_t *socket, ssize_t size, const uv_buf_t *buffer)
{
    struct pipe_end *end = socket->data;
    if (size > 0) {
        end->handler->on_data(end->context, end,
                              (struct bytes){(const uint8_t *)buffer->base, (size_t)size});
    } else if (size == UV_EOF) {
        uv_read_stop(socket);
        end->handler->on_end(end->context, end);
    } else if (size < 0) {
        closed(end, (int)size);
    }
}

struct socket_write {
    uv_write_t request;
    size_t size;
    uint8_t bytes[];
};

static void on_socket_written(uv_write_t *request, int status)
{
    struct socket_write *write = (struct socket_write *)request;
    struct pipe_end *end = request->handle->data;
    size_t size = write->size;
    free(write);
    if (!end)
        return; /* let go of meanwhile */
    end->queued_bytes -= size;
    if (status < 0) {
        closed(end, status);
    } else if (end->wants_drained && end->queued_bytes < PIPE_QUEUE_BYTES / 2) {
        end->wants_drained = false;
        end->handler->on_drained(end->context, end);
    }
}

static int write_socket(struct pipe_end *end, struct bytes data)
{
    uv_buf_t whole = uv_buf_init((char *)(uintptr_t)data.data, (unsigned)data.size);
    int sent = end->queued_bytes == 0 ? uv_try_write(end->socket, &whole, 1) : 0;
    if (sent < 0 && sent != UV_EAGAIN)
        return sent;
    size_t offset = sent > 0 ? (size_t)sent : 0;
    if (offset == data.size)
        return 0;
    size_t left = data.size - offset;
    struct socket_write *write = malloc(sizeof(*write) + left);
    if (!write)
        return -ENOMEM;
    write->size = left;
    memcpy(write->bytes, data.data + offset, left);
    uv_buf_t rest = uv_buf_init((char *)write->bytes, (unsigned)left);
    int rc = uv_write(&write->request, end->socket, &rest, 1, on_socket_written);
    if (rc < 0) {
        free(write);
        return rc;
    }
    end->queued_bytes += left;
    end->wants_drained = end->wants_drained || end->queued_bytes >= PIPE_QUEUE_BYTES;
    return end->wants_drained ? 1 : 0;
}

static void flushed(struct pipe_end *end)
{
    if (end->is_flushed)
        return;
    end->is_flushed = true;
    end->handler->on_flushed(end->context, end);
}

static void on_shutdown(uv_shutdown_t *request, int status)
{
    struct pipe_end *end = request->handle->data;
    free(request);
    if (end && status == 0)
        flushed(end);
    else if (end)
        closed(end, status);
}

void pipe_end_use_socket(struct pipe_end *end, uv_stream_t *socket,
                         const struct pipe_handler *handler, void *context)
{
    *end = (struct pipe_end){.handler = handler, .context = context, .socket = socket};
    socket->data = end;
    if (socket->type == UV_TCP)
        uv_tcp_nodelay((uv_tcp_t *)socket, 1);
}

/* --- Streams --- */

/* Writes as much of what waits as the stream's queue takes, then the end if it is due. */
static int flush_stream(struct pipe_end *end)
{
    while (end->unsent.size > 0) {
        size_t room = stream_room(end->stream);
        size_t step = end->unsent.size < room ? end->unsent.size : room;
        if (step == 0) {
            stream_want_drained(end->stream);
            return 1;
        }
        int rc = stream_write(end->stream, end->unsent.bytes, step);
        if (rc < 0)
            return rc;
        buffer_consume(&end->unsent, step);
    }
    if (end->is_ending)
        stream_end(end->stream);
    return 0;
}

static void on_stream_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct pipe_end *end = context;
    if (end->is_paused)
        end->unconsumed_bytes += data.size;
    else
        stream_consumed(stream, data.size);
    end->handler->on_data(end->context, end, data); /* may let go of the end */
}

static void on_stream_end(void *context, struct mux_stream *stream)
{
    struct pipe_end *end = context;
    (void)stream;
    end->handler->on_end(end->context, end);
}

static void on_stream_drained(void *context, struct mux_stream *stream)
{
    struct pipe_end *end = context;
    (void)stream;
    int rc = flush_stream(end);
    if (rc < 0) {
        closed(end, rc);
    } else if (rc == 0 && end->is_ending) {
        flushed(end);
    } else if (rc == 0 && end->wants_drained) {
        end->wants_drained = false;
        end->handler->on_drained(end->context, end);
    }
}

static void on_stream_close(void *context, struct mux_stream *stream, int reason)
{
    struct pipe_end *end = context;
    (void)stream;
    end->stream = NULL;
    closed(end, reason);
}

const struct stream_handler pipe_stream_handler = {.on_data = on_stream_data,
                                                   .on_end = on_stream_end,
                                                   .on_drained = on_stream_drained,
                                                   .on_close = on_stream_close};

void pipe_end_use_stream(struct pipe_end *end, struct mux_stream *stream,
                         const struct pipe_handler *handler, void *context)
{
    *end = (struct pipe_end){.handler = handler, .context = context, .stream = stream};
}

static int write_stream(struct pipe_end *end, struct bytes data)
{
    int rc = buffer_append(&end->unsent, data.data, data.size);
    if (rc == 0)
        rc = flush_stream(end);
    end->wants_drained = end->wants_drained || rc == 1;
    return rc;
}

/* --- Either --- */

void pipe_end_start(struct pipe_end *end)
{
    if (end->socket && !end->is_paused)
        uv_read_start(end->socket, on_alloc, on_socket_read);
}

void pipe_end_pause(struct pipe_end *end, bool pause)
{
    if (end->is_paused == pause || !pipe_end_is_open(end))
        return;
    end->is_paused = pause;
    if (end->socket && pause)
        uv_read_stop(end->socket);
    else if (end->socket)
        pipe_end_start(end);
    else if (!pause && end->unconsumed_bytes > 0) {
        stream_consumed(end->stream, end->unconsumed_bytes);
        end->unconsumed_bytes = 0;
    }
}

int pipe_end_write(struct pipe_end *end, struct bytes data)
{
    if (!pipe_end_is_open(end) || end->is_ending)
        return -EPIPE;
    return end->socket ? write_socket(end, data) : write_stream(end, data);
}

void pipe_end_finish(struct pipe_end *end)
{
    if (!pipe_end_is_open(end) || end->is_ending)
        return;
    end->is_ending = true;
    if (end->stream) {
        if (flush_stream(end) == 0)
            flushed(end);
        return;
    }
    uv_shutdown_t *request = malloc(sizeof(*request));
    if (!request || uv_shutdown(request, end->socket, on_shutdown) < 0)
        free(request); /* not connected any more: its read says so */
}

void pipe_end_close(struct pipe_end *end, int reason)
{
    if (end->socket) {
        end->socket->data = NULL;
        uv_close((uv_handle_t *)end->socket, socket_free);
    }
    if (end->stream)
        stream_reset(end->stream, reason < 0 ? reason : -EPIPE);
    end->socket = NULL;
    end->stream = NULL;
    buffer_done(&end->unsent);
}
