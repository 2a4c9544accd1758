#include <arpa/inet.h>
#include <ldns/ldns.h>
#include <unistd.h>

#include "tests/unit/node/mesh/mesh_bench.h"

static const char gateway_text[] = "127.77.7.1";

struct asker {
    uv_udp_t udp;
    struct buffer answer;
};

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    static char bytes[4096];
    (void)handle;
    (void)suggested;
    *ret = uv_buf_init(bytes, sizeof(bytes));
}

static void on_answer(uv_udp_t *udp, ssize_t size, const uv_buf_t *buffer,
                      const struct sockaddr *from, unsigned flags)
{
    struct asker *asker = udp->data;
    (void)flags;
    if (from && size > 0)
        assert_int_equal(buffer_append(&asker->answer, buffer->base, (size_t)size), 0);
}

static void ask(struct bench *b, struct asker *asker, const uint8_t *bytes, size_t size)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(53)};
    uv_buf_t buffer = uv_buf_init((char *)(uintptr_t)bytes, (unsigned)size);
    inet_pton(AF_INET, gateway_text, &to.sin_addr);
    *asker = (struct asker){0};
    uv_udp_init(&b->loop, &asker->udp);
    asker->udp.data = asker;
    assert_true(uv_udp_try_send(&asker->udp, &buffer, 1, (const struct sockaddr *)&to) > 0);
    uv_udp_recv_start(&asker->udp, on_alloc, on_answer);
    for (int i = 0; i < 40 && asker->answer.size == 0; i++)
        bench_run(b, 5);
    uv_close((uv_handle_t *)&asker->udp, NULL);
    bench_run(b, 1);
}

static size_t answer_count(struct bench *b, const char *name)
{
    struct asker asker;
    uint8_t *wire = NULL;
    size_t size = 0, count;
    ldns_pkt *query =
        ldns_pkt_query_new(ldns_dname_new_frm_str(name), LDNS_RR_TYPE_A, LDNS_RR_CLASS_IN, LDNS_RD);
    assert_int_equal(ldns_pkt2wire(&wire, query, &size), LDNS_STATUS_OK);
    ldns_pkt_free(query);
    ask(b, &asker, wire, size);
    free(wire);
    assert_true(asker.answer.size > 0);
    assert_int_equal(ldns_wire2pkt(&query, asker.answer.bytes, asker.answer.size), LDNS_STATUS_OK);
    count = ldns_rr_list_rr_count(ldns_pkt_answer(query));
    ldns_pkt_free(query);
    buffer_done(&asker.answer);
    return count;
}

/* Breaks if the gateway does not answer containers, each what is on its networks; or answers junk.
 */
static void test_gateway(void **state)
{
    (void)state;
    struct bench b;
    struct asker asker;
    struct address gateway = address_from_v4(0x7f4d0701, 0);
    if (geteuid() != 0)
        skip(); /* port 53 */
    bench_start(&b);
    mesh_gateway_ready(b.sides[0].mesh, &gateway);
    bench_run(&b, 50);
    strcpy(b.asker, "s_web");
    assert_int_equal(answer_count(&b, "web."), 1);
    assert_int_equal(answer_count(&b, "s_web."), 1);
    assert_int_equal(answer_count(&b, "wep."), 0);
    struct service_spec spec;
    fixture_spec(&spec, "web");
    assert_int_equal(fixture_deploy(&b.f, "t", &spec, 1), 0);
    service_spec_done(&spec);
    bench_update(&b);
    assert_int_equal(answer_count(&b, "web."), 1);
    assert_int_equal(answer_count(&b, "t_web."), 0); /* on another network */
    strcpy(b.asker, "t_web");
    assert_int_equal(answer_count(&b, "t_web."), 1);
    strcpy(b.asker, "?");
    assert_int_equal(answer_count(&b, "t_web."), 0);
    strcpy(b.asker, ""); /* the machine sees all */
    assert_int_equal(answer_count(&b, "t_web."), 1);
    assert_int_equal(answer_count(&b, "web."), 0); /* whose? */
    ask(&b, &asker, (const uint8_t *)"junk", 4);
    assert_int_equal(asker.answer.size, 0);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_gateway)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
