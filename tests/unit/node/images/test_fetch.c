#include <errno.h>

#include "tests/unit/node/images/images_bench.h"

/* Breaks if an image does not come whole from the peer that has it, or is fetched again although
 * it is here. */
static void test_fetch(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcome;
    bench_start(&b);
    sample_make("one", ARCHIVE_FILTER_GZIP, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    assert_int_equal(image_store_pin(b.peers[0].store, &sample.digest), 0);
    assert_false(images_has(b.peers[0].images, &sample.digest));
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_true(bench_has(&b, 0, &sample));
    assert_true(images_has(b.peers[0].images, &sample.digest));
    assert_string_equal(bench_names(&b.peers[0], &sample.digest), ""); /* told, without a name */
    assert_int_equal(b.peers[1].asked, 4);
    assert_int_equal(b.peers[2].asked, 0);
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_int_equal(b.peers[1].asked, 4);
    assert_int_equal(b.peers[0].held_count, 1);
    bench_assert_no_rest(&b, 0);
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a layer that is larger than any window stalls or comes in wrong. */
static void test_large(void **state)
{
    (void)state;
    enum { WORD_BYTES = 900 * 1024 };
    struct bench b;
    struct sample sample;
    struct outcome outcome;
    char *word = malloc(WORD_BYTES + 1);
    assert_non_null(word);
    for (size_t i = 0; i < WORD_BYTES; i++)
        word[i] = (char)('a' + (i * 7 + i / 253) % 26);
    word[WORD_BYTES] = '\0';
    bench_start(&b);
    sample_make(word, ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_true(bench_has(&b, 0, &sample));
    free(word);
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a peer can pass off anything else for a blob, or if one that fails, however it does, is
 * not made up for by the next. */
static void test_bad_holder(void **state)
{
    (void)state;
    static const enum way ways[] = {WAY_WRONG, WAY_LONG, WAY_SHORT, WAY_BREAK, WAY_NONE};
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        struct bench b;
        struct sample sample;
        struct outcome outcome;
        bench_start(&b);
        sample_make("one", ARCHIVE_FILTER_NONE, &sample);
        sample_store(&sample, b.peers[1].store, NULL);
        sample_store(&sample, b.peers[2].store, NULL);
        b.peers[1].way = ways[i];
        bench_fetch(&b, &sample.digest, &outcome);
        assert_int_equal(outcome.error.code, 0);
        assert_true(bench_has(&b, 0, &sample));
        assert_int_equal(b.peers[1].asked, 4); /* asked first for each */
        assert_int_equal(b.peers[2].asked, 4);
        bench_assert_no_rest(&b, 0);
        sample_done(&sample);
        bench_done(&b);
    }
}

/* Breaks if a fetch that can't end well does not end, claims that it did, leaves rests, or can't be
 * tried again. */
static void test_all_bad(void **state)
{
    (void)state;
    static const enum way ways[] = {WAY_WRONG, WAY_LONG, WAY_SHORT, WAY_BREAK, WAY_NONE};
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        struct bench b;
        struct sample sample;
        struct outcome outcome;
        char text[DIGEST_SHORT_TEXT_BYTES];
        bench_start(&b);
        sample_make("one", ARCHIVE_FILTER_NONE, &sample);
        sample_store(&sample, b.peers[1].store, NULL);
        b.holder_count = 1;
        b.peers[1].way = ways[i];
        bench_fetch(&b, &sample.digest, &outcome);
        assert_int_equal(outcome.error.code, -ENOENT);
        digest_format_short(&sample.digest, text);
        assert_non_null(strstr(outcome.error.message, text));
        assert_non_null(strstr(outcome.error.hint, "consort image import"));
        assert_false(bench_has(&b, 0, &sample));
        assert_false(images_has(b.peers[0].images, &sample.digest));
        assert_int_equal(b.peers[0].held_count, 0);
        bench_assert_no_rest(&b, 0);
        b.peers[1].way = WAY_GOOD;
        bench_fetch(&b, &sample.digest, &outcome);
        assert_int_equal(outcome.error.code, 0);
        assert_true(bench_has(&b, 0, &sample));
        sample_done(&sample);
        bench_done(&b);
    }
}

/* Breaks if a fetch that was interrupted after some blobs gets those again. */
static void test_goes_on(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcome;
    bench_start(&b);
    sample_make("one", ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    struct blob_store *blobs = image_store_blobs(b.peers[0].store);
    assert_int_equal(image_store_pin(b.peers[0].store, &sample.digest), 0);
    assert_int_equal(blob_store_put(blobs, sample.manifest.bytes, sample.manifest.size, NULL, NULL),
                     0);
    assert_int_equal(
        blob_store_put(blobs, sample.layers[0].bytes, sample.layers[0].size, NULL, NULL), 0);
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_int_equal(b.peers[1].asked, 2);
    assert_true(bench_has(&b, 0, &sample));
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a peer that dies in the middle of a blob makes the fetch hang. */
static void test_holder_dies(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcome = {0};
    bench_start(&b);
    sample_make("one", ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    sample_store(&sample, b.peers[2].store, NULL);
    b.peers[1].way = WAY_HANG;
    assert_int_equal(images_fetch(b.peers[0].images, &sample.digest, bench_outcome, &outcome), 0);
    for (int i = 0; i < 400 && !b.peers[1].hanging; i++)
        bench_run(&b, 5);
    assert_non_null(b.peers[1].hanging);
    bench_run(&b, 50);
    bench_lose(&b, 1);
    bench_wait(&b, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_true(bench_has(&b, 0, &sample));
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a peer that takes the question and says no more, but is alive, makes the fetch hang. */
static void test_holder_hangs(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcome;
    bench_start(&b);
    sample_make("one", ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    sample_store(&sample, b.peers[2].store, NULL);
    b.peers[1].way = WAY_HANG;
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_true(bench_has(&b, 0, &sample));
    b.peers[2].way = WAY_HANG;
    sample_done(&sample);
    sample_make("two", ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    sample_store(&sample, b.peers[2].store, NULL);
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, -ENOENT);
    assert_non_null(strstr(outcome.error.message, "sends nothing"));
    bench_assert_no_rest(&b, 0);
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if each of several askers starts a fetch of its own, or one of them is not told. */
static void test_several_askers(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcomes[3] = {0};
    bench_start(&b);
    sample_make("one", ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, b.peers[1].store, NULL);
    for (int i = 0; i < 3; i++)
        assert_int_equal(
            images_fetch(b.peers[0].images, &sample.digest, bench_outcome, &outcomes[i]), 0);
    for (int i = 0; i < 3; i++) {
        bench_wait(&b, &outcomes[i]);
        assert_int_equal(outcomes[i].error.code, 0);
    }
    assert_int_equal(b.peers[1].asked, 4);
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if what no peer has is said to be there, or bytes that are no manifest end the peer. */
static void test_no_image(void **state)
{
    (void)state;
    struct bench b;
    struct digest digest;
    struct outcome outcome;
    bench_start(&b);
    digest_of("nothing", 7, &digest);
    bench_fetch(&b, &digest, &outcome);
    assert_int_equal(outcome.error.code, -ENOENT);
    assert_int_equal(b.peers[1].asked, 1);
    assert_int_equal(b.peers[2].asked, 1);
    b.holder_count = 0;
    bench_fetch(&b, &digest, &outcome);
    assert_int_equal(outcome.error.code, -ENOENT);
    assert_non_null(strstr(outcome.error.message, "no live peer has it"));

    b.holders[b.holder_count++] = 1;
    assert_int_equal(
        blob_store_put(image_store_blobs(b.peers[1].store), "{\"a\":1}", 7, &digest, NULL), 0);
    bench_fetch(&b, &digest, &outcome);
    assert_true(outcome.error.code < 0);
    assert_false(images_has(b.peers[0].images, &digest));
    bench_done(&b);
}

/* Breaks if a peer that stops leaves somebody waiting for a fetch, at whatever point that is. */
static void test_close(void **state)
{
    (void)state;
    for (unsigned steps = 0; steps < 12; steps++) {
        struct bench b;
        struct sample sample;
        struct outcome outcome = {0};
        bench_start(&b);
        sample_make("one", ARCHIVE_FILTER_NONE, &sample);
        sample_store(&sample, b.peers[1].store, NULL);
        b.peers[1].way = steps >= 6 ? WAY_HANG : WAY_GOOD;
        assert_int_equal(images_fetch(b.peers[0].images, &sample.digest, bench_outcome, &outcome),
                         0);
        for (unsigned i = 0; i < 3 * (steps % 6); i++)
            uv_run(&b.loop, UV_RUN_NOWAIT);
        if (steps == 11)
            bench_run(&b, 200);
        images_close(b.peers[0].images);
        b.peers[0].images = NULL;
        bench_wait(&b, &outcome);
        if (outcome.error.code < 0)
            assert_int_equal(outcome.error.code, -ECANCELED);
        else
            assert_true(bench_has(&b, 0, &sample));
        sample_done(&sample);
        bench_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch),        cmocka_unit_test(test_large),
        cmocka_unit_test(test_bad_holder),   cmocka_unit_test(test_all_bad),
        cmocka_unit_test(test_goes_on),      cmocka_unit_test(test_holder_dies),
        cmocka_unit_test(test_holder_hangs), cmocka_unit_test(test_several_askers),
        cmocka_unit_test(test_no_image),     cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
