/* Tables, as wide as their terminal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "node/cli/output.h"

static const struct column columns[] = {{"NAME", "name", NULL},
                                        {"SINCE", "since_ms", cell_age},
                                        {"ZONE", "zone", NULL},
                                        {"VERSION", "version", NULL}};

static char *table_of(unsigned width, const char *const *spare)
{
    struct buffer text = {0};
    json_t *rows = json_pack("[{s:s, s:i, s:s, s:s}, {s:s, s:n, s:s}]", "name", "web-1", "since_ms",
                             90000, "zone", "caf\u00e9", "version", "0.1.0", "name", "a\x1b[2J",
                             "since_ms", "zone", "");
    assert_non_null(rows);
    output_format_within(rows, columns, array_count(columns), spare, width, &text);
    json_decref(rows);
    return buffer_take_text(&text);
}

static void assert_table(unsigned width, const char *const *spare, const char *expected)
{
    char *text = table_of(width, spare);
    assert_string_equal(text, expected);
    free(text);
}

static const char whole[] = "NAME    SINCE   ZONE   VERSION\n"
                            "web-1   90s     caf\u00e9   0.1.0\n"
                            "a?[2J   -       -      -\n";

/* Breaks if columns don't stand below their titles, what is not known is shown as a number, or a
 * name drives the terminal. */
static void test_table(void **state)
{
    (void)state;
    assert_table(0, NULL, whole);
}

/* Breaks if a narrow terminal wraps lines although a column can be spared, or one is left out that
 * has room or was not said to be one of those. */
static void test_narrow(void **state)
{
    (void)state;
    static const char *const spare[] = {"VERSION", "ABSENT", "ZONE", NULL};
    assert_table(30, spare, whole);
    assert_table(29, spare, "NAME    SINCE   ZONE\nweb-1   90s     caf\u00e9\na?[2J   -       -\n");
    assert_table(19, spare, "NAME    SINCE\nweb-1   90s\na?[2J   -\n");
    assert_table(5, spare, "NAME    SINCE\nweb-1   90s\na?[2J   -\n");
    assert_table(5, NULL, whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_narrow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
