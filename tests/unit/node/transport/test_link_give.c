#include "link_fixture.h"

static void dial_for_mesh(struct fixture *fixture)
{
    assert_int_equal(link_dial_for_mesh(&fixture->client.config, &fixture->address,
                                        &fixture->server.party.identity.id, &handler,
                                        &fixture->client, &fixture->client.link),
                     0);
}

/* What the other process does with a link that it is given: it has no certificate and no key. */
static void take_over(struct fixture *fixture, struct end *end)
{
    if (!end->link)
        end->link = link_await(&fixture->bare, &end->given.id, end->given.is_dialer, &handler, end);
    assert_non_null(end->link);
    assert_int_equal(link_take_over(end->link, end->given_fd, &end->given), 0);
    link_given_done(&end->given);
}

/* Breaks if a link that changes hands loses bytes or keys: what one side's new owner says at once,
 * before the other side has given its end away, or what was opened before there was a link. */
static void test_given_away(void **state)
{
    struct fixture *fixture = *state;
    struct end *client = &fixture->client, *server = &fixture->server;
    fixture->bare.loop = &fixture->loop;
    dial_for_mesh(fixture);
    while (client->gifts == 0 || server->gifts == 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    while (client->link || server->link)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_int_equal(client->closes, 1);
    assert_int_equal(client->why.code, 0);
    assert_true(client->given.is_dialer && !server->given.is_dialer);
    assert_true(id_equal(&server->given.id, &client->party.identity.id));
    client->link = link_await(&fixture->bare, &client->given.id, true, &handler, client);
    assert_non_null(client->link);
    assert_int_equal(mux_open(link_mux(client->link), 3, (struct bytes){0}, &stream_handler, client,
                              &client->stream),
                     0);
    assert_int_equal(stream_write(client->stream, "early", 5), 0);
    take_over(fixture, client);
    for (int i = 0; i < 20; i++) /* sent, and not read by anybody yet */
        uv_run(&fixture->loop, UV_RUN_NOWAIT);
    take_over(fixture, server);
    while (server->received.size < 5)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_memory_equal(server->received.bytes, "early", 5);
    assert_int_equal(stream_write(server->stream, "back", 4), 0);
    while (client->received.size < 4)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_memory_equal(client->received.bytes, "back", 4);
}

/* Breaks if an operator's key can open links for the mesh, which only peers may. */
static void test_mesh_is_for_peers(void **state)
{
    struct fixture *fixture = *state;
    party_init(&fixture->client.party, CLIENT, "client", ROLE_ADMIN, &fixture->root);
    dial_for_mesh(fixture);
    run_until_closed(fixture);
    assert_int_equal(fixture->server.gifts, 0);
    assert_int_equal(fixture->client.why.code, link_refusal_errno(LINK_REFUSED_ROLE));
}

int main(void)
{
    assert(sodium_init() >= 0);
    signal(SIGPIPE, SIG_IGN); /* as every program with links does */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_given_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mesh_is_for_peers, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
