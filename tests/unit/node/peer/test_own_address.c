#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/own_address.h"
#include "node/peer/peer.h"

static struct address told;
static size_t wakes;

int agent_readdress(struct agent *agent, int64_t now_ms, const struct address *advertised)
{
    (void)agent;
    (void)now_ms;
    told = *advertised;
    return 0;
}

int64_t peer_now_ms(const struct peer *peer)
{
    return (int64_t)uv_now(peer->loop);
}

void peer_wake(struct peer *peer)
{
    (void)peer;
    wakes++;
}

/* Looks once. */
static void look(struct peer *peer)
{
    static uv_loop_t loop;
    uv_loop_init(&loop);
    peer->loop = &loop;
    told = (struct address){0};
    wakes = 0;
    struct own_address *own = own_address_new(peer);
    assert_non_null(own);
    uv_run(&loop, UV_RUN_NOWAIT); /* ONCE would wait for the next look as well */
    own_address_close(own);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* Breaks if a machine that has another address than before goes on to advertise the old one, or one
 * that has not tells everybody so again and again. */
static void test_follows(void **state)
{
    (void)state;
    struct address found;
    /* 203.0.113.7 is for documentation, and nobody's. */
    struct peer peer = {.options.advertised = address_from_v4(0xcb007107, 7301)};
    if (!own_address_find(&found))
        skip(); /* a machine without a network */
    assert_int_not_equal(found.ip[12], 127);
    look(&peer);
    found.port = 7301;
    assert_true(address_equal(&told, &found));
    assert_true(address_equal(&peer.options.advertised, &found));
    assert_int_equal(wakes, 1);
    look(&peer);
    assert_true(address_is_none(&told));
    assert_int_equal(wakes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
