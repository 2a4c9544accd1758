/* One client's datagrams to one port of a service, and the answers to them.
 *
 * A flow keeps to the replica that its first datagram went to, as long as that serves or no other
 * does; the replica sees each flow come from a port of its own. What has been quiet ends, and the
 * longest quiet one makes room when there are too many: one question and its answer take a moment,
 * and what goes on for long is never the longest quiet. Datagrams to another peer travel in a
 * stream to it, and are dropped where the stream has no room.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/mesh/datagram_socket.h"
#include "node/mesh/mesh_private.h"
#include "node/mesh/stream_header.h"
#include "node/transport/socket.h"

struct flow {
    struct mesh *mesh;
    struct flow *older, *newer; /* by its last datagram */
    struct flow_key key;        /* of a client of this peer's */
    struct datagram_port *port; /* where it came to; NULL: from another peer, or it is closed */
    uv_udp_t own;               /* then, connected to the client */
    bool has_own;
    struct mux_stream *client;   /* … which is at the other end of this */
    struct mux_stream *target;   /* to the peer of the replica; NULL: it is here */
    uv_udp_t udp;                /* connected to it */
    struct replica_port replica; /* if it is here */
    bool is_v6, has_second;      /* how it is reached, and whether it might be in the other way */
    uv_timer_t timer;
    unsigned open_handles;
    struct buffer partial; /* of what comes in `client` or `target` */
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint64_t generation;
    uint64_t last_ms;
    unsigned asked, answered; /* up to FLOW_LASTS_AFTER */
    bool is_over;
};

static int compare_key(const void *item, const void *key)
{
    return memcmp(&((const struct flow *)item)->key, key, sizeof(struct flow_key));
}

static const void *key_of(const void *item)
{
    return &((const struct flow *)item)->key;
}

void flows_init(struct mesh *mesh)
{
    struct flows *flows = &mesh->flows;
    size_t share = mesh_files_share();
    table_init(&flows->by_key, compare_key, key_of);
    flows->count_max = share < FLOWS_MAX ? share : FLOWS_MAX;
}

/* --- Life --- */

static void unlink_flow(struct flow *flow)
{
    struct flows *flows = &flow->mesh->flows;
    *(flow->older ? &flow->older->newer : &flows->oldest) = flow->newer;
    *(flow->newer ? &flow->newer->older : &flows->newest) = flow->older;
    flow->older = flow->newer = NULL;
}

static void append_flow(struct flow *flow)
{
    struct flows *flows = &flow->mesh->flows;
    flow->older = flows->newest;
    *(flows->newest ? &flows->newest->newer : &flows->oldest) = flow;
    flows->newest = flow;
}

static void touch(struct flow *flow)
{
    flow->last_ms = uv_now(flow->mesh->config.loop);
    if (!flow->newer)
        return;
    unlink_flow(flow);
    append_flow(flow);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct flow *flow = handle->data;
    if (--flow->open_handles > 0)
        return;
    struct mesh *mesh = flow->mesh;
    buffer_done(&flow->partial);
    free(flow);
    mesh_release(mesh);
}

static void end_stream(struct mux_stream **stream, int reason)
{
    if (*stream)
        stream_reset(*stream, reason);
    *stream = NULL;
}

static void finish(struct flow *flow, int reason)
{
    if (flow->is_over)
        return;
    flow->is_over = true;
    struct flows *flows = &flow->mesh->flows;
    unlink_flow(flow);
    flows->count--;
    if (flow->port)
        table_remove(&flows->by_key, &flow->key);
    if (flow->has_own)
        uv_close((uv_handle_t *)&flow->own, on_handle_closed);
    end_stream(&flow->client, reason);
    end_stream(&flow->target, reason);
    uv_close((uv_handle_t *)&flow->udp, on_handle_closed);
    uv_close((uv_handle_t *)&flow->timer, on_handle_closed);
}

static uint64_t patience_ms(const struct flow *flow)
{
    bool lasts = flow->asked >= FLOW_LASTS_AFTER && flow->answered >= FLOW_LASTS_AFTER;
    return lasts ? FLOW_IDLE_MS : FLOW_IDLE_FIRST_MS;
}

static void on_timer(uv_timer_t *timer)
{
    struct flow *flow = timer->data;
    uint64_t quiet_ms = uv_now(timer->loop) - flow->last_ms, patience = patience_ms(flow);
    if (quiet_ms >= patience)
        finish(flow, -ETIMEDOUT);
    else
        uv_timer_start(timer, on_timer, patience - quiet_ms, 0);
}

static struct flow *new_flow(struct mesh *mesh)
{
    struct flow *flow = calloc(1, sizeof(*flow));
    if (!flow)
        return NULL;
    while (mesh->flows.count >= mesh->flows.count_max)
        finish(mesh->flows.oldest, -EBUSY);
    flow->mesh = mesh;
    uv_udp_init(mesh->config.loop, &flow->udp); /* cannot fail: opens no socket yet */
    uv_timer_init(mesh->config.loop, &flow->timer);
    flow->open_handles = 2;
    flow->udp.data = flow->timer.data = flow;
    mesh_hold(mesh);
    mesh->flows.count++;
    append_flow(flow);
    touch(flow);
    uv_timer_start(&flow->timer, on_timer, FLOW_IDLE_FIRST_MS, 0);
    return flow;
}

/* --- Passing datagrams --- */

static void count(unsigned *counter)
{
    if (*counter < FLOW_LASTS_AFTER)
        (*counter)++;
}

static void write_frame(struct mux_stream *stream, struct bytes data)
{
    uint8_t frame[MESH_FRAME_HEAD_BYTES + DATAGRAM_BYTES_MAX];
    frame[0] = (uint8_t)(data.size >> 8);
    frame[1] = (uint8_t)data.size;
    memcpy(frame + MESH_FRAME_HEAD_BYTES, data.data, data.size);
    stream_write(stream, frame, MESH_FRAME_HEAD_BYTES + data.size); /* or it is lost */
}

static void send_to_target(struct flow *flow, struct bytes data)
{
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)data.data, (unsigned)data.size);
    touch(flow);
    count(&flow->asked);
    if (flow->target)
        write_frame(flow->target, data);
    else
        uv_udp_try_send(&flow->udp, &buffer, 1, NULL);
}

static void send_to_client(struct flow *flow, struct bytes data)
{
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)data.data, (unsigned)data.size);
    touch(flow);
    count(&flow->answered);
    if (flow->client)
        write_frame(flow->client, data);
    else if (flow->has_own)
        uv_udp_try_send(&flow->own, &buffer, 1, NULL);
    else
        datagram_port_send(flow->port, &flow->key, data);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct flow *flow = handle->data;
    (void)suggested;
    *ret = uv_buf_init((char *)flow->mesh->flows.bytes, sizeof(flow->mesh->flows.bytes));
}

/* The socket is connected, so only the replica's datagrams come, or the word that it is gone. */
static void on_answer(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                      const struct sockaddr *from, unsigned flags)
{
    struct flow *flow = udp->data;
    if (size == UV_ECONNREFUSED && flow->has_second && flow->answered == 0)
        replica_remember(flow->mesh, &flow->replica, !flow->is_v6); /* for the client's next try */
    if (size < 0)
        finish(flow, (int)size);
    else if (from && !(flags & UV_UDP_PARTIAL) && size <= DATAGRAM_BYTES_MAX)
        send_to_client(flow, (struct bytes){(const uint8_t *)buffer->base, (size_t)size});
}

static void on_frame(void *context, struct bytes datagram)
{
    struct flow *flow = context;
    if (flow->is_over)
        return;
    if (flow->client)
        send_to_target(flow, datagram);
    else
        send_to_client(flow, datagram);
}

static void on_stream_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct flow *flow = context;
    stream_consumed(stream, data.size);
    if (mesh_frames_take(&flow->partial, data, on_frame, flow) < 0)
        finish(flow, -EBADMSG);
}

static void on_stream_end(void *context, struct mux_stream *stream)
{
    (void)stream;
    finish(context, -EPIPE);
}

static void on_stream_close(void *context, struct mux_stream *stream, int reason)
{
    struct flow *flow = context;
    (void)stream;
    flow->client = flow->target = NULL; /* it has but one */
    finish(flow, reason < 0 ? reason : -EPIPE);
}

static const struct stream_handler stream_handler = {
    .on_data = on_stream_data, .on_end = on_stream_end, .on_close = on_stream_close};

/* --- Finding a replica --- */

static int connect_local(struct flow *flow, const struct mesh_header *header)
{
    struct replica_addresses addresses;
    struct sockaddr_storage to;
    flow->replica = (struct replica_port){header->generation, header->port, SPEC_UDP};
    if (!replica_addresses_find(flow->mesh, &flow->replica, &header->networks, &addresses))
        return -EHOSTUNREACH;
    flow->is_v6 = !address_is_v4(&addresses.first);
    flow->has_second = !address_is_none(&addresses.second);
    socket_address_from(&addresses.first, &to);
    int rc = uv_udp_connect(&flow->udp, (const struct sockaddr *)&to);
    return rc < 0 ? rc : uv_udp_recv_start(&flow->udp, on_alloc, on_answer);
}

static int connect_remote(struct flow *flow, const struct id *peer,
                          const struct mesh_header *header)
{
    const struct mesh_config *config = &flow->mesh->config;
    cleanup_buffer struct buffer bytes = {0};
    int rc = mesh_header_encode(header, &bytes);
    return rc < 0 ? rc
                  : config->open_stream(config->context, peer, buffer_view(&bytes), &stream_handler,
                                        flow, &flow->target);
}

/* `header` lacks the generation only. */
static int connect_next(struct flow *flow, struct route *route, struct mesh_header *header)
{
    const struct mesh *mesh = flow->mesh;
    uint64_t tried[MESH_TRIED_MAX];
    for (size_t i = 0; i < MESH_TRIED_MAX; i++) {
        const struct endpoint *endpoint = route_next(route, tried, i);
        if (!endpoint)
            return -EHOSTUNREACH;
        tried[i] = flow->generation = header->generation = endpoint->generation;
        bool is_here = id_equal(&endpoint->peer, &mesh->config.self);
        if ((is_here ? connect_local(flow, header)
                     : connect_remote(flow, &endpoint->peer, header)) == 0)
            return 0;
    }
    return -EHOSTUNREACH;
}

static int connect_to(struct flow *flow, const struct flow_target *target)
{
    struct mesh_header header = {.port = target->port, .protocol = SPEC_UDP};
    int rc = routes_in_common(target->asker, target->route, &header.networks);
    if (rc == 0)
        rc = connect_next(flow, target->route, &header);
    mesh_header_done(&header);
    return rc;
}

static bool is_served(const struct flow *flow)
{
    const struct route *route = routes_by_name(&flow->mesh->routes, flow->service);
    for (size_t i = 0; route && i < route->endpoint_count; i++)
        if (route->endpoints[i].generation == flow->generation)
            return true;
    return false;
}

/* Whether another replica is to have what its client sends from now on. */
static bool moves_on(const struct flow *flow, const struct route *route)
{
    return strcmp(flow->service, route->service) != 0 ||
           (route->endpoint_count > 0 && !is_served(flow));
}

void flow_datagram(struct mesh *mesh, struct datagram_port *port, const struct flow_key *key,
                   const struct flow_target *target, struct bytes data)
{
    struct flow *flow = table_find(&mesh->flows.by_key, key);
    if (flow && moves_on(flow, target->route)) {
        finish(flow, -EHOSTUNREACH);
        flow = NULL;
    }
    if (flow) {
        send_to_target(flow, data);
        return;
    }
    flow = new_flow(mesh);
    if (!flow)
        return;
    flow->key = *key;
    memcpy(flow->service, target->route->service, sizeof(flow->service));
    int rc = connect_to(flow, target);
    if (rc == 0)
        rc = table_insert(&mesh->flows.by_key, flow);
    if (rc < 0) {
        finish(flow, rc);
        return;
    }
    flow->port = port; /* from now on it is in the table */
    send_to_target(flow, data);
}

void flow_accept(struct mesh *mesh, struct mux_stream *stream, const struct mesh_header *header)
{
    struct flow *flow = new_flow(mesh);
    if (!flow) {
        stream_reset(stream, -ENOMEM);
        return;
    }
    flow->client = stream;
    flow->generation = header->generation;
    stream_accept(stream, &stream_handler, flow);
    int rc = connect_local(flow, header);
    if (rc < 0)
        finish(flow, rc);
}

/* As on_answer(), of a flow's client. */
static void on_question(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                        const struct sockaddr *from, unsigned flags)
{
    struct flow *flow = udp->data;
    if (size < 0)
        finish(flow, (int)size);
    else if (from && !(flags & UV_UDP_PARTIAL) && size <= DATAGRAM_BYTES_MAX)
        send_to_target(flow, (struct bytes){(const uint8_t *)buffer->base, (size_t)size});
}

static int open_own(struct flow *flow)
{
    int fd;
    int rc = datagram_socket_connected(&flow->key.to, &flow->key.from, &fd);
    if (rc < 0)
        return rc;
    uv_udp_init(flow->mesh->config.loop, &flow->own);
    flow->own.data = flow;
    flow->open_handles++;
    flow->has_own = true;
    rc = uv_udp_open(&flow->own, fd);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return uv_udp_recv_start(&flow->own, on_alloc, on_question);
}

void flows_leave_ports(struct mesh *mesh)
{
    struct flow *newer;
    for (struct flow *flow = mesh->flows.oldest; flow; flow = newer) {
        newer = flow->newer;
        int rc = flow->port ? open_own(flow) : 0;
        if (rc < 0)
            finish(flow, rc);
    }
}

static void forget_port(struct flow *flow)
{
    table_remove(&flow->mesh->flows.by_key, &flow->key);
    flow->port = NULL;
}

void flows_end(struct mesh *mesh, const struct datagram_port *port)
{
    struct flow *newer;
    for (struct flow *flow = mesh->flows.oldest; flow; flow = newer) {
        newer = flow->newer;
        if (port && flow->port != port)
            continue;
        if (port && flow->has_own)
            forget_port(flow);
        else
            finish(flow, -ESHUTDOWN);
    }
}

void flows_cut(struct mesh *mesh, uint64_t generation)
{
    struct flow *newer;
    for (struct flow *flow = mesh->flows.oldest; flow; flow = newer) {
        newer = flow->newer;
        if (flow->generation == generation && !flow->target)
            finish(flow, -ECONNABORTED);
    }
}

void flows_done(struct mesh *mesh)
{
    table_done(&mesh->flows.by_key);
}
