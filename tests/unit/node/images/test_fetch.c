#include <errno.h>

#include "node/images/fetch_private.h"
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
    b.holder_count = 1;
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

/* A sample whose second layer is larger than any window. */
static void make_large(struct sample *sample)
{
    enum { WORD_BYTES = 900 * 1024 };
    char *word = malloc(WORD_BYTES + 1);
    assert_non_null(word);
    for (size_t i = 0; i < WORD_BYTES; i++)
        word[i] = (char)('a' + (i * 7 + i / 253) % 26);
    word[WORD_BYTES] = '\0';
    sample_make(word, ARCHIVE_FILTER_NONE, sample);
    free(word);
}

/* Breaks if a layer that is larger than any window stalls or comes in wrong. */
static void test_large(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcome;
    bench_start(&b);
    make_large(&sample);
    sample_store(&sample, b.peers[1].store, NULL);
    bench_fetch(&b, &sample.digest, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_true(bench_has(&b, 0, &sample));
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a peer can pass off anything else for a blob, if one that fails, however it does, is
 * not made up for by the other, or if one that lied is believed again. */
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
        bool lies = ways[i] == WAY_WRONG || ways[i] == WAY_LONG || ways[i] == WAY_SHORT;
        assert_true(b.peers[2].asked >= 4);
        assert_in_range(b.peers[1].asked, 0, lies ? FETCH_PER_SOURCE_MAX : 8);
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
    assert_int_equal(
        images_fetch(b.peers[0].images, &sample.digest, false, bench_outcome, &outcome), 0);
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
            images_fetch(b.peers[0].images, &sample.digest, false, bench_outcome, &outcomes[i]), 0);
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
        assert_int_equal(
            images_fetch(b.peers[0].images, &sample.digest, false, bench_outcome, &outcome), 0);
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

/* Parts of a sample: the manifest with the configuration, each layer. */
enum {
    HEAD = 1,
    LOWER = 2,
    UPPER = 4,
};

static void put(struct blob_store *blobs, const struct buffer *blob)
{
    assert_int_equal(blob_store_put(blobs, blob->bytes, blob->size, NULL, NULL), 0);
}

static void put_parts(struct bench *b, unsigned peer, const struct sample *sample, unsigned parts)
{
    struct blob_store *blobs = image_store_blobs(b->peers[peer].store);
    if (parts & HEAD) {
        put(blobs, &sample->manifest);
        put(blobs, &sample->config);
    }
    if (parts & LOWER)
        put(blobs, &sample->layers[0]);
    if (parts & UPPER)
        put(blobs, &sample->layers[1]);
}

/* Breaks if a blob that broke off begins again although another peer could go on with it; or if, of
 * two that it came from, the honest one is blamed for what the other did. */
static void test_resumed(void **state)
{
    (void)state;
    static const enum way ways[] = {WAY_BREAK, WAY_TWIST};
    for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++) {
        struct bench b;
        struct sample sample;
        struct outcome outcome = {0};
        bench_start(&b);
        make_large(&sample);
        put_parts(&b, 0, &sample, HEAD | LOWER);
        sample_store(&sample, b.peers[1].store, NULL);
        sample_store(&sample, b.peers[2].store, NULL);
        b.holder_count = 1;
        b.peers[1].way = ways[i];
        b.peers[1].bytes_max = 100 * 1000;
        assert_int_equal(
            images_fetch(b.peers[0].images, &sample.digest, false, bench_outcome, &outcome), 0);
        for (int turn = 0; turn < 2000 && !b.peers[1].hanging; turn++)
            loop_run(&b.loop, 1);
        assert_non_null(b.peers[1].hanging);
        loop_run(&b.loop, 50);
        b.holders[0] = 2; /* from now on */
        b.peers[0].images->fetches->ticks = FETCH_REFRESH_TICKS - 1;
        loop_run(&b.loop, 2 * FETCH_TICK_MS);
        bench_run(&b, 1); /* and it breaks off */
        bench_wait(&b, &outcome);
        assert_int_equal(outcome.error.code, 0);
        assert_true(bench_has(&b, 0, &sample));
        assert_true(b.peers[2].resumed > 0);
        bench_assert_no_rest(&b, 0);
        sample_done(&sample);
        bench_done(&b);
    }
}

/* Breaks if peers that fetch an image at once don't give each other what they have by then: here
 * nobody has all of it. */
static void test_from_each_other(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcomes[2] = {0};
    bench_start(&b);
    make_large(&sample);
    b.holder_count = 0;
    b.peers[0].wants = b.peers[2].wants = true;
    put_parts(&b, 0, &sample, HEAD | LOWER);
    put_parts(&b, 2, &sample, UPPER);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(
            images_fetch(b.peers[2 * i].images, &sample.digest, false, bench_outcome, &outcomes[i]),
            0);
        bench_run(&b, 30 * i); /* one begins later than the other asks it */
    }
    for (unsigned i = 0; i < 2; i++) {
        bench_wait(&b, &outcomes[i]);
        assert_int_equal(outcomes[i].error.code, 0);
        assert_true(bench_has(&b, 2 * i, &sample));
    }
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a peer that gets a part only later, from a third, does not say so to those that wait
 * for it. */
static void test_passed_on(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcomes[2] = {0};
    bench_start(&b);
    make_large(&sample);
    sample_store(&sample, b.peers[1].store, NULL);
    put_parts(&b, 2, &sample, HEAD);
    b.holder_count = 1;
    b.only_for = 2;          /* the holder is told to it */
    b.peers[2].wants = true; /* all that 0 is told of */
    b.peers[1].way = WAY_HANG;
    b.peers[1].bytes_max = 1000;
    assert_int_equal(
        images_fetch(b.peers[2].images, &sample.digest, false, bench_outcome, &outcomes[1]), 0);
    assert_int_equal(
        images_fetch(b.peers[0].images, &sample.digest, false, bench_outcome, &outcomes[0]), 0);
    for (int i = 0; i < 2000 && !bench_has_blob(&b, 0, &sample.config_digest); i++)
        bench_run(&b, 1);
    assert_int_equal(outcomes[0].count + outcomes[1].count, 0);
    b.peers[1].way = WAY_GOOD; /* once the layer's silence is noticed */
    for (unsigned i = 2; i-- > 0;) {
        bench_wait(&b, &outcomes[i]);
        assert_int_equal(outcomes[i].error.code, 0);
        assert_true(bench_has(&b, 2 * i, &sample));
    }
    assert_true(b.peers[2].asked >= 4);
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if two that only wait for each other wait for ever. */
static void test_nobody_has_it(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcomes[2] = {0};
    bench_start(&b);
    sample_make("one", ARCHIVE_FILTER_NONE, &sample);
    b.holder_count = 0;
    b.peers[0].wants = b.peers[2].wants = true;
    put_parts(&b, 0, &sample, HEAD | LOWER);
    put_parts(&b, 2, &sample, HEAD);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(
            images_fetch(b.peers[2 * i].images, &sample.digest, false, bench_outcome, &outcomes[i]),
            0);
    for (unsigned i = 0; i < 2; i++) {
        bench_wait(&b, &outcomes[i]);
        assert_int_equal(outcomes[i].error.code, -ENOENT);
    }
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if layers that a peer has of another image are not found before a registry is asked. */
static void test_anybody(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct outcome outcome = {0};
    bench_start(&b);
    make_large(&sample);
    b.holder_count = 0;
    put_parts(&b, 0, &sample, HEAD);
    put_parts(&b, 2, &sample, UPPER);
    assert_int_equal(images_fetch(b.peers[0].images, &sample.digest, true, bench_outcome, &outcome),
                     0);
    bench_wait(&b, &outcome);
    assert_int_equal(outcome.error.code, -ENOENT); /* nobody has the lower one */
    assert_true(blob_store_has(image_store_blobs(b.peers[0].store), &sample.layer_digests[1]));
    assert_int_equal(b.peers[1].asked, 0); /* it said that it has nothing */
    sample_done(&sample);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fetch),        cmocka_unit_test(test_large),
        cmocka_unit_test(test_bad_holder),   cmocka_unit_test(test_all_bad),
        cmocka_unit_test(test_goes_on),      cmocka_unit_test(test_holder_dies),
        cmocka_unit_test(test_holder_hangs), cmocka_unit_test(test_several_askers),
        cmocka_unit_test(test_no_image),     cmocka_unit_test(test_close),
        cmocka_unit_test(test_resumed),      cmocka_unit_test(test_from_each_other),
        cmocka_unit_test(test_passed_on),    cmocka_unit_test(test_nobody_has_it),
        cmocka_unit_test(test_anybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
