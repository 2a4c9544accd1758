/* The links of a peer: dialed and taken, used again, dropped, and what goes over them. */
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "links_fixture.h"

enum {
    FLOOD = LINK_HALF_OPEN_MAX + 20,
};

/* Breaks if a stream is lost, or a link not used again by either side. */
static void test_streams(void **state)
{
    struct fixture *fixture = *state;
    struct user first = {0}, second = {0}, back = {0};
    assert_int_equal(ask(&fixture->a, &fixture->b, STREAM_API, &first), 0);
    assert_int_equal(ask(&fixture->a, &fixture->b, STREAM_API, &second), 0);
    run_until_closed(fixture, &first);
    run_until_closed(fixture, &second);
    assert_echoed(&first);
    assert_echoed(&second);
    assert_int_equal(ask(&fixture->b, &fixture->a, STREAM_MESH, &back), 0);
    run_until_closed(fixture, &back);
    assert_echoed(&back);
    assert_int_equal(links_count(fixture->a.links), 1);
    assert_int_equal(links_count(fixture->b.links), 1);
    assert_string_equal(fixture->b.remote.chain.certificates[0].name, "a");
}

/* Breaks if a peer that was never spoken to before can't be, though it is known where it is. */
static void test_located(void **state)
{
    struct fixture *fixture = *state;
    struct user user = {0};
    const struct id *b = &fixture->b.party.identity.id;
    assert_int_equal(links_open_stream(fixture->a.links, b, NULL, STREAM_API, (struct bytes){0},
                                       &user_handler, &user, &user.stream),
                     -EHOSTUNREACH);
    assert_int_equal(links_dial_for_mesh(fixture->a.links, b), -EHOSTUNREACH);
    fixture->is_located = true;
    assert_int_equal(links_open_stream(fixture->a.links, b, NULL, STREAM_API, (struct bytes){0},
                                       &user_handler, &user, &user.stream),
                     0);
    assert_int_equal(stream_write(user.stream, "hello", 5), 0);
    stream_end(user.stream);
    run_until_closed(fixture, &user);
    assert_echoed(&user);
    assert_int_equal(links_dial_for_mesh(fixture->a.links, b), 0);
}

/* Breaks if anything is lost when both sides dial at the same time. */
static void test_both_dial(void **state)
{
    struct fixture *fixture = *state;
    struct user from_a = {0}, from_b = {0};
    assert_int_equal(ask(&fixture->a, &fixture->b, STREAM_API, &from_a), 0);
    assert_int_equal(ask(&fixture->b, &fixture->a, STREAM_API, &from_b), 0);
    run_until_closed(fixture, &from_a);
    run_until_closed(fixture, &from_b);
    assert_echoed(&from_a);
    assert_echoed(&from_b);
    assert_int_equal(ask(&fixture->a, &fixture->b, STREAM_API, &from_a), 0);
    assert_int_equal(ask(&fixture->b, &fixture->a, STREAM_API, &from_b), 0);
    run_until_closed(fixture, &from_a);
    run_until_closed(fixture, &from_b);
    assert_echoed(&from_a);
    assert_echoed(&from_b);
    assert_int_equal(links_count(fixture->a.links), 2);
}

/* Breaks if messages are lost, repeated or (of one size) out of order while nothing fails; and if a
 * whole snapshot can't be sent. */
static void test_messages(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    know_each_other(fixture);
    send_messages(a, b, 0, 1000, 100);
    send_messages(a, b, 0, 2, 1024 * 1024);
    send_messages(b, a, 0, 1000, 10);
    while (b->messages < 1002 || a->messages < 1000)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    send_messages(a, b, 2, 1, LINKS_MESSAGE_BYTES_MAX);
    while (b->messages < 1003)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(b->message_bytes, 1000 * 100 + 2 * 1024 * 1024 + LINKS_MESSAGE_BYTES_MAX);
    assert_int_equal(links_dropped_count(a->links), 0);
    assert_true(links_is_linked(a->links, &b->party.identity.id));
}

/* Breaks if a heartbeat waits behind a snapshot: that would cost an election. */
static void test_small_overtakes_large(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    know_each_other(fixture);
    send_messages(a, b, 0, 1, LINKS_MESSAGE_BYTES_MAX);
    send_messages(a, b, 0, 10, 100);
    while (b->messages < 11) {
        uv_run(&fixture->loop, UV_RUN_ONCE);
        assert_true(b->next_large == 0 || b->next_small == 10);
    }
}

/* Breaks if a message to a seed, of which only the address is known, is lost, or if each takes a
 * link of its own. */
static void test_greeting(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    for (uint32_t i = 1; i < 4; i++) {
        const struct bytes bytes = {(const uint8_t *)&i, sizeof(i)};
        assert_int_equal(links_greet(a->links, &b->address, (uint8_t)i, bytes), 0);
    }
    b->next_small = 3; /* the last takes the place of what was not said yet */
    while (b->messages == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(b->next_small, 4);
    assert_true(links_is_linked(a->links, &b->party.identity.id));
    send_messages(b, a, 0, 1, sizeof(uint32_t));
    const struct bytes bytes = {(const uint8_t *)&(uint32_t){4}, sizeof(uint32_t)};
    assert_int_equal(links_greet(a->links, &b->address, 4, bytes), 0);
    while (b->messages < 2 || a->messages < 1)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(links_count(a->links), 1);
    struct address nobody = b->address;
    for (unsigned i = 0; i < LINKS_GREETINGS_MAX; i++) {
        nobody.port = (uint16_t)(1 + i);
        assert_int_equal(links_greet(a->links, &nobody, 1, bytes), 0);
    }
    nobody.port++;
    assert_int_equal(links_greet(a->links, &nobody, 1, bytes), -EBUSY);
}

/* Breaks if a peer that is not there is not reported, or dialed again and again at once. */
static void test_nobody_there(void **state)
{
    struct fixture *fixture = *state;
    struct user user = {0};
    struct party nobody;
    party_init(&nobody, 99, "nobody", ROLE_PEER, &fixture->root);
    assert_int_equal(links_open_stream(fixture->a.links, &nobody.identity.id, NULL, STREAM_API,
                                       (struct bytes){0}, &user_handler, &user, &user.stream),
                     -EHOSTUNREACH);
    assert_int_equal(
        links_send_message(fixture->a.links, &nobody.identity.id, 1, bytes_of_text("x")),
        -EHOSTUNREACH);
    struct address closed = fixture->b.address;
    closed.port = 1; /* nothing listens there */
    assert_int_equal(links_open_stream(fixture->a.links, &nobody.identity.id, &closed, STREAM_API,
                                       (struct bytes){0}, &user_handler, &user, &user.stream),
                     0);
    run_until_closed(fixture, &user);
    assert_int_equal(user.reason, -ECONNREFUSED);
    while (links_open_stream(fixture->a.links, &nobody.identity.id, NULL, STREAM_API,
                             (struct bytes){0}, &user_handler, &user, &user.stream) == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE); /* the link that failed may still be closing */
    assert_int_equal(links_open_stream(fixture->a.links, &nobody.identity.id, NULL, STREAM_API,
                                       (struct bytes){0}, &user_handler, &user, &user.stream),
                     -EAGAIN);
}

/* Breaks if a revoked peer keeps its links, or the pool trips over dropping it from inside. */
static void test_drop(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    struct user user = {0};
    know_each_other(fixture);
    assert_int_equal(links_open_stream(b->links, &a->party.identity.id, NULL, STREAM_API,
                                       (struct bytes){0}, &user_handler, &user, &user.stream),
                     0);
    b->drops_sender = true;
    send_messages(a, b, 0, 10, 100);
    run_until_closed(fixture, &user);
    assert_int_equal(user.reason, -EKEYREVOKED);
    while (links_count(a->links) > 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(b->messages, 1);
    assert_false(links_is_linked(b->links, &a->party.identity.id));
    assert_int_equal(links_send_message(b->links, &a->party.identity.id, 1, bytes_of_text("x")),
                     -EHOSTUNREACH);
}

/* Breaks if a peer does not notice that the others hold it revoked, or takes its own refusals of
 * others for that. */
static void test_called_revoked(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    struct user user = {0};
    know_each_other(fixture);
    fixture->refused = a->party.identity.id;
    assert_int_equal(ask(a, b, STREAM_API, &user), 0);
    run_until_closed(fixture, &user);
    assert_int_not_equal(user.reason, 0);
    while (!links_is_called_revoked(a->links)) /* the link's own end comes later */
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_false(links_is_called_revoked(b->links));
    user = (struct user){0};
    links_open_stream(b->links, &a->party.identity.id, NULL, STREAM_API, (struct bytes){0},
                      &user_handler, &user, &user.stream);
    run_until_closed(fixture, &user);
    for (int i = 0; i < 20; i++)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_false(links_is_called_revoked(b->links));
}

static void on_pool_closed(void *context)
{
    *(bool *)context = true;
}

/* Breaks if a peer that restarted is not linked to again. */
static void test_restart(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    struct user user = {0};
    bool is_closed = false;
    assert_int_equal(links_open_stream(a->links, &b->party.identity.id, &b->address, STREAM_API,
                                       (struct bytes){0}, &user_handler, &user, &user.stream),
                     0);
    while (!links_is_linked(b->links, &a->party.identity.id))
        uv_run(&fixture->loop, UV_RUN_ONCE);
    links_close(b->links, on_pool_closed, &is_closed);
    while (!is_closed)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    run_until_closed(fixture, &user);
    assert_int_equal(user.reason, -EPIPE);
    end_open(fixture, b, b->address.port);
    user = (struct user){0};
    while (ask(a, b, STREAM_API, &user) < 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    run_until_closed(fixture, &user);
    assert_echoed(&user);
}

/* Breaks if it is not found out at once that a peer of whom that must be known is gone, or if
 * others are dialed whenever a link with them ends. */
static void test_gone(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    for (int is_vital = 0; is_vital < 2; is_vital++) {
        struct user user = {0};
        bool is_closed = false;
        assert_int_equal(ask(a, b, STREAM_API, &user), 0);
        run_until_closed(fixture, &user);
        assert_echoed(&user);
        a->vital = is_vital ? b->party.identity.id : a->party.identity.id;
        links_close(b->links, on_pool_closed, &is_closed);
        while (!is_closed || links_count(a->links) > 0)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        while (is_vital && a->refusals == 0)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        assert_int_equal(a->refusals, is_vital);
        end_open(fixture, b, b->address.port);
    }
    assert_true(id_equal(&a->refused_by, &b->party.identity.id));
}

/* A listener that the kernel connects to, and nobody else. */
static int deaf_listener(struct address *ret)
{
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(any);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, sizeof(any)), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&any, &size), 0);
    *ret = address_from_v4(INADDR_LOOPBACK, ntohs(any.sin_port));
    return fd;
}

/* Breaks if a peer that is being killed is not found out to be gone when its links end a moment
 * before its listener does: who dials in between is connected, and reset. */
static void test_gone_after_reset(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    struct user user = {0};
    struct address deaf;
    bool is_closed = false;
    int listener = deaf_listener(&deaf);
    assert_int_equal(ask(a, b, STREAM_API, &user), 0);
    run_until_closed(fixture, &user);
    assert_echoed(&user);
    a->vital = b->party.identity.id;
    assert_int_equal(links_set_address(a->links, &a->vital, &deaf), 0);
    links_close(b->links, on_pool_closed, &is_closed);
    for (struct pollfd waiting = {listener, POLLIN, 0}; poll(&waiting, 1, 0) == 0 || !is_closed;)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(a->refusals, 0);
    close(listener);
    while (a->refusals == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_true(id_equal(&a->refused_by, &b->party.identity.id));
    end_open(fixture, b, 0);
}

/* Breaks if a peer that resets all dials, and listens, is dialed for this without end, or held for
 * gone. */
static void test_resets_all(void **state)
{
    struct fixture *fixture = *state;
    struct end *a = &fixture->a, *b = &fixture->b;
    struct user user = {0};
    struct address deaf;
    bool is_closed = false;
    unsigned dials = 0;
    int listener = deaf_listener(&deaf);
    assert_int_equal(ask(a, b, STREAM_API, &user), 0);
    run_until_closed(fixture, &user);
    assert_echoed(&user);
    a->vital = b->party.identity.id;
    assert_int_equal(links_set_address(a->links, &a->vital, &deaf), 0);
    links_close(b->links, on_pool_closed, &is_closed);
    const uint64_t begin_ms = uv_now(&fixture->loop);
    while (uv_now(&fixture->loop) < begin_ms + (LINKS_LOOK_AGAIN_MS << (LINKS_LOOKS_MAX + 1))) {
        struct pollfd waiting = {listener, POLLIN, 0};
        if (poll(&waiting, 1, 1) == 1) {
            const struct linger abort = {.l_onoff = 1};
            int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
            close(fd);
            dials++;
        }
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    }
    assert_in_range(dials, 2, 1 + LINKS_LOOKS_MAX);
    assert_int_equal(a->refusals, 0);
    close(listener);
    end_open(fixture, b, 0);
}

/* Breaks if a newcomer can do more than join, or an operator can pass for a peer. */
static void test_who_may_what(void **state)
{
    struct fixture *fixture = *state;
    struct party newcomer = {0}, operator_;
    struct user join = {0}, api = {0}, messages = {0}, remote = {0};
    struct link *by_token, *by_key;
    party_identity(&newcomer.identity, 50);
    party_init(&operator_, 51, "alice", ROLE_ADMIN, &fixture->root);
    const struct link_config newcomers = link_config(fixture, &newcomer);
    const struct link_config operators = link_config(fixture, &operator_);
    static const struct link_handler quiet;
    assert_int_equal(
        link_dial_token(&newcomers, &fixture->b.address, fixture->secret, &quiet, NULL, &by_token),
        0);
    assert_int_equal(link_dial(&operators, &fixture->b.address, &fixture->b.party.identity.id,
                               &quiet, NULL, &by_key),
                     0);
    const struct {
        struct link *link;
        uint8_t kind;
        struct user *user;
        int reason;
    } cases[] = {
        {by_token, STREAM_JOIN, &join, 0},
        {by_token, STREAM_API, &api, -EACCES},
        {by_key, STREAM_MESSAGES, &messages, -EACCES},
        {by_key, STREAM_API, &remote, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct user *user = cases[i].user;
        assert_int_equal(mux_open(link_mux(cases[i].link), cases[i].kind, (struct bytes){0},
                                  &user_handler, user, &user->stream),
                         0);
        stream_end(user->stream);
        run_until_closed(fixture, user);
        assert_int_equal(user->reason, cases[i].reason);
    }
    assert_int_equal(fixture->b.remote.chain.certificates[0].role, ROLE_ADMIN);
    link_close(by_token, 0);
    link_close(by_key, 0);
}

/* Breaks if connections that say nothing keep an honest peer out. */
static void test_half_open_flood(void **state)
{
    struct fixture *fixture = *state;
    static uv_tcp_t sockets[FLOOD];
    static uv_connect_t connects[FLOOD];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(fixture->b.address.port)};
    struct user user = {0};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (size_t i = 0; i < FLOOD; i++) {
        uv_tcp_init(&fixture->loop, &sockets[i]);
        uv_tcp_connect(&connects[i], &sockets[i], (struct sockaddr *)&to, NULL);
    }
    for (int i = 0; i < 20; i++)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    assert_int_equal(ask(&fixture->a, &fixture->b, STREAM_API, &user), 0);
    run_until_closed(fixture, &user);
    assert_echoed(&user);
    for (size_t i = 0; i < FLOOD; i++)
        uv_close((uv_handle_t *)&sockets[i], NULL);
}

int main(void)
{
    assert(sodium_init() >= 0);
    signal(SIGPIPE, SIG_IGN); /* as every program with links does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_located, setup, teardown),
        cmocka_unit_test_setup_teardown(test_both_dial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_overtakes_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greeting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_called_revoked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_after_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resets_all, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may_what, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_open_flood, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
