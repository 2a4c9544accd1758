/* Routes as bytes: how the daemon tells them to the mesh process. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/codec.h"
#include "consensus/level.h"
#include "node/mesh/routes.h"

enum {
    ROUTE_FIELDS = 8,
    PORT_FIELDS = 3,
    ENDPOINT_FIELDS = 2,
};

static void write_route(struct writer *writer, const struct route *route)
{
    writer_array(writer, ROUTE_FIELDS);
    writer_text(writer, route->service);
    writer_text(writer, route->stack);
    writer_u64(writer, route->virtual_ip);
    writer_bool(writer, route->is_exclusive);
    writer_u64(writer, route->server.s_addr);
    writer_array(writer, route->port_count);
    for (size_t i = 0; i < route->port_count; i++) {
        writer_array(writer, PORT_FIELDS);
        writer_u64(writer, route->ports[i].published);
        writer_u64(writer, route->ports[i].target);
        writer_u64(writer, route->ports[i].protocol);
    }
    writer_array(writer, route->endpoint_count);
    for (size_t i = 0; i < route->endpoint_count; i++) {
        writer_array(writer, ENDPOINT_FIELDS);
        writer_u64(writer, route->endpoints[i].generation);
        codec_write_id(writer, &route->endpoints[i].peer);
    }
    spec_networks_write(writer, level_newest, route->networks, route->network_count);
}

void routes_write(struct writer *writer, const struct routes *routes)
{
    writer_array(writer, routes->count);
    for (size_t i = 0; i < routes->count; i++)
        write_route(writer, &routes->items[i]);
}

static void read_ports(struct reader *reader, struct route *route)
{
    route->ports =
        codec_read_items(reader, SPEC_LIST_ITEMS_MAX, sizeof(*route->ports), &route->port_count);
    for (size_t i = 0; i < route->port_count; i++) {
        struct spec_port *port = &route->ports[i];
        reader_array_exact(reader, PORT_FIELDS);
        reader_u16(reader, &port->published);
        reader_u16(reader, &port->target);
        codec_read_enum(reader, SPEC_UDP, &port->protocol);
    }
}

static void read_endpoints(struct reader *reader, struct route *route)
{
    route->endpoints = codec_read_items(reader, INTENT_REPLICAS_MAX, sizeof(*route->endpoints),
                                        &route->endpoint_count);
    for (size_t i = 0; i < route->endpoint_count; i++) {
        struct endpoint *endpoint = &route->endpoints[i];
        reader_array_exact(reader, ENDPOINT_FIELDS);
        reader_u64(reader, &endpoint->generation);
        reader_fixed(reader, endpoint->peer.bytes, ID_BYTES);
    }
}

static void read_route(struct reader *reader, struct route *route)
{
    uint32_t server = 0;
    reader_array_exact(reader, ROUTE_FIELDS);
    reader_copy_text(reader, route->service, sizeof(route->service));
    reader_copy_text(reader, route->stack, sizeof(route->stack));
    reader_u16(reader, &route->virtual_ip);
    reader_bool(reader, &route->is_exclusive);
    reader_u32(reader, &server);
    route->server.s_addr = server;
    read_ports(reader, route);
    read_endpoints(reader, route);
    route->networks = spec_networks_read(reader, level_newest, &route->network_count);
}

/* They are looked up by halving. */
static bool are_sorted(const struct routes *routes)
{
    for (size_t i = 1; i < routes->count; i++)
        if (strcmp(routes->items[i - 1].service, routes->items[i].service) >= 0)
            return false;
    return true;
}

void routes_read(struct reader *reader, struct routes *ret)
{
    struct routes routes = {0};
    routes.items =
        codec_read_items(reader, INTENT_SERVICES_MAX, sizeof(*routes.items), &routes.count);
    for (size_t i = 0; i < routes.count; i++)
        read_route(reader, &routes.items[i]);
    if (reader_check(reader) == 0 && !are_sorted(&routes))
        reader_refuse(reader);
    if (reader_check(reader) < 0)
        routes_done(&routes);
    else
        *ret = routes;
}
