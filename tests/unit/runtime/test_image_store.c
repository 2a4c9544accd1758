#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/unit/runtime/image_fixture.h"

static char scratch[SCRATCH_PATH_BYTES];

static int setup(void **state)
{
    scratch_make(scratch);
    struct image_store *store = NULL;
    int r = image_store_open(scratch, &store, NULL);
    *state = store;
    return r;
}

static int teardown(void **state)
{
    image_store_free(*state);
    scratch_remove(scratch);
    return 0;
}

static size_t count_blobs(struct image_store *store)
{
    struct digest_set all = {0};
    assert_int_equal(blob_store_list(image_store_blobs(store), &all, NULL), 0);
    size_t count = all.count;
    digest_set_done(&all);
    return count;
}

static void assert_resolves(struct image_store *store, const char *text,
                            const struct digest *digest)
{
    struct digest found;
    struct error error = {0};
    if (image_store_resolve(store, text, &found, &error) < 0)
        fail_msg("%s", error.message);
    assert_true(digest_equal(&found, digest));
}

/* Breaks if an image is not found by each spelling of its name, also after a restart. */
static void test_references(void **state)
{
    struct image_store *store = *state;
    struct sample one, two;
    struct digest digest;
    sample_make("one", ARCHIVE_FILTER_NONE, &one);
    sample_make("two", ARCHIVE_FILTER_NONE, &two);
    sample_store(&one, store, "hello");
    sample_store(&two, store, "hello:2");
    assert_int_equal(image_store_tag(store, "docker.io/library/hello:old", &one.digest, NULL), 0);
    for (int round = 0; round < 2; round++) {
        char text[DIGEST_TEXT_BYTES], pinned[DIGEST_TEXT_BYTES + 8];
        digest_format(&two.digest, text);
        snprintf(pinned, sizeof(pinned), "hello@%s", text);
        assert_resolves(store, "hello:latest", &one.digest);
        assert_resolves(store, "docker.io/hello", &one.digest);
        assert_resolves(store, "library/hello:old", &one.digest);
        assert_resolves(store, "hello:2", &two.digest);
        assert_resolves(store, text, &two.digest);
        assert_resolves(store, pinned, &two.digest);
        assert_int_equal(image_store_resolve(store, "hello:3", &digest, NULL), -ENOENT);
        assert_int_equal(image_store_resolve(store, "Hello", &digest, NULL), -EINVAL);
        image_store_free(store);
        *state = store = NULL;
        assert_int_equal(image_store_open(scratch, &store, NULL), 0);
        *state = store;
    }
    /* A name moves; it is not there twice. */
    struct image_summary *list = NULL;
    size_t count = 0;
    assert_int_equal(image_store_tag(store, "hello", &two.digest, NULL), 0);
    assert_resolves(store, "hello", &two.digest);
    assert_int_equal(image_store_list(store, &list, &count, NULL), 0);
    assert_int_equal(count, 3);
    assert_string_equal(list[0].reference, "hello:2");
    assert_string_equal(list[1].reference, "hello:latest");
    assert_string_equal(list[2].reference, "hello:old");
    assert_true(list[0].complete);
    assert_int_equal(list[0].created_wall_s, 1704067200);
    free(list);
    digest_of("elsewhere", 9, &digest);
    assert_int_equal(image_store_tag(store, "hello:3", &digest, NULL), -ENOENT);
    sample_done(&one);
    sample_done(&two);
}

/* Breaks if a damaged index.json makes the images vanish without a word. */
static void test_damaged_index(void **state)
{
    image_store_free(*state);
    *state = NULL;
    scratch_write(scratch, "index.json", bytes_of_text("{\"manifests\":[{"));
    struct image_store *store = NULL;
    struct error error = {0};
    assert_int_equal(image_store_open(scratch, &store, &error), -EBADMSG);
    assert_non_null(strstr(error.message, "index.json"));
    assert_true(strlen(error.hint) > 0);
}

/* Breaks if a collection deletes what a name or a container needs, or keeps what nothing does. */
static void test_collect(void **state)
{
    struct image_store *store = *state;
    struct sample one, two;
    sample_make("one", ARCHIVE_FILTER_NONE, &one);
    sample_make("two", ARCHIVE_FILTER_NONE, &two);
    sample_store(&one, store, "one");
    sample_store(&two, store, "two");
    assert_int_equal(count_blobs(store), 7); /* they share a layer */
    int64_t freed_bytes = -1;
    assert_int_equal(image_store_collect(store, 0, &freed_bytes, NULL), 0);
    assert_int_equal(freed_bytes, 0);
    assert_int_equal(count_blobs(store), 7);

    /* In use: it cannot be removed, and stays when its name moves on. */
    struct error error = {0};
    assert_int_equal(image_store_pin(store, &one.digest), 0);
    assert_int_equal(image_store_pin(store, &one.digest), 0);
    assert_int_equal(image_store_remove(store, "one", &error), -EBUSY);
    assert_true(strlen(error.hint) > 0);
    assert_int_equal(image_store_tag(store, "one", &two.digest, NULL), 0);
    assert_int_equal(image_store_collect(store, 0, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 7);
    image_store_unpin(store, &one.digest);
    assert_int_equal(image_store_collect(store, 0, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 7);

    /* Nothing is collected between an import's blobs and its names. */
    image_store_unpin(store, &one.digest);
    image_store_import_begin(store);
    assert_int_equal(image_store_collect(store, 0, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 7);
    image_store_import_end(store);
    assert_int_equal(image_store_collect(store, 0, &freed_bytes, NULL), 0);
    assert_int_equal(count_blobs(store), 4);
    assert_int_equal(freed_bytes, (int)(one.layers[1].size + one.config.size + one.manifest.size));

    assert_int_equal(image_store_remove(store, "one", NULL), 0);
    assert_int_equal(count_blobs(store), 4);
    assert_int_equal(image_store_remove(store, "one", NULL), -ENOENT);
    assert_int_equal(image_store_remove(store, "two", NULL), 0);
    assert_int_equal(count_blobs(store), 0);
    sample_done(&one);
    sample_done(&two);
}

struct unpacker {
    struct image_store *store;
    const struct image *image;
    int result;
};

static void *unpack_it(void *context)
{
    struct unpacker *unpacker = context;
    struct text_list paths = {0};
    unpacker->result = image_store_unpack(unpacker->store, unpacker->image, &paths, NULL);
    if (unpacker->result == 0 && paths.count != SAMPLE_LAYERS)
        unpacker->result = -EINVAL;
    text_list_done(&paths);
    return NULL;
}

/* Breaks if containers that start at once, of images that share layers, unpack one twice or find it
 * half there; or if a layer that is damaged fails its own image's unpacking without a word. */
static void test_unpacked_at_once(void **state)
{
    if (!is_root())
        skip();
    enum { THREADS = 8 };
    struct image_store *store = *state;
    struct sample samples[2];
    struct image *images[2] = {NULL, NULL};
    for (int i = 0; i < 2; i++) {
        sample_make(i ? "one" : "two", ARCHIVE_FILTER_GZIP, &samples[i]);
        sample_store(&samples[i], store, NULL);
        assert_int_equal(image_store_load(store, &samples[i].digest, &images[i], NULL), 0);
    }
    pthread_t threads[THREADS];
    struct unpacker unpackers[THREADS];
    for (int i = 0; i < THREADS; i++) {
        unpackers[i] = (struct unpacker){store, images[i % 2], -1};
        assert_int_equal(pthread_create(&threads[i], NULL, unpack_it, &unpackers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(unpackers[i].result, 0);
    }
    images[0]->layers[1].diff_id.bytes[0] ^= 1; /* now it is not what it says */
    struct text_list paths = {0};
    struct error error = {0};
    assert_int_equal(image_store_unpack(store, images[0], &paths, &error), -EBADMSG);
    assert_non_null(strstr(error.message, "uncompressed bytes"));
    assert_int_equal(paths.count, 0);
    for (int i = 0; i < 2; i++) {
        image_free(images[i]);
        sample_done(&samples[i]);
    }
}

/* Makes a blob look as if it was last in use so long ago. */
static void age(const struct digest *digest, int64_t seconds)
{
    char name[SAMPLE_NAME_BYTES], path[SCRATCH_PATH_BYTES + SAMPLE_NAME_BYTES + 1];
    struct timespec then = {.tv_sec = time(NULL) - seconds};
    blob_name(digest, name);
    snprintf(path, sizeof(path), "%s/%s", scratch, name);
    assert_int_equal(utimensat(AT_FDCWD, path, (struct timespec[]){then, then}, 0), 0);
}

static void age_sample(const struct sample *sample, int64_t seconds)
{
    age(&sample->digest, seconds);
    age(&sample->config_digest, seconds);
    for (int i = 0; i < SAMPLE_LAYERS; i++)
        age(&sample->layer_digests[i], seconds);
}

/* Breaks if what nothing needs goes before its time, or stays after it; or if what was in use until
 * just now counts as old, although it was stored long ago. */
static void test_age(void **state)
{
    struct image_store *store = *state;
    struct sample one;
    sample_make("one", ARCHIVE_FILTER_NONE, &one);
    sample_store(&one, store, NULL);
    assert_int_equal(image_store_collect(store, 1000, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 4);
    age_sample(&one, 900);
    assert_int_equal(image_store_collect(store, 1000, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 4);
    age_sample(&one, 1100);
    assert_int_equal(image_store_pin(store, &one.digest), 0);
    assert_int_equal(image_store_collect(store, 1000, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 4);
    image_store_unpin(store, &one.digest);
    assert_int_equal(image_store_collect(store, 1000, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 4); /* all that its manifest leads to */
    age_sample(&one, -5000);                 /* the clock was set back since */
    assert_int_equal(image_store_collect(store, 1000, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 4);
    age(&one.digest, 1100);
    age_sample(&one, 1100);
    assert_int_equal(image_store_collect(store, 1000, NULL, NULL), 0);
    assert_int_equal(count_blobs(store), 0);
    sample_done(&one);
}

/* Breaks if, when room is needed, something goes that an operator named or a container uses, or
 * what was just used goes before what was not; or if a restart forgets which is which. */
static void test_forget_oldest(void **state)
{
    struct image_store *store = *state;
    struct sample samples[4];
    static const char *const words[] = {"old", "older", "used", "own"};
    struct digest digest;
    for (size_t i = 0; i < array_count(samples); i++) {
        sample_make(words[i], ARCHIVE_FILTER_NONE, &samples[i]);
        sample_store(&samples[i], store, NULL);
        assert_int_equal(image_store_tag_pulled(store, words[i], &samples[i].digest, NULL), 0);
    }
    assert_int_equal(image_store_tag_pulled(store, "older:2", &samples[1].digest, NULL), 0);
    assert_int_equal(image_store_tag(store, "mine", &samples[3].digest, NULL), 0);
    age_sample(&samples[0], 100);
    age_sample(&samples[1], 200);
    age_sample(&samples[2], 300);
    age_sample(&samples[3], 400);
    image_store_free(store);
    *state = store = NULL;
    assert_int_equal(image_store_open(scratch, &store, NULL), 0);
    *state = store;
    assert_int_equal(image_store_pin(store, &samples[2].digest), 0);

    image_store_import_begin(store);
    assert_int_equal(image_store_forget_oldest(store, NULL), -ENOENT);
    image_store_import_end(store);
    assert_int_equal(image_store_forget_oldest(store, NULL), 0);
    assert_int_equal(image_store_resolve(store, "older", &digest, NULL), -ENOENT);
    assert_int_equal(image_store_resolve(store, "older:2", &digest, NULL), -ENOENT);
    assert_resolves(store, "old", &samples[0].digest);
    assert_int_equal(image_store_forget_oldest(store, NULL), 0);
    assert_int_equal(image_store_resolve(store, "old", &digest, NULL), -ENOENT);
    assert_int_equal(image_store_forget_oldest(store, NULL), -ENOENT);
    assert_resolves(store, "used", &samples[2].digest);
    assert_resolves(store, "own", &samples[3].digest);
    image_store_unpin(store, &samples[2].digest);
    /* Imported under the name that it was pulled by: it is an operator's now. */
    assert_int_equal(image_store_tag(store, "used", &samples[2].digest, NULL), 0);
    assert_int_equal(image_store_forget_oldest(store, NULL), -ENOENT);
    for (size_t i = 0; i < array_count(samples); i++)
        sample_done(&samples[i]);
}

/* Breaks if a peer cannot tell what to fetch of an image, or thinks that it is done too early. */
static void test_fetch(void **state)
{
    struct image_store *store = *state;
    struct sample sample;
    sample_make("travels", ARCHIVE_FILTER_ZSTD, &sample);
    cleanup_buffer struct buffer index;
    buffer_init(&index);
    char platform[128];
    snprintf(platform, sizeof(platform), "{\"os\":\"linux\",\"architecture\":\"%s\"}",
             image_host_architecture());
    oci_index(&sample.digest, sample.manifest.size, platform, NULL, &index);
    struct digest digest;
    digest_of(index.bytes, index.size, &digest);
    assert_int_equal(image_store_pin(store, &digest), 0);
    const struct {
        struct buffer *blob;
        struct digest *digest;
    } served[] = {{&index, &digest},
                  {&sample.manifest, &sample.digest},
                  {&sample.config, &sample.config_digest},
                  {&sample.layers[0], &sample.layer_digests[0]},
                  {&sample.layers[1], &sample.layer_digests[1]}};
    static const size_t missing_then[] = {1, 1, 3, 2, 1, 0};
    struct image *image = NULL;
    for (size_t i = 0; i <= array_count(served); i++) {
        struct image_descriptor *missing = NULL;
        size_t count = 9;
        assert_int_equal(image_missing_blobs(store, &digest, &missing, &count, NULL), 0);
        assert_int_equal(count, missing_then[i]);
        assert_true((missing != NULL) == (count > 0));
        if (i == array_count(served))
            break;
        assert_true(digest_equal(&missing[0].digest, served[i].digest));
        assert_true(missing[0].size_bytes == (i == 0 ? -1 : (int64_t)served[i].blob->size));
        free(missing);
        if (i < 3)
            assert_int_equal(image_store_load(store, &digest, &image, NULL), -ENOENT);
        /* What is pinned and arrives is not swept away. */
        assert_int_equal(image_store_collect(store, 0, NULL, NULL), 0);
        assert_int_equal(blob_store_put(image_store_blobs(store), served[i].blob->bytes,
                                        served[i].blob->size, NULL, NULL),
                         0);
    }
    assert_int_equal(image_store_load(store, &digest, &image, NULL), 0);
    assert_true(digest_equal(&image->digest, &sample.digest));
    assert_string_equal(image->config.command.items[0], "travels");
    image_free(image);
    sample_done(&sample);
}

/* Breaks if indexes that lead in a circle, or to another platform, hang or run anything. */
static void test_index_traps(void **state)
{
    struct image_store *store = *state;
    struct sample sample;
    sample_make("x", ARCHIVE_FILTER_NONE, &sample);
    sample_store(&sample, store, NULL);
    struct image *image = NULL;
    struct digest digest = sample.digest;
    size_t size = sample.manifest.size;
    for (int depth = 1; depth <= IMAGE_INDEX_DEPTH_MAX; depth++) {
        cleanup_buffer struct buffer index;
        buffer_init(&index);
        oci_index(&digest, size, NULL, NULL, &index);
        size = index.size;
        assert_int_equal(
            blob_store_put(image_store_blobs(store), index.bytes, index.size, &digest, NULL), 0);
        int r = image_store_load(store, &digest, &image, NULL);
        assert_int_equal(r, depth < IMAGE_INDEX_DEPTH_MAX ? 0 : -EBADMSG);
        if (r == 0)
            image_free(image);
    }
    cleanup_buffer struct buffer other;
    buffer_init(&other);
    oci_index(&sample.digest, sample.manifest.size, "{\"os\":\"linux\",\"architecture\":\"vax\"}",
              NULL, &other);
    struct error error = {0};
    assert_int_equal(
        blob_store_put(image_store_blobs(store), other.bytes, other.size, &digest, NULL), 0);
    assert_int_equal(image_store_load(store, &digest, &image, &error), -ENOEXEC);
    assert_true(strlen(error.hint) > 0);
    sample_done(&sample);
}

/* Breaks if layers are unpacked wrongly or again and again, or outlive their image. */
static void test_unpack(void **state)
{
    if (!is_root())
        skip();
    struct image_store *store = *state;
    struct sample sample;
    struct image *image = NULL;
    struct text_list paths = {0}, again = {0};
    struct error error = {0};
    sample_make("unpacked", ARCHIVE_FILTER_GZIP, &sample);
    sample_store(&sample, store, "unpacked");
    assert_int_equal(image_store_load(store, &sample.digest, &image, NULL), 0);
    if (image_store_unpack(store, image, &paths, &error) < 0)
        fail_msg("%s", error.message);
    assert_int_equal(paths.count, SAMPLE_LAYERS);
    char path[512];
    snprintf(path, sizeof(path), "%s/etc/base", paths.items[0]);
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/etc/word", paths.items[1]);
    assert_int_equal(access(path, F_OK), 0);
    /* Once: what was unpacked is left as it is. */
    snprintf(path, sizeof(path), "%s/mark", paths.items[1]);
    scratch_write(paths.items[1], "mark", bytes_of_text("mine"));
    assert_int_equal(image_store_unpack(store, image, &again, NULL), 0);
    assert_int_equal(access(path, F_OK), 0);
    text_list_done(&again);
    /* A crash's half is swept, the whole stays. */
    image_store_free(store);
    scratch_write(scratch, "layers/.half.tmp/etc/x", bytes_of_text("half"));
    assert_int_equal(image_store_open(scratch, &store, NULL), 0);
    *state = store;
    assert_int_equal(access(path, F_OK), 0);
    snprintf(path, sizeof(path), "%s/layers/.half.tmp", scratch);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(image_store_remove(store, "unpacked", NULL), 0);
    assert_int_equal(access(paths.items[0], F_OK), -1);
    assert_int_equal(access(paths.items[1], F_OK), -1);
    text_list_done(&paths);
    image_free(image);
    sample_done(&sample);
}

/* Breaks if a layer whose bytes are not what the configuration names is ever run. */
static void test_unpack_wrong(void **state)
{
    if (!is_root())
        skip();
    struct image_store *store = *state;
    struct sample sample;
    struct image *image = NULL;
    struct text_list paths = {0};
    struct error error = {0};
    sample_make("wrong", ARCHIVE_FILTER_GZIP, &sample);
    sample_store(&sample, store, "wrong");
    assert_int_equal(image_store_load(store, &sample.digest, &image, NULL), 0);
    image->layers[1].diff_id = image->layers[0].diff_id;
    image->layers[0] = image->layers[1];
    assert_int_equal(image_store_unpack(store, image, &paths, &error), -EBADMSG);
    assert_int_equal(paths.count, 0);
    char path[512];
    snprintf(path, sizeof(path), "%s/layers", scratch);
    assert_int_equal(rmdir(path), 0); /* nothing is left in it */
    image_free(image);
    sample_done(&sample);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_references, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_index, setup, teardown),
        cmocka_unit_test_setup_teardown(test_collect, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unpacked_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_age, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forget_oldest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fetch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_index_traps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unpack, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unpack_wrong, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
