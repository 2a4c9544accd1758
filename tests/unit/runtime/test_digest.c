#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/random.h"
#include "runtime/image/digest.h"

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

/* Breaks if what is hashed in pieces, of whatever sizes, has another digest than the whole has by
 * libsodium's code. */
static void test_pieces(void **state)
{
    (void)state;
    enum { SIZE_MAX_BYTES = 4096 };
    static uint8_t bytes[SIZE_MAX_BYTES + 1];
    struct random random;
    random_init(&random, 1);
    random_fill(&random, bytes, sizeof(bytes));
    for (size_t size = 0; size <= 300; size++) {
        struct digest found, expected;
        digest_of(bytes + size % 2, size, &found); /* at odd addresses, too */
        crypto_hash_sha256(expected.bytes, bytes + size % 2, size);
        assert_true(digest_equal(&found, &expected));
    }
    for (int round = 0; round < 500; round++) {
        struct digest_hasher hasher;
        struct digest found, expected;
        size_t size = random_below(&random, SIZE_MAX_BYTES), done = 0;
        digest_hasher_init(&hasher);
        while (done < size) {
            size_t piece = 1 + random_below(&random, round % 2 ? 200 : size - done);
            piece = piece < size - done ? piece : size - done;
            digest_hasher_update(&hasher, bytes + done, piece);
            done += piece;
        }
        digest_hasher_final(&hasher, &found);
        crypto_hash_sha256(expected.bytes, bytes, size);
        assert_true(digest_equal(&found, &expected));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
