#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/ip_network.h"

static struct address ip(const char *text)
{
    struct address address;
    assert_int_equal(ip_parse(text, &address), 0);
    return address;
}

static struct ip_network network(const char *text)
{
    struct ip_network ret;
    assert_int_equal(ip_network_parse(text, &ret), 0);
    return ret;
}

/* Breaks if a range is taken for another, or something else for a range. */
static void test_parse(void **state)
{
    (void)state;
    static const char *const good[] = {"172.28.0.0/16", "10.0.0.4/30",     "1.2.3.4/32",
                                       "128.0.0.0/1",   "2001:db8:1::/64", "fd00::7/128"};
    static const char *const bad[] = {
        "",
        "172.28.0.0",
        "172.28.0.1/16",
        "172.28.0.0/33",
        "172.28.0.0/0",
        "::/0",
        "fd00::/129",
        "fd00::1/64",
        "172.28.0.0/16 ",
        "172.28.0.0/+16",
        "a/16",
        "172.28.0.0/",
        "/16",
        "fd00::/0064",
        "172.28.0.0/16/1",
        "172.28/16",
        "::ffff:1.2.3.0/120",
        "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/64"};
    for (size_t i = 0; i < array_count(good); i++) {
        char text[IP_NETWORK_TEXT_BYTES];
        const struct ip_network parsed = network(good[i]);
        ip_network_format(&parsed, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < array_count(bad); i++) {
        struct ip_network parsed;
        assert_int_equal(ip_network_parse(bad[i], &parsed), -EINVAL);
    }
    struct address address;
    assert_int_equal(ip_parse("172.28.0.5:80", &address), -EINVAL);
    assert_int_equal(ip_parse("[fd00::1]", &address), -EINVAL);
    assert_int_equal(ip_parse("::ffff:1.2.3.4", &address), -EINVAL); /* it is 1.2.3.4 */
}

/* Breaks if an address counts as in a range that it is not in, or a range's ends as anybody's. */
static void test_has(void **state)
{
    (void)state;
    const struct ip_network v4 = network("172.28.4.0/22"), v6 = network("fd00:1::/64"),
                            pair = network("10.0.0.4/31");
    const struct address in = ip("172.28.7.255"), out = ip("172.28.8.0"), first = ip("172.28.4.0"),
                         usual = ip("172.28.5.0"), in6 = ip("fd00:1::ffff:ffff:ffff:ffff"),
                         out6 = ip("fd00:1:0:1::"), first6 = ip("fd00:1::"), one = ip("10.0.0.5");
    assert_true(ip_network_has(&v4, &in));
    assert_false(ip_network_has(&v4, &out));
    assert_false(ip_network_has(&v4, &in6));
    assert_true(ip_network_has(&v6, &in6));
    assert_false(ip_network_has(&v6, &out6));
    assert_false(ip_network_has(&v6, &in));
    assert_true(ip_network_is_edge(&v4, &first));
    assert_true(ip_network_is_edge(&v4, &in));
    assert_false(ip_network_is_edge(&v4, &usual));
    assert_true(ip_network_is_edge(&v6, &first6));
    assert_false(ip_network_is_edge(&v6, &in6)); /* IPv6 has no broadcast */
    assert_false(ip_network_is_edge(&pair, &one));
}

/* Breaks if an address that means many, none or oneself could be a service's. */
static void test_unicast(void **state)
{
    (void)state;
    static const char *const good[] = {"1.1.1.1", "172.28.0.5", "223.255.255.255", "2001:db8::1",
                                       "fd00::1"};
    static const char *const bad[] = {
        "0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "240.0.0.1",      "::",
        "::1",     "fe80::1",   "ff02::1",     "::1.2.3.4", "255.255.255.255"};
    for (size_t i = 0; i < array_count(good); i++) {
        const struct address address = ip(good[i]);
        assert_true(ip_is_unicast(&address));
    }
    for (size_t i = 0; i < array_count(bad); i++) {
        const struct address address = ip(bad[i]);
        assert_false(ip_is_unicast(&address));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_has),
        cmocka_unit_test(test_unicast),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
