#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/unit/node/compose/compose_bench.h"

/* Breaks if a config or secret has not its content, or is not shown where it shall be. */
static void test_files(void **state)
{
    (void)state;
    struct compose_result result;
    setenv("SET", "hush", 1);
    bench_file("c.txt", "content of a file");
    bench_load("services:\n  web:\n    image: a\n    configs: [c, {source: c, target: etc/c,\n"
               "      mode: 0640, uid: '5', gid: '6'}]\n    secrets: [s]\n"
               "configs: {c: {file: c.txt}}\nsecrets: {s: {environment: SET}, x-s: 1}\n",
               &result);
    const struct spec_file *files = result.services[0].files;
    assert_int_equal(result.services[0].file_count, 3);
    assert_string_equal(files[0].source, "shop_c");
    assert_string_equal(files[0].target, "/c");
    assert_int_equal(files[0].mode, 0444);
    assert_string_equal(files[1].target, "/etc/c");
    assert_int_equal(files[1].mode, 0640);
    assert_int_equal(files[1].uid, 5);
    assert_int_equal(files[1].gid, 6);
    assert_string_equal(files[2].target, "/run/secrets/s");
    assert_int_equal(files[2].kind, SPEC_FILE_SECRET);
    assert_int_equal(result.blob_count, 2);
    assert_string_equal(result.blobs[0].name, "shop_c");
    assert_true(
        bytes_equal(buffer_view(&result.blobs[0].content), bytes_of_text("content of a file")));
    assert_true(bytes_equal(buffer_view(&result.blobs[1].content), bytes_of_text("hush")));
    compose_result_done(&result);
}

/* Breaks if a file can be read by others than with Compose, where a mode is written as YAML's
 * number or as text. */
static void test_modes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t mode;
    } cases[] = {{"0440", 0440}, {"0o440", 0440}, {"'440'", 0440}, {"\"0400\"", 0400}};
    for (size_t i = 0; i < array_count(cases); i++) {
        struct compose_result result;
        char lines[128];
        snprintf(lines, sizeof(lines),
                 "    configs: [{source: c, mode: %s}]\nconfigs: {c: {content: x}}\n",
                 cases[i].text);
        bench_load_service(lines, &result);
        assert_int_equal(result.services[0].files[0].mode, cases[i].mode);
        compose_result_done(&result);
    }
    bench_warn_service(
        "    configs: [{source: c, mode: 288}]\nconfigs: {c: {content: x}}\n",
        ":4: services.web.configs.mode: 288 is decimal, so the mode is 0440; write it "
        "as that, or the mode that you mean with a 0 before it");
}

/* Breaks if what the stack does not bring is taken for its own, or asked for by another name. */
static void test_external(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load(
        "services:\n  web:\n    image: a\n    configs: [a, b, c, {source: d, target: /d}, e]\n"
        "    secrets: [a]\n"
        "configs:\n  a: {external: true}\n  b: {external: true, name: bee}\n"
        "  c: {external: {name: sea}}\n  d: {name: dee, content: x}\n"
        "  e: {external: false, content: y}\n"
        "secrets: {a: {external: true}}\n",
        &result);
    static const char *const names[] = {"a", "bee", "sea", "dee", "shop_e", "a"};
    const struct service_spec *spec = &result.services[0];
    assert_int_equal(spec->file_count, array_count(names));
    for (size_t i = 0; i < array_count(names); i++) {
        assert_string_equal(spec->files[i].source, names[i]);
        assert_int_equal(spec->files[i].version, 0);
    }
    assert_string_equal(spec->files[1].target, "/b");
    assert_string_equal(spec->files[5].target, "/run/secrets/a");
    assert_int_equal(result.blob_count, 2);
    assert_string_equal(result.blobs[0].name, "dee");
    assert_string_equal(result.blobs[1].name, "shop_e");
    assert_int_equal(result.warnings.count, 0);
    compose_result_done(&result);
}

/* Breaks if a mistake is taken, or its message does not say where it is and what would be right. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *words;
    } cases[] = {
        {"    configs: [c]\n", ":4: services.web.configs: c is not among the file's configs"},
        {"    secrets: [s]\n", ":4: services.web.secrets: s is not among the file's secrets"},
        {"    configs: [{source: c, mod: 1}]\nconfigs: {c: {content: x}}\n",
         ":4: services.web.configs.mod: unknown key; did you mean mode?"},
        {"    configs: [{source: c, mode: 10000}]\nconfigs: {c: {content: x}}\n",
         ":4: services.web.configs.mode: 10000 is no mode; write as in 0440"},
        {"configs: {c: {x-a: b}}\n", ":4: configs.c: file, content or environment is expected"},
        {"configs: {c: {contents: a}}\n",
         ":4: configs.c.contents: unknown key; did you mean content?"},
        {"configs: {c: {content: a, environment: SET}}\n",
         ":4: configs.c.environment: only one of file, content and environment is expected"},
        {"    secrets: [{source: s}]\nsecrets: {s: {environment: UNSET}}\n",
         ":5: secrets.s.environment: the variable UNSET is not set"},
        {"secrets: {s: {file: /tmp}}\n", ":4: secrets.s.file: reading /tmp: Is a directory"},
        {"    secrets: [s]\nsecrets: {s: {file: /nowhere}, t: {file: /nowhere}}\n",
         ":5: secrets.s.file: reading /nowhere: No such file or directory"},
        {"configs: {c: {external: true, content: a}}\n", ":4: configs.c.content: unknown key"},
        {"configs: {c: {external: maybe}}\n",
         ":4: configs.c.external: maybe is neither true nor false"},
        {"configs: {c: {name: [a], content: a}}\n", ":4: configs.c.name: text is expected"},
        {"configs: {a: {name: n, content: a}, b: {name: n, content: b}}\n",
         ":4: configs.b: another one has the name n already"},
    };
    setenv("SET", "value", 1);
    unsetenv("UNSET");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
}

/* Breaks if what no service is shown has to be there: for a build, or a service of a profile. */
static void test_unused(void **state)
{
    (void)state;
    struct compose_result result;
    unsetenv("UNSET");
    bench_load("services:\n  web: {image: a, secrets: [here]}\n"
               "  db: {image: b, profiles: [db], secrets: [token]}\n"
               "secrets: {here: {content: x}, token: {environment: UNSET}}\n"
               "configs: {c: {file: /nowhere}}\n",
               &result);
    assert_int_equal(result.blob_count, 1);
    assert_string_equal(result.blobs[0].name, "shop_here");
    compose_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),    cmocka_unit_test(test_files),
        cmocka_unit_test(test_external), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_unused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
