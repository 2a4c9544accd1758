#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "runtime/cgroup.h"

static void pressure_is_read(void **state)
{
    (void)state; /* would break: what a container waits for, by the kernel's own words */
    assert_int_equal(
        cgroup_parse_pressure("some avg10=1.25 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00\n"),
        12);
    assert_int_equal(cgroup_parse_pressure("some avg10=100.00 avg60=0.00"), 1000);
    assert_int_equal(cgroup_parse_pressure("some avg10=0.09"), 0);
    assert_int_equal(cgroup_parse_pressure(""), -1);
    assert_int_equal(cgroup_parse_pressure("full avg10=1.00"), -1);
    assert_int_equal(cgroup_parse_pressure("some avg10=999.00"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pressure_is_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
