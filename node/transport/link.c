#include <errno.h>
#include <stdlib.h>

#include "node/grid.h"
#include "node/transport/link_private.h"

enum {
    READ_BYTES = 16 * 1024, /* asked of the kernel at a time in a handshake */
    READ_OPEN_BYTES = 64 * 1024,
    DESCRIPTION_BYTES = 192,
};

static void on_read(uv_stream_t *tcp, ssize_t size, const uv_buf_t *data);

/* --- The end --- */

static void on_handle_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;
    if (--link->handles > 0)
        return;
    if (link->handler && link->handler->on_close)
        link->handler->on_close(link->context, link, &link->why);
    mux_free(link->mux);
    link_handshake_done(link->handshake);
    free(link->handshake);
    link_cipher_done(&link->send);
    link_cipher_done(&link->receive);
    buffer_done(&link->input);
    buffer_done(&link->pending);
    buffer_done(&link->writing);
    free(link);
}

void link_close_handles(struct link *link)
{
    if (link->state == LINK_CLOSED)
        return;
    link->state = LINK_CLOSED;
    uv_close((uv_handle_t *)&link->tcp, on_handle_closed);
    uv_close((uv_handle_t *)&link->timer, on_handle_closed);
    uv_close((uv_handle_t *)&link->flusher, on_handle_closed);
}

/* Ends the streams; then what is sealed still goes out, unless the link is dead anyway. */
static void end(struct link *link, int reason, bool at_once)
{
    if (link->state == LINK_LINGERING || link->state == LINK_CLOSED) {
        if (at_once)
            link_close_handles(link);
        return;
    }
    bool was_connected = link->state != LINK_CONNECTING;
    link->state = LINK_LINGERING;
    link->deadline_ms = uv_now(link->config->loop) + LINK_LINGER_MS;
    uv_prepare_stop(&link->flusher);
    mux_fail(link->mux, reason < 0 ? reason : -EPIPE);
    if (at_once || !was_connected)
        link_close_handles(link);
    else
        link_flush(link);
}

/* Ends the link for a reason that is already in link->why. */
static void fail(struct link *link, bool at_once)
{
    end(link, link->why.code, at_once);
}

/* Ends the link because of what the system, or our own check, said about the connection. */
void link_fail_with(struct link *link, int code, const char *what)
{
    char who[DESCRIPTION_BYTES];
    if (link->state == LINK_LINGERING || link->state == LINK_CLOSED) {
        link_close_handles(link);
        return;
    }
    link_remote_describe(&link->remote, who, sizeof(who));
    error_set_errno(&link->why, code, "%s: %s", who, what);
    fail(link, true);
}

static void close_because(struct link *link, int reason, bool at_once)
{
    char who[DESCRIPTION_BYTES];
    link_remote_describe(&link->remote, who, sizeof(who));
    if (reason < 0 && !link_is_closing(link))
        error_set_errno(&link->why, reason, "link with %s closed by this side", who);
    end(link, reason, at_once);
}

void link_close(struct link *link, int reason)
{
    close_because(link, reason, false);
}

void link_abort(struct link *link, int reason)
{
    close_because(link, reason, true);
}

/* --- Receiving --- */

void link_stream_opened(void *context, struct mux_stream *stream, uint8_t kind, struct bytes header)
{
    struct link *link = context;
    if (link->handler && link->handler->on_stream)
        link->handler->on_stream(link->context, link, stream, kind, header);
}

static void become_open(struct link *link)
{
    link->state = LINK_OPEN;
    link->send = link->handshake->send;
    link->receive = link->handshake->receive;
    link->remote = link->handshake->remote;
    link->is_for_mesh = link->handshake->kind == LINK_KIND_MESH;
    link_handshake_done(link->handshake);
    free(link->handshake);
    link->handshake = NULL;
    link_wake(link); /* streams may have been opened already */
    if (link->handler && link->handler->on_open)
        link->handler->on_open(link->context, link);
}

/* One step of the handshake; -EAGAIN when more bytes are needed. */
static int receive_handshake(struct link *link, struct bytes input, size_t *ret_size)
{
    int rc = link_handshake_receive(link->handshake, input, ret_size, &link->pending, &link->why);
    if (rc == -EAGAIN)
        return rc;
    if (rc < 0)
        fail(link, link->pending.size == 0); /* a scanner is worth no lingering */
    else if (link_handshake_is_done(link->handshake))
        become_open(link);
    return rc;
}

static int receive_sealed(struct link *link, size_t offset, size_t *ret_size)
{
    const struct bytes input = {link->input.bytes + offset, link->input.size - offset};
    struct bytes sealed, frame;
    int rc = link_frame_next(input, MUX_FRAME_BYTES_MAX + NOISE_TAG_BYTES, &sealed, ret_size);
    if (rc == -EAGAIN)
        return rc;
    if (rc == 0)
        rc = link_cipher_open(&link->receive, link->input.bytes + offset + LINK_FRAME_HEAD_BYTES,
                              sealed.size, &frame);
    if (rc == 0)
        rc = mux_receive(link->mux, frame.data, frame.size);
    if (rc < 0)
        link_fail_with(link, rc, "what it sent does not follow the protocol");
    return rc;
}

/* What comes after the handshake is for whoever the link is given to. */
static bool is_not_ours(const struct link *link)
{
    return link->state == LINK_OPEN && link->is_for_mesh;
}

/* Understands as much of the input as there is. */
void link_process(struct link *link)
{
    size_t offset = 0;
    int rc = 0;
    while (rc == 0 && offset < link->input.size && !is_not_ours(link)) {
        const struct bytes rest = {link->input.bytes + offset, link->input.size - offset};
        size_t size = 0;
        if (link->state == LINK_HANDSHAKE)
            rc = receive_handshake(link, rest, &size);
        else if (link->state == LINK_OPEN)
            rc = receive_sealed(link, offset, &size);
        else
            size = rest.size; /* over: whatever else comes is not for us */
        if (rc == 0)
            offset += size;
    }
    buffer_consume(&link->input, offset);
    link_flush(link);
    if (is_not_ours(link))
        link_look_whether_given(link);
    else if (link->is_resting && link->state == LINK_OPEN && !mux_rests(link->mux))
        link_set_pace(link, false);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct link *link = handle->data;
    size_t size = link->state == LINK_OPEN ? READ_OPEN_BYTES : READ_BYTES;
    (void)suggested;
    *ret = uv_buf_init(NULL, 0);
    if (buffer_reserve(&link->input, size) == 0)
        *ret = uv_buf_init((char *)link->input.bytes + link->input.size, (unsigned)size);
}

int link_read(struct link *link)
{
    return uv_read_start((uv_stream_t *)&link->tcp, on_allocate, on_read);
}

/* While the address is cut, nothing is read or written; what the peers sent waits in the kernel. */
void link_look_for_cut(struct link *link)
{
    bool is_cut = fault_is_cut(link->config->fault, &link->remote.address);
    if (is_cut == link->is_cut || link->state == LINK_CONNECTING)
        return;
    link->is_cut = is_cut;
    if (is_cut) {
        uv_read_stop((uv_stream_t *)&link->tcp);
        return;
    }
    link_read(link);
    link_wake(link);
    link_process(link);
}

static void on_read(uv_stream_t *tcp, ssize_t size, const uv_buf_t *data)
{
    struct link *link = tcp->data;
    (void)data;
    if (size >= 0) {
        link->input.size += (size_t)size;
        link_look_for_cut(link);
        if (!link->is_cut)
            link_process(link);
        return;
    }
    if (link->state == LINK_LINGERING)
        link_close_handles(link);
    else if (size == UV_EOF && link->state == LINK_OPEN)
        end(link, 0, link->broke_off = !mux_has_goodbye(link->mux));
    else if (size == UV_EOF)
        link_fail_with(link, -ECONNRESET, "it closed the connection in the handshake");
    else
        link_fail_with(link, (int)size, "receiving failed");
}

/* --- Time --- */

/* An idle link holds no memory but its own. */
static void release_buffers(struct link *link)
{
    if (link->input.size == 0)
        buffer_done(&link->input);
    if (link->pending.size == 0)
        buffer_done(&link->pending);
    if (!link->is_writing)
        buffer_done(&link->writing);
}

static void on_tick(uv_timer_t *timer)
{
    struct link *link = timer->data;
    uint64_t now_ms = uv_now(link->config->loop);
    link_look_for_cut(link);
    if (link->state == LINK_LINGERING && now_ms >= link->deadline_ms) {
        link_close_handles(link);
        return;
    }
    if (link->state == LINK_OPEN) {
        if (mux_tick(link->mux, (int64_t)now_ms) < 0)
            link_fail_with(link, -ETIMEDOUT, "no sign of life");
        else if (mux_is_finished(link->mux))
            end(link, 0, false);
    } else if (link->state < LINK_OPEN && now_ms >= link->deadline_ms) {
        link_fail_with(link, -ETIMEDOUT,
                       link->is_dialed ? "it does not answer" : "it says nothing");
    }
    release_buffers(link);
    link_set_pace(link, link->state == LINK_OPEN && !link->is_cut && mux_rests(link->mux));
}

/* All links look at the same moments: that is one waking, however many there are. */
void link_set_pace(struct link *link, bool rests)
{
    uint64_t pace_ms = rests ? MUX_REST_TICK_MS : MUX_TICK_MS;
    if (link->state == LINK_CLOSED)
        return;
    link->is_resting = rests;
    uv_timer_start(&link->timer, on_tick, grid_wait_ms(link->config->loop, pace_ms), 0);
}

/* --- What others may know --- */

struct mux *link_mux(struct link *link)
{
    return link->mux;
}

const struct link_remote *link_remote(const struct link *link)
{
    return &link->remote;
}

bool link_is_open(const struct link *link)
{
    return link->state == LINK_OPEN;
}

bool link_is_closing(const struct link *link)
{
    return link->state == LINK_LINGERING || link->state == LINK_CLOSED;
}

bool link_broke_off(const struct link *link)
{
    return link->broke_off || link->why.code < 0;
}

bool link_is_dialed(const struct link *link)
{
    return link->is_dialed;
}

bool link_was_refused(const struct link *link)
{
    return link->handshake && link->handshake->was_refused;
}
