#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "base/cleanup.h"
#include "base/ip_network.h"
#include "tests/unit/node/compose/compose_bench.h"

static void expect_address(const struct spec_network *network, size_t index, const char *expected)
{
    char text[IP_TEXT_BYTES];
    assert_true(index < network->address_count);
    ip_format(&network->addresses[index], text);
    assert_string_equal(text, expected);
}

/* Breaks if a service has other addresses than its file says, or a network's subnets get lost. */
static void test_addresses(void **state)
{
    (void)state;
    struct compose_result result;
    struct error error = {0};
    static const char *const names[] = {"compose.yaml", NULL};
    bench_file(
        "compose.yaml",
        "name: shop\n"
        "services:\n"
        "  dns:\n"
        "    image: a\n"
        "    deploy: {replicas: 3}\n"
        "    networks:\n"
        "      front: {ipv4_address: 172.28.0.5, ipv6_address: 'FD00:28::5'}\n"
        "      back: {ipv4_address: 172.28.0.5}\n"
        "  web: {image: a, networks: [front]}\n"
        "networks:\n"
        "  front:\n"
        "    ipam:\n"
        "      config:\n"
        "        - {subnet: 172.28.0.0/16, ip_range: 172.28.5.0/24}\n"
        "        - subnet: 'fd00:28::/64'\n"
        "    enable_ipv6: true\n"
        "  back:\n"
        "    ipam: {driver: default, config: [{subnet: 172.28.0.0/24, gateway: 172.28.0.1}]}\n");
    assert_int_equal(bench_load_project(names, "", &result, &error), 0);
    const struct service_spec *dns = &result.services[0], *web = &result.services[1];
    assert_int_equal(dns->network_count, 2);
    assert_int_equal(dns->networks[0].address_count, 2);
    expect_address(&dns->networks[0], 0, "172.28.0.5");
    expect_address(&dns->networks[0], 1, "fd00:28::5");
    expect_address(&dns->networks[1], 0, "172.28.0.5"); /* another network, another thing */
    assert_int_equal(web->networks[0].address_count, 0);
    assert_int_equal(web->networks[0].subnets.count, 2); /* it is to reach them, too */
    assert_string_equal(web->networks[0].subnets.items[0], "172.28.0.0/16");
    assert_string_equal(web->networks[0].subnets.items[1], "fd00:28::/64");
    assert_int_equal(result.warnings.count, 4); /* of three subnets and a gateway */
    compose_result_done(&result);
}

/* Refuses a service with those settings in the network lan: of 172.28.0.0/16 and fd00:28::/64. */
static void refuse(const char *settings, const char *words)
{
    char file[1024], expected[512];
    snprintf(file, sizeof(file),
             "services:\n  web: {image: a, networks: {lan: {%s}}}\n"
             "networks:\n  lan:\n    ipam:\n      config:\n"
             "        - {subnet: 172.28.0.0/16, gateway: 172.28.0.254}\n"
             "        - {subnet: 'fd00:28::/64'}\n"
             "    enable_ipv6: true\n",
             settings);
    snprintf(expected, sizeof(expected), ":2: services.web.networks.lan.%s", words);
    bench_refuse(file, expected);
}

/* Breaks if a service could have an address that it can't be reached at. */
static void test_refused(void **state)
{
    (void)state;
    refuse("ipv4_address: 172.28.0", "ipv4_address: an IPv4 address is expected");
    refuse("ipv4_address: 'fd00:28::5'", "ipv4_address: an IPv4 address is expected");
    refuse("ipv4_address: [172.28.0.5]", "ipv4_address: an IPv4 address is expected");
    refuse("ipv6_address: 172.28.0.5", "ipv6_address: an IPv6 address is expected");
    refuse("ipv6_address: '::ffff:172.28.0.5'", "ipv6_address: an IPv6 address is expected");
    refuse("ipv4_address: 127.0.0.1", "ipv4_address: 127.0.0.1 can't be a service's: it is "
                                      "nobody's, everybody's or each machine's own");
    refuse("ipv6_address: 'ff02::1'", "ipv6_address: ff02::1 can't be a service's: it is nobody's, "
                                      "everybody's or each machine's own");
    refuse(
        "ipv4_address: 10.97.0.5",
        "ipv4_address: 10.97.0.5 is of the ranges that Consort hands out itself: 10.88.0.0/16 and "
        "fd39:8035:57fb::/48 to containers, 10.97.0.0/16 to services; choose another");
    refuse("ipv4_address: 172.29.0.5",
           "ipv4_address: 172.29.0.5 is not in the network's subnet 172.28.0.0/16 (line 7)");
    refuse("ipv6_address: 'fd00:29::5'",
           "ipv6_address: fd00:29::5 is not in the network's subnet fd00:28::/64 (line 8)");
    refuse("ipv4_address: 172.28.255.255",
           "ipv4_address: 172.28.255.255 stands for all of the subnet: nobody has it");
    refuse("ipv6_address: 'fd00:28::'",
           "ipv6_address: fd00:28:: stands for all of the subnet: nobody has it");
    refuse("ipv4_address: 172.28.0.254",
           "ipv4_address: 172.28.0.254 is the network's gateway (line 7)");
    bench_refuse("services: {web: {image: a}}\nnetworks:\n"
                 "  lan: {ipam: {config: [{subnet: 172.28.0.0}]}}\n",
                 ":3: networks.lan.ipam.config.subnet: a range of addresses is expected, by its "
                 "first one, as 172.28.0.0/16");
    bench_refuse("services: {web: {image: a}}\nnetworks:\n"
                 "  lan: {ipam: {config: {subnet: 172.28.0.0/16}}}\n",
                 ":3: networks.lan.ipam.config: a list is expected");
}

/* Breaks if an IPv6 address is taken in a network that its file has without IPv6, or refused in one
 * that another file describes. */
static void test_without_ipv6(void **state)
{
    (void)state;
    static const char *const settings[] = {"", "enable_ipv6: false, ", "external: true, "};
    for (size_t i = 0; i < 3; i++) {
        char file[512];
        snprintf(file, sizeof(file),
                 "services:\n  web: {image: a, networks: {lan: {ipv6_address: 'fd00:28::5'}}}\n"
                 "networks:\n  lan: {%sipam: {config: [{subnet: 'fd00:28::/64'}]}}\n",
                 settings[i]);
        if (i < 2)
            bench_refuse(file, ":2: services.web.networks.lan.ipv6_address: the network lan has no "
                               "IPv6");
        else
            bench_warn(file, ":4: networks.lan.ipam.config.subnet: what services have by "
                             "ipv4_address and ipv6_address is of this range; the addresses that "
                             "containers see as their own are each peer's");
    }
}

/* Breaks if whoever is refused is not told what to do. */
static void test_hints(void **state)
{
    (void)state;
    static const char *const names[] = {"compose.yaml", NULL};
    static const char *const cases[][2] = {
        {"ipv4_address: 172.29.0.5",
         "choose an address of 172.28.0.0/16, or give the network a subnet more"},
        {"ipv4_address: 172.28.0.0", "choose another address of 172.28.0.0/16"},
        {"ipv4_address: 172.28.0.1", "choose another address of 172.28.0.0/16"},
        {"ipv6_address: 'fd00:28::5'", "give the network, at the top level: enable_ipv6: true"}};
    for (size_t i = 0; i < array_count(cases); i++) {
        char file[512];
        struct compose_result result;
        struct error error = {0};
        snprintf(file, sizeof(file),
                 "name: shop\nservices:\n  web: {image: a, networks: {lan: {%s}}}\nnetworks:\n"
                 "  lan: {ipam: {config: [{subnet: 172.28.0.0/16, gateway: 172.28.0.1}]}}\n",
                 cases[i][0]);
        bench_file("compose.yaml", file);
        assert_int_equal(bench_load_project(names, "", &result, &error), -EINVAL);
        assert_string_equal(error.hint, cases[i][1]);
    }
}

/* Breaks if two services of a file can have one address in a network, or the operator is not told
 * where both stand. */
static void test_twice(void **state)
{
    (void)state;
    bench_refuse("name: shop\n"
                 "services:\n"
                 "  a: {image: a, networks: {lan: {ipv4_address: 172.28.0.5}}}\n"
                 "  b:\n"
                 "    image: a\n"
                 "    networks:\n"
                 "      lan:\n"
                 "        ipv4_address: 172.28.0.5\n"
                 "networks: {lan: {ipam: {config: [{subnet: 172.28.0.0/16}]}}}\n",
                 ":8: services.b.networks.lan.ipv4_address: the service a has this address in the "
                 "network shop_lan, too (line 3)");
}

/* Breaks if what is left of ipam and enable_ipv4 is not said. */
static void test_warnings(void **state)
{
    (void)state;
    bench_warn("services: {web: {image: a}}\nnetworks:\n"
               "  lan: {ipam: {config: [{subnet: 172.28.0.0/16}]}}\n",
               ":3: networks.lan.ipam.config.subnet: what services have by ipv4_address and "
               "ipv6_address is of this range; the addresses that containers see as their own are "
               "each peer's");
    bench_warn("services: {web: {image: a}}\nnetworks:\n"
               "  lan: {ipam: {config: [{gateway: 172.28.0.1}]}}\n",
               ":3: networks.lan.ipam.config.gateway: nobody answers at this address: each peer's "
               "containers have their own way out");
    bench_warn("services: {web: {image: a}}\nnetworks:\n  lan: {enable_ipv4: false}\n",
               ":3: networks.lan.enable_ipv4: ignored: containers have IPv4 in every network, "
               "beside IPv6: their peer answers for names there alone");
    bench_warn_service(
        "    networks: {default: {ipv4_address: 172.28.0.5}}\n",
        ":4: services.web.networks.default.ipv4_address: the network has no subnet "
        "that it is in (ipam, config): it is reached by those containers alone whose "
        "way to the world is over this network");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),    cmocka_unit_test(test_refused),
        cmocka_unit_test(test_without_ipv6), cmocka_unit_test(test_hints),
        cmocka_unit_test(test_twice),        cmocka_unit_test(test_warnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
