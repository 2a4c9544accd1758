#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/ip_network.h"
#include "runtime/network/address_rules.h"

static const struct firewall_config config = {
    .bridge = "consort0",
    .network = 0x0a580000,
    .prefix = 16,
    .gateway = 0x0a580001,
    .virtual_network = 0x0a610000,
    .virtual_prefix = 16,
    .mesh_port = 7301,
    .has_ipv6 = true,
};

static struct address_rule rule(const char *network, const char *ip, uint32_t virtual_ip)
{
    struct address_rule ret = {.virtual_ip = virtual_ip};
    strcpy(ret.network, network);
    assert_int_equal(ip_parse(ip, &ret.address), 0);
    return ret;
}

static char *written(const struct firewall_config *with, const struct network_pool *pool,
                     const struct address_rule *items, size_t count)
{
    cleanup_buffer struct buffer text;
    buffer_init(&text);
    assert_int_equal(address_rules_write(with, pool, items, count, &text), 0);
    char *ret = buffer_take_text(&text);
    assert_non_null(ret);
    return ret;
}

/* A pool in which a container is on the networks front and back. */
static void take(struct network_pool *pool, struct network_ends *ret)
{
    struct container_spec spec;
    assert_int_equal(network_pool_init(pool, config.network, config.prefix), 0);
    container_spec_init(&spec);
    assert_int_equal(text_list_add(&spec.networks, "front"), 0);
    assert_int_equal(text_list_add(&spec.internal_networks, "back"), 0);
    assert_int_equal(network_pool_take(pool, &spec, ret), 0);
    container_spec_done(&spec);
}

/* Has the line `"consort0MARK…" REST`, of that block's bridge. */
static void expect(const char *text, const char *mark, uint16_t block, const char *rest)
{
    char line[256];
    snprintf(line, sizeof(line), "\"consort0%s%x\" . %s,\n", mark, (unsigned)block, rest);
    if (!strstr(text, line))
        fail_msg("no %s in %s", line, text);
}

/* Breaks if an address leads elsewhere than to its service, or from elsewhere than its network. */
static void test_written(void **state)
{
    (void)state;
    struct network_pool pool;
    struct network_ends ends;
    take(&pool, &ends);
    uint16_t front = firewall_block(&config, ends.ips[0]),
             back = firewall_block(&config, ends.ips[1]);
    const struct address_rule items[] = {
        rule("front", "172.28.0.5", 0x0a610003), rule("back", "172.28.0.5", 0x0a610004),
        rule("front", "fd00:28::5", 0x0a610003), rule("elsewhere", "172.28.0.7", 0x0a610005),
        rule("front", "10.88.4.7", 0x0a610006)};
    cleanup_free char *text = written(&config, &pool, items, array_count(items));
    expect(text, "n", front, "172.28.0.5");
    expect(text, "n", front, "172.28.0.5 : 10.97.0.3");
    expect(text, "ni", back, "172.28.0.5 : 10.97.0.4");
    expect(text, "n", front, "fd00:28::5 : fd39:8035:57fb:ffff::a61:3");
    assert_non_null(strstr(text, "dnat to 10.88.0.1:7301\n"));
    assert_non_null(strstr(text, "dnat to [fd39:8035:57fb::a58:1]:7301\n"));
    assert_null(strstr(text, "172.28.0.7")); /* no container here is on that network */
    assert_null(strstr(text, "10.88.4.7"));  /* a container's own */
    network_pool_done(&pool);
}

/* Breaks if tables stay that nobody needs, or are made where there is no IPv6 or no mesh. */
static void test_empty(void **state)
{
    (void)state;
    struct network_pool pool;
    struct network_ends ends;
    struct firewall_config without = config;
    take(&pool, &ends);
    const struct address_rule items[] = {rule("front", "172.28.0.5", 0x0a610003),
                                         rule("front", "fd00:28::5", 0x0a610003)};
    cleanup_free char *none = written(&config, &pool, items, 0);
    assert_string_equal(none, "table ip consort_addresses\ndelete table ip consort_addresses\n"
                              "table ip6 consort_addresses\ndelete table ip6 consort_addresses\n");
    without.has_ipv6 = false;
    cleanup_free char *ip4 = written(&without, &pool, items, 2);
    assert_non_null(strstr(ip4, "172.28.0.5"));
    assert_null(strstr(ip4, "ip6"));
    without.mesh_port = 0;
    cleanup_free char *meshless = written(&without, &pool, items, 2);
    assert_null(strstr(meshless, "172.28.0.5"));
    network_pool_done(&pool);
}

/* Breaks if rules are not applied that are new, or applied again for nothing. */
static void test_wanted(void **state)
{
    (void)state;
    struct address_rules *rules = address_rules_new();
    assert_non_null(rules);
    assert_int_equal(address_rules_apply(rules, NULL), 0); /* nobody has said anything yet */
    assert_true(address_rules_want(rules, strdup("a")));
    assert_false(address_rules_want(rules, strdup("a")));
    assert_true(address_rules_want(rules, strdup("b")));
    address_rules_free(rules);
    address_rules_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_wanted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
