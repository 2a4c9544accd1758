/* Links through a third peer. */
#include <assert.h>

#include "links_fixture.h"

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

int main(void)
{
    assert(sodium_init() >= 0);
    signal(SIGPIPE, SIG_IGN); /* as every program with links does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_relayed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relayed_after_a_failed_dial, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relays_are_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
