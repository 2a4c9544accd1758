#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if a service that is linked to has no such name, or is not waited for. */
static void test_links(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services:\n  web: {image: a, links: [db, 'cache_1:redis']}\n"
               "  db: {image: b}\n  cache_1: {image: c}\n",
               &result);
    assert_int_equal(result.services[0].dependency_count, 2);
    assert_string_equal(result.services[0].dependencies[1].name, "cache_1");
    assert_int_equal(result.services[1].network_count, 0);
    assert_int_equal(result.services[2].network_count, 1);
    assert_string_equal(result.services[2].networks[0].name, "shop_default");
    assert_string_equal(result.services[2].networks[0].aliases.items[0], "redis");
    compose_result_done(&result);
    bench_refuse("services:\n  web: {image: a, links: [db]}\n",
                 ":2: services.web.links: there is no service db");
}

/* Breaks if another's volumes are not mounted, or replace one's own. */
static void test_volumes_from(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services:\n  web: {image: a, volumes_from: ['db:ro'], volumes: ['own:/b']}\n"
               "  db: {image: b, volumes: ['data:/a', 'other:/b']}\n",
               &result);
    const struct service_spec *web = &result.services[0];
    assert_int_equal(web->mount_count, 2);
    assert_string_equal(web->mounts[0].source, "shop_own");
    assert_string_equal(web->mounts[1].source, "shop_data");
    assert_string_equal(web->mounts[1].target, "/a");
    assert_true(web->mounts[1].read_only);
    compose_result_done(&result);
    bench_refuse("services:\n  web: {image: a, volumes_from: ['db:rx']}\n  db: {image: b}\n",
                 ":2: services.web.volumes_from: db:rx: ro or rw is expected behind the colon");
    bench_refuse("services:\n  web: {image: a, volumes_from: [web]}\n",
                 ":2: services.web.volumes_from: there is no other service web");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_links),
        cmocka_unit_test(test_volumes_from),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
