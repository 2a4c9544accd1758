#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/table.h"

static int compare_number(const void *item, const void *key)
{
    int a = *(const int *)item, b = *(const int *)key;
    return a < b ? -1 : a > b;
}

static const void *number_key(const void *item)
{
    return item;
}

/* Breaks if iteration is not in key order, which the cores' determinism rests on. */
static void test_order(void **state)
{
    (void)state;
    static int numbers[] = {5, 1, 9, 3, 7, 2, 8, 4, 6, 0};
    struct table table;
    table_init(&table, compare_number, number_key);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(table_insert(&table, &numbers[i]), 0);
    assert_int_equal(table_insert(&table, &numbers[4]), -EEXIST);
    for (int i = 0; i < 10; i++)
        assert_int_equal(*(int *)table.items[i], i);
    int key = 4;
    assert_ptr_equal(table_remove(&table, &key), &numbers[7]);
    assert_null(table_find(&table, &key));
    assert_null(table_remove(&table, &key));
    assert_int_equal(table_lower_bound(&table, &key), 4);
    assert_int_equal(table.count, 9);
    table_done(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
