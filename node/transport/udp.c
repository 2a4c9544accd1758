#include "node/transport/udp.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "gossip/swim_message.h"
#include "node/grid.h"
#include "node/transport/socket.h"

enum {
    HOUSEKEEPING_MS = 5000,
};

struct udp {
    struct udp_config config;
    struct sessions *sessions;
    struct udp_counters counters;
    uv_udp_t socket;
    uv_timer_t timer;
    unsigned handles; /* not closed yet */
    bool is_closing;
    struct buffer outgoing;                           /* scratch for one datagram */
    uint8_t incoming[SESSION_DATAGRAM_BYTES_MAX + 1]; /* one more: what is longer is refused */
};

static void fill_random(void *context, void *ret, size_t size)
{
    (void)context;
    randombytes_buf(ret, size);
}

/* --- Sending --- */

/* A fault's loss looks like the network's: the sender is told that all went well. */
static int send_datagram(struct udp *udp, const struct address *address, struct bytes datagram)
{
    struct sockaddr_storage destination;
    if (fault_drops(udp->config.fault, address))
        return 0;
    socket_address_from(address, &destination);
    uv_buf_t data = uv_buf_init((char *)(uintptr_t)datagram.data, (unsigned)datagram.size);
    int rc = uv_udp_try_send(&udp->socket, &data, 1, (const struct sockaddr *)&destination);
    if (rc < 0) {
        udp->counters.send_failures++;
        return rc;
    }
    udp->counters.sent++;
    udp->counters.bytes_sent += datagram.size;
    return 0;
}

int udp_send(struct udp *udp, const struct id *to, const struct address *address,
             struct bytes payload)
{
    buffer_clear(&udp->outgoing);
    int64_t now_ms = clock_boot_ms();
    bool asks = packet_asks(payload);
    int rc = asks ? sessions_seal(udp->sessions, now_ms, to, payload, &udp->outgoing)
                  : sessions_reply(udp->sessions, now_ms, to, payload, &udp->outgoing);
    if (rc < 0) {
        udp->counters.send_failures++;
        return rc;
    }
    if (asks)
        sessions_asked(udp->sessions, now_ms, to);
    return send_datagram(udp, address, buffer_view(&udp->outgoing));
}

void udp_counters(const struct udp *udp, struct udp_counters *ret)
{
    *ret = udp->counters;
}

/* --- Receiving --- */

static void log_refusal(const struct sessions_opened *opened, const struct address *source)
{
    char address[ADDRESS_TEXT_BYTES];
    address_format(source, address);
    const char *words = opened->refusal == SESSION_CHAIN_BAD
                            ? certificate_verdict_words(opened->verdict)
                            : session_refusal_words(opened->refusal);
    /* After a restart every peer's first packet is for keys that are gone: that is no news. */
    enum log_level level = opened->refusal == SESSION_UNKNOWN_INDEX ||
                                   opened->refusal == SESSION_REPLAYED ||
                                   opened->refusal == SESSION_KEYS_EXPIRED
                               ? LOG_DEBUG
                               : LOG_WARNING;
    if (id_is_none(&opened->from))
        log_limited(level, "packet from %s refused: %s", address, words);
    else
        log_limited(level, "packet from %s at %s refused: %s", id_short(&opened->from), address,
                    words);
}

static void receive(struct udp *udp, const struct address *source, struct bytes datagram)
{
    struct sessions_opened opened;
    udp->counters.received++;
    udp->counters.bytes_received += datagram.size;
    if (sessions_open(udp->sessions, clock_boot_ms(), source, datagram, &opened) < 0)
        return; /* no memory: the packet is lost */
    if (opened.reply.size > 0)
        send_datagram(udp, source, opened.reply);
    if (opened.refusal != SESSION_ACCEPTED) {
        log_refusal(&opened, source);
        return;
    }
    const struct id from = opened.from;
    if (opened.payload.size > 0 && udp->config.on_packet)
        udp->config.on_packet(udp->config.context, &from, source, opened.payload);
    if (udp->is_closing || !opened.answer_due)
        return;
    buffer_clear(&udp->outgoing);
    if (sessions_answer(udp->sessions, clock_boot_ms(), &from, &udp->outgoing) == 0 &&
        udp->outgoing.size > 0)
        send_datagram(udp, source, buffer_view(&udp->outgoing));
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct udp *udp = handle->data;
    (void)suggested;
    *ret = uv_buf_init((char *)udp->incoming, sizeof(udp->incoming));
}

static void on_receive(uv_udp_t *socket, ssize_t size, const uv_buf_t *data,
                       const struct sockaddr *socket_source, unsigned flags)
{
    struct udp *udp = socket->data;
    struct address source;
    (void)data;
    if (size < 0) { /* for instance ECONNREFUSED: somebody we sent to is not there */
        log_limited(LOG_DEBUG, "receiving packets: %s", uv_strerror((int)size));
        return;
    }
    if (!socket_source || (flags & UV_UDP_PARTIAL) || size > SESSION_DATAGRAM_BYTES_MAX ||
        socket_address_to(socket_source, &source) < 0)
        return;
    if (!fault_drops(udp->config.fault, &source))
        receive(udp, &source, (struct bytes){udp->incoming, (size_t)size});
}

/* --- The beginning and the end --- */

static void on_timer(uv_timer_t *timer)
{
    struct udp *udp = timer->data;
    sessions_tick(udp->sessions, clock_boot_ms());
    uv_timer_start(timer, on_timer, grid_wait_ms(udp->config.loop, HOUSEKEEPING_MS), 0);
}

struct udp *udp_new(const struct udp_config *config)
{
    struct udp *udp = calloc(1, sizeof(*udp));
    if (!udp)
        return NULL;
    udp->config = *config;
    udp->config.sessions.entropy = (struct entropy){.fill = fill_random};
    udp->sessions = sessions_new(&udp->config.sessions);
    if (!udp->sessions || uv_udp_init(config->loop, &udp->socket) < 0) {
        sessions_free(udp->sessions);
        free(udp);
        return NULL;
    }
    uv_timer_init(config->loop, &udp->timer);
    udp->socket.data = udp->timer.data = udp;
    udp->handles = 2;
    uv_timer_start(&udp->timer, on_timer, grid_wait_ms(config->loop, HOUSEKEEPING_MS), 0);
    return udp;
}

int udp_bind(struct udp *udp, const struct address *address, struct address *ret_bound,
             struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];
    struct sockaddr_storage socket_address;
    int size = sizeof(socket_address);
    address_format(address, text);
    socket_address_from(address, &socket_address);
    int rc = uv_udp_bind(&udp->socket, (const struct sockaddr *)&socket_address, 0);
    if (rc == 0)
        rc = uv_udp_recv_start(&udp->socket, on_allocate, on_receive);
    if (rc < 0) {
        error_set_errno(error, rc, "bind %s (UDP)", text);
        if (rc == -EADDRINUSE)
            error_hint(error, "another program has this port; see: ss -lnup");
        return rc;
    }
    if (!ret_bound)
        return 0;
    rc = uv_udp_getsockname(&udp->socket, (struct sockaddr *)&socket_address, &size);
    return rc < 0 ? rc : socket_address_to((const struct sockaddr *)&socket_address, ret_bound);
}

struct sessions *udp_sessions(struct udp *udp)
{
    return udp->sessions;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct udp *udp = handle->data;
    if (--udp->handles > 0)
        return;
    sessions_free(udp->sessions);
    buffer_done(&udp->outgoing);
    free(udp);
}

void udp_close(struct udp *udp)
{
    if (!udp || udp->is_closing)
        return;
    udp->is_closing = true;
    uv_close((uv_handle_t *)&udp->socket, on_handle_closed);
    uv_close((uv_handle_t *)&udp->timer, on_handle_closed);
}
