#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/mesh_process/words.h"
#include "tests/fuzz/seed.h"

/* For fuzz_mesh_words.c. */
static void keep_seed(uint8_t word, const struct buffer *body)
{
    cleanup_buffer struct buffer seed = {0};
    assert_int_equal(buffer_append(&seed, &word, 1), 0);
    assert_int_equal(buffer_append(&seed, body->bytes, body->size), 0);
    seed_keep("mesh_words", buffer_view(&seed));
}

static const struct id peer = {.bytes = {7, 8, 9}};

/* One of all, with lists of two. */
static void make_state(struct mesh_state *state, struct mesh_local locals[2],
                       struct route routes[2])
{
    static struct spec_port ports[2] = {{8080, 80, SPEC_TCP}, {0, 53, SPEC_UDP}};
    static struct endpoint endpoints[2] = {{3, {.bytes = {1}}}, {4, {.bytes = {2}}}};
    static struct spec_network networks[1] = {
        {.name = (char *)"s_back", .internal = true, .address_count = 1}};
    networks[0].addresses[0] = address_from_v4(0xac1c0005, 0);
    locals[0] = (struct mesh_local){3, true, address_from_v4(0x0a580402, 0), "s_web", "s_front"};
    locals[1] = (struct mesh_local){0, true, address_from_v4(0x0a580403, 0), "s_web", "s_back"};
    routes[0] = (struct route){.service = "s_db", .stack = "s", .virtual_ip = 5};
    routes[1] = (struct route){.service = "s_web",
                               .stack = "s",
                               .virtual_ip = 6,
                               .ports = ports,
                               .port_count = 2,
                               .endpoints = endpoints,
                               .endpoint_count = 2,
                               .networks = networks,
                               .network_count = 1,
                               .is_exclusive = true};
    *state = (struct mesh_state){.gateway = address_from_v4(0x0a580001, 1),
                                 .range = {0x0a580000, 16, 22, true},
                                 .locals = locals,
                                 .local_count = 2,
                                 .routes = {routes, 2}};
}

/* Breaks if the mesh process knows something else than the daemon, or if bytes that are cut off are
 * taken for a state. */
static void test_state(void **state)
{
    cleanup_buffer struct buffer bytes = {0};
    struct mesh_local locals[2];
    struct route routes[2];
    struct mesh_state sent, got;
    (void)state;
    make_state(&sent, locals, routes);
    assert_int_equal(state_encode(&sent, &bytes), 0);
    keep_seed(WORD_STATE, &bytes);
    assert_int_equal(state_decode(buffer_view(&bytes), &got), 0);
    assert_true(address_equal(&got.gateway, &sent.gateway));
    assert_int_equal(got.range.network, sent.range.network);
    assert_int_equal(got.range.prefix, 16);
    assert_int_equal(got.range.block_prefix, 22);
    assert_true(got.range.has_ipv6);
    assert_int_equal(got.local_count, 2);
    assert_int_equal(got.locals[0].generation, 3);
    assert_true(got.locals[0].is_exclusive);
    assert_true(address_equal(&got.locals[1].address, &locals[1].address));
    assert_string_equal(got.locals[1].service, "s_web");
    assert_string_equal(got.locals[1].network, "s_back");
    assert_int_equal(got.routes.count, 2);
    const struct route *web = routes_by_name(&got.routes, "s_web");
    assert_non_null(web);
    assert_true(web->is_exclusive);
    assert_int_equal(web->virtual_ip, 6);
    assert_int_equal(web->port_count, 2);
    assert_int_equal(web->ports[1].protocol, SPEC_UDP);
    assert_int_equal(web->endpoints[1].generation, 4);
    assert_true(id_equal(&web->endpoints[1].peer, &routes[1].endpoints[1].peer));
    assert_string_equal(web->networks[0].name, "s_back");
    assert_true(web->networks[0].internal);
    assert_int_equal(address_to_v4(&web->networks[0].addresses[0]), 0xac1c0005);
    state_done(&got);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(state_decode((struct bytes){bytes.bytes, size}, &got), -EBADMSG);
}

/* Breaks if routes that can't be looked up are taken. */
static void test_unsorted(void **state)
{
    cleanup_buffer struct buffer bytes = {0};
    struct mesh_local locals[2];
    struct route routes[2];
    struct mesh_state sent, got;
    (void)state;
    make_state(&sent, locals, routes);
    struct route first = routes[0];
    routes[0] = routes[1];
    routes[1] = first;
    assert_int_equal(state_encode(&sent, &bytes), 0);
    assert_int_equal(state_decode(buffer_view(&bytes), &got), -EBADMSG);
}

/* Breaks if IPv6 addresses are reckoned with a range that is none. */
static void test_range(void **state)
{
    (void)state;
    static const uint8_t bad[] = {0, 33};
    for (size_t i = 0; i < sizeof(bad); i++) {
        cleanup_buffer struct buffer bytes = {0};
        struct mesh_local locals[2];
        struct route routes[2];
        struct mesh_state sent, got;
        make_state(&sent, locals, routes);
        sent.range.block_prefix = bad[i];
        assert_int_equal(state_encode(&sent, &bytes), 0);
        assert_int_equal(state_decode(buffer_view(&bytes), &got), -EBADMSG);
    }
}

/* Breaks if a link goes on with other keys, other counts or without what was read already. */
static void test_link(void **state)
{
    cleanup_buffer struct buffer bytes = {0};
    struct link_given sent = {.id = peer, .address = address_from_v4(1, 2), .is_dialer = true}, got;
    (void)state;
    memset(&sent.send.cipher, 1, sizeof(sent.send.cipher));
    memset(&sent.receive.cipher, 2, sizeof(sent.receive.cipher));
    sent.send.count = 65535;
    sent.receive.count = 1;
    assert_int_equal(buffer_append(&sent.input, "abc", 3), 0);
    assert_int_equal(link_given_encode(&sent, &bytes), 0);
    keep_seed(WORD_LINK, &bytes);
    assert_int_equal(link_given_decode(buffer_view(&bytes), &got), 0);
    assert_true(id_equal(&got.id, &peer));
    assert_true(address_equal(&got.address, &sent.address));
    assert_true(got.is_dialer);
    assert_memory_equal(&got.send.cipher, &sent.send.cipher, sizeof(got.send.cipher));
    assert_memory_equal(&got.receive.cipher, &sent.receive.cipher, sizeof(got.receive.cipher));
    assert_int_equal(got.send.count, 65535);
    assert_int_equal(got.receive.count, 1);
    assert_true(bytes_equal(buffer_view(&got.input), buffer_view(&sent.input)));
    link_given_done(&got);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(link_given_decode((struct bytes){bytes.bytes, size}, &got), -EBADMSG);
    link_given_done(&sent);
}

static void test_small(void **state)
{
    cleanup_buffer struct buffer greeting = {0}, word = {0}, socket = {0}, status = {0};
    struct mesh_greeting sent = {.build = "1 2 3 4", .self = peer}, got;
    struct mesh_trouble trouble = {"s_web", (char *)"port 80 is taken\n"};
    struct mesh_status said = {5, &trouble, 1}, heard;
    enum mesh_socket kind;
    struct id id;
    uint16_t port;
    int reason;
    (void)state;
    assert_int_equal(greeting_encode(&sent, &greeting), 0);
    keep_seed(WORD_GREETING, &greeting);
    assert_int_equal(greeting_decode(buffer_view(&greeting), &got), 0);
    assert_string_equal(got.build, sent.build);
    assert_true(id_equal(&got.self, &peer));
    assert_int_equal(peer_word_encode(&peer, -ECONNREFUSED, &word), 0);
    keep_seed(WORD_FAILED, &word);
    assert_int_equal(peer_word_decode(buffer_view(&word), &id, &reason), 0);
    assert_true(id_equal(&id, &peer));
    assert_int_equal(reason, -ECONNREFUSED);
    assert_int_equal(socket_word_encode(MESH_SOCKET_REDIRECT, 7, &socket), 0);
    keep_seed(WORD_SOCKET, &socket);
    assert_int_equal(socket_word_decode(buffer_view(&socket), &kind, &port), 0);
    assert_int_equal(kind, MESH_SOCKET_REDIRECT);
    assert_int_equal(port, 7);
    assert_int_equal(status_encode(&said, &status), 0);
    keep_seed(WORD_STATUS, &status);
    assert_int_equal(status_decode(buffer_view(&status), &heard), 0);
    assert_int_equal(heard.connections, 5);
    assert_string_equal(heard.troubles[0].service, "s_web");
    assert_string_equal(heard.troubles[0].words, trouble.words);
    status_done(&heard);
    assert_int_equal(status_decode((struct bytes){status.bytes, status.size - 1}, &heard),
                     -EBADMSG);
    assert_int_equal(greeting_decode((struct bytes){0}, &got), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state), cmocka_unit_test(test_unsorted), cmocka_unit_test(test_range),
        cmocka_unit_test(test_link),  cmocka_unit_test(test_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
