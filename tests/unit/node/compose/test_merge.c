/* If this fails, files merged over each other are not what Compose makes of them. */
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

/* The lines of the only service in one file, and those that are merged over it. */
static void merge(const char *base, const char *over, struct compose_result *ret)
{
    static const char *const names[] = {"a.yaml", "b.yaml", NULL};
    char text[2048];
    struct error error = {0};
    snprintf(text, sizeof(text), "services:\n  web:\n    image: hello:1\n%s", base);
    bench_file("a.yaml", text);
    snprintf(text, sizeof(text), "services:\n  web:\n%s", over);
    bench_file("b.yaml", text);
    if (bench_load_project(names, NULL, ret, &error) < 0)
        fail_msg("%s", error.message);
    if (ret->warnings.count > 0)
        fail_msg("%s", ret->warnings.items[0]);
}

static void expect_list(const struct text_list *list, const char *expected)
{
    char text[512] = "";
    for (size_t i = 0; i < list->count; i++) {
        strncat(text, i > 0 ? " " : "", sizeof(text) - strlen(text) - 1);
        strncat(text, list->items[i], sizeof(text) - strlen(text) - 1);
    }
    assert_string_equal(text, expected);
}

/* Breaks if what a later file says does not win, or what it does not say is lost. */
static void test_scalars_and_maps(void **state)
{
    (void)state;
    struct compose_result result;
    merge("    user: ann\n    hostname: h\n    deploy: {replicas: 2, resources: {limits: {cpus: "
          "1}}}\n",
          "    user: bob\n    deploy: {resources: {limits: {memory: 1M}}}\n    hostname:\n",
          &result);
    const struct service_spec *web = &result.services[0];
    assert_string_equal(web->image, "hello:1");
    assert_string_equal(web->user, "bob");
    assert_null(web->hostname);
    assert_int_equal(web->replicas, 2);
    assert_int_equal(web->resources.cpu_limit_millis, 1000);
    assert_int_equal(web->resources.memory_limit_bytes, 1024 * 1024);
    compose_result_done(&result);
}

/* Breaks if a command is added to, instead of replaced, or a list replaced instead of added to. */
static void test_lists(void **state)
{
    (void)state;
    struct compose_result result;
    merge("    command: [a, b]\n    healthcheck: {test: [CMD, x], retries: 7}\n"
          "    cap_add: [NET_ADMIN, CHOWN]\n",
          "    command: [c]\n    healthcheck: {test: [CMD, y, z]}\n    cap_add: [CHOWN, KILL]\n",
          &result);
    const struct service_spec *web = &result.services[0];
    expect_list(&web->command, "c");
    expect_list(&web->health.test, "y z");
    assert_int_equal(web->health.retries, 7);
    expect_list(&web->cap_add, "NET_ADMIN CHOWN KILL");
    compose_result_done(&result);
}

/* Breaks if lists whose items have names are not merged by them, in whichever form they stand. */
static void test_by_name(void **state)
{
    (void)state;
    struct compose_result result;
    merge("    environment: [A=1, B=2]\n    labels: {a: x, b: y}\n"
          "    extra_hosts: [\"db:192.0.2.1\", \"c=192.0.2.3\"]\n",
          "    environment: {B: 3, C: 4}\n    labels: [b=z]\n    extra_hosts: {db: 192.0.2.2}\n",
          &result);
    const struct service_spec *web = &result.services[0];
    expect_list(&web->environment, "A=1 B=3 C=4");
    expect_list(&web->labels, "a=x b=z");
    expect_list(&web->extra_hosts, "db=192.0.2.2 c=192.0.2.3");
    compose_result_done(&result);
}

/* Breaks if a mount or port that is said again stands there twice. */
static void test_by_place(void **state)
{
    (void)state;
    struct compose_result result;
    merge("    ports: [\"8080:80\", \"443\"]\n    volumes: [\"a:/data\", \"b:/more/\"]\n",
          "    ports: [{target: 80, published: 8080}, \"8081:80\"]\n"
          "    volumes: [{type: tmpfs, target: /more}, \"c:/data:ro\"]\n",
          &result);
    const struct service_spec *web = &result.services[0];
    assert_int_equal(web->port_count, 3);
    assert_int_equal(web->ports[2].published, 8081);
    assert_int_equal(web->mount_count, 2);
    assert_string_equal(web->mounts[0].source, "shop_c");
    assert_true(web->mounts[0].read_only);
    assert_int_equal(web->mounts[1].type, SPEC_MOUNT_TMPFS);
    compose_result_done(&result);
}

/* Breaks if what a later file takes away or replaces stays. */
static void test_tags(void **state)
{
    (void)state;
    struct compose_result result;
    merge("    ports: [\"8080:80\"]\n    user: ann\n    volumes: [\"a:/data\"]\n"
          "    environment: {A: 1, B: 2}\n",
          "    ports: !reset []\n    user: !reset null\n    volumes: !override [\"b:/b\"]\n"
          "    environment: {A: !reset null}\n    hostname: !reset h\n",
          &result);
    const struct service_spec *web = &result.services[0];
    assert_int_equal(web->port_count, 0);
    assert_null(web->user);
    assert_null(web->hostname);
    assert_int_equal(web->mount_count, 1);
    assert_string_equal(web->mounts[0].target, "/b");
    expect_list(&web->environment, "B=2");
    compose_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalars_and_maps),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_by_name),
        cmocka_unit_test(test_by_place),
        cmocka_unit_test(test_tags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
