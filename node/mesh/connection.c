/* One proxied connection: from a client to a replica, here or at another peer.
 *
 * Nothing is read from the client before a replica has taken the connection, so another replica can
 * be tried as long as none has. A peer that takes a stream says so with one byte once its container
 * has accepted; that byte is not passed on.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/mesh/mesh_private.h"
#include "node/mesh/stream_header.h"
#include "node/transport/pipe.h"
#include "node/transport/socket.h"

static const uint8_t accepted_byte = 0;

struct connection {
    struct mesh *mesh;
    struct connection *next, **link;
    struct pipe_end client, target;
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint64_t generation; /* not 0: this replica here, for another peer */
    uint16_t port;
    struct text_list networks; /* over which it is reached; as in struct mesh_header */

    struct replica_port replica; /* that has it or is tried; generation 0: one at another peer */
    struct address second;       /* its other address, if nobody listens at the first */
    uint64_t tried[MESH_TRIED_MAX];
    size_t tried_count;
    int64_t give_up_ms;
    uv_timer_t timer;    /* of the try under way, or until the next one */
    struct buffer early; /* a peer's stream can't be told to wait: at most its window */
    bool is_joined;      /* a replica has taken it */
    bool client_ended, target_ended;
    bool is_over;
};

static void try_next(struct connection *connection);

static void free_connection(uv_handle_t *handle)
{
    struct connection *connection = handle->data;
    struct mesh *mesh = connection->mesh;
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    mesh->connection_count--;
    mesh_say_change(mesh);
    buffer_done(&connection->early);
    text_list_done(&connection->networks);
    free(connection);
    mesh_release(mesh);
}

static void finish(struct connection *connection, int reason)
{
    if (connection->is_over)
        return;
    connection->is_over = true;
    pipe_end_close(&connection->client, reason);
    pipe_end_close(&connection->target, reason);
    uv_close((uv_handle_t *)&connection->timer, free_connection);
}

/* --- Passing bytes --- */

static struct pipe_end *other_end(struct connection *connection, const struct pipe_end *end)
{
    return end == &connection->client ? &connection->target : &connection->client;
}

static void joined(struct connection *connection);

static void on_data(void *context, struct pipe_end *end, struct bytes data)
{
    struct connection *connection = context;
    if (!connection->is_joined) {
        if (end == &connection->client) { /* a peer's client spoke first: kept until joined */
            if (buffer_append(&connection->early, data.data, data.size) < 0)
                finish(connection, -ENOMEM);
            return;
        }
        data.data++; /* the byte by which a peer says that its container has accepted */
        data.size--;
        joined(connection);
        if (data.size == 0 || connection->is_over)
            return;
    }
    int rc = pipe_end_write(other_end(connection, end), data);
    if (rc < 0)
        finish(connection, rc);
    else if (rc == 1)
        pipe_end_pause(end, true);
}

static void on_drained(void *context, struct pipe_end *end)
{
    struct connection *connection = context;
    pipe_end_pause(other_end(connection, end), false);
}

/* Both sides have said all they will, and both have been told so. */
static void finish_if_done(struct connection *connection)
{
    if (connection->client_ended && connection->target_ended && connection->client.is_flushed &&
        connection->target.is_flushed && !connection->client.stream && !connection->target.stream)
        finish(connection, 0);
}

static void on_end(void *context, struct pipe_end *end)
{
    struct connection *connection = context;
    if (end == &connection->client)
        connection->client_ended = true;
    else
        connection->target_ended = true;
    if (connection->is_joined)
        pipe_end_finish(other_end(connection, end));
    finish_if_done(connection);
}

static void on_flushed(void *context, struct pipe_end *end)
{
    (void)end;
    finish_if_done(context);
}

static void on_close(void *context, struct pipe_end *end, int reason)
{
    struct connection *connection = context;
    if (end == &connection->target && !connection->is_joined && !connection->is_over) {
        try_next(connection); /* the other peer could not pass it on */
        return;
    }
    if (reason == 0) { /* a stream that ended in both directions: the other end may still send */
        finish_if_done(connection);
        return;
    }
    finish(connection, reason);
}

static const struct pipe_handler handler = {.on_data = on_data,
                                            .on_end = on_end,
                                            .on_drained = on_drained,
                                            .on_flushed = on_flushed,
                                            .on_close = on_close};

/* --- Finding a replica --- */

static void joined(struct connection *connection)
{
    connection->is_joined = true;
    uv_timer_stop(&connection->timer);
    if (connection->generation != 0 &&
        pipe_end_write(&connection->client, (struct bytes){&accepted_byte, 1}) < 0) {
        finish(connection, -EPIPE);
        return;
    }
    if (connection->early.size > 0 &&
        pipe_end_write(&connection->target, buffer_view(&connection->early)) < 0) {
        finish(connection, -EPIPE);
        return;
    }
    buffer_done(&connection->early);
    if (connection->client_ended)
        pipe_end_finish(&connection->target);
    pipe_end_pause(&connection->client, false);
    pipe_end_start(&connection->client);
    pipe_end_start(&connection->target);
}

static void on_timeout(uv_timer_t *timer)
{
    struct connection *connection = timer->data;
    pipe_end_close(&connection->target, -ETIMEDOUT);
    try_next(connection);
}

/* A socket with the request that connects it: both live until the socket is closed. */
struct dial {
    uv_tcp_t tcp; /* first: freed by its handle */
    uv_connect_t request;
};

static void on_connected(uv_connect_t *request, int status);

static int dial_address(struct connection *connection, const struct address *address)
{
    const struct mesh *mesh = connection->mesh;
    struct sockaddr_storage to;
    socket_address_from(address, &to);
    struct dial *dial = malloc(sizeof(*dial));
    if (!dial)
        return -ENOMEM;
    int rc = uv_tcp_init(mesh->config.loop, &dial->tcp);
    if (rc < 0) {
        free(dial);
        return rc;
    }
    rc = uv_tcp_connect(&dial->request, &dial->tcp, (const struct sockaddr *)&to, on_connected);
    if (rc < 0) {
        uv_close((uv_handle_t *)&dial->tcp, socket_free);
        return rc;
    }
    pipe_end_use_socket(&connection->target, (uv_stream_t *)&dial->tcp, &handler, connection);
    uv_timer_start(&connection->timer, on_timeout, MESH_CONNECT_LOCAL_MS, 0);
    return 0;
}

static bool dial_second(struct connection *connection)
{
    const struct address second = connection->second;
    connection->second = (struct address){0};
    return !address_is_none(&second) && dial_address(connection, &second) == 0;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct pipe_end *end = request->handle->data;
    struct address to;
    if (!end)
        return; /* given up meanwhile */
    struct connection *connection = end->context;
    if (status < 0) {
        pipe_end_close(&connection->target, status);
        if (!dial_second(connection))
            try_next(connection);
        return;
    }
    if (socket_remote_address((uv_tcp_t *)request->handle, &to) == 0)
        replica_remember(connection->mesh, &connection->replica, !address_is_v4(&to));
    joined(connection);
}

static int connect_local(struct connection *connection, uint64_t generation)
{
    struct replica_addresses addresses;
    connection->replica = (struct replica_port){generation, connection->port, SPEC_TCP};
    if (!replica_addresses_find(connection->mesh, &connection->replica, &connection->networks,
                                &addresses))
        return -EHOSTUNREACH;
    connection->second = addresses.second;
    int rc = dial_address(connection, &addresses.first);
    return rc < 0 && dial_second(connection) ? 0 : rc;
}

static int connect_remote(struct connection *connection, const struct endpoint *endpoint)
{
    struct mesh *mesh = connection->mesh;
    struct mux_stream *stream = NULL;
    cleanup_buffer struct buffer header = {0};
    const struct mesh_header fields = {endpoint->generation, connection->port, SPEC_TCP,
                                       connection->networks};
    int rc = mesh_header_encode(&fields, &header);
    if (rc == 0)
        rc = mesh->config.open_stream(mesh->config.context, &endpoint->peer, buffer_view(&header),
                                      &pipe_stream_handler, &connection->target, &stream);
    if (rc < 0)
        return rc;
    pipe_end_use_stream(&connection->target, stream, &handler, connection);
    connection->replica = (struct replica_port){0};
    uv_timer_start(&connection->timer, on_timeout, MESH_CONNECT_REMOTE_MS, 0);
    return 0;
}

static void on_try_again(uv_timer_t *timer)
{
    try_next(timer->data);
}

/* All were tried, or none is there: perhaps one comes up in a moment. */
static void wait_for_replica(struct connection *connection)
{
    if ((int64_t)uv_now(connection->mesh->config.loop) >= connection->give_up_ms) {
        finish(connection, -EHOSTUNREACH);
        return;
    }
    connection->tried_count = 0;
    uv_timer_start(&connection->timer, on_try_again, MESH_WAIT_STEP_MS, 0);
}

static void try_next(struct connection *connection)
{
    struct mesh *mesh = connection->mesh;
    uv_timer_stop(&connection->timer);
    if (connection->generation != 0) { /* a peer that finds it gone tries another itself */
        finish(connection, -ECONNREFUSED);
        return;
    }
    for (;;) {
        struct route *route = routes_by_name(&mesh->routes, connection->service);
        const struct endpoint *endpoint =
            route && connection->tried_count < MESH_TRIED_MAX
                ? route_next(route, connection->tried, connection->tried_count)
                : NULL;
        if (!endpoint) {
            wait_for_replica(connection);
            return;
        }
        connection->tried[connection->tried_count++] = endpoint->generation;
        bool is_here = id_equal(&endpoint->peer, &mesh->config.self);
        int rc = is_here ? connect_local(connection, endpoint->generation)
                         : connect_remote(connection, endpoint);
        if (rc == 0)
            return;
    }
}

static struct connection *new_connection(struct mesh *mesh, uint16_t port)
{
    bool has_room = mesh->connection_count < mesh->connection_max;
    if (!has_room)
        log_limited(LOG_WARNING,
                    "a connection is refused: there are %zu, as many as this peer may have",
                    mesh->connection_count);
    struct connection *connection = has_room ? calloc(1, sizeof(*connection)) : NULL;
    if (!connection)
        return NULL;
    connection->mesh = mesh;
    connection->port = port;
    connection->give_up_ms = (int64_t)uv_now(mesh->config.loop) + MESH_WAIT_MS;
    uv_timer_init(mesh->config.loop, &connection->timer);
    connection->timer.data = connection;
    connection->next = mesh->connections;
    connection->link = &mesh->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    mesh->connections = connection;
    mesh->connection_count++;
    mesh_say_change(mesh);
    mesh_hold(mesh);
    return connection;
}

void connection_start(struct mesh *mesh, uv_tcp_t *tcp, const struct route *asker,
                      const struct route *route, uint16_t target_port)
{
    struct connection *connection = new_connection(mesh, target_port);
    if (!connection) {
        uv_close((uv_handle_t *)tcp, socket_free);
        return;
    }
    memcpy(connection->service, route->service, sizeof(connection->service));
    pipe_end_use_socket(&connection->client, (uv_stream_t *)tcp, &handler, connection);
    int rc = routes_in_common(asker, route, &connection->networks);
    if (rc < 0)
        finish(connection, rc);
    else
        try_next(connection);
}

void connection_accept(struct mesh *mesh, struct mux_stream *stream,
                       const struct mesh_header *header)
{
    struct connection *connection = new_connection(mesh, header->port);
    if (!connection) {
        stream_reset(stream, -EBUSY);
        return;
    }
    connection->generation = header->generation;
    pipe_end_use_stream(&connection->client, stream, &handler, connection);
    stream_accept(stream, &pipe_stream_handler, &connection->client);
    pipe_end_pause(&connection->client, true);
    int rc = text_list_copy(&connection->networks, &header->networks);
    if (rc == 0)
        rc = connect_local(connection, header->generation);
    if (rc < 0)
        finish(connection, rc);
}

void connections_close(struct mesh *mesh)
{
    struct connection *next;
    for (struct connection *connection = mesh->connections; connection; connection = next) {
        next = connection->next;
        finish(connection, -ESHUTDOWN);
    }
}

void connections_cut(struct mesh *mesh, uint64_t generation)
{
    struct connection *next;
    for (struct connection *connection = mesh->connections; connection; connection = next) {
        next = connection->next;
        if (connection->replica.generation == generation)
            finish(connection, -ECONNABORTED);
    }
}
