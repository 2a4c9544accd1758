/* Which ids a user namespace gets. What these do is in test_container_userns.c. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/userns.h"

static void reads_a_range(void **state)
{
    (void)state; /* would break: ids of the machine's own users are given to containers */
    static const char *const bad[] = {"",
                                      "200000",
                                      "200000:65535",
                                      "65535:65536",
                                      "0:65536",
                                      "-200000:65536",
                                      "200000:-65536",
                                      "200000:65536x",
                                      ":",
                                      "4294901760:65536",
                                      "18446744073709551616:65536"};
    struct userns_pool pool = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(userns_pool_parse(bad[i], &pool), -EINVAL);
    assert_int_equal(pool.range_count, 0);
    assert_int_equal(userns_pool_parse("200000:131073", &pool), 0);
    assert_int_equal(pool.first, 200000);
    assert_int_equal(pool.range_count, 2);
    assert_int_equal(userns_pool_parse("65536:4294901759", &pool), 0);
    assert_int_equal(pool.range_count, 65534);
    assert_true(pool.range_count <= USERNS_RANGES_MAX);
}

static void never_two_with_the_same(void **state)
{
    (void)state; /* would break: one container's root is another's */
    const struct userns_pool pool = {.first = 1000000, .range_count = 3};
    struct userns_taken taken = {0};
    uint32_t first = 0;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(userns_choose(&pool, &taken, &first), 0);
        assert_int_equal(first, 1000000 + i * 65536);
        userns_take(&pool, &taken, first);
    }
    assert_int_equal(userns_choose(&pool, &taken, &first), -ENOSPC);
}

static void keeps_away_from_those_of_another_pool(void **state)
{
    (void)state; /* would break: likewise, once --userns-ids was changed */
    const struct userns_pool pool = {.first = 1000000, .range_count = 4};
    struct userns_taken taken = {0};
    uint32_t first = 0;
    userns_take(&pool, &taken, 1000000 - 1);         /* ends in the first */
    userns_take(&pool, &taken, 1000000 + 65536 + 1); /* in the second and third */
    userns_take(&pool, &taken, 65536);               /* none of these */
    userns_take(&pool, &taken, 4000000000);
    assert_int_equal(userns_choose(&pool, &taken, &first), 0);
    assert_int_equal(first, 1000000 + 3 * 65536);
}

static void ids_from_inside(void **state)
{
    (void)state; /* would break: whose a new volume's files are */
    assert_int_equal(userns_id_inside(100000, 100000), 0);
    assert_int_equal(userns_id_inside(100000, 165535), 65535);
    assert_int_equal(userns_id_inside(100000, 165536), 165536);
    assert_int_equal(userns_id_inside(100000, 99999), 99999);
    assert_int_equal(userns_id_inside(0, 1000), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_range),
        cmocka_unit_test(never_two_with_the_same),
        cmocka_unit_test(keeps_away_from_those_of_another_pool),
        cmocka_unit_test(ids_from_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
