#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/ula.h"

/* Breaks if an address is another at the next start, or at another peer. */
static void test_text(void **state)
{
    (void)state;
    char text[ADDRESS_TEXT_BYTES];
    struct address address = ula_make(4, 0x0a580407);
    address.port = 80;
    address_format(&address, text);
    assert_string_equal(text, "[fd39:8035:57fb:4::a58:407]:80");
    address = ula_make(ULA_VIRTUAL_SUBNET, 0x0a610003);
    address.port = 80;
    address_format(&address, text);
    assert_string_equal(text, "[fd39:8035:57fb:ffff::a61:3]:80");
}

/* Breaks if an address that is none of ours is taken for a container's. */
static void test_parse(void **state)
{
    (void)state;
    const char *const strangers[] = {"::1", "10.88.4.7", "fd39:8035:57fa:4::a58:407",
                                     "fd39:8035:57fb:4:1::a58:407", "fe80::a58:407"};
    struct address address = ula_make(0x1234, 0xfedcba98);
    uint16_t subnet = 0;
    uint32_t ip4 = 0;
    assert_true(ula_parse(&address, &subnet, &ip4));
    assert_int_equal(subnet, 0x1234);
    assert_int_equal(ip4, 0xfedcba98);
    for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
        assert_int_equal(address_parse(strangers[i], 1, &address), 0);
        assert_false(ula_parse(&address, &subnet, &ip4));
    }
    assert_int_equal(ip4, 0xfedcba98);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_parse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
