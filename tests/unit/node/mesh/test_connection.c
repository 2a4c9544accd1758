#include <errno.h>

#include "node/mesh/mesh_private.h"
#include "tests/unit/node/mesh/mesh_bench.h"

static size_t connections(const struct bench *b)
{
    size_t count = mesh_connection_count(b->sides[0].mesh);
    return count + (b->sides[1].mesh ? mesh_connection_count(b->sides[1].mesh) : 0);
}

/* Runs until no connection is passed on any more. */
static void wait_until_idle(struct bench *b)
{
    for (int i = 0; i < 400 && connections(b) > 0; i++)
        bench_run(b, 5);
    assert_int_equal(connections(b), 0);
}

/* A whole request: the client says something, ends, and still gets the answer. */
static void request(struct bench *b, const char *expected)
{
    struct client client;
    bench_connect(b, &client);
    assert_true(client.is_connected);
    bench_say(&client, "hello");
    bench_end(&client);
    bench_wait_for(b, &client, expected);
    bench_wait_end(b, &client);
    assert_int_equal(client.error, 0);
    bench_close(&client);
}

/* Breaks if a replica here is not reached, or a client that ends its side loses the answer. */
static void test_here(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b);
    struct backend *backend = bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    request(&b, "1:hello.");
    wait_until_idle(&b);
    assert_int_equal(backend->ends, 1);
    assert_int_equal(backend->failures, 0);
    bench_done(&b);
}

/* Breaks if a replica at another peer is not reached, or an end does not cross in either way. */
static void test_elsewhere(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b);
    struct backend *backend = bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    request(&b, "1:hello.");
    request(&b, "1:hello.");
    wait_until_idle(&b);
    assert_int_equal(backend->ends, 2);
    assert_int_equal(backend->failures, 0);
    assert_int_equal(links_count(b.sides[0].links), 1);
    bench_done(&b);
}

/* Breaks if a client sees that a replica is gone although another could have answered. */
static void test_another_is_tried(void **state)
{
    (void)state;
    static const struct {
        unsigned peer;
        enum backend_kind kind;
    } gone[] = {
        {0, BACKEND_CLOSED}, {0, BACKEND_UNKNOWN}, {1, BACKEND_CLOSED}, {1, BACKEND_UNKNOWN}};
    for (unsigned good_peer = 0; good_peer < 2; good_peer++) {
        struct bench b;
        bench_start(&b);
        for (size_t i = 0; i < sizeof(gone) / sizeof(*gone); i++)
            bench_replica(&b, gone[i].peer, gone[i].kind);
        struct backend *good = bench_replica(&b, good_peer, BACKEND_ECHO);
        bench_update(&b);
        for (int i = 0; i < 6; i++)
            request(&b, "5:hello.");
        assert_int_equal(good->connection_count, 6);
        wait_until_idle(&b);
        bench_done(&b);
    }
}

/* Breaks if a peer that is gone, but not known to be, costs its share of the requests. */
static void test_peer_gone(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b);
    bench_replica(&b, 0, BACKEND_ECHO);
    bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    bench_lose_b(&b);
    for (int i = 0; i < 4; i++)
        request(&b, "1:hello.");
    wait_until_idle(&b);
    bench_done(&b);
}

/* Breaks if a connection to a replica at a peer that dies hangs instead of ending in an error. */
static void test_peer_dies(void **state)
{
    (void)state;
    struct bench b;
    struct client client;
    bench_start(&b);
    bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    bench_connect(&b, &client);
    bench_wait_for(&b, &client, "1:");
    bench_lose_b(&b);
    bench_wait_end(&b, &client);
    bench_close(&client);
    wait_until_idle(&b);
    bench_done(&b);
}

/* Breaks if all go to one replica while others idle. */
static void test_spread(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b);
    struct backend *here = bench_replica(&b, 0, BACKEND_ECHO);
    struct backend *there = bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    for (int i = 0; i < 8; i++) {
        struct client client;
        bench_connect(&b, &client);
        while (client.received.size < 2)
            bench_run(&b, 1);
        bench_close(&client);
    }
    assert_int_equal(here->connection_count, 4);
    assert_int_equal(there->connection_count, 4);
    wait_until_idle(&b);
    bench_done(&b);
}

/* Breaks if a request that comes a moment before a replica does is refused. */
static void test_waits_for_a_replica(void **state)
{
    (void)state;
    struct bench b;
    struct client client;
    bench_start(&b);
    bench_connect(&b, &client);
    assert_true(client.is_connected);
    bench_say(&client, "early");
    bench_run(&b, 300);
    assert_int_equal(client.error, 0);
    assert_int_equal(connections(&b), 1);
    bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    bench_wait_for(&b, &client, "1:early");
    bench_close(&client);
    wait_until_idle(&b);
    bench_done(&b);
}

/* Breaks if a client waits for ever when nothing serves. */
static void test_gives_up(void **state)
{
    (void)state;
    struct bench b;
    struct client client;
    bench_start(&b);
    bench_replica(&b, 0, BACKEND_CLOSED);
    bench_update(&b);
    bench_connect(&b, &client);
    bench_run(&b, MESH_WAIT_MS - 1000);
    assert_int_equal(connections(&b), 1);
    bench_run(&b, 1500);
    assert_int_equal(connections(&b), 0);
    bench_wait_end(&b, &client);
    bench_close(&client);
    bench_done(&b);
}

/* Breaks if an open connection is broken because its replica gets no new ones. */
static void test_drains(void **state)
{
    (void)state;
    struct bench b;
    struct client client;
    bench_start(&b);
    struct backend *old = bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    bench_connect(&b, &client);
    bench_wait_for(&b, &client, "1:");
    bench_see(&b, old, VIEW_REPLICA_STOPPING);
    bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    request(&b, "2:hello.");
    bench_say(&client, "still here");
    bench_wait_for(&b, &client, "1:still here");
    assert_int_equal(old->connection_count, 1);
    bench_close(&client);
    wait_until_idle(&b);
    bench_done(&b);
}

/* Breaks if a replica is not told that its client is gone, or a client that its replica is. */
static void test_broken(void **state)
{
    (void)state;
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        struct client client;
        bench_start(&b);
        struct backend *backend = bench_replica(&b, peer, BACKEND_ECHO);
        bench_update(&b);
        bench_connect(&b, &client);
        bench_wait_for(&b, &client, "1:");
        uv_tcp_close_reset(&client.tcp, NULL);
        for (int i = 0; i < 400 && backend->is_open > 0; i++)
            bench_run(&b, 5);
        assert_int_equal(backend->is_open, 0);
        buffer_done(&client.received);
        wait_until_idle(&b);
        bench_see(&b, backend, VIEW_REPLICA_EXITED);

        bench_replica(&b, peer, BACKEND_HANGS_UP);
        bench_update(&b);
        bench_connect(&b, &client);
        bench_wait_for(&b, &client, "2:");
        bench_say(&client, "hello"); /* bytes were passed on: no other replica may be tried */
        bench_wait_end(&b, &client);
        assert_int_equal(client.received.size, 2);
        bench_close(&client);
        wait_until_idle(&b);
        bench_done(&b);
    }
}

/* Breaks if bytes are lost, repeated or out of order when there are more than any queue holds. */
static void test_large(void **state)
{
    (void)state;
    enum { BYTES = 6 * 1024 * 1024 };
    uint8_t *bytes = malloc(BYTES);
    assert_non_null(bytes);
    for (size_t i = 0; i < BYTES; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 251);
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        struct client client;
        bench_start(&b);
        bench_replica(&b, peer, BACKEND_ECHO);
        bench_update(&b);
        bench_connect(&b, &client);
        bench_say_bytes(&client, bytes, BYTES);
        bench_end(&client);
        for (int i = 0; i < 2000 && !client.has_ended && client.error == 0; i++)
            bench_run(&b, 10);
        assert_true(client.has_ended);
        assert_int_equal(client.received.size, 2 + BYTES + 1);
        assert_memory_equal(client.received.bytes + 2, bytes, BYTES);
        bench_close(&client);
        wait_until_idle(&b);
        bench_done(&b);
    }
    free(bytes);
}

/* Breaks if a program that listens at IPv6 alone is not reached, here or at another peer, or keeps
 * being reached there after it was replaced by one that listens at IPv4. */
static void test_ipv6_only(void **state)
{
    (void)state;
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        bench_start(&b);
        b.has_ipv6 = true;
        struct backend *backend = bench_replica(&b, peer, BACKEND_IPV6);
        bench_update(&b);
        struct mesh *mesh = b.sides[peer].mesh;
        request(&b, "1:hello.");
        request(&b, "1:hello.");
        assert_int_equal(mesh->ipv6_only[0].generation, 1);
        assert_int_equal(mesh->ipv6_only_next, 1);

        bench_stop_listening(backend);
        backend->kind = BACKEND_CLOSED;
        bench_see(&b, backend, VIEW_REPLICA_EXITED);
        bench_replica(&b, peer, BACKEND_ECHO);
        const struct replica_port next = {2, b.target, SPEC_TCP};
        replica_remember(mesh, &next, true); /* wrongly */
        bench_update(&b);
        request(&b, "2:hello.");
        assert_int_equal(mesh->ipv6_only[1].generation, 0);
        wait_until_idle(&b);
        bench_done(&b);
    }
}

static void set_networks(struct service_spec *spec, const char *const *names, size_t count)
{
    spec->networks = calloc(count, sizeof(*spec->networks));
    assert_non_null(spec->networks);
    for (size_t i = 0; i < count; i++)
        spec->networks[spec->network_count++].name = strdup(names[i]);
}

/* s_web is on two networks, and there is a service on each of them. */
static void deploy_networks(struct bench *b)
{
    static const char *const names[] = {"front", "back"};
    struct service_spec specs[3];
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "front");
    fixture_spec(&specs[2], "back");
    set_networks(&specs[0], names, 2);
    set_networks(&specs[1], &names[0], 1);
    set_networks(&specs[2], &names[1], 1);
    assert_int_equal(fixture_deploy(&b->f, "s", specs, 3), 0);
    for (size_t i = 0; i < 3; i++)
        service_spec_done(&specs[i]);
}

/* Where connections come in as those of a service's containers do. */
struct door {
    uv_tcp_t listener;
    struct bench *bench;
    const char *asker;
};

static void on_client(uv_stream_t *listener, int status)
{
    const struct door *door = listener->data;
    const struct bench *b = door->bench;
    struct mesh *mesh = b->sides[0].mesh;
    uv_tcp_t *tcp = malloc(sizeof(*tcp));
    assert_int_equal(status, 0);
    assert_non_null(tcp);
    uv_tcp_init(listener->loop, tcp);
    assert_int_equal(uv_accept(listener, (uv_stream_t *)tcp), 0);
    connection_start(mesh, tcp, routes_by_name(&mesh->routes, door->asker),
                     routes_by_name(&mesh->routes, "s_web"), b->target);
}

static uint16_t door_open(struct bench *b, struct door *door)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = sizeof(at);
    *door = (struct door){.bench = b};
    uv_tcp_init(&b->loop, &door->listener);
    door->listener.data = door;
    assert_int_equal(uv_tcp_bind(&door->listener, (const struct sockaddr *)&at, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&door->listener, 8, on_client), 0);
    uv_tcp_getsockname(&door->listener, (struct sockaddr *)&at, &size);
    return ntohs(at.sin_port);
}

/* Breaks if a client reaches a replica over a network that they do not share, or not at all because
 * the network in common is not the replica's first. */
static void test_networks(void **state)
{
    (void)state;
    static const struct {
        const char *asker, *answer;
    } cases[] = {{"s_front", "1:"}, {"s_back", "2:"}};
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        struct door door;
        struct client client;
        bench_start(&b);
        deploy_networks(&b);
        bench_replica(&b, peer, BACKEND_ECHO)->network = "front";
        bench_replica(&b, peer, BACKEND_ECHO)->network = "back";
        bench_update(&b);
        uint16_t port = door_open(&b, &door);
        for (size_t i = 0; i < 4; i++) {
            door.asker = cases[i % 2].asker;
            bench_connect_to(&b, &client, "127.0.0.1", port);
            bench_wait_for(&b, &client, cases[i % 2].answer);
            bench_close(&client);
        }
        uv_close((uv_handle_t *)&door.listener, NULL);
        wait_until_idle(&b);
        bench_done(&b);
    }
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    (void)stream;
    *(int *)context = reason;
}

/* Breaks if a peer's stream that names no replica, or makes no sense, is not refused at once. */
static void test_bad_stream(void **state)
{
    (void)state;
    static const struct stream_handler handler = {.on_close = on_close};
    static const struct {
        const char *header;
        size_t size;
        int reason;
    } cases[] = {
        {"", 0, -EBADMSG},
        {"\x94\x01", 2, -EBADMSG},
        {"\x93\x01\x50\x00", 4, -EBADMSG},
        {"\x94\x00\x50\x00\x90", 5, -EBADMSG},
        {"\x94\x01\x00\x00\x90", 5, -EBADMSG},
        {"\x94\x01\x50\x02\x90", 5, -EBADMSG},
        {"\x94\x01\x50\x00\x91", 5, -EBADMSG},
        {"\x94\x01\x50\x00\x90\x00", 6, -EBADMSG},
        {"\x94\x07\x50\x00\x90", 5, -EHOSTUNREACH},
        {"\x94\x07\x50\x01\x90", 5, -EHOSTUNREACH},
        {"\x94\x07\x50\x01\x91\xa1n", 7, -EHOSTUNREACH},
    };
    struct bench b;
    bench_start(&b);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct bytes header = {(const uint8_t *)cases[i].header, cases[i].size};
        struct mux_stream *stream;
        int reason = 0;
        assert_int_equal(links_open_stream(b.sides[0].links, &b.sides[1].party.identity.id, NULL,
                                           STREAM_MESH, header, &handler, &reason, &stream),
                         0);
        for (int j = 0; j < 400 && reason == 0; j++)
            bench_run(&b, 5);
        assert_int_equal(reason, cases[i].reason);
    }
    assert_int_equal(connections(&b), 0);
    bench_done(&b);
}

/* Breaks if a mesh that closes leaves connections open, or frees what they still use. */
static void test_close(void **state)
{
    (void)state;
    struct bench b;
    struct client here, there, waiting;
    bench_start(&b);
    struct backend *backend = bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    bench_connect(&b, &here);
    bench_wait_for(&b, &here, "1:");
    bench_see(&b, backend, VIEW_REPLICA_EXITED);
    backend = bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    bench_connect(&b, &there);
    bench_wait_for(&b, &there, "2:");
    bench_see(&b, backend, VIEW_REPLICA_EXITED);
    bench_update(&b);
    bench_connect(&b, &waiting);
    bench_run(&b, 20);
    assert_int_equal(mesh_connection_count(b.sides[0].mesh), 3);
    mesh_close(b.sides[0].mesh);
    b.sides[0].mesh = NULL;
    bench_wait_end(&b, &here);
    bench_wait_end(&b, &there);
    bench_wait_end(&b, &waiting);
    bench_close(&here);
    bench_close(&there);
    bench_close(&waiting);
    mesh_close(NULL);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_another_is_tried),
        cmocka_unit_test(test_peer_gone),
        cmocka_unit_test(test_peer_dies),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_waits_for_a_replica),
        cmocka_unit_test(test_gives_up),
        cmocka_unit_test(test_drains),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_ipv6_only),
        cmocka_unit_test(test_networks),
        cmocka_unit_test(test_bad_stream),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
