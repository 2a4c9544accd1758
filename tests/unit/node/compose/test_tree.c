#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/compose/tree.h"
#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if a hostile or careless file takes the command's memory or time. */
static void test_bounds(void **state)
{
    (void)state;
    static char text[70000];
    size_t size = 0;
    for (int i = 0; i < 2; i++) {
        memset(text, i == 0 ? '[' : '{', sizeof(text) - 1);
        bench_refuse(text, ":1: the file is too deep");
    }
    for (int i = 0; i <= TREE_KEYS_MAX; i++)
        size += (size_t)snprintf(text + size, sizeof(text) - size, "x-%d: a\n", i);
    bench_refuse(text, ":2049: too many keys in one map");
    bench_refuse("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                 "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                 "e: [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
                 ":1: the file is too deep or, with its aliases, too large");
    bench_refuse("a: &a [*a]\n", ":1: the file is too deep or, with its aliases, too large");
}

/* Breaks if what is no YAML, or no tree of texts, has no line in its message. */
static void test_refused(void **state)
{
    (void)state;
    bench_refuse("a: b\n  c: d\n", ":2: no YAML: mapping values are not allowed in this context");
    bench_refuse("[a, b]: c\n", ":1: a key must be text");
    bench_refuse("a: \"x\\0y\"\n", ":1: text with a NUL byte");
    bench_refuse("\"x\\0y\": a\n", ":1: a key with a NUL byte");
    bench_refuse("a:\n  <<: text\n", ":2: << needs a map, or a list of maps");
}

/* Breaks if merged keys are lost, or win over those that stand there. */
static void test_merge(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("x-a: &a {image: a, user: u}\nx-b: &b {image: b, hostname: h}\nservices:\n"
               "  web:\n    <<: [*a, *b]\n    user: own\n",
               &result);
    assert_string_equal(result.services[0].image, "a");
    assert_string_equal(result.services[0].user, "own");
    assert_string_equal(result.services[0].hostname, "h");
    compose_result_done(&result);
}

/* Breaks if all but the first document of a file is dropped, or too deep a one is read. */
static void test_documents(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load("---\nservices: {web: {image: a, user: u}}\n---\n"
               "services:\n  web: {image: b}\n  db: {image: c}\n---\n",
               &result);
    assert_int_equal(result.service_count, 2);
    assert_string_equal(result.services[0].image, "b");
    assert_string_equal(result.services[0].user, "u");
    assert_string_equal(result.services[1].image, "c");
    compose_result_done(&result);
    bench_load("---\n---\nservices: {web: {image: a}}\n", &result);
    compose_result_done(&result);
    bench_refuse("services: {web: {image: a}}\n--- [a]\n",
                 ":2: a map of keys and values is expected");
    bench_refuse("a: b\n---\n[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[a]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
                 ":3: the file is too deep");
}

/* Breaks if who indents with tabs is not told so. */
static void test_tabs(void **state)
{
    (void)state;
    struct compose_result result;
    struct error error = {0};
    bench_file("tabs.yaml", "services:\n\tweb: {image: a}\n");
    static const char *const names[] = {"tabs.yaml", NULL};
    assert_int_equal(bench_load_project(names, NULL, &result, &error), -EINVAL);
    assert_string_equal(error.hint, "YAML is indented with spaces; there is a tab");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_merge),  cmocka_unit_test(test_documents),
        cmocka_unit_test(test_tabs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
