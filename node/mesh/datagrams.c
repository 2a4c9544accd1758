/* Where datagrams come in: a socket for each published UDP port, on all addresses, and one for each
 * UDP port of a service at its virtual address, for this peer's containers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/ula.h"
#include "node/mesh/datagram_socket.h"
#include "node/mesh/mesh_private.h"

struct datagram_port {
    struct mesh *mesh;
    struct datagram_port *next;
    struct datagram_socket *socket; /* NULL: the port could not be had */
    uint16_t virtual_ip;            /* 0: published */
    uint16_t number;
    bool is_v6; /* the virtual address */
    bool is_wanted;
    int error; /* why */
};

static struct datagram_port *find(const struct mesh *mesh, uint16_t virtual_ip, bool is_v6,
                                  uint16_t number)
{
    struct datagram_port *port = mesh->datagram_ports;
    while (port &&
           (port->virtual_ip != virtual_ip || port->is_v6 != is_v6 || port->number != number))
        port = port->next;
    return port;
}

static void on_datagram(void *context, const struct address *from, const struct address *to,
                        struct bytes data)
{
    struct datagram_port *port = context;
    const struct routes *routes = &port->mesh->routes;
    const struct flow_key key = {.from = *from, .to = *to};
    struct flow_target target = {.port = port->number};
    target.route = port->virtual_ip == 0
                       ? routes_by_port(routes, port->number, SPEC_UDP, &target.port)
                       : routes_by_virtual_ip(routes, port->virtual_ip);
    if (target.route &&
        (port->virtual_ip == 0 || mesh_may_reach(port->mesh, from, target.route, &target.asker)))
        flow_datagram(port->mesh, port, &key, &target, data);
}

void datagram_port_send(struct datagram_port *port, const struct flow_key *key, struct bytes data)
{
    datagram_socket_send(port->socket, &key->to, &key->from, data);
}

static void on_closed(void *context)
{
    struct datagram_port *port = context;
    mesh_release(port->mesh);
    free(port);
}

static void close_port(struct datagram_port *port)
{
    flows_end(port->mesh, port);
    if (port->socket)
        datagram_socket_close(port->socket);
    else
        on_closed(port);
}

static void open_socket(struct datagram_port *port, const char *service)
{
    const struct mesh *mesh = port->mesh;
    struct datagram_config config = {.loop = mesh->config.loop,
                                     .at = {.port = port->number},
                                     .on_datagram = on_datagram,
                                     .on_closed = on_closed,
                                     .context = port};
    if (port->virtual_ip != 0)
        config.at = port->is_v6 ? ula_make(ULA_VIRTUAL_SUBNET, MESH_VIRTUAL_BASE + port->virtual_ip)
                                : address_from_v4(MESH_VIRTUAL_BASE + port->virtual_ip, 0);
    config.at.port = port->number;
    int error = datagram_socket_open(&config, &port->socket);
    if (error < 0 && error != port->error && port->virtual_ip == 0)
        log_warning("port %u/udp of service %s is not served here: %s; end the program that has it "
                    "(ss -lnup 'sport = :%u'), it is tried again",
                    port->number, service, strerror(-error), port->number);
    else if (error < 0 && error != port->error)
        log_warning("containers here can't reach port %u/udp of service %s: %s; it is tried again",
                    port->number, service, strerror(-error));
    port->error = error;
}

/* Opens it unless it is open; true if it is. */
static bool want(struct mesh *mesh, uint16_t virtual_ip, bool is_v6, uint16_t number,
                 const char *service)
{
    struct datagram_port *port = find(mesh, virtual_ip, is_v6, number);
    if (!port) {
        port = calloc(1, sizeof(*port));
        if (!port)
            return false;
        *port = (struct datagram_port){.mesh = mesh,
                                       .next = mesh->datagram_ports,
                                       .virtual_ip = virtual_ip,
                                       .number = number,
                                       .is_v6 = is_v6};
        mesh->datagram_ports = port;
        mesh_hold(mesh);
    }
    port->is_wanted = true;
    if (!port->socket)
        open_socket(port, service);
    return port->socket != NULL;
}

static bool want_all(struct mesh *mesh, const struct route *route)
{
    bool is_open = true, has_gateway = !address_is_none(&mesh->gateway);
    for (size_t i = 0; i < route->port_count; i++) {
        const struct spec_port *port = &route->ports[i];
        if (port->protocol != SPEC_UDP)
            continue;
        if (port->published != 0)
            is_open = want(mesh, 0, false, port->published, route->service) && is_open;
        if (has_gateway) /* only then are virtual addresses this machine's */
            is_open = want(mesh, route->virtual_ip, false, port->target, route->service) && is_open;
        if (mesh->redirect6)
            is_open = want(mesh, route->virtual_ip, true, port->target, route->service) && is_open;
    }
    return is_open;
}

static void close_unwanted(struct mesh *mesh)
{
    struct datagram_port **link = &mesh->datagram_ports;
    while (*link) {
        struct datagram_port *port = *link;
        if (port->is_wanted) {
            link = &port->next;
            continue;
        }
        *link = port->next;
        close_port(port);
    }
}

bool datagrams_update(struct mesh *mesh)
{
    bool is_open = true;
    for (struct datagram_port *port = mesh->datagram_ports; port; port = port->next)
        port->is_wanted = false;
    for (size_t i = 0; i < mesh->routes.count; i++)
        is_open = want_all(mesh, &mesh->routes.items[i]) && is_open;
    close_unwanted(mesh);
    return !is_open;
}

void datagrams_retire(struct mesh *mesh)
{
    flows_leave_ports(mesh);
    for (struct datagram_port *port = mesh->datagram_ports; port; port = port->next)
        if (port->socket)
            datagram_socket_drain(port->socket);
}

void datagrams_close(struct mesh *mesh)
{
    for (struct datagram_port *port = mesh->datagram_ports; port; port = port->next)
        port->is_wanted = false;
    close_unwanted(mesh);
}

int datagrams_error(const struct mesh *mesh, uint16_t published)
{
    const struct datagram_port *port = find(mesh, 0, false, published);
    return port && !port->socket ? port->error : 0;
}
