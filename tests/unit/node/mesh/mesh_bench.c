#include "tests/unit/node/mesh/mesh_bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    ROOT = 1,
    BACKEND_NET = 0x7f4d0000, /* 127.77.0.0 */
    PATIENCE_MS = 5000,
};

/* --- Replicas --- */

static void on_backend_closed(uv_handle_t *handle)
{
    struct backend_connection *connection = handle->data;
    connection->is_open = false;
    connection->backend->is_open--;
}

static void close_backend_connection(struct backend_connection *connection)
{
    if (!uv_is_closing((uv_handle_t *)&connection->tcp))
        uv_close((uv_handle_t *)&connection->tcp, on_backend_closed);
}

struct said {
    uv_write_t request;
    char bytes[];
};

static void on_said(uv_write_t *request, int status)
{
    (void)status;
    free(request);
}

static void say(uv_stream_t *stream, const void *bytes, size_t size)
{
    struct said *said = malloc(sizeof(*said) + size);
    assert_non_null(said);
    memcpy(said->bytes, bytes, size);
    uv_buf_t buffer = uv_buf_init(said->bytes, (unsigned)size);
    if (uv_write(&said->request, stream, &buffer, 1, on_said) < 0)
        free(said);
}

static void on_shut_down(uv_shutdown_t *request, int status)
{
    struct backend_connection *connection = request->handle->data;
    (void)status;
    free(request);
    close_backend_connection(connection);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char bytes[65536];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(bytes, sizeof(bytes));
}

static void on_backend_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct backend_connection *connection = stream->data;
    struct backend *backend = connection->backend;
    if (size > 0 && backend->kind == BACKEND_HANGS_UP) {
        uv_tcp_close_reset(&connection->tcp, on_backend_closed);
    } else if (size > 0) {
        say(stream, buffer->base, (size_t)size);
    } else if (size == UV_EOF) {
        backend->ends++;
        say(stream, ".", 1);
        uv_shutdown_t *request = malloc(sizeof(*request));
        assert_non_null(request);
        assert_int_equal(uv_shutdown(request, stream, on_shut_down), 0);
    } else if (size < 0) {
        backend->failures++;
        close_backend_connection(connection);
    }
}

static void on_backend_connection(uv_stream_t *server, int status)
{
    struct backend *backend = server->data;
    char text[24];
    assert_int_equal(status, 0);
    assert_true(backend->connection_count < BENCH_CONNECTIONS_MAX);
    struct backend_connection *connection = &backend->connections[backend->connection_count++];
    connection->backend = backend;
    connection->is_open = true;
    backend->is_open++;
    assert_int_equal(uv_tcp_init(server->loop, &connection->tcp), 0);
    connection->tcp.data = connection;
    assert_int_equal(uv_accept(server, (uv_stream_t *)&connection->tcp), 0);
    snprintf(text, sizeof(text), "%llu:", (unsigned long long)backend->generation);
    say((uv_stream_t *)&connection->tcp, text, strlen(text));
    assert_int_equal(uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_backend_read), 0);
}

static void on_backend_datagram(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                                const struct sockaddr *from, unsigned flags)
{
    struct backend *backend = udp->data;
    char head[24];
    (void)flags;
    if (!from || size < 0)
        return;
    backend->datagram_count++;
    snprintf(head, sizeof(head), "%llu:", (unsigned long long)backend->generation);
    uv_buf_t answer[2] = {uv_buf_init(head, (unsigned)strlen(head)),
                          uv_buf_init(buffer->base, (unsigned)size)};
    assert_true(uv_udp_try_send(udp, answer, 2, from) > 0);
}

static void listen_as_backend(struct backend *backend)
{
    const struct sockaddr_in at4 = {.sin_family = AF_INET,
                                    .sin_addr.s_addr =
                                        htonl(BACKEND_NET + (uint32_t)backend->generation),
                                    .sin_port = htons(backend->bench->target)};
    const struct sockaddr_in6 at6 = {.sin6_family = AF_INET6,
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT,
                                     .sin6_port = htons(backend->bench->target)};
    const struct sockaddr *at = backend->kind == BACKEND_IPV6 ? (const struct sockaddr *)&at6
                                                              : (const struct sockaddr *)&at4;
    assert_int_equal(uv_tcp_init(&backend->bench->loop, &backend->listener), 0);
    backend->listener.data = backend;
    assert_int_equal(uv_tcp_bind(&backend->listener, at, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&backend->listener, 16, on_backend_connection), 0);
    assert_int_equal(uv_udp_init(&backend->bench->loop, &backend->datagrams), 0);
    backend->datagrams.data = backend;
    assert_int_equal(uv_udp_bind(&backend->datagrams, at, 0), 0);
    assert_int_equal(uv_udp_recv_start(&backend->datagrams, on_alloc, on_backend_datagram), 0);
}

static bool listens(const struct backend *backend)
{
    return backend->kind != BACKEND_CLOSED && backend->kind != BACKEND_UNKNOWN;
}

struct backend *bench_replica(struct bench *b, unsigned peer, enum backend_kind kind)
{
    struct backend *backend = calloc(1, sizeof(*backend));
    struct command_place_change change = {.action = COMMAND_PLACE_ADD,
                                          .service = "s_web",
                                          .slot = b->replica_count + 1,
                                          .revision = 1,
                                          .peer = b->sides[peer].party.identity.id,
                                          .reason = "wanted"};
    assert_non_null(backend);
    assert_int_equal(fixture_place(&b->f, &change, 1), 0);
    *backend = (struct backend){
        .bench = b, .kind = kind, .peer = peer, .generation = b->replica_count + 1};
    b->replicas[b->replica_count++] = backend;
    if (listens(backend))
        listen_as_backend(backend);
    bench_see(b, backend, VIEW_REPLICA_RUNNING);
    return backend;
}

void bench_stop_listening(struct backend *backend)
{
    if (!uv_is_closing((uv_handle_t *)&backend->listener)) {
        uv_close((uv_handle_t *)&backend->listener, NULL);
        uv_close((uv_handle_t *)&backend->datagrams, NULL);
    }
}

void bench_see(struct bench *b, struct backend *backend, enum view_replica_state state)
{
    struct view_replica *seen = view_replica_get(&b->view, backend->generation);
    assert_non_null(seen);
    seen->peer = b->sides[backend->peer].party.identity.id;
    seen->state = (uint8_t)state;
}

/* --- Peers --- */

static int open_stream(void *context, const struct id *peer, struct bytes header,
                       const struct stream_handler *handler, void *handler_context,
                       struct mux_stream **ret)
{
    struct bench_side *side = context;
    return links_open_stream(side->links, peer, NULL, STREAM_MESH, header, handler, handler_context,
                             ret);
}

static bool has_network(const struct backend *backend, const struct text_list *networks)
{
    for (size_t i = 0; i < networks->count; i++)
        if (backend->network && strcmp(networks->items[i], backend->network) == 0)
            return true;
    return networks->count == 0;
}

static bool local_address(void *context, uint64_t generation, const struct text_list *networks,
                          struct mesh_addresses *ret)
{
    struct bench_side *side = context;
    struct bench *b = side->bench;
    if (generation == 0 || generation > b->replica_count)
        return false;
    const struct backend *backend = b->replicas[generation - 1];
    if (backend->peer != side - b->sides || backend->kind == BACKEND_UNKNOWN ||
        !has_network(backend, networks))
        return false;
    *ret = (struct mesh_addresses){.ip4 = address_from_v4(BACKEND_NET + (uint32_t)generation, 0),
                                   .ip6 = {.ip = {[15] = 1}},
                                   .has_ip6 = b->has_ipv6};
    return true;
}

static enum mesh_asker asker_of(void *context, const struct address *address,
                                struct mesh_origin *ret)
{
    struct bench_side *side = context;
    const char *asker = side->bench->asker;
    side->bench->asked = *address;
    if (strcmp(asker, "?") == 0)
        return MESH_ASKER_UNKNOWN;
    strcpy(ret->service, asker);
    strcpy(ret->network, side->bench->asker_network);
    return asker[0] ? MESH_ASKER_CONTAINER : MESH_ASKER_MACHINE;
}

static void on_stream(void *context, const struct link_remote *remote, struct mux_stream *stream,
                      uint8_t kind, struct bytes header)
{
    struct bench_side *side = context;
    (void)remote;
    assert_int_equal(kind, STREAM_MESH);
    mesh_accept(side->mesh, stream, header);
}

static void open_side(struct bench *b, unsigned number)
{
    struct bench_side *side = &b->sides[number];
    side->bench = b;
    party_init(&side->party, (uint8_t)(10 + number), number ? "b" : "a", ROLE_PEER, &b->root);
    const struct links_config links = {.link = {.loop = &b->loop,
                                                .identity = &side->party.identity,
                                                .chain = &side->party.chain,
                                                .cluster = b->root.id},
                                       .context = side,
                                       .on_stream = on_stream};
    const struct address any = address_from_v4(INADDR_LOOPBACK, 0);
    side->links = links_new(&links);
    assert_non_null(side->links);
    assert_int_equal(links_listen(side->links, &any, &side->address, NULL), 0);
    const struct mesh_config mesh = {.loop = &b->loop,
                                     .self = side->party.identity.id,
                                     .context = side,
                                     .open_stream = open_stream,
                                     .local_address = local_address,
                                     .asker = asker_of};
    side->mesh = mesh_new(&mesh);
    assert_non_null(side->mesh);

    struct command command = fixture_command(&b->f, COMMAND_ADMIT);
    command.admit.id = side->party.identity.id;
    strcpy(command.admit.name, number ? "b" : "a");
    assert_int_equal(fixture_apply(&b->f, &command), 0);
    view_peer_get(&b->view, &side->party.identity.id)->liveness = VIEW_ALIVE;
}

/* A port that nobody has at the moment. */
static uint16_t free_port(struct bench *b)
{
    uv_tcp_t tcp;
    struct sockaddr_in at = {.sin_family = AF_INET};
    int size = sizeof(at);
    uv_tcp_init(&b->loop, &tcp);
    assert_int_equal(uv_tcp_bind(&tcp, (const struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_tcp_getsockname(&tcp, (struct sockaddr *)&at, &size), 0);
    uv_close((uv_handle_t *)&tcp, NULL);
    uv_run(&b->loop, UV_RUN_DEFAULT);
    return ntohs(at.sin_port);
}

void bench_start(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    uv_loop_init(&b->loop);
    party_identity(&b->root, ROOT);
    fixture_init(&b->f, 0);
    view_init(&b->view);
    b->published = free_port(b);
    do
        b->target = free_port(b);
    while (b->target == b->published);
    for (unsigned i = 0; i < 2; i++)
        open_side(b, i);
    assert_int_equal(
        links_set_address(b->sides[0].links, &b->sides[1].party.identity.id, &b->sides[1].address),
        0);
    struct service_spec spec;
    fixture_spec(&spec, "web");
    fixture_publish(&spec, b->published);
    fixture_publish(&spec, b->published);
    spec.ports[1].protocol = SPEC_UDP;
    spec.ports[0].target = spec.ports[1].target = b->target;
    assert_int_equal(fixture_deploy(&b->f, "s", &spec, 1), 0);
    service_spec_done(&spec);
    bench_update(b);
}

void bench_run(struct bench *b, unsigned ms)
{
    loop_run(&b->loop, ms);
}

void bench_update(struct bench *b)
{
    struct routes routes;
    assert_int_equal(routes_make(b->f.intent, &b->view, &routes), 0);
    mesh_set_routes(b->sides[0].mesh, &routes);
    bench_run(b, 20);
}

void bench_lose_b(struct bench *b)
{
    mesh_close(b->sides[1].mesh);
    links_close(b->sides[1].links, NULL, NULL);
    b->sides[1].mesh = NULL;
    b->sides[1].links = NULL;
}

void bench_done(struct bench *b)
{
    for (unsigned i = 0; i < 2; i++) {
        mesh_close(b->sides[i].mesh);
        if (b->sides[i].links)
            links_close(b->sides[i].links, NULL, NULL);
    }
    for (unsigned i = 0; i < b->replica_count; i++) {
        struct backend *backend = b->replicas[i];
        if (listens(backend))
            bench_stop_listening(backend);
        for (unsigned j = 0; j < backend->connection_count; j++)
            if (backend->connections[j].is_open)
                close_backend_connection(&backend->connections[j]);
    }
    uv_run(&b->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    for (unsigned i = 0; i < b->replica_count; i++)
        free(b->replicas[i]);
    view_done(&b->view);
    fixture_done(&b->f);
}

/* --- Clients --- */

static void on_client_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct client *client = stream->data;
    if (size > 0)
        assert_int_equal(buffer_append(&client->received, buffer->base, (size_t)size), 0);
    else if (size == UV_EOF)
        client->has_ended = true;
    else if (size < 0)
        client->error = (int)size;
}

static void on_connected(uv_connect_t *request, int status)
{
    struct client *client = request->data;
    client->error = status;
    client->is_connected = status == 0;
    if (status == 0)
        uv_read_start((uv_stream_t *)&client->tcp, on_alloc, on_client_read);
}

void bench_connect_to(struct bench *b, struct client *client, const char *ip, uint16_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, ip, &to.sin_addr);
    memset(client, 0, sizeof(*client));
    client->bench = b;
    uv_tcp_init(&b->loop, &client->tcp);
    client->tcp.data = client->request.data = client;
    assert_int_equal(
        uv_tcp_connect(&client->request, &client->tcp, (const struct sockaddr *)&to, on_connected),
        0);
    for (int i = 0; i < 100 && !client->is_connected && client->error == 0; i++)
        bench_run(b, 5);
}

void bench_connect(struct bench *b, struct client *client)
{
    bench_connect_to(b, client, "127.0.0.1", b->published);
}

void bench_say_bytes(struct client *client, const void *bytes, size_t size)
{
    say((uv_stream_t *)&client->tcp, bytes, size);
}

void bench_say(struct client *client, const char *text)
{
    bench_say_bytes(client, text, strlen(text));
}

static void on_client_shut_down(uv_shutdown_t *request, int status)
{
    (void)status;
    free(request);
}

void bench_end(struct client *client)
{
    uv_shutdown_t *request = malloc(sizeof(*request));
    assert_non_null(request);
    assert_int_equal(uv_shutdown(request, (uv_stream_t *)&client->tcp, on_client_shut_down), 0);
}

static void on_client_closed(uv_handle_t *handle)
{
    ((struct client *)handle->data)->is_closed = true;
}

void bench_close(struct client *client)
{
    uv_close((uv_handle_t *)&client->tcp, on_client_closed);
    while (!client->is_closed)
        bench_run(client->bench, 1);
    buffer_done(&client->received);
}

void bench_wait_for(struct bench *b, struct client *client, const char *text)
{
    size_t size = strlen(text);
    for (int i = 0; i < PATIENCE_MS / 5 && client->received.size < size; i++)
        bench_run(b, 5);
    assert_int_equal(client->received.size, size);
    assert_memory_equal(client->received.bytes, text, size);
}

void bench_wait_end(struct bench *b, struct client *client)
{
    for (int i = 0; i < PATIENCE_MS / 5 && !client->has_ended && client->error == 0; i++)
        bench_run(b, 5);
    assert_true(client->has_ended || client->error < 0);
}
