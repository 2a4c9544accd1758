#include "node/transport/link.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/grid.h"
#include "node/transport/link_handshake.h"
#include "node/transport/socket.h"

enum {
    READ_BYTES = 16 * 1024, /* asked of the kernel at a time in a handshake */
    READ_OPEN_BYTES = 64 * 1024,
    DESCRIPTION_BYTES = 192,
};

enum link_state {
    LINK_CONNECTING,
    LINK_HANDSHAKE,
    LINK_OPEN,
    LINK_LINGERING, /* over; the last bytes are on their way */
    LINK_CLOSED,    /* the handles are closing */
};

struct link {
    const struct link_config *config;
    const struct link_handler *handler; /* NULL: nobody is told */
    void *context;
    enum link_state state;
    bool is_dialed, is_cut, is_writing, is_short_of_memory, is_shut;
    bool is_resting; /* the timer goes at the slower pace */

    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_prepare_t flusher; /* sends, once a turn of the loop, what the streams have gathered */
    unsigned handles;     /* not closed yet */
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;

    struct link_handshake *handshake; /* until it is done */
    struct link_cipher send, receive;
    struct link_remote remote;
    struct mux *mux;
    struct buffer input;   /* received, not yet understood */
    struct buffer pending; /* to be written */
    struct buffer writing; /* with the kernel */
    uint64_t deadline_ms;  /* of the handshake or the lingering */
    struct error why;
};

static void link_flush(struct link *link);
static void set_pace(struct link *link, bool rests);
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

static void close_handles(struct link *link)
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
            close_handles(link);
        return;
    }
    bool was_connected = link->state != LINK_CONNECTING;
    link->state = LINK_LINGERING;
    link->deadline_ms = uv_now(link->config->loop) + LINK_LINGER_MS;
    uv_prepare_stop(&link->flusher);
    mux_fail(link->mux, reason < 0 ? reason : -EPIPE);
    if (at_once || !was_connected)
        close_handles(link);
    else
        link_flush(link);
}

/* Ends the link for a reason that is already in link->why. */
static void fail(struct link *link, bool at_once)
{
    end(link, link->why.code, at_once);
}

/* Ends the link because of what the system, or our own check, said about the connection. */
static void fail_with(struct link *link, int code, const char *what)
{
    char who[DESCRIPTION_BYTES];
    if (link->state == LINK_LINGERING || link->state == LINK_CLOSED) {
        close_handles(link);
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

/* --- Sending --- */

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    if (status < 0)
        close_handles(shutdown->data);
}

static void on_written(uv_write_t *write, int status)
{
    struct link *link = write->data;
    link->is_writing = false;
    buffer_clear(&link->writing);
    if (status < 0) {
        fail_with(link, status, "sending failed");
        return;
    }
    if (link->state == LINK_OPEN)
        mux_pump(link->mux);
    link_flush(link);
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
        fail_with(link, rc, "sending failed");
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

static void link_flush(struct link *link)
{
    for (int tries = 0;; tries++) {
        if (link->state == LINK_CONNECTING || link->state == LINK_CLOSED || link->is_writing ||
            is_blocked(link))
            return;
        if (link->is_short_of_memory) {
            fail_with(link, -ENOMEM, "sending failed");
            return;
        }
        if (link->pending.size == 0) {
            if (link->state == LINK_LINGERING && !link->is_shut) {
                link->is_shut = true; /* the other side closes when it has read everything */
                if (uv_shutdown(&link->shutdown, (uv_stream_t *)&link->tcp, on_shutdown) < 0)
                    close_handles(link);
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

static void carrier_wake(void *context)
{
    struct link *link = context;
    if (link->state != LINK_OPEN)
        return;
    uv_prepare_start(&link->flusher, on_prepare);
    if (link->is_resting) /* an answer will be waited for */
        set_pace(link, false);
}

static bool carrier_is_ready(void *context)
{
    const struct link *link = context;
    return link->state == LINK_OPEN && !is_blocked(link) && link->pending.size < LINK_OUTPUT_BYTES;
}

static void carrier_send(void *context, const uint8_t *frame, size_t size)
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

/* --- Receiving --- */

static void on_open_stream(void *context, struct mux_stream *stream, uint8_t kind,
                           struct bytes header)
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
    link_handshake_done(link->handshake);
    free(link->handshake);
    link->handshake = NULL;
    carrier_wake(link); /* streams may have been opened already */
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
        fail_with(link, rc, "what it sent does not follow the protocol");
    return rc;
}

/* Understands as much of the input as there is. */
static void process(struct link *link)
{
    size_t offset = 0;
    int rc = 0;
    while (rc == 0 && offset < link->input.size) {
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
    if (link->is_resting && link->state == LINK_OPEN && !mux_rests(link->mux))
        set_pace(link, false);
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

/* While the address is cut, nothing is read or written; what the peers sent waits in the kernel. */
static void look_for_cut(struct link *link)
{
    bool is_cut = fault_is_cut(link->config->fault, &link->remote.address);
    if (is_cut == link->is_cut || link->state == LINK_CONNECTING)
        return;
    link->is_cut = is_cut;
    if (is_cut) {
        uv_read_stop((uv_stream_t *)&link->tcp);
        return;
    }
    uv_read_start((uv_stream_t *)&link->tcp, on_allocate, on_read);
    carrier_wake(link);
    process(link);
}

static void on_read(uv_stream_t *tcp, ssize_t size, const uv_buf_t *data)
{
    struct link *link = tcp->data;
    (void)data;
    if (size >= 0) {
        link->input.size += (size_t)size;
        look_for_cut(link);
        if (!link->is_cut)
            process(link);
        return;
    }
    if (link->state == LINK_LINGERING)
        close_handles(link);
    else if (size == UV_EOF && link->state == LINK_OPEN)
        end(link, 0, false);
    else if (size == UV_EOF)
        fail_with(link, -ECONNRESET, "it closed the connection in the handshake");
    else
        fail_with(link, (int)size, "receiving failed");
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
    look_for_cut(link);
    if (link->state == LINK_LINGERING && now_ms >= link->deadline_ms) {
        close_handles(link);
        return;
    }
    if (link->state == LINK_OPEN) {
        if (mux_tick(link->mux, (int64_t)now_ms) < 0)
            fail_with(link, -ETIMEDOUT, "no sign of life");
        else if (mux_is_finished(link->mux))
            end(link, 0, false);
    } else if (link->state < LINK_OPEN && now_ms >= link->deadline_ms) {
        fail_with(link, -ETIMEDOUT, link->is_dialed ? "it does not answer" : "it says nothing");
    }
    release_buffers(link);
    set_pace(link, link->state == LINK_OPEN && !link->is_cut && mux_rests(link->mux));
}

/* All links look at the same moments: that is one waking, however many there are. */
static void set_pace(struct link *link, bool rests)
{
    uint64_t pace_ms = rests ? MUX_REST_TICK_MS : MUX_TICK_MS;
    if (link->state == LINK_CLOSED)
        return;
    link->is_resting = rests;
    uv_timer_start(&link->timer, on_tick, grid_wait_ms(link->config->loop, pace_ms), 0);
}

/* --- The beginning --- */

static struct link *link_new(const struct link_config *config, const struct link_handler *handler,
                             void *context)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->config = config;
    link->handler = handler;
    link->context = context;
    link->handshake = calloc(1, sizeof(*link->handshake));
    if (!link->handshake || uv_tcp_init(config->loop, &link->tcp) < 0) {
        free(link->handshake);
        free(link);
        return NULL;
    }
    uv_timer_init(config->loop, &link->timer);
    uv_prepare_init(config->loop, &link->flusher);
    link->tcp.data = link->timer.data = link->flusher.data = link;
    link->connect.data = link->write.data = link->shutdown.data = link;
    link->handles = 3;
    link->deadline_ms = uv_now(config->loop) + LINK_HANDSHAKE_MS;
    set_pace(link, false);
    return link;
}

static int add_mux(struct link *link, bool is_dialer)
{
    const struct mux_config mux = {
        .is_dialer = is_dialer,
        .carrier = {link, carrier_wake, carrier_is_ready, carrier_send},
        .context = link,
        .on_open = on_open_stream,
    };
    link->is_dialed = is_dialer;
    link->mux = mux_new(&mux);
    return link->mux ? 0 : -ENOMEM;
}

/* A link that came to nothing: nobody hears of it. */
static void discard(struct link *link)
{
    link->handler = NULL;
    close_handles(link);
}

static void start(struct link *link)
{
    link->state = LINK_HANDSHAKE;
    socket_tune_link(&link->tcp);
    int rc = uv_read_start((uv_stream_t *)&link->tcp, on_allocate, on_read);
    if (rc < 0) {
        fail_with(link, rc, "receiving failed");
        return;
    }
    look_for_cut(link);
    link_flush(link);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct link *link = connect->data;
    if (link->state != LINK_CONNECTING)
        return;
    if (status < 0)
        fail_with(link, status, "connecting failed");
    else
        start(link);
}

/* Connects, unless the address is cut: then nothing happens until the time is up. */
static int connect_to(struct link *link, const struct address *address)
{
    struct sockaddr_storage socket_address;
    link->remote.address = link->handshake->remote.address = *address;
    if (fault_is_cut(link->config->fault, address))
        return 0;
    socket_address_from(address, &socket_address);
    return uv_tcp_connect(&link->connect, &link->tcp, (const struct sockaddr *)&socket_address,
                          on_connected);
}

static int dial(struct link *link, int begun, const struct address *address, struct link **ret)
{
    int rc = begun;
    if (rc == 0)
        rc = add_mux(link, true);
    if (rc == 0)
        rc = connect_to(link, address);
    if (rc < 0) {
        discard(link);
        return rc;
    }
    *ret = link;
    return 0;
}

int link_dial(const struct link_config *config, const struct address *address,
              const struct id *remote, const struct link_handler *handler, void *context,
              struct link **ret)
{
    struct link *link = link_new(config, handler, context);
    if (!link)
        return -ENOMEM;
    link->remote.id = *remote;
    int rc = link_handshake_dial(link->handshake, config, remote, &link->pending);
    return dial(link, rc, address, ret);
}

int link_dial_token(const struct link_config *config, const struct address *address,
                    const uint8_t secret[TOKEN_SECRET_BYTES], const struct link_handler *handler,
                    void *context, struct link **ret)
{
    struct link *link = link_new(config, handler, context);
    if (!link)
        return -ENOMEM;
    int rc = link_handshake_dial_token(link->handshake, config, secret, &link->pending);
    return dial(link, rc, address, ret);
}

int link_dial_seed(const struct link_config *config, const struct address *address,
                   const struct link_handler *handler, void *context, struct link **ret)
{
    struct link *link = link_new(config, handler, context);
    if (!link)
        return -ENOMEM;
    int rc = link_handshake_dial_seed(link->handshake, config, &link->pending);
    return dial(link, rc, address, ret);
}

int link_accept(const struct link_config *config, uv_stream_t *server,
                const struct link_handler *handler, void *context, struct link **ret)
{
    struct link *link = link_new(config, handler, context);
    if (!link)
        return -ENOMEM;
    link_handshake_accept(link->handshake, config);
    int rc = add_mux(link, false);
    if (rc == 0)
        rc = uv_accept(server, (uv_stream_t *)&link->tcp);
    if (rc == 0)
        rc = socket_remote_address(&link->tcp, &link->remote.address);
    if (rc < 0) {
        discard(link);
        return rc;
    }
    link->handshake->remote.address = link->remote.address;
    *ret = link;
    start(link);
    return 0;
}

int link_over(const struct link_config *config, int fd, const struct address *via,
              const struct id *remote, const struct link_handler *handler, void *context,
              struct link **ret)
{
    struct link *link = link_new(config, handler, context);
    int rc = link ? uv_tcp_open(&link->tcp, fd) : -ENOMEM;
    if (rc < 0)
        close(fd);
    if (!link)
        return rc;
    if (rc == 0 && remote) {
        link->remote.id = *remote;
        rc = link_handshake_dial(link->handshake, config, remote, &link->pending);
    } else if (rc == 0) {
        link_handshake_accept(link->handshake, config);
    }
    if (rc == 0)
        rc = add_mux(link, remote != NULL);
    if (rc < 0) {
        discard(link);
        return rc;
    }
    link->remote.address = link->handshake->remote.address = *via;
    *ret = link;
    start(link);
    return 0;
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

bool link_is_dialed(const struct link *link)
{
    return link->is_dialed;
}
