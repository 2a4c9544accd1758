#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/digest.h"

static const char abc_text[] =
    "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/* Breaks if digests are not those of FIPS 180-2, so that no registry would agree with us. */
static void test_known(void **state)
{
    (void)state;
    struct digest whole, streamed, parsed;
    struct digest_hasher hasher;
    char text[DIGEST_TEXT_BYTES], brief[DIGEST_SHORT_TEXT_BYTES];
    digest_of("abc", 3, &whole);
    digest_format(&whole, text);
    assert_string_equal(text, abc_text);
    digest_format_short(&whole, brief);
    assert_string_equal(brief, "ba7816bf8f01");
    digest_hasher_init(&hasher);
    digest_hasher_update(&hasher, "a", 1);
    digest_hasher_update(&hasher, "bc", 2);
    digest_hasher_final(&hasher, &streamed);
    assert_true(digest_equal(&whole, &streamed));
    assert_int_equal(digest_parse(abc_text, &parsed), 0);
    assert_true(digest_equal(&whole, &parsed));
}

/* Breaks if a digest has a second spelling, or if text that is no digest becomes a file name. */
static void test_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "sha256:",
        "sha512:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad0",
        "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd",
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    };
    struct digest digest = {{7}}, before = digest;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        assert_int_equal(digest_parse(texts[i], &digest), -EINVAL);
    assert_true(digest_equal(&digest, &before));
}

/* Breaks if the set loses or repeats a member: garbage collection would delete what is in use. */
static void test_set(void **state)
{
    (void)state;
    struct digest_set set = {0};
    for (int round = 0; round < 2; round++) {
        for (int i = 99; i >= 0; i--) {
            struct digest digest;
            digest_of(&i, sizeof(i), &digest);
            assert_int_equal(digest_set_add(&set, &digest), 0);
        }
    }
    assert_int_equal(set.count, 100);
    for (size_t i = 1; i < set.count; i++)
        assert_true(digest_compare(&set.items[i - 1], &set.items[i]) < 0);
    for (int i = 0; i < 200; i++) {
        struct digest digest;
        digest_of(&i, sizeof(i), &digest);
        assert_int_equal(digest_set_has(&set, &digest), i < 100);
    }
    digest_set_done(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
