#include <errno.h>

#include "base/ula.h"
#include "node/mesh/mesh_private.h"
#include "tests/unit/node/mesh/mesh_bench.h"

static bool answers(struct bench *b, const char *ip)
{
    struct client client;
    bench_connect_to(b, &client, ip, b->published);
    bool answers = client.is_connected;
    bench_close(&client);
    return answers;
}

/* Breaks if a published port is not open on all of the peer's addresses, or stays open once no
 * service has it. */
static void test_ports(void **state)
{
    (void)state;
    struct bench b;
    struct client open;
    bench_start(&b);
    bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    assert_true(answers(&b, "127.0.0.1"));
    assert_true(answers(&b, "127.9.9.9"));
    bench_connect(&b, &open);
    bench_wait_for(&b, &open, "1:");
    assert_int_equal(fixture_remove(&b.f, "s", true), 0);
    assert_int_equal(fixture_end(&b.f, COMMAND_PLACE_DELETE, 1), 0);
    assert_null(intent_service_find(b.f.intent, "s_web"));
    bench_update(&b);
    assert_false(answers(&b, "127.0.0.1"));
    bench_say(&open, "hello"); /* what is open goes on */
    bench_wait_for(&b, &open, "1:hello");
    bench_close(&open);
    bench_done(&b);
}

/* Breaks if it is not said why a port is not served, or it is not tried again. */
static void test_taken(void **state)
{
    (void)state;
    struct bench b;
    uv_tcp_t other;
    struct sockaddr_in at = {.sin_family = AF_INET};
    cleanup_buffer struct buffer words = {0};
    bench_start(&b);
    mesh_explain(b.sides[0].mesh, "s_web", &words);
    assert_int_equal(words.size, 0);

    struct service_spec spec;
    uint16_t port = (uint16_t)(b.target + 1);
    do {
        port++;
        at.sin_port = htons(port);
        uv_tcp_init(&b.loop, &other);
        int rc = uv_tcp_bind(&other, (const struct sockaddr *)&at, 0);
        if (rc == 0)
            rc = uv_listen((uv_stream_t *)&other, 1, (uv_connection_cb)abort);
        if (rc == 0)
            break;
        uv_close((uv_handle_t *)&other, NULL);
        bench_run(&b, 1);
    } while (true);
    fixture_spec(&spec, "web");
    fixture_publish(&spec, port);
    assert_int_equal(fixture_deploy(&b.f, "s", &spec, 1), 0);
    service_spec_done(&spec);
    bench_update(&b);
    mesh_explain(b.sides[0].mesh, "s_web", &words);
    assert_int_equal(buffer_append(&words, "", 1), 0);
    assert_non_null(strstr((const char *)words.bytes, "is not served at this peer: "));
    assert_non_null(strstr((const char *)words.bytes, "in use"));
    buffer_clear(&words);
    mesh_explain(b.sides[0].mesh, "s_none", &words);
    assert_int_equal(words.size, 0);
    bench_update(&b); /* still taken */

    uv_close((uv_handle_t *)&other, NULL);
    bench_run(&b, MESH_RETRY_MS + 300);
    mesh_explain(b.sides[0].mesh, "s_web", &words);
    assert_int_equal(words.size, 0);
    b.published = port;
    assert_true(answers(&b, "127.0.0.1"));
    bench_done(&b);
}

/* Breaks if a connection that was not redirected to the gateway gets anywhere, or stays open. */
static void test_not_redirected(void **state)
{
    (void)state;
    struct bench b;
    struct client client;
    struct address gateway = address_from_v4(0x7f4d0701, 0);
    bench_start(&b);
    bench_replica(&b, 0, BACKEND_ECHO);
    mesh_gateway_ready(b.sides[0].mesh, &gateway);
    bench_run(&b, 50);
    bench_connect_to(&b, &client, "127.77.7.1", MESH_REDIRECT_PORT);
    assert_true(client.is_connected);
    bench_wait_end(&b, &client);
    assert_int_equal(client.received.size, 0);
    assert_int_equal(mesh_connection_count(b.sides[0].mesh), 0);
    bench_close(&client);
    bench_done(&b);
}

/* Breaks if a container that asks over IPv6 is taken for the machine, which reaches all; or is not
 * known at all. */
static void test_asker(void **state)
{
    (void)state;
    struct bench b;
    const struct route *route = NULL;
    const struct address own = ula_make(4, 0x0a580407);
    struct address link_local;
    bench_start(&b);
    strcpy(b.asker, "s_web");
    assert_true(mesh_asker_find(b.sides[0].mesh, &own, &route));
    assert_string_equal(route->service, "s_web");
    const struct address v4 = address_from_v4(0x0a580407, 0);
    assert_true(address_equal(&b.asked, &v4));
    strcpy(b.asker, ""); /* whoever is no container is the machine */
    assert_int_equal(address_parse("2001:db8::1", 1, &link_local), 0);
    assert_true(mesh_asker_find(b.sides[0].mesh, &link_local, &route));
    assert_null(route);
    assert_int_equal(address_parse("fe80::42:aff:fe58:407", 1, &link_local), 0);
    assert_false(mesh_asker_find(b.sides[0].mesh, &link_local, &route));
    bench_done(&b);
}

/* Breaks if a service's address in a network is not known to those on it, or is to others. */
static void test_addressed(void **state)
{
    (void)state;
    struct bench b;
    const struct address meant = address_from_v4(0xac1c0005, 80),
                         from = address_from_v4(0x0a580407, 9), from6 = ula_make(4, 0x0a580407);
    bench_start(&b);
    struct mesh *mesh = b.sides[0].mesh;
    struct route *route = routes_by_name(&mesh->routes, "s_web");
    assert_int_equal(route->network_count, 1);
    route->networks[0].addresses[0] = address_from_v4(0xac1c0005, 0);
    route->networks[0].address_count = 1;
    strcpy(b.asker, "s_web");
    strcpy(b.asker_network, route->networks[0].name);
    assert_ptr_equal(mesh_route_at(mesh, &from, &meant), route);
    assert_ptr_equal(mesh_route_at(mesh, &from6, &meant), route);
    assert_null(mesh_route_at(mesh, &from, &from));
    strcpy(b.asker_network, "t_other");
    assert_null(mesh_route_at(mesh, &from, &meant));
    strcpy(b.asker, ""); /* the machine is on no network */
    strcpy(b.asker_network, route->networks[0].name);
    assert_null(mesh_route_at(mesh, &from, &meant));
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ports),          cmocka_unit_test(test_taken),
        cmocka_unit_test(test_not_redirected), cmocka_unit_test(test_asker),
        cmocka_unit_test(test_addressed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
