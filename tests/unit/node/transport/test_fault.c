#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/transport/fault.h"

static struct address parse(const char *text)
{
    struct address address;
    assert_int_equal(address_parse(text, 0, &address), 0);
    return address;
}

/* Breaks if a cut lets its address pass, or takes others with it. */
static void test_cut(void **state)
{
    (void)state;
    struct fault fault;
    const struct address any = parse("10.0.0.3"), exact = parse("10.0.0.4:7300");
    const struct address three = parse("10.0.0.3:9"), four = parse("10.0.0.4:9");
    fault_init(&fault, 1);
    assert_int_equal(fault_parse(&fault, "cut=10.0.0.3,cut=10.0.0.4:7300", NULL), 0);
    assert_true(fault_is_cut(&fault, &three));
    assert_true(fault_is_cut(&fault, &exact));
    assert_false(fault_is_cut(&fault, &four));
    assert_true(fault_drops(&fault, &three));
    assert_false(fault_drops(&fault, &four));
    fault_heal(&fault, &any);
    assert_false(fault_is_cut(&fault, &three));
    fault_heal_all(&fault);
    assert_false(fault_is_cut(&fault, &exact));
    assert_false(fault_is_cut(NULL, &exact));
    assert_false(fault_drops(NULL, &exact));
}

/* Breaks if the rate of loss is not what was asked for, or a mistyped one is taken. */
static void test_drop(void **state)
{
    (void)state;
    struct fault fault;
    const struct address address = parse("10.0.0.3:9");
    fault_init(&fault, 1);
    assert_int_equal(fault_parse(&fault, "drop=250", NULL), 0);
    unsigned dropped = 0;
    for (int i = 0; i < 10000; i++)
        dropped += fault_drops(&fault, &address);
    assert_in_range(dropped, 2300, 2700);
    static const char *const bad[] = {"drop=1001",   "drop=",  "drop=-1", "drop=1x",
                                      "cut=nowhere", "dorp=1", "drop=1,,"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct error error = {0};
        assert_int_equal(fault_parse(&fault, bad[i], &error), -EINVAL);
        assert_int_equal(error.code, -EINVAL);
    }
    assert_int_equal(fault.drop_per_mille, 250);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cut), cmocka_unit_test(test_drop)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
