#include "link_fixture.h"
#include "node/transport/link_wire.h"

/* Breaks if two admitted peers cannot link, or one takes the other for somebody else. */
static void test_admitted(void **state)
{
    struct fixture *fixture = *state;
    dial(fixture);
    settle(fixture);
    assert_int_equal(fixture->server.opens, 1);
    assert_int_equal(fixture->client.opens, 1);
    assert_true(id_equal(&fixture->server.remote.id, &fixture->client.party.identity.id));
    assert_string_equal(fixture->server.remote.chain.certificates[0].name, "client");
    assert_string_equal(fixture->client.remote.chain.certificates[0].name, "server");
    assert_false(fixture->server.remote.by_token);
    link_close(fixture->client.link, 0);
    run_until_closed(fixture);
    assert_int_equal(fixture->server.why.code, 0);
    assert_int_equal(fixture->client.why.code, 0);
}

/* Breaks if a stream opened before the handshake is lost, or a large transfer is damaged. */
static void test_transfer(void **state)
{
    struct fixture *fixture = *state;
    enum { TOTAL = 8 * 1000 * 1000 };
    uint8_t *sent = malloc(TOTAL);
    assert_non_null(sent);
    randombytes_buf(sent, TOTAL);
    dial(fixture);
    assert_int_equal(mux_open(link_mux(fixture->client.link), 9, (struct bytes){0}, &stream_handler,
                              &fixture->client, &fixture->client.stream),
                     0);
    for (size_t offset = 0; fixture->server.received.size < TOTAL;) {
        size_t size = stream_room(fixture->client.stream);
        if (size > TOTAL - offset)
            size = TOTAL - offset;
        assert_int_equal(stream_write(fixture->client.stream, sent + offset, size), 0);
        offset += size;
        uv_run(&fixture->loop, UV_RUN_ONCE);
    }
    assert_memory_equal(fixture->server.received.bytes, sent, TOTAL);
    stream_end(fixture->client.stream);
    while (fixture->client.stream_closes == 0 || fixture->server.stream_closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->client.stream_reason, 0);
    free(sent);
}

static void assert_refused(struct fixture *fixture, int code, const char *words)
{
    run_until_closed(fixture);
    assert_int_equal(fixture->server.opens, 0);
    assert_int_equal(fixture->client.opens, 0);
    assert_int_equal(fixture->server.why.code, code);
    assert_int_equal(fixture->client.why.code, code);
    assert_non_null(strstr(fixture->server.why.message, words));
    assert_non_null(strstr(fixture->client.why.message, words));
}

/* Breaks if a peer with another cluster's certificate gets in, or nobody is told why it did not. */
static void test_foreign(void **state)
{
    struct fixture *fixture = *state;
    party_init(&fixture->client.party, CLIENT, "client", ROLE_PEER, &fixture->other_root);
    dial(fixture);
    assert_refused(fixture, -EKEYREJECTED, "another cluster");
}

/* Breaks if a certificate that claims this cluster, but is signed by a stranger, is believed. */
static void test_forged(void **state)
{
    struct fixture *fixture = *state;
    struct certificate *leaf = &fixture->client.party.chain.certificates[0];
    assert_int_equal(certificate_sign(leaf, &fixture->other_root), 0);
    dial(fixture);
    run_until_closed(fixture);
    assert_int_equal(fixture->server.opens, 0);
    assert_int_equal(fixture->server.why.code, -EKEYREJECTED);
    assert_int_equal(fixture->client.why.code, -EKEYREJECTED);
}

/* Breaks if a peer can use another one's certificate with a key of its own. */
static void test_stolen_certificate(void **state)
{
    struct fixture *fixture = *state;
    party_identity(&fixture->client.party.identity, STRANGER);
    dial(fixture);
    assert_refused(fixture, -EKEYREJECTED, "for another key");
}

/* Breaks if a revoked peer gets in, whichever side knows of it. */
static void test_revoked(void **state)
{
    struct fixture *fixture = *state;
    fixture->server.admits = LINK_REFUSED_REVOKED;
    dial(fixture);
    assert_refused(fixture, -EKEYREVOKED, "revoked");
}

static void test_revoked_server(void **state)
{
    struct fixture *fixture = *state;
    fixture->client.admits = LINK_REFUSED_REVOKED;
    dial(fixture);
    assert_refused(fixture, -EKEYREVOKED, "revoked");
}

/* Breaks if a dialer talks to whoever answers at the address. */
static void test_another_answers(void **state)
{
    struct fixture *fixture = *state;
    struct party expected;
    party_init(&expected, STRANGER, "expected", ROLE_PEER, &fixture->root);
    assert_int_equal(link_dial(&fixture->client.config, &fixture->address, &expected.identity.id,
                               &handler, &fixture->client, &fixture->client.link),
                     0);
    assert_refused(fixture, -EPROTO, "handshake failed");
}

/* Breaks if an operator's machine is taken for a peer. */
static void test_operator_answers(void **state)
{
    struct fixture *fixture = *state;
    party_init(&fixture->server.party, SERVER, "laptop", ROLE_ADMIN, &fixture->root);
    dial(fixture);
    assert_refused(fixture, -EACCES, "not a peer's");
}

static void dial_seed(struct fixture *fixture)
{
    assert_int_equal(link_dial_seed(&fixture->client.config, &fixture->address, &handler,
                                    &fixture->client, &fixture->client.link),
                     0);
    settle(fixture);
}

/* Breaks if a peer that knows only an address can't link, or does not learn whom it found. */
static void test_seed(void **state)
{
    struct fixture *fixture = *state;
    dial_seed(fixture);
    assert_int_equal(fixture->server.opens, 1);
    assert_int_equal(fixture->client.opens, 1);
    assert_true(id_equal(&fixture->client.remote.id, &fixture->server.party.identity.id));
    assert_true(id_equal(&fixture->server.remote.id, &fixture->client.party.identity.id));
    assert_string_equal(fixture->server.remote.chain.certificates[0].name, "client");
    assert_string_equal(fixture->client.remote.chain.certificates[0].name, "server");
    assert_false(fixture->server.remote.by_token);
}

/* Breaks if one who does not know the cluster is told who lives at an address. */
static void test_seed_of_another_cluster(void **state)
{
    struct fixture *fixture = *state;
    fixture->client.config.cluster = fixture->other_root.id;
    dial_seed(fixture);
    assert_int_equal(fixture->server.opens, 0);
    assert_int_equal(fixture->client.opens, 0);
    assert_int_equal(fixture->server.why.code, -EACCES);
    assert_int_equal(fixture->client.remote.chain.count, 0);
}

/* Breaks if a revoked peer comes in because it knows an address and the cluster. */
static void test_seed_revoked(void **state)
{
    struct fixture *fixture = *state;
    fixture->server.admits = LINK_REFUSED_REVOKED;
    dial_seed(fixture);
    assert_refused(fixture, -EKEYREVOKED, "revoked");
}

static void dial_token(struct fixture *fixture, const uint8_t secret[TOKEN_SECRET_BYTES])
{
    fixture->client.party.chain.count = 0;
    assert_int_equal(link_dial_token(&fixture->client.config, &fixture->address, secret, &handler,
                                     &fixture->client, &fixture->client.link),
                     0);
}

/* Breaks if a newcomer with a good token cannot come in, or is taken for an admitted peer. */
static void test_token(void **state)
{
    struct fixture *fixture = *state;
    uint8_t id[TOKEN_ID_BYTES];
    fixture->client.admits = LINK_REFUSED_UNKNOWN; /* it knows nobody yet: not asked */
    dial_token(fixture, fixture->secret);
    settle(fixture);
    assert_int_equal(fixture->server.opens, 1);
    assert_int_equal(fixture->client.opens, 1);
    assert_true(fixture->server.remote.by_token);
    assert_int_equal(fixture->server.remote.chain.count, 0);
    assert_true(id_equal(&fixture->server.remote.id, &fixture->client.party.identity.id));
    token_id(fixture->secret, id);
    assert_memory_equal(fixture->server.remote.token_id, id, sizeof(id));
    assert_string_equal(fixture->client.remote.chain.certificates[0].name, "server");
}

/* Breaks if an unknown token, or one whose secret is not the cluster's, is let in. */
static void test_bad_token(void **state)
{
    struct fixture *fixture = *state;
    uint8_t secret[TOKEN_SECRET_BYTES] = {0};
    dial_token(fixture, secret);
    assert_refused(fixture, -EKEYREJECTED, "join token");
}

/* Breaks if a newcomer trusts whoever knows its token's id, without the cluster's certificate. */
static void test_token_foreign_cluster(void **state)
{
    struct fixture *fixture = *state;
    party_init(&fixture->server.party, SERVER, "server", ROLE_PEER, &fixture->other_root);
    dial_token(fixture, fixture->secret);
    assert_refused(fixture, -EKEYREJECTED, "another cluster");
}

static void on_raw_connected(uv_connect_t *connect, int status)
{
    static uv_write_t write;
    uv_buf_t data = uv_buf_init(connect->data, (unsigned)strlen(connect->data));
    assert_int_equal(status, 0);
    uv_write(&write, connect->handle, &data, 1, NULL);
}

/* Has something that is no link of ours send `bytes` to the server. */
static void send_raw(struct fixture *fixture, const char *bytes)
{
    uv_tcp_t tcp;
    uv_connect_t connect = {.data = (void *)(uintptr_t)bytes};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(fixture->address.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uv_tcp_init(&fixture->loop, &tcp);
    uv_tcp_connect(&connect, &tcp, (struct sockaddr *)&to, on_raw_connected);
    while (fixture->server.closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tcp, NULL);
    uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

/* Breaks if a newer version of the protocol is not named, or what is not ours is not refused. */
static void test_not_ours(void **state)
{
    struct fixture *fixture = *state;
    send_raw(fixture, "CNST\x02\x01");
    assert_int_equal(fixture->server.why.code, -EPROTONOSUPPORT);
    assert_non_null(
        strstr(fixture->server.why.message, "speaks protocol 2, this is 1: upgrade this peer"));
    fixture->server.closes = 0;
    send_raw(fixture, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(fixture->server.why.code, -EBADMSG);
    fixture->server.closes = 0;
    send_raw(fixture, "CNST\x01\x01\xff\xffx");
    assert_int_equal(fixture->server.why.code, -EPROTO);
    assert_int_equal(fixture->server.opens, 0);
}

/* A server of the future: it answers any dialer that it speaks version 2. */
static void on_future_connection(uv_stream_t *listener, int status)
{
    static const uint8_t refusal[] = {0, 3, LINK_FRAME_REFUSAL, LINK_REFUSED_VERSION, 2};
    static uv_tcp_t tcp;
    static uv_write_t write;
    uv_buf_t data = uv_buf_init((char *)(uintptr_t)refusal, sizeof(refusal));
    assert_int_equal(status, 0);
    uv_tcp_init(listener->loop, &tcp);
    uv_accept(listener, (uv_stream_t *)&tcp);
    uv_write(&write, (uv_stream_t *)&tcp, &data, 1, NULL);
    listener->data = &tcp;
}

/* Breaks if a dialer that is too old is not told to upgrade. */
static void test_dialing_the_future(void **state)
{
    struct fixture *fixture = *state;
    fixture->listener.connection_cb = on_future_connection;
    dial(fixture);
    while (fixture->client.closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->client.why.code, -EPROTONOSUPPORT);
    assert_non_null(strstr(fixture->client.why.message, "upgrade this peer"));
    uv_close(fixture->listener.data, NULL);
}

/* Breaks if a link whose peer went silent stays, with all that waits on it. */
static void test_cut(void **state)
{
    struct fixture *fixture = *state;
    dial(fixture);
    settle(fixture);
    assert_int_equal(mux_open(link_mux(fixture->client.link), 9, (struct bytes){0}, &stream_handler,
                              &fixture->client, &fixture->client.stream),
                     0);
    while (mux_stream_count(link_mux(fixture->server.link)) == 0) /* it waits on it, too */
        uv_run(&fixture->loop, UV_RUN_ONCE);
    const struct address loopback = address_from_v4(INADDR_LOOPBACK, 0);
    assert_int_equal(fault_cut(&fixture->fault, &loopback), 0);
    run_until_closed(fixture);
    assert_int_equal(fixture->client.why.code, -ETIMEDOUT);
    assert_int_equal(fixture->server.why.code, -ETIMEDOUT);
    assert_int_equal(fixture->client.stream_reason, -ETIMEDOUT);
}

/* Breaks if a short cut kills a link, or loses what was written meanwhile. */
static void test_short_cut(void **state)
{
    struct fixture *fixture = *state;
    const struct address loopback = address_from_v4(INADDR_LOOPBACK, 0);
    dial(fixture);
    settle(fixture);
    assert_int_equal(mux_open(link_mux(fixture->client.link), 9, (struct bytes){0}, &stream_handler,
                              &fixture->client, &fixture->client.stream),
                     0);
    assert_int_equal(fault_cut(&fixture->fault, &loopback), 0);
    assert_int_equal(stream_write(fixture->client.stream, "through", 7), 0);
    for (int turns = 0; turns < 4; turns++)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->server.received.size, 0);
    fault_heal_all(&fixture->fault);
    while (fixture->server.received.size < 7)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(fixture->client.closes + fixture->server.closes, 0);
}

int main(void)
{
    assert(sodium_init() >= 0);
    signal(SIGPIPE, SIG_IGN); /* as every program with links does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_admitted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transfer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_foreign, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stolen_certificate, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_revoked_server, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_operator_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seed_of_another_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_seed_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token_foreign_cluster, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_ours, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dialing_the_future, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_short_cut, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
