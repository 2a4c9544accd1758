#include <assert.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "node/transport/links.h"
#include "party.h"

enum {
    ROOT = 1,
    FLOOD = LINK_HALF_OPEN_MAX + 20,
};

/* One peer: its pool, and what came to it. */
struct end {
    struct party party;
    struct links *links;
    struct address address;
    size_t streams; /* incoming, accepted and echoed */
    struct link_remote remote;
    size_t messages, message_bytes;
    uint32_t next_small, next_large; /* messages carry a counter */
    bool drops_sender;               /* inside on_message */
};

/* A stream that this side opened. */
struct user {
    struct mux_stream *stream;
    struct buffer received;
    unsigned closes;
    int reason;
};

struct fixture {
    uv_loop_t loop;
    struct identity root;
    struct end a, b, c; /* c: only where a test opens it */
    struct links_helpers helpers;
    uint8_t secret[TOKEN_SECRET_BYTES];
};

static struct fixture *now;

/* --- The serving side: echoes each stream --- */

static void echo_data(void *context, struct mux_stream *stream, struct bytes data)
{
    (void)context;
    assert_int_equal(stream_write(stream, data.data, data.size), 0);
    stream_consumed(stream, data.size);
}

static void echo_end(void *context, struct mux_stream *stream)
{
    (void)context;
    stream_end(stream);
}

static const struct stream_handler echo_handler = {.on_data = echo_data, .on_end = echo_end};

static void on_stream(void *context, const struct link_remote *remote, struct mux_stream *stream,
                      uint8_t kind, struct bytes header)
{
    struct end *end = context;
    (void)kind;
    (void)header;
    end->streams++;
    end->remote = *remote;
    stream_accept(stream, &echo_handler, end);
}

static void on_message(void *context, const struct id *from, uint8_t kind, struct bytes data)
{
    struct end *end = context;
    uint32_t number;
    assert_true(data.size >= sizeof(number));
    memcpy(&number, data.data, sizeof(number));
    assert_int_equal(number,
                     data.size > LINKS_SMALL_BYTES_MAX ? end->next_large++ : end->next_small++);
    assert_int_equal(kind, (uint8_t)number);
    end->messages++;
    end->message_bytes += data.size;
    if (end->drops_sender)
        links_drop(end->links, from);
}

static int find_token(void *context, const uint8_t wanted[TOKEN_ID_BYTES],
                      uint8_t ret_psk[NOISE_PSK_BYTES])
{
    (void)context;
    (void)wanted;
    token_psk(now->secret, ret_psk);
    return 0;
}

static void help(void *context, const struct id *id, struct links_helpers *ret)
{
    (void)context;
    *ret = id_equal(id, &now->b.party.identity.id) ? now->helpers : (struct links_helpers){0};
}

static struct link_config link_config(struct fixture *fixture, const struct party *party)
{
    return (struct link_config){.loop = &fixture->loop,
                                .identity = &party->identity,
                                .chain = &party->chain,
                                .cluster = fixture->root.id,
                                .find_token = find_token};
}

static void end_open(struct fixture *fixture, struct end *end, uint16_t port)
{
    const struct links_config config = {.link = link_config(fixture, &end->party),
                                        .context = end,
                                        .on_stream = on_stream,
                                        .helpers = help,
                                        .on_message = on_message};
    const struct address any = address_from_v4(INADDR_LOOPBACK, port);
    end->links = links_new(&config);
    assert_non_null(end->links);
    assert_int_equal(links_listen(end->links, &any, &end->address, NULL), 0);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    now = fixture;
    uv_loop_init(&fixture->loop);
    party_identity(&fixture->root, ROOT);
    party_init(&fixture->a.party, 10, "a", ROLE_PEER, &fixture->root);
    party_init(&fixture->b.party, 11, "b", ROLE_PEER, &fixture->root);
    party_init(&fixture->c.party, 12, "c", ROLE_PEER, &fixture->root);
    end_open(fixture, &fixture->a, 0);
    end_open(fixture, &fixture->b, 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    links_close(fixture->a.links, NULL, NULL);
    links_close(fixture->b.links, NULL, NULL);
    if (fixture->c.links)
        links_close(fixture->c.links, NULL, NULL);
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    free(fixture);
    return 0;
}

/* --- The asking side --- */

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct user *user = context;
    buffer_append(&user->received, data.data, data.size);
    stream_consumed(stream, data.size);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct user *user = context;
    (void)stream;
    user->stream = NULL;
    user->closes++;
    user->reason = reason;
}

static const struct stream_handler user_handler = {.on_data = on_data, .on_close = on_close};

static int ask(struct end *from, struct end *to, uint8_t kind, struct user *user)
{
    int rc = links_open_stream(from->links, &to->party.identity.id, &to->address, kind,
                               (struct bytes){0}, &user_handler, user, &user->stream);
    if (rc == 0) {
        assert_int_equal(stream_write(user->stream, "hello", 5), 0);
        stream_end(user->stream);
    }
    return rc;
}

static void run_until_closed(struct fixture *fixture, const struct user *user)
{
    while (user->closes == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
}

static void assert_echoed(struct user *user)
{
    assert_int_equal(user->closes, 1);
    assert_int_equal(user->reason, 0);
    assert_int_equal(user->received.size, 5);
    buffer_done(&user->received);
    *user = (struct user){0};
}

static void send_messages(struct end *from, struct end *to, uint32_t first, uint32_t count,
                          size_t size)
{
    uint8_t *bytes = calloc(1, size);
    assert_non_null(bytes);
    for (uint32_t i = first; i < first + count; i++) {
        memcpy(bytes, &i, sizeof(i));
        assert_int_equal(links_send_message(from->links, &to->party.identity.id, (uint8_t)i,
                                            (struct bytes){bytes, size}),
                         0);
    }
    free(bytes);
}

static void know_each_other(struct fixture *fixture)
{
    struct end *a = &fixture->a, *b = &fixture->b;
    assert_int_equal(links_set_address(a->links, &b->party.identity.id, &b->address), 0);
    assert_int_equal(links_set_address(b->links, &a->party.identity.id, &a->address), 0);
}

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

static void run_for(struct fixture *fixture, int64_t ms)
{
    int64_t end_ms = (int64_t)uv_now(&fixture->loop) + ms;
    while ((int64_t)uv_now(&fixture->loop) < end_ms)
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
}

/* a knows b by an address where nobody is, and c, which reaches b. */
static void part(struct fixture *fixture, bool is_apart)
{
    struct end *a = &fixture->a, *b = &fixture->b, *c = &fixture->c;
    struct address nowhere = b->address;
    nowhere.port = 1;
    end_open(fixture, c, 0);
    fixture->helpers = (struct links_helpers){.is_apart = is_apart, .count = 1};
    fixture->helpers.items[0].id = c->party.identity.id;
    fixture->helpers.items[0].address = c->address;
    assert_int_equal(links_set_address(a->links, &b->party.identity.id, &nowhere), 0);
    assert_int_equal(links_set_address(c->links, &b->party.identity.id, &b->address), 0);
}

/* Breaks if two peers that don't reach each other can't link through a third, or if the third one
 * can pass for one of them; and if a revoked peer gets in that way. */
static void test_relayed(void **state)
{
    struct fixture *fixture = *state;
    struct user user = {0}, back = {0}, further = {0};
    const struct id *b = &fixture->b.party.identity.id;
    part(fixture, true);
    assert_int_equal(links_open_stream(fixture->a.links, b, NULL, STREAM_API, (struct bytes){0},
                                       &user_handler, &user, &user.stream),
                     0);
    stream_write(user.stream, "through c", 9);
    stream_end(user.stream);
    run_until_closed(fixture, &user);
    assert_int_equal(user.reason, 0);
    assert_int_equal(user.received.size, 9);
    assert_memory_equal(user.received.bytes, "through c", 9);
    buffer_done(&user.received);
    assert_true(id_equal(&fixture->b.remote.id, &fixture->a.party.identity.id));
    assert_string_equal(fixture->b.remote.chain.certificates[0].name, "a");
    assert_true(links_is_linked(fixture->a.links, b));

    /* What is large goes at the pace of the one in between, and arrives. */
    const int64_t start_ms = (int64_t)uv_now(&fixture->loop);
    send_messages(&fixture->a, &fixture->b, 0, 12, 300000);
    while (fixture->b.next_large < 12)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_true((int64_t)uv_now(&fixture->loop) - start_ms >= 600);
    assert_int_equal(links_open_stream(fixture->b.links, &fixture->a.party.identity.id, NULL,
                                       STREAM_API, (struct bytes){0}, &user_handler, &back,
                                       &back.stream),
                     0);
    stream_end(back.stream);
    run_until_closed(fixture, &back);
    assert_int_equal(back.reason, 0);

    /* One in between is enough. */
    assert_int_equal(links_open_stream(fixture->a.links, b, NULL, STREAM_RELAY,
                                       (struct bytes){fixture->c.party.identity.id.bytes, ID_BYTES},
                                       &user_handler, &further, &further.stream),
                     0);
    run_until_closed(fixture, &further);
    assert_int_equal(further.reason, -EACCES);
    links_drop(fixture->b.links, &fixture->a.party.identity.id);
    run_for(fixture, 200);
    assert_false(links_is_linked(fixture->a.links, b));
}

/* Breaks if others are asked only when gossip has found out: a failed dial is enough. */
static void test_relayed_after_a_failed_dial(void **state)
{
    struct fixture *fixture = *state;
    const struct id *b = &fixture->b.party.identity.id;
    uint32_t number = 0;
    part(fixture, false);
    while (fixture->b.messages == 0) {
        fixture->b.next_small = number;
        links_send_message(fixture->a.links, b, (uint8_t)number,
                           (struct bytes){(const uint8_t *)&number, sizeof(number)});
        run_for(fixture, 100);
    }
    assert_true(links_is_linked(fixture->a.links, b));
}

/* Breaks if one peer can have everything passed on, or to whom nobody goes. */
static void test_relays_are_bounded(void **state)
{
    struct fixture *fixture = *state;
    struct user users[LINKS_RELAYS_PER_PEER_MAX + 1] = {0}, odd = {0}, unknown = {0};
    struct user links[LINKS_RELAYS_PER_PEER_MAX + 1] = {0};
    const struct id *c = &fixture->c.party.identity.id, *b = &fixture->b.party.identity.id;
    const struct id nobody = {{7}};
    part(fixture, true);
    for (size_t i = 0; i < LINKS_RELAYS_PER_PEER_MAX + 1; i++)
        assert_int_equal(links_open_stream(fixture->a.links, c, &fixture->c.address, STREAM_RELAY,
                                           (struct bytes){b->bytes, ID_BYTES}, &user_handler,
                                           &users[i], &users[i].stream),
                         0);
    run_until_closed(fixture, &users[LINKS_RELAYS_PER_PEER_MAX]);
    assert_int_equal(users[LINKS_RELAYS_PER_PEER_MAX].reason, -EBUSY);
    assert_int_equal(users[0].closes, 0);
    assert_int_equal(links_open_stream(fixture->a.links, c, NULL, STREAM_RELAY, bytes_of_text("b"),
                                       &user_handler, &odd, &odd.stream),
                     0);
    run_until_closed(fixture, &odd);
    assert_int_equal(odd.reason, -EBADMSG);
    for (size_t i = 0; i < LINKS_RELAYS_PER_PEER_MAX; i++)
        stream_reset(users[i].stream, -ECANCELED);
    run_for(fixture, 100);
    assert_int_equal(links_open_stream(fixture->a.links, c, NULL, STREAM_RELAY,
                                       (struct bytes){nobody.bytes, ID_BYTES}, &user_handler,
                                       &unknown, &unknown.stream),
                     0);
    run_until_closed(fixture, &unknown);
    assert_int_equal(unknown.reason, -EHOSTUNREACH);

    /* Nor can it make another hold any number of links that never get anywhere. */
    for (size_t i = 0; i < LINKS_RELAYS_PER_PEER_MAX + 1; i++)
        assert_int_equal(links_open_stream(fixture->a.links, c, NULL, STREAM_RELAYED,
                                           (struct bytes){b->bytes, ID_BYTES}, &user_handler,
                                           &links[i], &links[i].stream),
                         0);
    run_until_closed(fixture, &links[LINKS_RELAYS_PER_PEER_MAX]);
    assert_int_equal(links[LINKS_RELAYS_PER_PEER_MAX].reason, -EBUSY);
    assert_int_equal(links[0].closes, 0);
    for (size_t i = 0; i < LINKS_RELAYS_PER_PEER_MAX; i++)
        stream_reset(links[i].stream, -ECANCELED);
    run_for(fixture, 100);
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
        cmocka_unit_test_setup_teardown(test_both_dial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_messages, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_overtakes_large, setup, teardown),
        cmocka_unit_test_setup_teardown(test_greeting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relayed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relayed_after_a_failed_dial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relays_are_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_who_may_what, setup, teardown),
        cmocka_unit_test_setup_teardown(test_half_open_flood, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
