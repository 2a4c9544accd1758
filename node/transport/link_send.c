/* Sending: frames are sealed as the streams give them, gathered over a turn of the loop, and go out
 * as the kernel takes them. */
#include <errno.h>

#include "node/transport/link_private.h"

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    if (status < 0)
        link_close_handles(shutdown->data);
}

static void on_written(uv_write_t *write, int status)
{
    struct link *link = write->data;
    link->is_writing = false;
    buffer_clear(&link->writing);
    if (status < 0) {
        link_fail_with(link, status, "sending failed");
        return;
    }
    if (link->state == LINK_OPEN)
        mux_pump(link->mux);
    link_flush(link);
    link_look_whether_given(link);
}

/* Looked up each time, so that a cut holds from the moment it is made. */
static bool is_blocked(const struct link *link)
{
    return link->is_cut || fault_is_cut(link->config->fault, &link->remote.address);
}

/* Waits for the kernel to take what is pending. */
static void write_pending(struct link *link)
{
    struct buffer empty = link->writing;
    link->writing = link->pending;
    link->pending = empty;
    uv_buf_t data = uv_buf_init((char *)link->writing.bytes, (unsigned)link->writing.size);
    int rc = uv_write(&link->write, (uv_stream_t *)&link->tcp, &data, 1, on_written);
    link->is_writing = rc == 0;
    if (rc < 0)
        link_fail_with(link, rc, "sending failed");
}

/* True if the kernel took all of it at once, as it nearly always does: a request that completes
 * later costs two more rounds of the loop, which is what an idle peer would spend its time on. */
static bool send_at_once(struct link *link)
{
    uv_buf_t data = uv_buf_init((char *)link->pending.bytes, (unsigned)link->pending.size);
    int rc = uv_try_write((uv_stream_t *)&link->tcp, &data, 1);
    if (rc > 0)
        buffer_consume(&link->pending, (size_t)rc);
    return link->pending.size == 0; /* an error comes again, with the request */
}

void link_flush(struct link *link)
{
    for (int tries = 0;; tries++) {
        if (link->state == LINK_CONNECTING || link->state == LINK_CLOSED || link->is_writing ||
            is_blocked(link))
            return;
        if (link->is_short_of_memory) {
            link_fail_with(link, -ENOMEM, "sending failed");
            return;
        }
        if (link->pending.size == 0) {
            if (link->state == LINK_LINGERING && !link->is_shut) {
                link->is_shut = true; /* the other side closes when it has read everything */
                if (uv_shutdown(&link->shutdown, (uv_stream_t *)&link->tcp, on_shutdown) < 0)
                    link_close_handles(link);
            }
            return;
        }
        if (tries >= LINK_WRITES_AT_ONCE || !send_at_once(link)) {
            write_pending(link);
            return;
        }
        if (link->state == LINK_OPEN)
            mux_pump(link->mux);
    }
}

static void on_prepare(uv_prepare_t *flusher)
{
    struct link *link = flusher->data;
    uv_prepare_stop(flusher);
    if (link->state == LINK_OPEN)
        mux_pump(link->mux);
    link_flush(link);
}

void link_wake(void *context)
{
    struct link *link = context;
    if (link->state != LINK_OPEN)
        return;
    uv_prepare_start(&link->flusher, on_prepare);
    if (link->is_resting) /* an answer will be waited for */
        link_set_pace(link, false);
}

bool link_is_ready(void *context)
{
    const struct link *link = context;
    return link->state == LINK_OPEN && !is_blocked(link) && link->pending.size < LINK_OUTPUT_BYTES;
}

void link_send(void *context, const uint8_t *frame, size_t size)
{
    struct link *link = context;
    size_t sealed = size + NOISE_TAG_BYTES;
    const uint8_t head[LINK_FRAME_HEAD_BYTES] = {(uint8_t)(sealed >> 8), (uint8_t)sealed};
    if (buffer_reserve(&link->pending, sizeof(head) + sealed) < 0) {
        link->is_short_of_memory = true; /* a frame is missing: found by link_flush */
        return;
    }
    buffer_append(&link->pending, head, sizeof(head)); /* there is room */
    link_cipher_seal(&link->send, (struct bytes){frame, size}, &link->pending);
}
