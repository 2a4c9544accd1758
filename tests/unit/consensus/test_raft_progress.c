#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "consensus/raft_progress.h"

/* Breaks if a follower that refuses what it acknowledged, since its disk lost it, is sent the same
 * again at once, and again when it refuses that. */
static void test_refuses_what_it_has(void **state)
{
    (void)state;
    struct raft_progress progress;
    raft_progress_init(&progress, 10);
    assert_true(raft_progress_acknowledge(&progress, 9));
    raft_progress_probe(&progress);
    raft_progress_sent(&progress, 1, 9, 1);
    assert_false(raft_progress_step_back(&progress, 9, 5));
    assert_false(raft_progress_may_send(&progress));
    assert_int_equal(progress.next, 10);
}

/* Breaks if the place where the logs meet is not found, or is looked for below what is known. */
static void test_steps_back(void **state)
{
    (void)state;
    struct raft_progress progress;
    raft_progress_init(&progress, 10);
    raft_progress_sent(&progress, 1, 0, 1);
    assert_false(raft_progress_step_back(&progress, 8, 5)); /* an old refusal */
    assert_true(raft_progress_step_back(&progress, 9, 5));
    assert_int_equal(progress.next, 6);
    assert_true(raft_progress_may_send(&progress));
    assert_true(raft_progress_acknowledge(&progress, 4));
    assert_true(raft_progress_step_back(&progress, 5, 1));
    assert_int_equal(progress.next, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_what_it_has),
        cmocka_unit_test(test_steps_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
