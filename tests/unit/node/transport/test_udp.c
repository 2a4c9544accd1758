#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "node/transport/udp.h"
#include "party.h"

enum {
    ROOT = 1,
    OTHER_ROOT = 2,
};

struct end {
    struct party party;
    struct udp *udp;
    struct address address;
    struct fault fault;
    size_t count;
    struct buffer last;
    struct id from;
    struct address source;
    bool echoes;
    bool admits;
    size_t asked; /* how often admit() was */
};

struct fixture {
    uv_loop_t loop;
    struct identity root, other_root;
    struct end a, b;
};

static void on_packet(void *context, const struct id *from, const struct address *source,
                      struct bytes payload)
{
    struct end *end = context;
    end->count++;
    end->from = *from;
    end->source = *source;
    buffer_clear(&end->last);
    buffer_append(&end->last, payload.data, payload.size);
    if (end->echoes)
        assert_int_equal(udp_send(end->udp, from, source, buffer_view(&end->last)), 0);
}

static bool admit(void *context, const struct id *id, const struct certificate_chain *chain)
{
    struct end *end = context;
    (void)id;
    (void)chain;
    end->asked++;
    return end->admits;
}

static int end_open_at(struct fixture *fixture, struct end *end, bool admits,
                       const struct address *at)
{
    const struct udp_config config = {
        .loop = &fixture->loop,
        .sessions = {.identity = &end->party.identity,
                     .chain = &end->party.chain,
                     .cluster = fixture->root.id,
                     .generation = 1,
                     .admit = admit,
                     .admit_context = end},
        .fault = &end->fault,
        .context = end,
        .on_packet = on_packet,
    };
    end->admits = admits;
    fault_init(&end->fault, 1);
    end->udp = udp_new(&config);
    assert_non_null(end->udp);
    return udp_bind(end->udp, at, &end->address, NULL);
}

static void end_open(struct fixture *fixture, struct end *end, bool admits)
{
    const struct address any = address_from_v4(INADDR_LOOPBACK, 0);
    assert_int_equal(end_open_at(fixture, end, admits, &any), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    uv_loop_init(&fixture->loop);
    party_identity(&fixture->root, ROOT);
    party_identity(&fixture->other_root, OTHER_ROOT);
    party_init(&fixture->a.party, 10, "a", ROLE_PEER, &fixture->root);
    party_init(&fixture->b.party, 11, "b", ROLE_PEER, &fixture->root);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    udp_close(fixture->a.udp);
    udp_close(fixture->b.udp);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    buffer_done(&fixture->a.last);
    buffer_done(&fixture->b.last);
    free(fixture);
    return 0;
}

static int send_to_b(struct fixture *fixture, const char *payload)
{
    return udp_send(fixture->a.udp, &fixture->b.party.identity.id, &fixture->b.address,
                    bytes_of_text(payload));
}

/* Loopback delivers in the send; a few turns of the loop hand out all that is there. */
static void settle(struct fixture *fixture)
{
    for (int i = 0; i < 20; i++)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

/* Breaks if a socket of both families does not reach IPv4 peers, or takes them for IPv6 ones. */
static void test_both_families(void **state)
{
    struct fixture *fixture = *state;
    struct address any;
    assert_int_equal(address_parse("[::]:1", 0, &any), 0);
    any.port = 0;
    if (end_open_at(fixture, &fixture->a, true, &any) < 0)
        skip(); /* a kernel without IPv6 */
    end_open(fixture, &fixture->b, true);
    fixture->a.echoes = fixture->b.echoes = false;
    assert_int_equal(send_to_b(fixture, "over both"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 1);
    assert_true(address_is_v4(&fixture->b.source));
    assert_int_equal(udp_send(fixture->b.udp, &fixture->a.party.identity.id, &fixture->b.source,
                              bytes_of_text("back")),
                     0);
    settle(fixture);
    assert_int_equal(fixture->a.count, 1);
    assert_true(address_equal(&fixture->a.source, &fixture->b.address));
}

/* Breaks if payloads do not pass between two peers, first and later packets, both ways. */
static void test_pair(void **state)
{
    struct fixture *fixture = *state;
    end_open(fixture, &fixture->a, true);
    end_open(fixture, &fixture->b, true);
    fixture->b.echoes = true;
    for (size_t i = 1; i <= 10; i++) {
        assert_int_equal(send_to_b(fixture, "hello"), 0);
        settle(fixture);
        assert_int_equal(fixture->b.count, i);
        assert_int_equal(fixture->a.count, i);
        assert_true(bytes_equal(buffer_view(&fixture->a.last), bytes_of_text("hello")));
        assert_true(id_equal(&fixture->a.from, &fixture->b.party.identity.id));
        assert_true(id_equal(&fixture->b.from, &fixture->a.party.identity.id));
    }
    assert_int_equal(sessions_keyed_count(udp_sessions(fixture->a.udp)), 1);
}

/* Breaks if a peer of another cluster, or one that admit() refuses, is heard. */
static void test_refused(void **state)
{
    struct fixture *fixture = *state;
    party_init(&fixture->a.party, 10, "a", ROLE_PEER, &fixture->other_root);
    end_open(fixture, &fixture->a, true);
    end_open(fixture, &fixture->b, false);
    assert_int_equal(send_to_b(fixture, "hello"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 0);
    assert_int_equal(fixture->b.asked, 0); /* the chain fails before admit() is asked */
    udp_close(fixture->a.udp);
    party_init(&fixture->a.party, 10, "a", ROLE_PEER, &fixture->root);
    end_open(fixture, &fixture->a, true);
    assert_int_equal(send_to_b(fixture, "hello"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 0);
    assert_int_equal(fixture->b.asked, 1);
}

/* Breaks if a cut or a loss asked for lets packets pass, or healing does not. */
static void test_faults(void **state)
{
    struct fixture *fixture = *state;
    end_open(fixture, &fixture->a, true);
    end_open(fixture, &fixture->b, true);
    assert_int_equal(fault_cut(&fixture->b.fault, &fixture->a.address), 0);
    assert_int_equal(send_to_b(fixture, "cut"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 0);
    fault_heal_all(&fixture->b.fault);
    fault_set_drop(&fixture->a.fault, FAULT_WHOLE);
    assert_int_equal(send_to_b(fixture, "lost"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 0);
    fault_set_drop(&fixture->a.fault, 0);
    assert_int_equal(send_to_b(fixture, "through"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 1);
}

/* Breaks if noise on the port disturbs what is good, or a port that is taken is not named. */
static void test_noise_and_taken_port(void **state)
{
    struct fixture *fixture = *state;
    uv_udp_t noise;
    struct error error = {0};
    uint8_t bytes[1400];
    struct sockaddr_in to = {.sin_family = AF_INET};
    end_open(fixture, &fixture->a, true);
    end_open(fixture, &fixture->b, true);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(fixture->b.address.port);
    uv_udp_init(&fixture->loop, &noise);
    for (size_t size = 0; size < sizeof(bytes); size += 7) {
        randombytes_buf(bytes, size);
        uv_buf_t data = uv_buf_init((char *)bytes, (unsigned)size);
        uv_udp_try_send(&noise, &data, 1, (struct sockaddr *)&to);
    }
    uv_close((uv_handle_t *)&noise, NULL);
    settle(fixture);
    assert_int_equal(send_to_b(fixture, "good"), 0);
    settle(fixture);
    assert_int_equal(fixture->b.count, 1);
    udp_close(fixture->a.udp);
    settle(fixture);
    const struct address taken = fixture->b.address;
    const struct udp_config config = {.loop = &fixture->loop,
                                      .sessions = {.identity = &fixture->a.party.identity,
                                                   .chain = &fixture->a.party.chain,
                                                   .cluster = fixture->root.id,
                                                   .admit = admit,
                                                   .admit_context = &fixture->a,
                                                   .generation = 1}};
    fixture->a.udp = udp_new(&config);
    assert_int_equal(udp_bind(fixture->a.udp, &taken, NULL, &error), -EADDRINUSE);
    assert_non_null(strstr(error.hint, "ss -lnup"));
}

int main(void)
{
    assert(sodium_init() >= 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_both_families, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pair, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_noise_and_taken_port, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
