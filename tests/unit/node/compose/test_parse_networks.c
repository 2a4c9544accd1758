#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if services are on other networks than their file says, or under other names. */
static void test_networks(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("name: shop\n"
               "services:\n"
               "  web: {image: a, networks: [front, back]}\n"
               "  db: {image: a, networks: {back: {aliases: [store, base], priority: 3}}}\n"
               "  job: {image: a}\n"
               "  tool: {image: a, networks: [outer, named, old, default]}\n"
               "networks:\n"
               "  front: {driver: bridge}\n"
               "  back: {internal: true, driver: overlay, attachable: true}\n"
               "  outer: {external: true}\n"
               "  named: {name: other_net}\n"
               "  old: {external: {name: elsewhere}}\n"
               "  x-unused: 1\n",
               &result);
    const struct service_spec *web = &result.services[0], *db = &result.services[1];
    const struct service_spec *job = &result.services[2], *tool = &result.services[3];
    assert_int_equal(web->network_count, 2);
    assert_string_equal(web->networks[0].name, "shop_front");
    assert_false(web->networks[0].internal);
    assert_string_equal(web->networks[1].name, "shop_back");
    assert_true(web->networks[1].internal);
    assert_int_equal(db->network_count, 1);
    assert_int_equal(db->networks[0].aliases.count, 2);
    assert_string_equal(db->networks[0].aliases.items[1], "base");
    assert_int_equal(job->network_count, 0);
    assert_int_equal(tool->network_count, 4);
    assert_string_equal(tool->networks[0].name, "outer");
    assert_string_equal(tool->networks[1].name, "other_net");
    assert_string_equal(tool->networks[2].name, "elsewhere");
    assert_string_equal(tool->networks[3].name, "shop_default");
    assert_int_equal(result.warnings.count, 0);
    compose_result_done(&result);
}

/* Breaks if the world is reached over another network than the file says. */
static void test_order(void **state)
{
    (void)state;
    static const struct {
        const char *settings[3]; /* of a, b and c */
        const char *order;
    } cases[] = {
        {{"", "", ""}, "abc"},
        {{"", "priority: 10", "priority: 1"}, "bca"},
        {{"priority: -1", "", "priority: 5"}, "cba"},
        {{"gw_priority: 1", "priority: 10", ""}, "abc"},
        {{"priority: 7", "priority: 7", "gw_priority: 2147483647"}, "cab"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct compose_result result;
        char text[512];
        snprintf(text, sizeof(text),
                 "services:\n  web: {image: a, networks: {a: {%s}, b: {%s}, c: {%s}}}\n"
                 "networks: {a: {name: a}, b: {name: b}, c: {name: c}}\n",
                 cases[i].settings[0], cases[i].settings[1], cases[i].settings[2]);
        bench_load(text, &result);
        assert_int_equal(result.services[0].network_count, 3);
        for (size_t j = 0; j < 3; j++)
            assert_int_equal(result.services[0].networks[j].name[0], cases[i].order[j]);
        compose_result_done(&result);
    }
}

/* Breaks if a file that asks for IPv6, which is there, is warned about; or one that does not want
 * it is not told what it gets. */
static void test_ipv6(void **state)
{
    (void)state;
    bench_warn(
        "services: {web: {image: a, networks: [a, b]}}\n"
        "networks:\n"
        "  a: {enable_ipv6: true}\n"
        "  b: {enable_ipv6: false}\n",
        ":4: networks.b.enable_ipv6: ignored: containers have IPv6 wherever their machine has "
        "it; `sysctls: {net.ipv6.conf.all.disable_ipv6: 1}` takes it from a service's");
}

/* Breaks if what the file says of the default network is passed over. */
static void test_default(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("name: shop\n"
               "services: {web: {image: a}, up: {image: a, network_mode: bridge}}\n"
               "networks: {default: {external: true, name: shared}}\n",
               &result);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(result.services[i].network_count, 1);
        assert_string_equal(result.services[i].networks[0].name, "shared");
    }
    compose_result_done(&result);
}

/* Breaks if a container's name or the resolver's keys get lost. */
static void test_names(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("name: shop\n"
               "services:\n"
               "  web: {image: a, container_name: shop-web, dns: 192.0.2.53,\n"
               "        extra_hosts: ['host.docker.internal:host-gateway']}\n"
               "  box: {image: a, network_mode: none}\n"
               "  own: {image: a, network_mode: host}\n"
               "  all: {image: a, container_name: each, deploy: {mode: global}}\n",
               &result);
    const struct service_spec *web = &result.services[0];
    assert_int_equal(web->network_count, 1);
    assert_string_equal(web->networks[0].name, "shop_default");
    assert_string_equal(web->networks[0].aliases.items[0], "shop-web");
    assert_string_equal(web->servers.items[0], "192.0.2.53");
    assert_string_equal(web->extra_hosts.items[0], "host.docker.internal=host-gateway");
    assert_int_equal(result.services[1].network_mode, SPEC_NETWORK_NONE);
    assert_int_equal(result.services[2].network_mode, SPEC_NETWORK_HOST);
    assert_string_equal(result.services[3].networks[0].aliases.items[0], "each");
    compose_result_done(&result);
}

/* Breaks if what can't be had is passed over in silence. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"    networks: [nowhere]\n", "networks: there is no network nowhere at the top level"},
        {"    networks: front\n", "networks: a list or a map is expected"},
        {"    networks: [a, b, c, d, e, f, g, h, i]\n", "networks: more than 8 networks"},
        {"    networks: {default: {priority: high}}\n",
         "networks.default.priority: a number from -2147483648 to 2147483647 is expected"},
        {"    networks: [default, default]\n", "networks: the network shop_default twice"},
        {"    network_mode: service:db\n",
         "network_mode: replicas are placed one by one, maybe on different machines, so none can "
         "share the network of db"},
        {"    network_mode: container:vpn\n",
         "network_mode: replicas are placed one by one, maybe on different machines, so none can "
         "share the network of vpn"},
        {"    network_mode: host\n    networks: [default]\n",
         "network_mode: network_mode and networks exclude each other"},
        {"    container_name: a\n    deploy: {replicas: 2}\n",
         "container_name: a service with several replicas can't have a container's name; leave it "
         "out: the service's name means them all"},
        {"    dns: [here]\n", "dns: here is no address"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        char words[512];
        snprintf(words, sizeof(words), ":4: services.web.%s", bad[i][1]);
        bench_refuse_service(bad[i][0], words);
    }
    bench_refuse("services: {web: {image: a, network_mode: lan}}\nnetworks: {lan: }\n",
                 ":1: services.web.network_mode: lan is a network: write it under networks");
    bench_warn_service(
        "    networks: {default: {mac_address: '02:42:ac:11:00:02'}}\n",
        ":4: services.web.networks.default.mac_address: ignored: each peer gives its "
        "containers their own");
    bench_warn("services: {web: {image: a}}\nnetworks:\n  lan: {driver: macvlan}\n",
               ":3: networks.lan.driver: ignored: every network is a bridge at each peer, and the "
               "mesh between peers");
    bench_warn_service("    dns: ['2001:db8::53']\n",
                       ":4: services.web.dns: no IPv4 server among them: the machine's own is "
                       "asked");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_networks), cmocka_unit_test(test_order),
        cmocka_unit_test(test_default),  cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_names),    cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
