/* If this fails, what an operator deploys is not what all the files together say. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/compose/document.h"
#include "tests/unit/node/compose/compose_bench.h"

static const char *const main_file[] = {"compose.yaml", NULL};

static void load(const char *profiles, struct compose_result *ret)
{
    struct error error = {0};
    if (bench_load_project(main_file, profiles, ret, &error) < 0)
        fail_msg("%s", error.message);
}

static void refuse(const char *words)
{
    struct compose_result result;
    struct error error = {0};
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_string_equal(error.message, words);
}

static const struct service_spec *find(const struct compose_result *result, const char *name)
{
    for (size_t i = 0; i < result->service_count; i++)
        if (strcmp(result->services[i].name, name) == 0)
            return &result->services[i];
    return NULL;
}

/* Breaks if a service has not what it extends, or loses what it says itself. */
static void test_extends(void **state)
{
    (void)state;
    struct compose_result result;
    bench_file("parts/base.yaml", "services:\n  base: {extends: root, user: base, hostname: h}\n"
                                  "  root: {image: hello:1, user: root, env_file: v.env}\n");
    bench_file("parts/v.env", "A=from parts\n");
    bench_file("compose.yaml", "services:\n  web:\n    user: own\n    extends:\n"
                               "      service: base\n      file: parts/base.yaml\n"
                               "  twin: {extends: {service: web}, command: [x]}\n");
    load(NULL, &result);
    assert_int_equal(result.service_count, 2);
    const struct service_spec *web = find(&result, "web"), *twin = find(&result, "twin");
    assert_string_equal(web->image, "hello:1");
    assert_string_equal(web->user, "own");
    assert_string_equal(web->hostname, "h");
    assert_string_equal(web->environment.items[0], "A=from parts");
    assert_string_equal(twin->user, "own");
    assert_string_equal(twin->hostname, "h");
    assert_int_equal(twin->command.count, 1);
    assert_int_equal(web->command.count, 0);
    compose_result_done(&result);
}

/* Breaks if extending what is not there, or in a circle, is not told with its place. */
static void test_extends_refused(void **state)
{
    (void)state;
    bench_file("compose.yaml", "services:\n  web:\n    extends: db\n");
    struct compose_result result;
    struct error error = {0};
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_non_null(
        strstr(error.message, ":3: services.web.extends: db is not among the services"));
    bench_file("compose.yaml", "services:\n  a: {extends: b}\n  b: {extends: a}\n");
    refuse("compose.yaml:2: services.a.extends: more than 16 services, one extending the other, or "
           "in a circle");
    bench_file("compose.yaml", "services:\n  a: {extends: {file: x}}\n");
    refuse("compose.yaml:2: services.a.extends: service: NAME is expected, and file: PATH");
}

/* Breaks if included services are missing, or have other paths or variables than their own. */
static void test_include(void **state)
{
    (void)state;
    struct compose_result result;
    bench_file("db/compose.yaml", "services: {db: {image: \"db:${TAG}\", volumes: [\"./d:/d\"]}}\n"
                                  "configs: {k: {file: k.txt}}\n");
    bench_file("db/.env", "TAG=7\nNAME=theirs\n");
    bench_file("db/k.txt", "content");
    bench_file(".env", "NAME=ours\n");
    bench_file("compose.yaml", "include: [db/compose.yaml]\n"
                               "services: {web: {image: \"web:${NAME}\", depends_on: [db]}}\n");
    load(NULL, &result);
    assert_int_equal(result.service_count, 2);
    const struct service_spec *db = find(&result, "db");
    assert_string_equal(db->image, "db:7");
    assert_non_null(strstr(db->mounts[0].source, "/db/d"));
    assert_string_equal(find(&result, "web")->image, "web:ours");
    assert_int_equal(result.blob_count, 1);
    compose_result_done(&result);
}

/* Breaks if two services of one name become one, or files that include each other hang us. */
static void test_include_refused(void **state)
{
    (void)state;
    struct compose_result result;
    struct error error = {0};
    bench_file("b.yaml", "services: {web: {image: b}}\n");
    bench_file("compose.yaml", "include: [b.yaml]\nservices:\n  web: {image: a}\n");
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_memory_equal(error.message, "compose.yaml:3: services.web: /tmp/", 35);
    assert_non_null(strstr(error.message, "/b.yaml, which is included, has it too"));
    bench_file("compose.yaml", "include: [compose.yaml]\n");
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_non_null(strstr(error.message, "more than 8 files, one including the other"));
    bench_file("compose.yaml", "include:\n  - {path: b.yaml, env: c}\n");
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_string_equal(error.message, "compose.yaml:2: include.env: unknown key; there are path, "
                                       "project_directory and env_file");
    bench_file("compose.yaml", "include: ['https://example.org/b.git']\n");
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_string_equal(error.message, "compose.yaml:1: include: https://example.org/b.git is not "
                                       "on this machine: fetch it, and name the file");
}

/* Breaks if a service of a profile runs unasked, or not when asked for. */
static void test_profiles(void **state)
{
    (void)state;
    static const struct {
        const char *profiles;
        size_t count;
    } cases[] = {{NULL, 1}, {"debug", 2}, {"other,test", 2}, {"*", 3}};
    struct compose_result result;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bench_file("compose.yaml", "services:\n  web: {image: a}\n"
                                   "  a: {image: a, profiles: [debug, x]}\n"
                                   "  b: {image: a, profiles: [test]}\n");
        load(cases[i].profiles, &result);
        assert_int_equal(result.service_count, cases[i].count);
        compose_result_done(&result);
    }
    bench_file("compose.yaml", "services: {web: {image: a, profiles: [x]}}\n");
    refuse("compose.yaml: all services have profiles, and none of those is named: --profile");
    bench_file("compose.yaml", "services:\n  web: {image: a, depends_on: [db]}\n"
                               "  db: {image: a, profiles: [data]}\n");
    refuse("compose.yaml:2: services.web.depends_on: db is not among the services that are "
           "deployed; if it has profiles, name one with --profile");
}

/* Breaks if a few lines make us copy without end. */
static void test_bounds(void **state)
{
    (void)state;
    char text[16384], *at = text;
    struct compose_result result;
    struct error error = {0};
    at += snprintf(at, 64, "services:\n  base: {image: a, x-a: [");
    for (int i = 0; i < 4000; i++)
        at += snprintf(at, 8, "a,");
    at += snprintf(at, 8, "]}\n");
    for (int i = 0; i < 20; i++)
        at += snprintf(at, 64, "  s%d: {extends: base}\n", i);
    bench_file("compose.yaml", text);
    assert_int_equal(bench_load_project(main_file, NULL, &result, &error), -EINVAL);
    assert_non_null(strstr(error.message, "more than 50000 values"));
}

/* Breaks if ${COMPOSE_PROJECT_NAME} is not the stack's name. */
static void test_project_name(void **state)
{
    (void)state;
    struct compose_result result;
    bench_file("compose.yaml",
               "services: {web: {image: a, hostname: \"$COMPOSE_PROJECT_NAME\"}}\n");
    load(NULL, &result);
    assert_string_equal(result.services[0].hostname, "shop");
    compose_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extends),      cmocka_unit_test(test_extends_refused),
        cmocka_unit_test(test_include),      cmocka_unit_test(test_include_refused),
        cmocka_unit_test(test_profiles),     cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_project_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
