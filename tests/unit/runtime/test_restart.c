#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/restart.h"

static void follows_the_policy(void **state)
{
    (void)state; /* would break: jobs that run again and again, or crashes that stay */
    struct container_restart policy = {.policy = RESTART_NONE};
    uint32_t attempts = 0;
    int64_t delay = -1;
    assert_int_equal(restart_decide(&policy, true, 0, &attempts, &delay), RESTART_DONE);
    policy.policy = RESTART_ON_FAILURE;
    assert_int_equal(restart_decide(&policy, false, 0, &attempts, &delay), RESTART_DONE);
    assert_int_equal(delay, -1);
    assert_int_equal(restart_decide(&policy, true, 0, &attempts, &delay), RESTART_LATER);
    policy.policy = RESTART_ANY;
    assert_int_equal(restart_decide(&policy, false, 0, &attempts, &delay), RESTART_LATER);
}

static void backs_off(void **state)
{
    (void)state; /* would break: a crash loop that eats the machine */
    struct container_restart policy = {.policy = RESTART_ANY, .delay_ms = 1000};
    uint32_t attempts = 0;
    int64_t delay;
    static const int64_t expected[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(restart_decide(&policy, true, 100, &attempts, &delay), RESTART_LATER);
        assert_int_equal(delay, expected[i]);
    }
    assert_int_equal(
        restart_decide(&policy, true, RUNTIME_RESTART_WINDOW_MS_DEFAULT, &attempts, &delay),
        RESTART_LATER);
    assert_int_equal(delay, 1000);
    policy.delay_ms = 90 * 1000; /* an operator's longer delay stays as it is */
    attempts = 3;
    assert_int_equal(restart_decide(&policy, true, 0, &attempts, &delay), RESTART_LATER);
    assert_int_equal(delay, 90 * 1000);
}

static void gives_up(void **state)
{
    (void)state; /* would break: max_attempts */
    struct container_restart policy = {
        .policy = RESTART_ON_FAILURE, .attempts_max = 2, .window_ms = 5000};
    uint32_t attempts = 0;
    int64_t delay;
    assert_int_equal(restart_decide(&policy, true, 0, &attempts, &delay), RESTART_LATER);
    assert_int_equal(restart_decide(&policy, true, 0, &attempts, &delay), RESTART_LATER);
    assert_int_equal(restart_decide(&policy, true, 4999, &attempts, &delay), RESTART_GIVE_UP);
    assert_int_equal(restart_decide(&policy, true, 5000, &attempts, &delay), RESTART_LATER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_policy),
        cmocka_unit_test(backs_off),
        cmocka_unit_test(gives_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
