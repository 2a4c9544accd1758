#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if a file's services are not those that its author wrote. */
static void test_services(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services:\n  web: {image: a}\n  db: {image: b}\n  x-off: {image: c}\nx-more: [1]\n",
               &result);
    assert_string_equal(result.stack, "shop");
    assert_int_equal(result.service_count, 2);
    assert_string_equal(result.services[0].name, "web");
    assert_string_equal(result.services[1].name, "db");
    assert_string_equal(result.services[1].image, "b");
    compose_result_done(&result);
}

/* Breaks if a file that makes no sense is taken, or the message does not say where and why. */
static void test_refused(void **state)
{
    (void)state;
    bench_refuse("", ":1: the file is empty: services is missing");
    bench_refuse("name: shop\n", ": the file has no services");
    bench_refuse("services: {}\n", ": the file has no services");
    bench_refuse("services: [web]\n", ":1: services: a map of services is expected");
    bench_refuse("servces: {web: {image: a}}\n",
                 ":1: servces: unknown key; did you mean services?");
    bench_refuse("services:\n  -web: {image: a}\n",
                 ":2: services.-web: a service's name has 1 to 63 letters, digits, - _ and .");
    bench_refuse("[]\n", ":1: a map of keys and values is expected");
    bench_refuse("services: {web: {image: a}}\nservices: {}\n", ":2: services: the same key twice");
}

/* Breaks if a key of Compose that is not carried out is dropped without a word, or is an error. */
static void test_warnings(void **state)
{
    (void)state;
    bench_warn("services: {web: {image: a}}\nmodels: {back: {}}\n",
               ":2: models: ignored: models are not run here");
    bench_warn("version: '3.8'\nservices: {Web_1.x: {image: a}}\n",
               ":1: version: ignored: it is obsolete, and means nothing");
    bench_warn("services: {web: {image: a}}\nvolumes:\n  data: {driver: nfs}\n",
               ":3: volumes.data.driver: not supported by Consort: ignored");
}

static void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Breaks if the stack has another name than the operator, else the file, else the folder says. */
static void test_stack(void **state)
{
    (void)state;
    struct compose_result result;
    struct error error = {0};
    char folder[] = "/tmp/Consort_Shop-XXXXXX", path[64];
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/f.yaml", folder);
    write_file(path, "name: by-file\nservices: {web: {image: a}}\n");
    assert_int_equal(bench_load_path(path, NULL, &result, &error), 0);
    assert_string_equal(result.stack, "by-file");
    compose_result_done(&result);
    assert_int_equal(bench_load_path(path, "Not Good", &result, &error), -EINVAL);
    assert_non_null(strstr(error.message, "Not Good must be 1 to 63"));
    write_file(path, "services: {web: {image: a}}\n");
    assert_int_equal(bench_load_path(path, NULL, &result, &error), 0);
    assert_memory_equal(result.stack, "consort-shop-", 13);
    compose_result_done(&result);
    write_file(path, "name: by_file\nservices: {web: {image: a}}\n");
    assert_int_equal(bench_load_path(path, NULL, &result, &error), 0);
    assert_string_equal(result.stack, "by-file");
    assert_int_equal(result.warnings.count, 1);
    compose_result_done(&result);
    assert_int_equal(remove(path), 0);
    assert_int_equal(remove(folder), 0);
    assert_int_equal(bench_load_path(path, NULL, &result, &error), -ENOENT);
    assert_non_null(strstr(error.message, path));
}

/* Makes a folder of its own the current one, with an .env of that content. */
static void enter_folder(const char *env, char folder[64])
{
    snprintf(folder, 64, "/tmp/consort-compose-XXXXXX");
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    write_file(".env", env);
}

static void leave_folder(const char *folder)
{
    assert_int_equal(unlink(".env"), 0);
    unlink("compose.yaml");
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* Breaks if what Compose takes from .env for itself, the project's name and files, is passed over.
 */
static void test_dot_env(void **state)
{
    (void)state;
    char folder[64];
    struct text_list files = {0};
    struct compose_result result;
    struct error error = {0};
    enter_folder("COMPOSE_PROJECT_NAME=My_Shop\nCOMPOSE_FILE=a.yaml;b/c.yaml\n"
                 "COMPOSE_PATH_SEPARATOR=;\n",
                 folder);
    assert_int_equal(compose_find(NULL, &files, &error), 0);
    assert_int_equal(files.count, 2);
    assert_string_equal(files.items[0], "a.yaml");
    assert_string_equal(files.items[1], "b/c.yaml");
    text_list_done(&files);
    write_file("compose.yaml", "name: other\nservices: {web: {image: a}}\n");
    assert_int_equal(bench_load_path("compose.yaml", NULL, &result, &error), 0);
    assert_string_equal(result.stack, "my-shop");
    assert_int_equal(result.warnings.count, 1);
    assert_string_equal(result.warnings.items[0],
                        "compose.yaml:1: COMPOSE_PROJECT_NAME: the stack is called my-shop: names "
                        "in DNS have - for _");
    compose_result_done(&result);
    leave_folder(folder);
    enter_folder("no such line\n", folder);
    assert_int_equal(compose_find(NULL, &files, &error), -EINVAL);
    assert_string_equal(error.message, "./.env:1: KEY=VALUE is expected");
    leave_folder(folder);
}

/* Breaks if who has a file of the first format is not told what it lacks. */
static void test_first_format(void **state)
{
    (void)state;
    struct compose_result result;
    struct error error = {0};
    static const char *const names[] = {"old.yaml", NULL};
    bench_file("old.yaml", "web:\n  image: a\n  links: [db]\ndb:\n  image: b\n");
    assert_int_equal(bench_load_project(names, NULL, &result, &error), -EINVAL);
    assert_string_equal(error.message, "old.yaml:1: web: a service belongs under services");
    assert_string_equal(error.hint, "write it as in: services: {web: {image: …}}");
    bench_refuse("services: {web: {image: a}}\ndb: {build: .}\n",
                 ":2: db: a service belongs under services");
}

/* Breaks if services wait for another state than their file says, or for each other. */
static void test_dependencies(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("services:\n  web: {image: a, depends_on: {db: {condition: service_healthy},\n"
               "    setup: {condition: service_completed_successfully}, gone: {required: false}}}\n"
               "  db: {image: a, depends_on: [setup]}\n  setup: {image: a}\n",
               &result);
    const struct service_spec *web = &result.services[0];
    assert_int_equal(web->dependency_count, 2);
    assert_string_equal(web->dependencies[0].name, "db");
    assert_int_equal(web->dependencies[0].condition, SPEC_DEPENDS_HEALTHY);
    assert_int_equal(web->dependencies[1].condition, SPEC_DEPENDS_COMPLETED);
    assert_int_equal(result.services[1].dependencies[0].condition, SPEC_DEPENDS_STARTED);
    assert_int_equal(result.services[1].restart.condition, SPEC_RESTART_ANY);
    assert_int_equal(result.services[2].restart.condition, SPEC_RESTART_ON_FAILURE);
    compose_result_done(&result);
    bench_refuse("services:\n  a: {image: a, depends_on: [b]}\n  b: {image: a, depends_on: [c]}\n"
                 "  c: {image: a, depends_on: [b]}\n",
                 ":2: services.a.depends_on: the services wait for each other in a circle");
    bench_refuse("services:\n  a: {image: a, depends_on: [a]}\n",
                 ":2: services.a.depends_on: the services wait for each other in a circle");
    bench_warn("services:\n  a: {image: a, depends_on: {b: {condition: "
               "service_completed_successfully}}}\n  b: {image: a, restart: always}\n",
               ":3: services.b.restart: as on-failure: others wait for b to complete, so it is "
               "started again only if it failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_services),     cmocka_unit_test(test_refused),
        cmocka_unit_test(test_warnings),     cmocka_unit_test(test_dependencies),
        cmocka_unit_test(test_stack),        cmocka_unit_test(test_dot_env),
        cmocka_unit_test(test_first_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
