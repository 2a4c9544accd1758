/* How a link begins: dialed by us, taken from a listener, or over a connection that a relay made.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "node/transport/link_private.h"
#include "node/transport/socket.h"

static struct link *link_new(const struct link_config *config, const struct link_handler *handler,
                             void *context)
{
    struct link *link = calloc(1, sizeof(*link));
    if (!link)
        return NULL;
    link->config = config;
    link->handler = handler;
    link->context = context;
    if (uv_tcp_init(config->loop, &link->tcp) < 0) {
        free(link);
        return NULL;
    }
    uv_timer_init(config->loop, &link->timer);
    uv_prepare_init(config->loop, &link->flusher);
    link->tcp.data = link->timer.data = link->flusher.data = link;
    link->connect.data = link->write.data = link->shutdown.data = link;
    link->handles = 3;
    link->deadline_ms = uv_now(config->loop) + LINK_HANDSHAKE_MS;
    link_set_pace(link, false);
    return link;
}

static void discard(struct link *link);

static struct link *new_with_handshake(const struct link_config *config,
                                       const struct link_handler *handler, void *context)
{
    struct link *link = link_new(config, handler, context);
    if (!link)
        return NULL;
    link->handshake = calloc(1, sizeof(*link->handshake));
    if (link->handshake)
        return link;
    discard(link);
    return NULL;
}

static int add_mux(struct link *link, bool is_dialer)
{
    const struct mux_config mux = {
        .is_dialer = is_dialer,
        .carrier = {link, link_wake, link_is_ready, link_send},
        .context = link,
        .on_open = link_stream_opened,
    };
    link->is_dialed = is_dialer;
    link->mux = mux_new(&mux);
    return link->mux ? 0 : -ENOMEM;
}

/* A link that came to nothing: nobody hears of it. */
static void discard(struct link *link)
{
    link->handler = NULL;
    link_close_handles(link);
}

static void start(struct link *link)
{
    link->state = LINK_HANDSHAKE;
    socket_tune_link(&link->tcp);
    int rc = link_read(link);
    if (rc < 0) {
        link_fail_with(link, rc, "receiving failed");
        return;
    }
    link_look_for_cut(link);
    link_flush(link);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct link *link = connect->data;
    if (link->state != LINK_CONNECTING)
        return;
    if (status < 0)
        link_fail_with(link, status, "connecting failed");
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

static int dial_peer(const struct link_config *config, const struct address *address,
                     const struct id *remote, bool is_for_mesh, const struct link_handler *handler,
                     void *context, struct link **ret)
{
    struct link *link = new_with_handshake(config, handler, context);
    if (!link)
        return -ENOMEM;
    link->remote.id = *remote;
    link->is_for_mesh = is_for_mesh;
    int rc = link_handshake_dial(link->handshake, config, remote, is_for_mesh, &link->pending);
    return dial(link, rc, address, ret);
}

int link_dial(const struct link_config *config, const struct address *address,
              const struct id *remote, const struct link_handler *handler, void *context,
              struct link **ret)
{
    return dial_peer(config, address, remote, false, handler, context, ret);
}

int link_dial_for_mesh(const struct link_config *config, const struct address *address,
                       const struct id *remote, const struct link_handler *handler, void *context,
                       struct link **ret)
{
    return dial_peer(config, address, remote, true, handler, context, ret);
}

int link_dial_token(const struct link_config *config, const struct address *address,
                    const uint8_t secret[TOKEN_SECRET_BYTES], const struct link_handler *handler,
                    void *context, struct link **ret)
{
    struct link *link = new_with_handshake(config, handler, context);
    if (!link)
        return -ENOMEM;
    int rc = link_handshake_dial_token(link->handshake, config, secret, &link->pending);
    return dial(link, rc, address, ret);
}

int link_dial_seed(const struct link_config *config, const struct address *address,
                   const struct link_handler *handler, void *context, struct link **ret)
{
    struct link *link = new_with_handshake(config, handler, context);
    if (!link)
        return -ENOMEM;
    int rc = link_handshake_dial_seed(link->handshake, config, &link->pending);
    return dial(link, rc, address, ret);
}

int link_accept(const struct link_config *config, uv_stream_t *server,
                const struct link_handler *handler, void *context, struct link **ret)
{
    struct link *link = new_with_handshake(config, handler, context);
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
              const struct id *remote, bool is_for_mesh, const struct link_handler *handler,
              void *context, struct link **ret)
{
    struct link *link = new_with_handshake(config, handler, context);
    int rc = link ? uv_tcp_open(&link->tcp, fd) : -ENOMEM;
    if (rc < 0)
        close(fd);
    if (!link)
        return rc;
    if (rc == 0 && remote) {
        link->remote.id = *remote;
        link->is_for_mesh = is_for_mesh;
        rc = link_handshake_dial(link->handshake, config, remote, is_for_mesh, &link->pending);
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

struct link *link_await(const struct link_config *config, const struct id *remote, bool is_dialer,
                        const struct link_handler *handler, void *context)
{
    struct link *link = link_new(config, handler, context);
    if (!link)
        return NULL;
    link->remote.id = *remote;
    if (add_mux(link, is_dialer) == 0)
        return link;
    discard(link);
    return NULL;
}
