#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/network/address_pool.h"

static void parses_subnets(void **state)
{
    (void)state; /* would break: addresses outside the operator's subnet */
    uint32_t network;
    uint8_t prefix;
    assert_int_equal(subnet_parse("10.88.0.0/16", &network, &prefix), 0);
    assert_int_equal(network, 0x0a580000);
    assert_int_equal(prefix, 16);
    static const char *const bad[] = {"10.88.0.0", "10.88.0.1/16", "10.88.0.0/8",   "10.88.0.0/30",
                                      "x/16",      "10.88.0.0/",   "10.88.0.0/16x", ""};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(subnet_parse(bad[i], &network, &prefix), -EINVAL);
}

static void gives_each_once_in_a_circle(void **state)
{
    (void)state; /* would break: two containers with one address; quick reuse of one */
    struct address_pool pool;
    assert_int_equal(address_pool_init(&pool, 0x0a000000, 29), 0);
    assert_int_equal(address_pool_gateway(&pool), 0x0a000001);
    uint32_t ip;
    for (uint32_t expected = 2; expected <= 6; expected++) {
        assert_int_equal(address_pool_take(&pool, &ip), 0);
        assert_int_equal(ip, 0x0a000000 + expected);
    }
    assert_int_equal(address_pool_take(&pool, &ip), -EADDRNOTAVAIL);
    address_pool_release(&pool, 0x0a000003);
    address_pool_release(&pool, 0x0a000005);
    assert_int_equal(address_pool_take(&pool, &ip), 0);
    assert_int_equal(ip, 0x0a000003);
    address_pool_release(&pool, ip);
    assert_int_equal(address_pool_take(&pool, &ip), 0);
    assert_int_equal(ip, 0x0a000005);
    address_pool_done(&pool);
}

static void takes_back_what_was_found(void **state)
{
    (void)state; /* would break: addresses after a restart of the daemon */
    struct address_pool pool;
    assert_int_equal(address_pool_init(&pool, 0x0a000000, 16), 0);
    assert_int_equal(address_pool_take_this(&pool, 0x0a000105), 0);
    assert_int_equal(address_pool_take_this(&pool, 0x0a000105), -EADDRINUSE);
    assert_int_equal(address_pool_take_this(&pool, 0), -EINVAL);
    assert_int_equal(address_pool_take_this(&pool, 0x0a000001), -EINVAL);
    assert_int_equal(address_pool_take_this(&pool, 0x0a00ffff), -EINVAL);
    address_pool_release(&pool, 0); /* no address yet: nothing to give back */
    uint32_t ip;
    assert_int_equal(address_pool_take(&pool, &ip), 0);
    assert_int_equal(ip, 0x0a000106);
    address_pool_done(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_subnets),
        cmocka_unit_test(gives_each_once_in_a_circle),
        cmocka_unit_test(takes_back_what_was_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
