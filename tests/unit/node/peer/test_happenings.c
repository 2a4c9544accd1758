#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/peer/happenings.h"

/* Breaks if somebody who asks again misses something, or is told it twice. */
static void test_after(void **state)
{
    static struct happenings happenings;
    (void)state;
    assert_null(happenings_after(&happenings, 0));
    happenings_add(&happenings, 1000);
    happenings_add(&happenings, 2000);
    assert_int_equal(happenings_after(&happenings, 0)->wall_ms, 1000);
    assert_int_equal(happenings_after(&happenings, 1)->wall_ms, 2000);
    assert_int_equal(happenings_after(&happenings, 1)->number, 2);
    assert_null(happenings_after(&happenings, 2));
}

/* Breaks if the oldest are not forgotten first, or one who lags is shown what was overwritten. */
static void test_forgets(void **state)
{
    static struct happenings happenings;
    (void)state;
    for (int64_t i = 1; i <= HAPPENINGS_MAX + 3; i++)
        happenings_add(&happenings, i);
    assert_int_equal(happenings_after(&happenings, 0)->number, 4);
    assert_int_equal(happenings_after(&happenings, 4)->number, 5);
    uint64_t number = 0;
    size_t count = 0;
    for (const struct happening *next; (next = happenings_after(&happenings, number)); count++) {
        assert_true(next->number > number);
        number = next->number;
    }
    assert_int_equal(count, HAPPENINGS_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_after),
        cmocka_unit_test(test_forgets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
