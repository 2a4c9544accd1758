#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/address.h"

static void check(const char *text, const char *expected)
{
    struct address address;
    char formatted[ADDRESS_TEXT_BYTES];
    assert_int_equal(address_parse(text, 7300, &address), 0);
    address_format(&address, formatted);
    assert_string_equal(formatted, expected);
}

/* Breaks if an operator's way of writing an address is not understood. */
static void test_accepted(void **state)
{
    (void)state;
    check("192.0.2.7", "192.0.2.7:7300");
    check("192.0.2.7:80", "192.0.2.7:80");
    check("[2001:db8::7]:80", "[2001:db8::7]:80");
    check("[2001:db8::7]", "[2001:db8::7]:7300");
    check("2001:db8::7", "[2001:db8::7]:7300");
}

/* Breaks if an IPv4 address does not come out as it went in. */
static void test_v4(void **state)
{
    (void)state;
    const struct address address = address_from_v4(0xc0000207, 80);
    assert_int_equal(address_to_v4(&address), 0xc0000207);
}

/* Breaks if something that is no address is taken for one. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"",         "host",        "1.2.3.4:",     "1.2.3.4:0",
                                        "1.2.3:80", "1.2.3.4:+80", "[::1",         "[::1]80",
                                        "[]:80",    "1.2.3.4:x",   "1.2.3.4:70000"};
    struct address address;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(address_parse(wrong[i], 7300, &address), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_accepted), cmocka_unit_test(test_v4),
                                       cmocka_unit_test(test_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
