#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "gossip/session_replay.h"

/* Breaks if a counter is taken twice, or a late one inside the window is not taken once. */
static void test_window(void **state)
{
    (void)state;
    struct session_replay replay = {0};
    assert_true(session_replay_is_new(&replay, 0));
    session_replay_mark(&replay, 0);
    assert_false(session_replay_is_new(&replay, 0));
    session_replay_mark(&replay, 5000);
    assert_false(session_replay_is_new(&replay, 5000));
    assert_false(session_replay_is_new(&replay, 0));
    assert_false(session_replay_is_new(&replay, 5000 - SESSION_REPLAY_WINDOW_BITS));
    uint64_t oldest = 5001 - SESSION_REPLAY_WINDOW_BITS;
    for (uint64_t counter = oldest; counter < 5000; counter++) {
        assert_true(session_replay_is_new(&replay, counter));
        session_replay_mark(&replay, counter);
        assert_false(session_replay_is_new(&replay, counter));
    }
}

/* Breaks if the end of the counter's range wraps the window. */
static void test_largest(void **state)
{
    (void)state;
    struct session_replay replay = {0};
    session_replay_mark(&replay, UINT64_MAX - 1);
    assert_false(session_replay_is_new(&replay, UINT64_MAX - 1));
    assert_true(session_replay_is_new(&replay, UINT64_MAX - 2));
    assert_false(session_replay_is_new(&replay, 0));
}

/* Breaks if the window differs from a plain list of what was seen, over random arrivals. */
static void test_against_model(void **state)
{
    (void)state;
    enum { RANGE = 30000, ARRIVALS = 60000 };
    static bool seen[RANGE];
    struct session_replay replay = {0};
    struct random random;
    uint64_t next = 0;
    random_init(&random, 3);
    memset(seen, 0, sizeof(seen));
    for (int i = 0; i < ARRIVALS; i++) {
        uint64_t spread = random_chance(&random, 1, 50) ? 3000 : 300;
        uint64_t base = next > spread ? next - spread : 0;
        uint64_t counter = random_chance(&random, 1, 4) ? next + random_below(&random, 9)
                                                        : base + random_below(&random, spread);
        if (counter >= RANGE)
            break;
        bool too_old =
            next > SESSION_REPLAY_WINDOW_BITS && counter < next - SESSION_REPLAY_WINDOW_BITS;
        assert_int_equal(session_replay_is_new(&replay, counter), !too_old && !seen[counter]);
        if (!session_replay_is_new(&replay, counter))
            continue;
        session_replay_mark(&replay, counter);
        seen[counter] = true;
        next = counter >= next ? counter + 1 : next;
    }
    assert_true(next > 5 * SESSION_REPLAY_WINDOW_BITS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_window),
                                       cmocka_unit_test(test_largest),
                                       cmocka_unit_test(test_against_model)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
