#include "node/mesh/routes.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ip_network.h"
#include "node/control/stand_in.h"

static int copy_ports(const struct service_spec *spec, struct route *route)
{
    route->ports = calloc(spec->port_count + 1, sizeof(*route->ports));
    if (!route->ports)
        return -ENOMEM;
    for (size_t i = 0; i < spec->port_count; i++)
        route->ports[route->port_count++] = spec->ports[i];
    return 0;
}

static int copy_networks(const struct service_spec *spec, struct route *route)
{
    char name[SPEC_NETWORK_NAME_MAX + 1];
    struct spec_network by_default = {.name = name};
    bool is_default = spec->network_count == 0;
    for (size_t i = 0; i < spec->servers.count && route->server.s_addr == 0; i++)
        if (inet_pton(AF_INET, spec->servers.items[i], &route->server) != 1)
            route->server.s_addr = 0;
    if (spec->network_mode != SPEC_NETWORK_BRIDGE)
        return 0;
    spec_network_default(route->stack, name);
    size_t count = is_default ? 1 : spec->network_count;
    int rc = spec_networks_copy(is_default ? &by_default : spec->networks, count, &route->networks);
    route->network_count = rc < 0 ? 0 : count;
    return rc;
}

static int make_route(const struct intent_service *service, struct route *route)
{
    const struct intent_revision *revision = intent_revision_find(service, service->revision);
    *route = (struct route){.virtual_ip = service->virtual_ip};
    memcpy(route->service, service->name, sizeof(route->service));
    memcpy(route->stack, service->stack, sizeof(route->stack));
    if (!revision)
        return 0;
    route->is_exclusive = revision->spec.exclusive;
    int rc = copy_ports(&revision->spec, route);
    return rc < 0 ? rc : copy_networks(&revision->spec, route);
}

static bool can_serve(const struct intent *intent, const struct view *view,
                      const struct intent_replica *replica)
{
    if (stand_in_is(replica->generation) && !stand_in_is_allowed(intent, replica))
        return false;
    const struct view_replica *seen = view_replica_find(view, replica->generation);
    return replica->want == INTENT_RUN && view_is_alive(view, &replica->peer) && seen &&
           id_equal(&seen->peer, &replica->peer) && view_replica_serves(seen);
}

static int add_endpoint(struct route *route, const struct intent_replica *replica)
{
    struct endpoint *endpoints =
        realloc(route->endpoints, (route->endpoint_count + 1) * sizeof(*endpoints));
    if (!endpoints)
        return -ENOMEM;
    route->endpoints = endpoints;
    endpoints[route->endpoint_count++] = (struct endpoint){replica->generation, replica->peer};
    return 0;
}

int routes_make(const struct intent *intent, const struct view *view, struct routes *ret)
{
    struct routes routes = {0};
    int rc = 0;
    routes.items = calloc(intent->services.count + 1, sizeof(*routes.items));
    if (!routes.items)
        return -ENOMEM;
    for (size_t i = 0; i < intent->services.count && rc == 0; i++)
        rc = make_route(intent->services.items[i], &routes.items[routes.count++]);
    const struct intent_replica *replica;
    for (size_t i = 0; (replica = any_replica_at(intent, view, i)) && rc == 0; i++) {
        struct route *route = routes_by_name(&routes, replica->service);
        if (route && can_serve(intent, view, replica))
            rc = add_endpoint(route, replica);
    }
    if (rc < 0)
        routes_done(&routes);
    else
        *ret = routes;
    return rc;
}

void routes_keep_turns(struct routes *routes, const struct routes *old)
{
    for (size_t i = 0; i < routes->count; i++) {
        const struct route *before = routes_by_name(old, routes->items[i].service);
        routes->items[i].next = before ? before->next : 0;
    }
}

void routes_leave_out_exclusive(struct routes *routes)
{
    for (size_t i = 0; i < routes->count; i++)
        if (routes->items[i].is_exclusive)
            routes->items[i].endpoint_count = 0;
}

void routes_done(struct routes *routes)
{
    for (size_t i = 0; i < routes->count; i++) {
        free(routes->items[i].ports);
        free(routes->items[i].endpoints);
        spec_networks_done(routes->items[i].networks, routes->items[i].network_count);
    }
    free(routes->items);
    *routes = (struct routes){0};
}

static int compare_route(const void *key, const void *item)
{
    return strcmp(key, ((const struct route *)item)->service);
}

struct route *routes_by_name(const struct routes *routes, const char *service)
{
    if (routes->count == 0)
        return NULL;
    return bsearch(service, routes->items, routes->count, sizeof(*routes->items), compare_route);
}

struct route *routes_by_virtual_ip(const struct routes *routes, uint16_t virtual_ip)
{
    for (size_t i = 0; i < routes->count; i++)
        if (routes->items[i].virtual_ip == virtual_ip)
            return &routes->items[i];
    return NULL;
}

static bool has_address(const struct spec_network *network, const struct address *address)
{
    for (size_t i = 0; i < network->address_count; i++)
        if (ip_equal(&network->addresses[i], address))
            return true;
    return false;
}

struct route *routes_by_address(const struct routes *routes, const char *network,
                                const struct address *address)
{
    for (size_t i = 0; i < routes->count; i++) {
        struct route *route = &routes->items[i];
        for (size_t j = 0; j < route->network_count; j++)
            if (strcmp(route->networks[j].name, network) == 0 &&
                has_address(&route->networks[j], address))
                return route;
    }
    return NULL;
}

struct route *routes_by_port(const struct routes *routes, uint16_t port, uint8_t protocol,
                             uint16_t *ret_target)
{
    for (size_t i = 0; i < routes->count; i++) {
        for (size_t j = 0; j < routes->items[i].port_count; j++) {
            const struct spec_port *item = &routes->items[i].ports[j];
            if (item->published != port || item->protocol != protocol)
                continue;
            *ret_target = item->target;
            return &routes->items[i];
        }
    }
    return NULL;
}

/* The service's name within its stack: what stands after "stack_". */
static const char *short_name(const struct route *route)
{
    size_t stack_length = strlen(route->stack);
    bool has_stack = stack_length > 0 && strncmp(route->service, route->stack, stack_length) == 0 &&
                     route->service[stack_length] == '_';
    return has_stack ? route->service + stack_length + 1 : route->service;
}

static bool is_qualified(const struct route *route, const char *name)
{
    size_t length = strlen(short_name(route));
    return strcasecmp(name, route->service) == 0 ||
           (strncasecmp(name, short_name(route), length) == 0 && name[length] == '.' &&
            strcasecmp(name + length + 1, route->stack) == 0);
}

static bool share_with(const struct route *route, const struct spec_network *network)
{
    for (size_t i = 0; i < route->network_count; i++)
        if (strcmp(route->networks[i].name, network->name) == 0)
            return true;
    return false;
}

bool routes_share(const struct route *a, const struct route *b)
{
    for (size_t i = 0; i < a->network_count; i++)
        if (share_with(b, &a->networks[i]))
            return true;
    return false;
}

int routes_in_common(const struct route *asker, const struct route *route, struct text_list *ret)
{
    int rc = 0;
    for (size_t i = 0; asker && i < asker->network_count && rc == 0; i++)
        if (share_with(route, &asker->networks[i]))
            rc = text_list_add(ret, asker->networks[i].name);
    if (rc < 0)
        text_list_done(ret);
    return rc;
}

static bool has_alias(const struct route *route, const char *name, const struct route *asker)
{
    for (size_t i = 0; i < route->network_count; i++) {
        const struct spec_network *network = &route->networks[i];
        if (asker && !share_with(asker, network))
            continue;
        for (size_t j = 0; j < network->aliases.count; j++)
            if (strcasecmp(network->aliases.items[j], name) == 0)
                return true;
    }
    return false;
}

struct route *routes_by_dns_name(const struct routes *routes, const char *name,
                                 const struct route *asker)
{
    const char *stack = asker ? asker->stack : "";
    struct route *only = NULL, *alias = NULL;
    size_t same_name_count = 0;
    for (size_t i = 0; i < routes->count; i++) {
        struct route *route = &routes->items[i];
        if (asker && !routes_share(asker, route))
            continue;
        if (is_qualified(route, name))
            return route;
        if (!alias && has_alias(route, name, asker))
            alias = route;
        if (strcasecmp(name, short_name(route)) != 0)
            continue;
        if (strcmp(route->stack, stack) == 0)
            return route;
        only = route;
        same_name_count++;
    }
    if (alias)
        return alias;
    return same_name_count == 1 ? only : NULL;
}

const struct endpoint *route_next(struct route *route, const uint64_t *tried, size_t tried_count)
{
    for (size_t i = 0; i < route->endpoint_count; i++) {
        size_t index = (route->next + i) % route->endpoint_count;
        const struct endpoint *endpoint = &route->endpoints[index];
        bool was_tried = false;
        for (size_t j = 0; j < tried_count; j++)
            was_tried = was_tried || tried[j] == endpoint->generation;
        if (was_tried)
            continue;
        route->next = index + 1;
        return endpoint;
    }
    return NULL;
}
