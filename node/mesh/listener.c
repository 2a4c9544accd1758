/* Where connections come in: a listener for each published port, and one for what nftables
 * redirects from the containers' virtual addresses. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/ula.h"
#include "node/mesh/mesh_private.h"
#include "node/transport/socket.h"

struct listener {
    uv_tcp_t tcp;
    struct mesh *mesh;
    struct listener *next;
    uint16_t port;
    bool is_open; /* false: the port could not be had */
    bool is_redirect;
    int error; /* why */
};

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;
    mesh_release(listener->mesh);
    free(listener);
}

static void close_listener(struct listener *listener)
{
    uv_close((uv_handle_t *)&listener->tcp, on_listener_closed);
}

_Static_assert(IP6T_SO_ORIGINAL_DST == SO_ORIGINAL_DST, "one option, asked for at two levels");

/* The address that the client meant before nftables redirected it. */
static int original_destination(uv_tcp_t *tcp, bool is_v6, struct address *ret)
{
    uv_os_fd_t fd;
    struct sockaddr_storage meant = {0};
    socklen_t size = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (uv_fileno((uv_handle_t *)tcp, &fd) < 0 ||
        getsockopt(fd, is_v6 ? SOL_IPV6 : SOL_IP, SO_ORIGINAL_DST, &meant, &size) < 0)
        return -errno;
    return socket_address_to((const struct sockaddr *)&meant, ret);
}

/* The route whose virtual address that is. */
static const struct route *find_virtual(const struct mesh *mesh, const struct address *address)
{
    uint16_t subnet;
    uint32_t ip = 0;
    if (address_is_v4(address)) {
        ip = address_to_v4(address);
        if ((ip ^ MESH_VIRTUAL_BASE) > UINT16_MAX)
            return NULL;
    } else if (!ula_parse(address, &subnet, &ip) || subnet != ULA_VIRTUAL_SUBNET)
        return NULL;
    return routes_by_virtual_ip(&mesh->routes, (uint16_t)ip);
}

/* What was asked for at a virtual address, and by whom; NULL: nothing that the asker may reach. */
static const struct route *find_redirected(const struct listener *listener, uv_tcp_t *tcp,
                                           const struct route **ret_asker, uint16_t *ret_port)
{
    const struct mesh *mesh = listener->mesh;
    struct address from, meant = {0};
    if (original_destination(tcp, listener == mesh->redirect6, &meant) < 0 ||
        socket_remote_address(tcp, &from) < 0)
        return NULL;
    const struct route *route = find_virtual(mesh, &meant);
    if (!route) /* no service's own is of the virtual ones */
        route = mesh_route_at(mesh, &from, &meant);
    *ret_port = meant.port;
    return route && mesh_may_reach(mesh, &from, route, ret_asker) ? route : NULL;
}

static void pass_on(const struct listener *listener, uv_tcp_t *tcp)
{
    struct mesh *mesh = listener->mesh;
    const struct route *asker = NULL;
    uint16_t port = 0;
    const struct route *route =
        listener->is_redirect ? find_redirected(listener, tcp, &asker, &port)
                              : routes_by_port(&mesh->routes, listener->port, SPEC_TCP, &port);
    if (route)
        connection_start(mesh, tcp, asker, route, port);
    else
        uv_close((uv_handle_t *)tcp, socket_free);
}

static void on_connection(uv_stream_t *server, int status)
{
    const struct listener *listener = server->data;
    if (status < 0)
        return;
    uv_tcp_t *tcp = malloc(sizeof(*tcp));
    if (!tcp || uv_tcp_init(listener->mesh->config.loop, tcp) < 0) {
        free(tcp);
        return;
    }
    if (uv_accept(server, (uv_stream_t *)tcp) == 0)
        pass_on(listener, tcp);
    else
        uv_close((uv_handle_t *)tcp, socket_free);
}

static struct listener *new_listener(struct mesh *mesh, uint16_t port)
{
    struct listener *listener = calloc(1, sizeof(*listener));
    if (!listener)
        return NULL;
    listener->mesh = mesh;
    listener->port = port;
    listener->tcp.data = listener;
    if (uv_tcp_init(mesh->config.loop, &listener->tcp) < 0) {
        free(listener);
        return NULL;
    }
    mesh_hold(mesh);
    return listener;
}

static int listen_at(struct listener *listener, const struct sockaddr *address)
{
    int rc = uv_tcp_bind(&listener->tcp, address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&listener->tcp, MESH_BACKLOG, on_connection);
    return rc;
}

/* At a socket that listens already: what came in meanwhile waits in it. */
static int listen_with(struct listener *listener, int fd)
{
    int rc = uv_tcp_open(&listener->tcp, fd);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : uv_listen((uv_stream_t *)&listener->tcp, MESH_BACKLOG, on_connection);
}

/* On all addresses: IPv6's any takes IPv4 too, where the machine has IPv6 at all. */
static int listen_anywhere(struct listener *listener)
{
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons(listener->port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = htons(listener->port)};
    int rc = listen_at(listener, (const struct sockaddr *)&any6);
    if (rc == UV_EAFNOSUPPORT || rc == UV_EADDRNOTAVAIL || rc == UV_EINVAL)
        rc = listen_at(listener, (const struct sockaddr *)&any4);
    return rc;
}

static void open_port(struct mesh *mesh, uint16_t port, const char *service, int known_error)
{
    struct listener *listener = new_listener(mesh, port);
    if (!listener)
        return;
    int fd = inherited_take(mesh, MESH_SOCKET_PORT, port);
    listener->error = fd >= 0 ? listen_with(listener, fd) : listen_anywhere(listener);
    listener->is_open = listener->error == 0;
    if (listener->error < 0 && listener->error != known_error)
        log_warning("port %u of service %s is not served here: %s; end the program that has it "
                    "(ss -ltnp 'sport = :%u'), it is tried again",
                    port, service, uv_strerror(listener->error), port);
    listener->next = mesh->listeners;
    mesh->listeners = listener;
}

static struct listener *find_listener(const struct mesh *mesh, uint16_t port)
{
    struct listener *listener = mesh->listeners;
    while (listener && listener->port != port)
        listener = listener->next;
    return listener;
}

/* Closes those that no service wants, and those that failed, which are then opened anew. */
static void close_unwanted(struct mesh *mesh)
{
    struct listener **link = &mesh->listeners;
    while (*link) {
        struct listener *listener = *link;
        uint16_t target;
        if (routes_by_port(&mesh->routes, listener->port, SPEC_TCP, &target)) {
            link = &listener->next;
            continue;
        }
        *link = listener->next;
        close_listener(listener);
    }
}

static void take_out(struct mesh *mesh, const struct listener *listener)
{
    struct listener **link = &mesh->listeners;
    while (*link && *link != listener)
        link = &(*link)->next;
    if (*link)
        *link = listener->next;
}

static bool open_wanted(struct mesh *mesh, const struct route *route)
{
    bool has_failed = false;
    for (size_t i = 0; i < route->port_count; i++) {
        uint16_t port = route->ports[i].published;
        struct listener *listener = port ? find_listener(mesh, port) : NULL;
        int known_error = 0;
        if (port == 0 || route->ports[i].protocol != SPEC_TCP || (listener && listener->is_open))
            continue;
        if (listener) {
            known_error = listener->error;
            take_out(mesh, listener);
            close_listener(listener);
        }
        open_port(mesh, port, route->service, known_error);
        listener = find_listener(mesh, port);
        has_failed = has_failed || !listener || !listener->is_open;
    }
    return has_failed;
}

bool listeners_update(struct mesh *mesh)
{
    bool has_failed = false;
    close_unwanted(mesh);
    for (size_t i = 0; i < mesh->routes.count; i++)
        has_failed = open_wanted(mesh, &mesh->routes.items[i]) || has_failed;
    return has_failed;
}

void listeners_close(struct mesh *mesh)
{
    while (mesh->listeners) {
        struct listener *listener = mesh->listeners;
        mesh->listeners = listener->next;
        close_listener(listener);
    }
    if (mesh->redirect)
        close_listener(mesh->redirect);
    if (mesh->redirect6)
        close_listener(mesh->redirect6);
    mesh->redirect = mesh->redirect6 = NULL;
}

static void give_listener(const struct listener *listener,
                          void (*give)(void *context, enum mesh_socket kind, uint16_t port, int fd),
                          void *context)
{
    int fd = inherited_copy((uv_handle_t *)&listener->tcp);
    if (fd >= 0 && listener->is_redirect)
        give(context,
             listener == listener->mesh->redirect ? MESH_SOCKET_REDIRECT : MESH_SOCKET_REDIRECT6, 0,
             fd);
    else if (fd >= 0)
        give(context, MESH_SOCKET_PORT, listener->port, fd);
}

void listeners_give(struct mesh *mesh,
                    void (*give)(void *context, enum mesh_socket kind, uint16_t port, int fd),
                    void *context)
{
    for (struct listener *listener = mesh->listeners; listener; listener = listener->next)
        if (listener->is_open)
            give_listener(listener, give, context);
    if (mesh->redirect)
        give_listener(mesh->redirect, give, context);
    if (mesh->redirect6)
        give_listener(mesh->redirect6, give, context);
}

int redirect_open(struct mesh *mesh, const struct address *gateway, struct listener **ret)
{
    struct sockaddr_storage at;
    struct listener *listener = new_listener(mesh, MESH_REDIRECT_PORT);
    if (!listener)
        return -ENOMEM;
    socket_address_from(gateway, &at);
    listener->is_redirect = true;
    int fd = inherited_take(
        mesh, address_is_v4(gateway) ? MESH_SOCKET_REDIRECT : MESH_SOCKET_REDIRECT6, 0);
    int rc =
        fd >= 0 ? listen_with(listener, fd) : listen_at(listener, (const struct sockaddr *)&at);
    if (rc < 0)
        close_listener(listener);
    else
        *ret = listener;
    return rc;
}

void mesh_explain(const struct mesh *mesh, const char *service, struct buffer *ret)
{
    const struct route *route = routes_by_name(&mesh->routes, service);
    for (size_t i = 0; route && i < route->port_count; i++) {
        const struct spec_port *port = &route->ports[i];
        bool is_udp = port->protocol == SPEC_UDP;
        const struct listener *listener = is_udp ? NULL : find_listener(mesh, port->published);
        int error = is_udp ? datagrams_error(mesh, port->published)
                           : (listener && !listener->is_open ? listener->error : 0);
        if (error < 0)
            buffer_printf(ret, "port %u%s is not served at this peer: %s\n", port->published,
                          is_udp ? "/udp" : "", uv_strerror(error));
    }
}
