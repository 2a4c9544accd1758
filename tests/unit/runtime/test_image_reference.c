#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/image/image_reference.h"

#define SHA "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

/* Breaks if two spellings of one name do not find the same image, or a name leads to another place
 * than with Docker. */
static void test_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text, *registry, *repository, *tag, *brief;
    } cases[] = {
        {"hello", "docker.io", "library/hello", "latest", "hello:latest"},
        {"hello:1", "docker.io", "library/hello", "1", "hello:1"},
        {"library/hello", "docker.io", "library/hello", "latest", "hello:latest"},
        {"docker.io/hello", "docker.io", "library/hello", "latest", "hello:latest"},
        {"index.docker.io/library/hello:1", "docker.io", "library/hello", "1", "hello:1"},
        {"prom/node-exporter:v1.8", "docker.io", "prom/node-exporter", "v1.8",
         "prom/node-exporter:v1.8"},
        {"library/a/b", "docker.io", "library/a/b", "latest", "library/a/b:latest"},
        {"localhost/app", "localhost", "app", "latest", "localhost/app:latest"},
        {"localhost:5000/app", "localhost:5000", "app", "latest", "localhost:5000/app:latest"},
        {"quay.io/a__b/c.d--e:T_1.x-", "quay.io", "a__b/c.d--e", "T_1.x-",
         "quay.io/a__b/c.d--e:T_1.x-"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct image_reference reference;
        char brief[IMAGE_REFERENCE_BYTES_MAX];
        struct error error = {0};
        if (image_reference_parse(cases[i].text, &reference, &error) < 0)
            fail_msg("%s", error.message);
        assert_string_equal(reference.registry, cases[i].registry);
        assert_string_equal(reference.repository, cases[i].repository);
        assert_string_equal(reference.tag, cases[i].tag);
        assert_false(reference.has_digest);
        image_reference_format(&reference, brief);
        assert_string_equal(brief, cases[i].brief);
    }
}

/* Breaks if an image that is pinned to a digest runs as something else. */
static void test_digests(void **state)
{
    (void)state;
    struct image_reference reference;
    assert_int_equal(image_reference_parse("a/b@" SHA, &reference, NULL), 0);
    assert_true(reference.has_digest);
    assert_string_equal(reference.tag, "");
    assert_int_equal(image_reference_parse("a:1@" SHA, &reference, NULL), 0);
    assert_true(reference.has_digest);
    assert_string_equal(reference.tag, "1");
}

/* Breaks if what is no name is taken for one. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",          ":",
        "hello:",    "Hello",
        "a//b",      "/a",
        "a/",        "-a",
        "a-",        "a..b",
        "a___b",     "a b",
        "a:b c",     "a:.b",
        "../etc",    "a@sha256:1",
        "a@md5:00",  "example.com:x/a",
        "host:5000", "example.com/",
        "a\n",       "a/../b",
        "é",         "a@" SHA "@" SHA, /* NOLINT(bugprone-suspicious-missing-comma): one text */
    };
    for (size_t i = 0; i < array_count(texts); i++) {
        struct image_reference reference;
        struct error error = {0};
        int r = image_reference_parse(texts[i], &reference, &error);
        /* "host:5000" is a name with a tag, as Docker has it. */
        if (strcmp(texts[i], "host:5000") == 0)
            assert_int_equal(r, 0);
        else if (r != -EINVAL)
            fail_msg("taken: '%s'", texts[i]);
    }
    char longest[1000];
    for (size_t size = 1; size < sizeof(longest); size++) {
        struct image_reference reference;
        char brief[IMAGE_REFERENCE_BYTES_MAX];
        memset(longest, 'a', size);
        longest[size] = '\0';
        if (image_reference_parse(longest, &reference, NULL) == 0)
            image_reference_format(&reference, brief);
        else
            assert_true(size > 255);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
