/* Sends one blob to a peer: read in chunks on the pool, written as the peer takes them. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/images/images_private.h"

struct serving {
    uv_work_t work;
    struct images *images;
    struct mux_stream *stream; /* NULL once it is gone */
    struct digest digest;
    int fd; /* -1 until it is opened */
    bool is_reading;
    int error;     /* of the read */
    size_t filled; /* bytes of `chunk` that were read */
    uint8_t chunk[MUX_CHUNK_BYTES * 4];
};

static void finish(struct serving *serving)
{
    struct images *images = serving->images;
    if (serving->fd >= 0)
        close(serving->fd);
    free(serving);
    images_release(images);
}

static void read_chunk(uv_work_t *work)
{
    struct serving *serving = work->data;
    if (serving->fd < 0) {
        serving->error = blob_store_open_blob(image_store_blobs(serving->images->config.store),
                                              &serving->digest, &serving->fd, NULL, NULL);
        if (serving->error < 0)
            return;
    }
    ssize_t size = read(serving->fd, serving->chunk, sizeof(serving->chunk));
    serving->error = size < 0 ? -errno : 0;
    serving->filled = size > 0 ? (size_t)size : 0;
}

static void on_read(uv_work_t *work, int status);

static void read_more(struct serving *serving)
{
    serving->is_reading = true;
    uv_queue_work(serving->images->config.loop, &serving->work, read_chunk, on_read);
}

/* Writes the chunk when there is room for all of it, and then reads the next one. */
static void send_chunk(struct serving *serving)
{
    int rc = stream_write(serving->stream, serving->chunk, serving->filled);
    if (rc == -EAGAIN)
        return; /* on_drained comes */
    if (rc < 0) {
        stream_reset(serving->stream, rc);
        finish(serving);
        return;
    }
    read_more(serving);
}

static void on_read(uv_work_t *work, int status)
{
    struct serving *serving = work->data;
    (void)status;
    serving->is_reading = false;
    if (!serving->stream) {
        finish(serving);
    } else if (serving->error < 0) {
        stream_reset(serving->stream, serving->error);
        finish(serving);
    } else if (serving->filled == 0) {
        stream_end(serving->stream); /* on_close finishes */
    } else {
        send_chunk(serving);
    }
}

static void on_end(void *context, struct mux_stream *stream)
{
    (void)context;
    (void)stream; /* the asker says nothing after its header */
}

static void on_drained(void *context, struct mux_stream *stream)
{
    struct serving *serving = context;
    (void)stream;
    if (!serving->is_reading && serving->filled > 0)
        send_chunk(serving);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct serving *serving = context;
    (void)stream;
    (void)reason;
    serving->stream = NULL;
    if (!serving->is_reading)
        finish(serving);
}

static const struct stream_handler handler = {
    .on_end = on_end, .on_drained = on_drained, .on_close = on_close};

void serve_blob(struct images *images, struct mux_stream *stream, const struct digest *digest)
{
    struct serving *serving = malloc(sizeof(*serving));
    if (!serving) {
        stream_reset(stream, -ENOMEM);
        return;
    }
    serving->images = images;
    serving->stream = stream;
    serving->digest = *digest;
    serving->fd = -1;
    serving->filled = 0;
    serving->work.data = serving;
    images_hold(images);
    stream_accept(stream, &handler, serving);
    read_more(serving);
}
