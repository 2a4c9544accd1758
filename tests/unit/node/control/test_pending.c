#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "node/control/bounds.h"
#include "node/control/pending.h"

static void add(struct pendings *pendings, uint64_t request)
{
    assert_int_equal(pendings_reserve(pendings), 0);
    pendings_add(pendings)->request = request;
}

static struct pending *find(struct pendings *pendings, uint64_t request)
{
    size_t at = 0;
    struct pending *pending;
    while ((pending = pendings_next(pendings, &at)) && pending->request != request)
        ;
    return pending;
}

/* Breaks if one is passed over, comes twice, or out of order, whichever were taken out. */
static void test_order(void **state)
{
    (void)state;
    struct pendings pendings = {0};
    size_t at = 0;
    assert_null(pendings_next(&pendings, &at));
    for (uint64_t i = 1; i <= 100; i++)
        add(&pendings, i);
    for (uint64_t i = 1; i <= 100; i++)
        if (i % 3 != 0)
            pendings_drop(&pendings, find(&pendings, i));
    for (uint64_t i = 101; i <= 300; i++)
        add(&pendings, i);
    assert_int_equal(pendings.count, 33 + 200);
    assert_null(find(&pendings, 4));
    uint64_t expected = 3;
    at = 0;
    for (struct pending *pending; (pending = pendings_next(&pendings, &at));) {
        assert_int_equal(pending->request, expected);
        expected += expected < 99 ? 3 : expected == 99 ? 2 : 1;
        pendings_drop(&pendings, pending); /* also while they are gone through */
    }
    assert_int_equal(expected, 301);
    assert_int_equal(pendings.count, 0);
    add(&pendings, 7);
    assert_non_null(find(&pendings, 7));
    pendings_done(&pendings);
}

/* Breaks if the array grows with what has come and gone, while the first still waits; or if there
 * is no bound. */
static void test_bounds(void **state)
{
    (void)state;
    struct pendings pendings = {0};
    add(&pendings, 0);
    for (uint64_t i = 1; i < 100000; i++) {
        add(&pendings, i);
        pendings_drop(&pendings, find(&pendings, i));
    }
    assert_int_equal(pendings.count, 1);
    assert_true(pendings.capacity <= 64);
    for (uint64_t i = 1; i < AGENT_PENDING_MAX; i++)
        add(&pendings, i);
    assert_int_equal(pendings_reserve(&pendings), -EBUSY);
    pendings_drop(&pendings, find(&pendings, 10));
    assert_int_equal(pendings_reserve(&pendings), 0);
    pendings_done(&pendings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
