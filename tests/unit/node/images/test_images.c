#include <errno.h>
#include <stdio.h>

#include "tests/unit/node/images/images_bench.h"

struct import {
    unsigned count;
    size_t imported_count;
    struct image_imported first;
    struct error error;
};

static void on_imported(void *context, const struct image_imported *imported, size_t imported_count,
                        const struct error *error)
{
    struct import *import = context;
    import->count++;
    import->imported_count = imported_count;
    if (imported_count > 0)
        import->first = imported[0];
    if (error)
        import->error = *error;
}

static void do_import(struct bench *b, const char *path, const char *reference,
                      struct import *import)
{
    *import = (struct import){0};
    assert_int_equal(images_import(b->peers[0].images, path, reference, on_imported, import), 0);
    assert_int_equal(import->count, 0);
    for (int i = 0; i < 1000 && import->count == 0; i++)
        bench_run(b, 5);
    assert_int_equal(import->count, 1);
}

/* Breaks if what is imported is not told to the others, with its names, by the time that the asker
 * is answered (who may deploy it at once); or what is removed stays. */
static void test_import_and_remove(void **state)
{
    (void)state;
    struct bench b;
    struct sample sample;
    struct import import;
    struct outcome outcome = {0};
    char layout[SCRATCH_PATH_BYTES];
    bench_start(&b);
    scratch_make(layout);
    sample_make("one", ARCHIVE_FILTER_NONE, &sample);
    sample_write_oci(&sample, layout);
    cleanup_buffer struct buffer index = {0};
    oci_index(&sample.digest, sample.manifest.size, NULL, "hello:1", &index);
    scratch_write(layout, "index.json", buffer_view(&index));

    do_import(&b, layout, NULL, &import);
    assert_int_equal(import.error.code, 0);
    assert_int_equal(import.imported_count, 1);
    assert_string_equal(import.first.reference, "hello:1");
    assert_true(digest_equal(&import.first.digest, &sample.digest));
    assert_true(images_has(b.peers[0].images, &sample.digest));
    assert_string_equal(bench_names(&b.peers[0], &sample.digest), "hello:1");
    do_import(&b, layout, "hello:2", &import);
    assert_string_equal(bench_names(&b.peers[0], &sample.digest), "hello:1,hello:2");

    assert_int_equal(images_remove(b.peers[0].images, "hello:1", bench_outcome, &outcome), 0);
    bench_wait(&b, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_string_equal(bench_names(&b.peers[0], &sample.digest), "hello:2");
    outcome = (struct outcome){0};
    assert_int_equal(images_remove(b.peers[0].images, "hello:2", bench_outcome, &outcome), 0);
    bench_wait(&b, &outcome);
    assert_int_equal(outcome.error.code, 0);
    assert_null(bench_names(&b.peers[0], &sample.digest)); /* told that it is gone */
    assert_false(images_has(b.peers[0].images, &sample.digest));
    assert_false(bench_has(&b, 0, &sample));
    scratch_remove(layout);
    sample_done(&sample);
    bench_done(&b);
}

/* Breaks if a failure is not told in words, or something is said to be held after one. */
static void test_failures(void **state)
{
    (void)state;
    struct bench b;
    struct import import;
    struct outcome outcome = {0};
    bench_start(&b);
    do_import(&b, "/nowhere/at/all", NULL, &import);
    assert_int_equal(import.error.code, -ENOENT);
    assert_int_not_equal(import.error.message[0], 0);
    assert_int_equal(import.imported_count, 0);
    assert_int_equal(images_remove(b.peers[0].images, "hello:1", bench_outcome, &outcome), 0);
    bench_wait(&b, &outcome);
    assert_int_equal(outcome.error.code, -ENOENT);
    assert_int_equal(b.peers[0].held_count, 0);
    bench_done(&b);
}

/* Breaks if what was here before the start is not known, or half an image counts as one. */
static void test_start(void **state)
{
    (void)state;
    struct bench b;
    struct sample whole, half;
    bench_start(&b);
    sample_make("whole", ARCHIVE_FILTER_NONE, &whole);
    sample_make("half", ARCHIVE_FILTER_NONE, &half);
    sample_store(&whole, b.peers[0].store, "whole:1");
    sample_store(&half, b.peers[0].store, "half:1");
    assert_int_equal(
        blob_store_remove(image_store_blobs(b.peers[0].store), &half.layer_digests[1], NULL), 0);
    bench_reopen(&b, 0); /* as another process would: what the first one knew is gone */
    bench_run(&b, 100);
    assert_string_equal(bench_names(&b.peers[0], &whole.digest), "whole:1");
    assert_null(bench_names(&b.peers[0], &half.digest));
    assert_true(images_has(b.peers[0].images, &whole.digest));
    assert_false(images_has(b.peers[0].images, &half.digest));
    sample_done(&whole);
    sample_done(&half);
    bench_done(&b);
}

/* Breaks if a peer that stops while it imports tells somebody who is gone, or nobody. */
static void test_close(void **state)
{
    (void)state;
    struct bench b;
    struct import import = {0};
    bench_start(&b);
    assert_int_equal(images_import(b.peers[0].images, "/nowhere", NULL, on_imported, &import), 0);
    images_close(b.peers[0].images);
    b.peers[0].images = NULL;
    bench_run(&b, 100);
    assert_int_equal(import.count, 1);
    images_close(NULL);
    bench_done(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_import_and_remove),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_start),
        cmocka_unit_test(test_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
