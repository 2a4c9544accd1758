#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/compose/interpolate.h"
#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if a variable is not filled in as Compose does. */
static void test_filled_in(void **state)
{
    (void)state;
    static const struct {
        const char *text, *expected;
    } cases[] = {
        {"plain", "plain"},
        {"$SET and ${SET}", "value and value"},
        {"a${UNSET}b", "ab"},
        {"${UNSET:-x} ${EMPTY:-x} ${EMPTY-x} ${SET:-x}", "x x  value"},
        {"${SET:+x} ${UNSET:+x}", "x "},
        {"${SET:?words}", "value"},
        {"$$SET $", "$SET $"},
        {"$1", "$1"},
        {"${EXTRA}", "from the file"},
        {"${UNSET:-${EMPTY:-${SET}}}-${UNSET-a$SET}", "value-avalue"},
        {"${SET:+[${EXTRA}]}${EMPTY:+${UNSET?}}", "[from the file]"},
    };
    struct variables variables = {0};
    setenv("SET", "value", 1);
    setenv("EMPTY", "", 1);
    unsetenv("UNSET");
    assert_int_equal(variables_set(&variables, "EXTRA", "from the file"), 0);
    assert_int_equal(variables_set(&variables, "SET", "loses"), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = NULL;
        struct error error = {0};
        assert_int_equal(interpolate(cases[i].text, &variables, &text, &error), 0);
        assert_string_equal(text, cases[i].expected);
        free(text);
    }
    assert_int_equal(variables.unset.count, 1);
    assert_string_equal(variables.unset.items[0], "UNSET");
    variables_done(&variables);
}

/* Breaks if a mistake in a variable becomes a value. */
static void test_refused(void **state)
{
    (void)state;
    setenv("SET", "value", 1);
    unsetenv("UNSET");
    bench_refuse_service("    user: \"${UNSET:?say who}\"\n",
                         ":4: the variable UNSET must be set: say who");
    bench_refuse_service("    user: \"${UNSET\"\n", ":4: ${ without }; write $$ for a dollar sign");
    bench_refuse_service("    user: \"${}\"\n", ":4: ${} names no variable");
    bench_refuse_service("    user: \"${UNSET:}\"\n",
                         ":4: ${UNSET:}: after the name, :- :? or } is expected");
    bench_refuse_service("    user: \"${UNSET:-${SET}\"\n",
                         ":4: ${ without }; write $$ for a dollar sign");
    bench_refuse_service("    user: ${U-${U-${U-${U-${U-${U-${U-${U-${U-${U-x}}}}}}}}}}\n",
                         ":4: variables within variables, more than 8 deep");
    bench_warn_service("    user: a$UNSET\n    hostname: b$UNSET\n",
                       ":4: the variable UNSET is not set: taken as empty");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filled_in),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
