#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/network/network_pool.h"

enum {
    SUBNET = 0x0a580000, /* 10.88.0.0 */
};

/* A container on the networks "a b", and on the internal ones. */
static void spec_on(struct container_spec *spec, const char *open, const char *internal)
{
    container_spec_init(spec);
    if (open)
        assert_int_equal(text_list_add(&spec->networks, open), 0);
    if (internal)
        assert_int_equal(text_list_add(&spec->internal_networks, internal), 0);
}

static void take(struct network_pool *pool, const char *open, const char *internal,
                 struct network_ends *ret)
{
    struct container_spec spec;
    spec_on(&spec, open, internal);
    assert_int_equal(network_pool_take(pool, &spec, ret), 0);
    container_spec_done(&spec);
}

static uint32_t block_of(uint32_t ip)
{
    return (ip - SUBNET) >> 10;
}

static void each_network_has_its_block(void **state)
{
    (void)state; /* would break: keeping networks apart by address */
    struct network_pool pool;
    struct network_ends one, two, both, none;
    assert_int_equal(network_pool_init(&pool, SUBNET, 16), 0);
    assert_int_equal(pool.block_prefix, 22);
    take(&pool, "front", NULL, &one);
    take(&pool, "back", NULL, &two);
    take(&pool, "front", "back", &both);
    assert_int_equal(one.count, 1);
    assert_int_equal(both.count, 2);
    assert_int_equal(both.open_count, 1);
    assert_int_not_equal(block_of(one.ips[0]), block_of(two.ips[0]));
    assert_int_not_equal(block_of(one.ips[0]), 0); /* the gateway's */
    assert_int_equal(block_of(both.ips[0]), block_of(one.ips[0]));
    assert_int_equal(block_of(both.ips[1]), block_of(two.ips[0]));
    assert_int_not_equal(both.ips[0], one.ips[0]);
    take(&pool, NULL, NULL, &none);
    assert_int_equal(none.count, 1); /* the default */

    struct container_spec spec;
    spec_on(&spec, NULL, NULL);
    spec.network_mode = CONTAINER_NETWORK_NONE;
    assert_int_equal(network_pool_take(&pool, &spec, &none), 0);
    assert_int_equal(none.count, 0);
    network_pool_done(&pool);
}

static void blocks_come_back(void **state)
{
    (void)state; /* would break: a peer on which many networks come and go */
    struct network_pool pool;
    struct network_ends ends[63], more;
    struct container_spec spec;
    char name[16];
    assert_int_equal(network_pool_init(&pool, SUBNET, 16), 0);
    for (unsigned i = 0; i < 63; i++) {
        snprintf(name, sizeof(name), "net-%u", i);
        take(&pool, name, NULL, &ends[i]);
    }
    spec_on(&spec, "net-5", "one-more");
    assert_int_equal(network_pool_take(&pool, &spec, &more), -ENOSPC);
    network_pool_release(&pool, &ends[7]);
    assert_int_equal(network_pool_take(&pool, &spec, &more), 0);
    assert_int_equal(block_of(more.ips[1]), block_of(ends[7].ips[0]));
    container_spec_done(&spec);
    for (unsigned i = 0; i < 63; i++)
        if (i != 7)
            network_pool_release(&pool, &ends[i]);
    network_pool_release(&pool, &more);
    for (size_t i = 0; i < pool.block_count; i++)
        assert_null(pool.blocks[i].name);
    network_pool_done(&pool);
}

static void a_full_network_takes_nothing(void **state)
{
    (void)state; /* would break: addresses of networks that a container did not get after all */
    struct network_pool pool;
    struct network_ends ends, first;
    struct container_spec spec;
    assert_int_equal(network_pool_init(&pool, SUBNET, 24), 0);
    assert_int_equal(pool.block_prefix, 28);
    spec_on(&spec, "small", NULL);
    for (unsigned i = 0; i < 13; i++)
        assert_int_equal(network_pool_take(&pool, &spec, i == 0 ? &first : &ends), 0);
    assert_int_equal(network_pool_take(&pool, &spec, &ends), -EADDRNOTAVAIL);
    container_spec_done(&spec);
    spec_on(&spec, "other", "small");
    assert_int_equal(network_pool_take(&pool, &spec, &ends), -EADDRNOTAVAIL);
    size_t used = 0;
    for (size_t i = 0; i < pool.block_count; i++)
        used += pool.blocks[i].name != NULL;
    assert_int_equal(used, 1);
    network_pool_release(&pool, &first);
    assert_int_equal(network_pool_take(&pool, &spec, &ends), 0);
    container_spec_done(&spec);
    network_pool_done(&pool);
}

static void found_containers_keep_theirs(void **state)
{
    (void)state; /* would break: networks after a restart of the daemon */
    struct network_pool before, after;
    struct network_ends ends, other;
    struct container_spec spec;
    assert_int_equal(network_pool_init(&before, SUBNET, 16), 0);
    assert_int_equal(network_pool_init(&after, SUBNET, 16), 0);
    take(&before, "filler", NULL, &other);
    take(&before, "front", "back", &ends);
    spec_on(&spec, "front", "back");
    assert_int_equal(network_pool_take_back(&after, &spec, &ends), 0);
    assert_int_equal(network_pool_take_back(&after, &spec, &ends), -EADDRINUSE);
    take(&after, "front", "back", &other);
    assert_int_equal(block_of(other.ips[0]), block_of(ends.ips[0]));
    assert_int_equal(block_of(other.ips[1]), block_of(ends.ips[1]));
    assert_int_not_equal(other.ips[0], ends.ips[0]);

    struct network_ends wrong = ends;
    wrong.ips[1] = ends.ips[0]; /* another network's block */
    assert_int_equal(network_pool_take_back(&after, &spec, &wrong), -EADDRINUSE);
    wrong.ips[1] = SUBNET + 2; /* the gateway's */
    wrong.ips[0] = other.ips[0] + 1;
    assert_int_equal(network_pool_take_back(&after, &spec, &wrong), -EINVAL);
    wrong.ips[1] = SUBNET - 1;
    assert_int_equal(network_pool_take_back(&after, &spec, &wrong), -EINVAL);
    wrong.count = 1;
    assert_int_equal(network_pool_take_back(&after, &spec, &wrong), -EINVAL);
    container_spec_done(&spec);
    network_pool_done(&before);
    network_pool_done(&after);
}

static void subnets_of_any_size(void **state)
{
    (void)state; /* would break: a peer with a small or a large range */
    for (uint8_t prefix = RUNTIME_SUBNET_PREFIX_MIN; prefix <= RUNTIME_SUBNET_PREFIX_MAX;
         prefix++) {
        struct network_pool pool;
        struct network_ends ends;
        assert_int_equal(network_pool_init(&pool, SUBNET, prefix), 0);
        take(&pool, "a", NULL, &ends);
        assert_true(ends.ips[0] - SUBNET < 1u << (32 - prefix));
        network_pool_done(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_network_has_its_block),
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(a_full_network_takes_nothing),
        cmocka_unit_test(found_containers_keep_theirs),
        cmocka_unit_test(subnets_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
