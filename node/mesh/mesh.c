#include "node/mesh/mesh.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/log.h"
#include "base/ula.h"
#include "node/mesh/dns.h"
#include "node/mesh/mesh_private.h"
#include "node/mesh/stream_header.h"

size_t mesh_files_share(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0 || files.rlim_cur < MESH_FILES_SHARE)
        return 1;
    return (size_t)(files.rlim_cur / MESH_FILES_SHARE);
}

void mesh_hold(struct mesh *mesh)
{
    mesh->busy++;
}

void mesh_release(struct mesh *mesh)
{
    if (--mesh->busy > 0 || !mesh->is_closing)
        return;
    routes_done(&mesh->routes);
    flows_done(mesh);
    free(mesh);
}

void mesh_say_change(const struct mesh *mesh)
{
    if (mesh->config.on_change && !mesh->is_closing)
        mesh->config.on_change(mesh->config.context);
}

/* fe80::/10: a container may have any of these, so none says who it is. */
static bool is_link_local(const struct address *address)
{
    return address->ip[0] == 0xfe && (address->ip[1] & 0xc0) == 0x80;
}

/* Who has that address: as mesh_config.asker says it, also of an IPv6 address. */
static enum mesh_asker find_origin(const struct mesh *mesh, const struct address *address,
                                   struct mesh_origin *ret)
{
    const struct mesh_config *config = &mesh->config;
    struct address known = *address;
    uint16_t subnet;
    uint32_t ip;
    if (is_link_local(address))
        return MESH_ASKER_UNKNOWN;
    if (ula_parse(address, &subnet, &ip)) /* nftables sees to it that it is the sender's own */
        known = address_from_v4(ip, address->port);
    return config->asker ? config->asker(config->context, &known, ret) : MESH_ASKER_MACHINE;
}

bool mesh_asker_find(const struct mesh *mesh, const struct address *address,
                     const struct route **ret)
{
    struct mesh_origin origin;
    enum mesh_asker asker = find_origin(mesh, address, &origin);
    *ret = asker == MESH_ASKER_CONTAINER ? routes_by_name(&mesh->routes, origin.service) : NULL;
    return asker == MESH_ASKER_MACHINE || *ret;
}

const struct route *mesh_route_at(const struct mesh *mesh, const struct address *from,
                                  const struct address *meant)
{
    struct mesh_origin origin;
    return find_origin(mesh, from, &origin) == MESH_ASKER_CONTAINER
               ? routes_by_address(&mesh->routes, origin.network, meant)
               : NULL;
}

bool mesh_may_reach(const struct mesh *mesh, const struct address *address,
                    const struct route *route, const struct route **ret_asker)
{
    return mesh_asker_find(mesh, address, ret_asker) &&
           (!*ret_asker || routes_share(*ret_asker, route));
}

/* The gateway stands, so that its IPv6 address is there if the machine has IPv6; without,
 * containers have none, and names have no AAAA. */
static int open_gateway6(struct mesh *mesh)
{
    struct address gateway = ula_make(ULA_GATEWAY_SUBNET, address_to_v4(&mesh->gateway));
    gateway.port = mesh->gateway.port;
    int rc = redirect_open(mesh, &gateway, &mesh->redirect6);
    return rc == UV_EADDRNOTAVAIL || rc == UV_EAFNOSUPPORT ? 0 : rc;
}

/* Listens at the gateway for what the containers of this peer ask; true once all is open. */
static bool open_gateway(struct mesh *mesh)
{
    int rc = 0;
    if (address_is_none(&mesh->gateway))
        return true;
    if (!mesh->redirect)
        rc = redirect_open(mesh, &mesh->gateway, &mesh->redirect);
    if (rc == 0 && !mesh->redirect6)
        rc = open_gateway6(mesh);
    if (rc == 0 && !mesh->dns)
        rc = dns_open(mesh, &mesh->gateway, &mesh->dns);
    if (rc < 0)
        log_limited(LOG_WARNING,
                    "containers can't reach services: the gateway's ports can't be had: %s",
                    uv_strerror(rc));
    return rc == 0;
}

static void update(uv_timer_t *timer)
{
    struct mesh *mesh = timer->data;
    bool has_failed = !open_gateway(mesh);
    has_failed = listeners_update(mesh) || has_failed;
    has_failed = datagrams_update(mesh) || has_failed;
    if (has_failed)
        uv_timer_start(timer, update, MESH_RETRY_MS, 0);
    if (!address_is_none(&mesh->gateway)) /* all that is wanted was wanted by now */
        inherited_close(mesh);
    mesh_say_change(mesh);
}

void mesh_changed(struct mesh *mesh)
{
    if (!mesh->is_retired)
        uv_timer_start(&mesh->timer, update, 0, 0);
}

void mesh_set_routes(struct mesh *mesh, struct routes *routes)
{
    routes_keep_turns(routes, &mesh->routes);
    routes_done(&mesh->routes);
    mesh->routes = *routes;
    *routes = (struct routes){0};
    mesh_changed(mesh);
}

void mesh_leave_out_exclusive(struct mesh *mesh)
{
    routes_leave_out_exclusive(&mesh->routes);
}

void mesh_cut(struct mesh *mesh, uint64_t generation)
{
    connections_cut(mesh, generation);
    flows_cut(mesh, generation);
}

void mesh_gateway_ready(struct mesh *mesh, const struct address *gateway)
{
    mesh->gateway = *gateway;
    mesh->gateway.port = MESH_REDIRECT_PORT;
    mesh_changed(mesh);
}

void mesh_accept(struct mesh *mesh, struct mux_stream *stream, struct bytes header)
{
    struct mesh_header decoded;
    int rc = mesh_header_decode(header, &decoded);
    if (rc < 0) {
        stream_reset(stream, rc);
        return;
    }
    if (decoded.protocol == SPEC_UDP)
        flow_accept(mesh, stream, &decoded);
    else
        connection_accept(mesh, stream, &decoded);
    mesh_header_done(&decoded);
}

const char *mesh_service(const struct mesh *mesh, size_t index)
{
    return index < mesh->routes.count ? mesh->routes.items[index].service : NULL;
}

size_t mesh_connection_count(const struct mesh *mesh)
{
    return mesh->connection_count;
}

bool mesh_is_busy(const struct mesh *mesh)
{
    return mesh->connection_count > 0 || mesh->flows.count > 0;
}

struct mesh *mesh_new(const struct mesh_config *config)
{
    struct mesh *mesh = calloc(1, sizeof(*mesh));
    if (!mesh)
        return NULL;
    mesh->config = *config;
    mesh->connection_max = mesh_files_share();
    flows_init(mesh);
    uv_timer_init(config->loop, &mesh->timer);
    mesh->timer.data = mesh;
    mesh_hold(mesh);
    return mesh;
}

static void stop_listening(struct mesh *mesh)
{
    uv_timer_stop(&mesh->timer);
    listeners_close(mesh);
    datagrams_close(mesh);
    dns_close(mesh->dns);
    mesh->dns = NULL;
    inherited_close(mesh);
}

void mesh_retire(struct mesh *mesh,
                 void (*give)(void *context, enum mesh_socket kind, uint16_t port, int fd),
                 void *context)
{
    mesh->is_retired = true;
    datagrams_retire(mesh);
    listeners_give(mesh, give, context);
    int fd = mesh->dns ? inherited_copy((uv_handle_t *)dns_handle(mesh->dns)) : -1;
    if (fd >= 0)
        give(context, MESH_SOCKET_DNS, 0, fd);
    stop_listening(mesh);
}

static void on_closed(uv_handle_t *handle)
{
    mesh_release(handle->data);
}

void mesh_close(struct mesh *mesh)
{
    if (!mesh)
        return;
    mesh->is_closing = true;
    connections_close(mesh);
    flows_end(mesh, NULL);
    stop_listening(mesh);
    uv_close((uv_handle_t *)&mesh->timer, on_closed);
}
