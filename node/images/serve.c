/* Sends one blob to a peer: read in chunks on the pool, written as the peer takes them.
 *
 * Only a few large ones at once: when many ask, the first of them soon have it whole, and can be
 * asked in turn. Small ones are never refused for that.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/images/images_private.h"

enum {
    SERVINGS_OPEN_MAX = 64, /* small ones, and those about to be refused, included */
};

struct serving {
    uv_work_t work;
    struct images *images;
    struct mux_stream *stream; /* NULL once it is gone */
    struct id from;
    struct digest digest;
    int64_t offset; /* where the asker wants to begin */
    struct serving *next;
    int fd; /* -1 until it is opened */
    bool is_large;
    bool is_reading;
    uint64_t taken_ms; /* when the asker last took something */
    int error;         /* of the read */
    size_t filled;     /* bytes of `chunk` that were read */
    uint8_t chunk[MUX_CHUNK_BYTES * 4];
};

static void finish(struct serving *serving)
{
    struct images *images = serving->images;
    struct serving **link = &images->servings;
    while (*link != serving)
        link = &(*link)->next;
    *link = serving->next;
    if (serving->fd >= 0)
        close(serving->fd);
    free(serving);
    images_release(images);
}

static void read_chunk(uv_work_t *work)
{
    struct serving *serving = work->data;
    if (serving->fd < 0) {
        int64_t size_bytes;
        serving->error = blob_store_open_blob(image_store_blobs(serving->images->config.store),
                                              &serving->digest, &serving->fd, &size_bytes, NULL);
        if (serving->error == 0 && serving->offset > size_bytes)
            serving->error = -ERANGE;
        if (serving->error == 0 && lseek(serving->fd, serving->offset, SEEK_SET) < 0)
            serving->error = -errno;
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
    serving->taken_ms = uv_now(serving->images->config.loop);
    read_more(serving);
}

/* Whether it may be served beside the others. Whoever takes nothing makes way. */
static bool has_turn(struct serving *serving)
{
    struct images *images = serving->images;
    uint64_t now_ms = uv_now(images->config.loop);
    unsigned count = 0, count_of_peer = 0;
    struct serving *next;
    for (struct serving *other = images->servings; other; other = next) {
        next = other->next;
        if (!other->is_large || !other->stream)
            continue;
        if (!other->is_reading && now_ms - other->taken_ms >= images->config.silence_ms) {
            stream_reset(other->stream, -ETIMEDOUT);
            finish(other);
            continue;
        }
        count++;
        count_of_peer += id_equal(&other->from, &serving->from);
    }
    return count < IMAGES_SERVINGS_MAX && count_of_peer < IMAGES_SERVINGS_PER_PEER;
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
    } else if (serving->filled == sizeof(serving->chunk) && !serving->is_large &&
               !has_turn(serving)) {
        stream_reset(serving->stream, -EBUSY);
        finish(serving);
    } else {
        serving->is_large = serving->is_large || serving->filled == sizeof(serving->chunk);
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

/* The digest's text and, unless it is 0, the offset. */
static int parse_header(struct bytes header, struct digest *ret, int64_t *ret_offset)
{
    char text[DIGEST_TEXT_BYTES];
    size_t size = sizeof(text) - 1;
    if (header.size != size && header.size != BLOB_HEADER_BYTES_MAX)
        return -EBADMSG;
    memcpy(text, header.data, size);
    text[size] = '\0';
    uint64_t offset = 0;
    for (; size < header.size; size++)
        offset = offset << 8 | header.data[size];
    if (digest_parse(text, ret) < 0 || offset > BLOB_BYTES_MAX)
        return -EBADMSG;
    *ret_offset = (int64_t)offset;
    return 0;
}

void serve_blob(struct images *images, const struct id *from, struct mux_stream *stream,
                struct bytes header)
{
    struct digest digest;
    int64_t offset;
    unsigned count = 0;
    for (const struct serving *other = images->servings; other; other = other->next)
        count++;
    int rc = parse_header(header, &digest, &offset);
    if (rc == 0 && count >= SERVINGS_OPEN_MAX)
        rc = -EBUSY;
    struct serving *serving = rc == 0 ? malloc(sizeof(*serving)) : NULL;
    if (!serving) {
        stream_reset(stream, rc < 0 ? rc : -ENOMEM);
        return;
    }
    serving->images = images;
    serving->stream = stream;
    serving->from = *from;
    serving->digest = digest;
    serving->offset = offset;
    serving->fd = -1;
    serving->is_large = false;
    serving->taken_ms = uv_now(images->config.loop);
    serving->filled = 0;
    serving->work.data = serving;
    serving->next = images->servings;
    images->servings = serving;
    images_hold(images);
    stream_accept(stream, &handler, serving);
    read_more(serving);
}
