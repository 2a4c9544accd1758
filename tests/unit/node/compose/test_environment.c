#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/compose/environment.h"
#include "node/compose/interpolate.h"
#include "tests/unit/node/compose/compose_bench.h"

static int read_file(const char *path, struct text_list *ret, struct error *error)
{
    struct text_list warnings = {0};
    struct environment_file file = {.path = path, .warnings = &warnings};
    int rc = environment_file_read(&file, ret, error);
    text_list_done(&warnings);
    return rc;
}

/* Breaks if a line of a file of variables means something else than with Compose, or if the file
 * wins over what stands in `environment`. */
static void test_file(void **state)
{
    (void)state;
    static const char *const expected[] = {"A=1", "B=two # words", "C=x",  "D=a#b", "SET=value",
                                           "E=",  "F=g",           "A=own"};
    struct compose_result result;
    setenv("SET", "value", 1);
    unsetenv("UNSET");
    bench_file(
        "a.env",
        "\xef\xbb\xbf# comment\r\n\nA=1 # one\nB = \"two # words\" # two\nC='x'\nexport D=a#b\n"
        "SET\nUNSET\nE=\nF: g # h\n");
    bench_load_service("    environment: {A: own}\n    env_file: a.env\n", &result);
    const struct text_list *list = &result.services[0].environment;
    assert_int_equal(list->count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < list->count; i++)
        assert_string_equal(list->items[i], expected[i]);
    compose_result_done(&result);
}

static void refuse_line(const char *content, const char *words)
{
    char path[] = "/tmp/consort-env-XXXXXX";
    struct text_list list = {0};
    struct error error = {0};
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(read_file(path, &list, &error), -EINVAL);
    assert_memory_equal(error.message, path, strlen(path));
    assert_string_equal(error.message + strlen(path), words);
    assert_int_equal(remove(path), 0);
    text_list_done(&list);
}

/* Breaks if a mistake in a file of variables is passed over. */
static void test_file_refused(void **state)
{
    (void)state;
    struct text_list list = {0};
    struct error error = {0};
    refuse_line("A=1\n=x\n", ":2: KEY=VALUE is expected");
    refuse_line("two words=x\n", ":1: KEY=VALUE is expected");
    refuse_line("A=\"x\n", ":1: the value's quotes do not fit");
    refuse_line("A='x' y\n", ":1: the value's quotes do not fit");
    assert_int_equal(read_file("/nowhere/env", &list, &error), -ENOENT);
    assert_int_equal(read_file("/tmp", &list, &error), -EISDIR);
    assert_int_equal(list.count, 0);
}

/* Breaks if variables in such a file are not filled in, or what is quoted is. */
static void test_values(void **state)
{
    (void)state;
    static const char *const expected[] = {
        "HOST=db",          "URL=pg://db/x",  "AGAIN=later", "QUOTED=a\nb $HOST \"db\"",
        "SINGLE=$HOST\\n",  "LINES=one\ntwo", "MISSING=-",   "NONE=",
        "RAW=\"$HOST\" # x"};
    struct compose_result result;
    unsetenv("HOST");
    bench_file("a.env", "HOST=db\nURL=pg://${HOST}/x\nAGAIN=first\n"
                        "QUOTED=\"a\\nb \\$HOST \\\"$HOST\\\"\"\nSINGLE='$HOST\\n'\n"
                        "LINES=\"one\ntwo\"\nMISSING=${ABSENT:--}\nAGAIN=later\nNONE=# nothing\n");
    bench_file("raw.env", "RAW=\"$HOST\" # x\n");
    bench_load_service(
        "    env_file: [a.env, {path: raw.env, format: raw}, {path: no, required: false}]\n",
        &result);
    const struct text_list *list = &result.services[0].environment;
    assert_int_equal(list->count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < list->count; i++)
        assert_string_equal(list->items[i], expected[i]);
    compose_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_file_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
