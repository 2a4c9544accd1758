#include <arpa/inet.h>
#include <errno.h>

#include "node/mesh/mesh_private.h"
#include "tests/unit/node/mesh/mesh_bench.h"

struct asker {
    uv_udp_t udp;
    struct bench *bench;
    struct sockaddr_in to;
    struct buffer answer;
    struct address from; /* of the last answer */
    bool is_closed;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char bytes[65536];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(bytes, sizeof(bytes));
}

static void on_answer(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                      const struct sockaddr *from, unsigned flags)
{
    struct asker *asker = udp->data;
    (void)flags;
    if (!from || size < 0)
        return;
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
    asker->from = address_from_v4(ntohl(v4->sin_addr.s_addr), ntohs(v4->sin_port));
    buffer_clear(&asker->answer);
    assert_int_equal(buffer_append(&asker->answer, buffer->base, (size_t)size), 0);
}

static void asker_open(struct bench *b, struct asker *asker, const char *ip)
{
    const struct sockaddr_in any = {.sin_family = AF_INET};
    memset(asker, 0, sizeof(*asker));
    asker->bench = b;
    asker->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(b->published)};
    inet_pton(AF_INET, ip, &asker->to.sin_addr);
    assert_int_equal(uv_udp_init(&b->loop, &asker->udp), 0);
    asker->udp.data = asker;
    assert_int_equal(uv_udp_bind(&asker->udp, (const struct sockaddr *)&any, 0), 0);
    assert_int_equal(uv_udp_recv_start(&asker->udp, on_alloc, on_answer), 0);
}

static void on_asker_closed(uv_handle_t *handle)
{
    ((struct asker *)handle->data)->is_closed = true;
}

static void asker_close(struct asker *asker)
{
    uv_close((uv_handle_t *)&asker->udp, on_asker_closed);
    while (!asker->is_closed)
        bench_run(asker->bench, 1);
    buffer_done(&asker->answer);
}

static void ask(struct asker *asker, const void *bytes, size_t size)
{
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)size);
    buffer_clear(&asker->answer);
    assert_int_equal(uv_udp_try_send(&asker->udp, &buffer, 1, (const struct sockaddr *)&asker->to),
                     (int)size);
}

static bool is_answered(struct asker *asker, const void *bytes, size_t size)
{
    for (int i = 0; i < 1000 && asker->answer.size == 0; i++)
        bench_run(asker->bench, 5);
    return asker->answer.size == size && memcmp(asker->answer.bytes, bytes, size) == 0;
}

static void exchange(struct asker *asker, const char *question, const char *answer)
{
    ask(asker, question, strlen(question));
    assert_true(is_answered(asker, answer, strlen(answer)));
}

/* Breaks if a published UDP port does not answer, answers from another address than was asked, or
 * from another replica in the middle of a talk. */
static void test_here(void **state)
{
    (void)state;
    struct bench b;
    struct asker one, two;
    bench_start(&b);
    bench_replica(&b, 0, BACKEND_ECHO);
    bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    asker_open(&b, &one, "127.9.9.9");
    asker_open(&b, &two, "127.0.0.1");
    for (int i = 0; i < 3; i++) {
        exchange(&one, "hello", "1:hello");
        exchange(&two, "hello", "2:hello");
    }
    const struct address expected = address_from_v4(0x7f090909, b.published);
    assert_true(address_equal(&one.from, &expected));
    assert_int_equal(b.sides[0].mesh->flows.count, 2);
    asker_close(&one);
    asker_close(&two);
    bench_done(&b);
}

/* Breaks if a replica at another peer is not reached, or large datagrams are cut on the way. */
static void test_elsewhere(void **state)
{
    (void)state;
    static uint8_t large[60000], answer[60002] = "1:";
    struct bench b;
    struct asker asker;
    bench_start(&b);
    bench_replica(&b, 1, BACKEND_ECHO);
    bench_update(&b);
    asker_open(&b, &asker, "127.0.0.1");
    exchange(&asker, "hello", "1:hello");
    for (size_t i = 0; i < sizeof(large); i++)
        large[i] = answer[i + 2] = (uint8_t)(i * 31);
    ask(&asker, large, sizeof(large));
    assert_true(is_answered(&asker, answer, sizeof(answer)));
    exchange(&asker, "again", "1:again");
    asker_close(&asker);
    bench_done(&b);
}

/* Breaks if a client goes on talking to a replica that is gone, here or at another peer. */
static void test_another_takes_over(void **state)
{
    (void)state;
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        struct asker asker;
        bench_start(&b);
        struct backend *first = bench_replica(&b, peer, BACKEND_ECHO);
        bench_replica(&b, 0, BACKEND_ECHO);
        bench_update(&b);
        asker_open(&b, &asker, "127.0.0.1");
        exchange(&asker, "hello", "1:hello");
        bench_see(&b, first, VIEW_REPLICA_EXITED);
        bench_update(&b);
        exchange(&asker, "hello", "2:hello");
        asker_close(&asker);
        bench_done(&b);
    }
}

/* Breaks if a talk ends because its replica is not seen for a moment, as when its machine's daemon
 * starts again, while no other could go on with it. */
static void test_no_other(void **state)
{
    (void)state;
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        struct asker asker;
        bench_start(&b);
        struct backend *only = bench_replica(&b, peer, BACKEND_ECHO);
        bench_update(&b);
        asker_open(&b, &asker, "127.0.0.1");
        exchange(&asker, "hello", "1:hello");
        bench_see(&b, only, VIEW_REPLICA_EXITED);
        bench_update(&b);
        exchange(&asker, "goes on", "1:goes on");
        asker_close(&asker);
        bench_done(&b);
    }
}

/* Breaks if the word of a container's kernel that nobody listens there any more is not heeded. */
static void test_refused(void **state)
{
    (void)state;
    struct bench b;
    struct asker asker;
    bench_start(&b);
    struct backend *first = bench_replica(&b, 0, BACKEND_ECHO);
    bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    asker_open(&b, &asker, "127.0.0.1");
    exchange(&asker, "hello", "1:hello");
    bench_stop_listening(first);
    bench_run(&b, 5);
    ask(&asker, "lost", 4);
    for (int i = 0; i < 1000 && b.sides[0].mesh->flows.count > 0; i++)
        bench_run(&b, 5);
    assert_int_equal(b.sides[0].mesh->flows.count, 0);
    exchange(&asker, "hello", "2:hello");
    asker_close(&asker);
    bench_done(&b);
}

/* Breaks if a program that listens at IPv6 alone is not reached by UDP once the client asked again,
 * or each of its clients loses a datagram. */
static void test_ipv6_only(void **state)
{
    (void)state;
    for (unsigned peer = 0; peer < 2; peer++) {
        struct bench b;
        struct asker one, two;
        bench_start(&b);
        b.has_ipv6 = true;
        bench_replica(&b, peer, BACKEND_IPV6);
        bench_update(&b);
        asker_open(&b, &one, "127.0.0.1");
        asker_open(&b, &two, "127.0.0.1");
        ask(&one, "lost", 4);
        for (int i = 0; i < 1000 && (i == 0 || b.sides[0].mesh->flows.count > 0); i++)
            bench_run(&b, 5);
        exchange(&one, "hello", "1:hello");
        exchange(&two, "hello", "1:hello");
        asker_close(&one);
        asker_close(&two);
        bench_done(&b);
    }
}

/* Breaks if many clients make a peer hold more than it may, or the busy lose to the quiet. */
static void test_many(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b);
    struct mesh *mesh = b.sides[0].mesh;
    struct backend *backend = bench_replica(&b, 0, BACKEND_ECHO);
    bench_update(&b);
    struct datagram_port *port = mesh->datagram_ports;
    const struct flow_target target = {.route = routes_by_name(&mesh->routes, "s_web"),
                                       .port = b.target};
    const struct address to = address_from_v4(INADDR_LOOPBACK, b.published);
    const struct flow_key busy = {.from = address_from_v4(INADDR_LOOPBACK, 9), .to = to};
    const size_t count_max = mesh->flows.count_max;
    assert_in_range(count_max, 1, FLOWS_MAX);
    for (unsigned i = 0; i < count_max + 200; i++) {
        struct flow_key key = {.from = address_from_v4(0x7f050000 + i, 1000), .to = to};
        flow_datagram(mesh, port, &key, &target, (struct bytes){(const uint8_t *)"x", 1});
        flow_datagram(mesh, port, &busy, &target, (struct bytes){(const uint8_t *)"y", 1});
        bench_run(&b, 0);
    }
    assert_int_equal(mesh->flows.count, count_max);
    assert_non_null(table_find(&mesh->flows.by_key, &busy));
    assert_true(backend->datagram_count > count_max);
    bench_done(&b);
}

/* Breaks if a UDP port stays open once no service has it, or one that is taken is not explained. */
static void test_ports(void **state)
{
    (void)state;
    struct bench b;
    cleanup_buffer struct buffer words = {0};
    bench_start(&b);
    assert_non_null(b.sides[0].mesh->datagram_ports);
    mesh_explain(b.sides[0].mesh, "s_web", &words);
    assert_int_equal(words.size, 0);
    assert_int_equal(fixture_remove(&b.f, "s", true), 0);
    bench_update(&b);
    assert_null(b.sides[0].mesh->datagram_ports);

    uv_udp_t other;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(b.published)};
    uv_udp_init(&b.loop, &other);
    assert_int_equal(uv_udp_bind(&other, (const struct sockaddr *)&at, 0), 0);
    struct service_spec spec;
    fixture_spec(&spec, "web");
    fixture_publish(&spec, b.published);
    spec.ports[0].protocol = SPEC_UDP;
    assert_int_equal(fixture_deploy(&b.f, "t", &spec, 1), 0);
    service_spec_done(&spec);
    bench_update(&b);
    mesh_explain(b.sides[0].mesh, "t_web", &words);
    assert_int_equal(buffer_append(&words, "", 1), 0);
    assert_non_null(strstr((const char *)words.bytes, "/udp is not served at this peer: "));
    uv_close((uv_handle_t *)&other, NULL);
    bench_run(&b, MESH_RETRY_MS + 300);
    buffer_clear(&words);
    mesh_explain(b.sides[0].mesh, "t_web", &words);
    assert_int_equal(words.size, 0);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_here),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_another_takes_over),
        cmocka_unit_test(test_no_other),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_ipv6_only),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_ports),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
