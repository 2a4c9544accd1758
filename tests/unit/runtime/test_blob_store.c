#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/image/blob_store.h"
#include "tests/unit/runtime/fixture.h"

static char scratch[SCRATCH_PATH_BYTES];

static int setup(void **state)
{
    scratch_make(scratch);
    struct blob_store *store = NULL;
    int r = blob_store_open(scratch, &store, NULL);
    *state = store;
    return r;
}

static int teardown(void **state)
{
    blob_store_free(*state);
    scratch_remove(scratch);
    return 0;
}

static void assert_store_is_empty(struct blob_store *store)
{
    struct digest_set all = {0};
    assert_int_equal(blob_store_list(store, &all, NULL), 0);
    assert_int_equal(all.count, 0);
    digest_set_done(&all);
    char path[SCRATCH_PATH_BYTES + 8];
    snprintf(path, sizeof(path), "%s/tmp/0", scratch);
    assert_int_equal(access(path, F_OK), -1);
}

/* Breaks if what was stored cannot be read again, also after opening anew. */
static void test_round_trip(void **state)
{
    struct blob_store *store = *state;
    struct digest digest, found;
    cleanup_buffer struct buffer read_back;
    buffer_init(&read_back);
    assert_int_equal(blob_store_put(store, "hello", 5, &digest, NULL), 0);
    digest_of("hello", 5, &found);
    assert_true(digest_equal(&digest, &found));
    blob_store_free(store);
    *state = store = NULL;
    assert_int_equal(blob_store_open(scratch, &store, NULL), 0);
    *state = store;
    assert_true(blob_store_has(store, &digest));
    assert_int_equal(blob_store_size(store, &digest), 5);
    assert_int_equal(blob_store_read(store, &digest, 5, &read_back, NULL), 0);
    assert_memory_equal(read_back.bytes, "hello", 5);
    assert_int_equal(blob_store_read(store, &digest, 4, &read_back, NULL), -E2BIG);
    assert_int_equal(blob_store_remove(store, &digest, NULL), 0);
    assert_int_equal(blob_store_remove(store, &digest, NULL), 0);
    assert_int_equal(blob_store_read(store, &digest, 5, &read_back, NULL), -ENOENT);
    assert_int_equal(read_back.size, 5);
}

/* Breaks if a peer can put other bytes, or more or fewer, under a digest that was asked for. */
static void test_wrong_bytes(void **state)
{
    struct blob_store *store = *state;
    static const struct {
        const char *bytes;
        int64_t announced;
        int result;
    } cases[] = {{"hellO", 5, -EBADMSG},
                 {"hello!", 5, -EFBIG},
                 {"hell", 5, -EBADMSG},
                 {"hell", -1, -EBADMSG},
                 {"hello", 6, -EBADMSG}};
    struct digest expected;
    digest_of("hello", 5, &expected);
    for (size_t i = 0; i < array_count(cases); i++) {
        struct blob_writer *writer = NULL;
        struct error error = {0};
        assert_int_equal(blob_writer_new(store, &expected, cases[i].announced, &writer, &error), 0);
        int r = blob_writer_write(writer, cases[i].bytes, strlen(cases[i].bytes), &error);
        if (r == 0)
            r = blob_writer_commit(writer, NULL, NULL, &error);
        assert_int_equal(r, cases[i].result);
        assert_true(strlen(error.message) > 0);
        blob_writer_free(writer);
        assert_store_is_empty(store);
    }
}

/* Breaks if a blob that a crash left half-written is kept, or counted as whole. */
static void test_sweep(void **state)
{
    struct blob_store *store = *state;
    struct digest digest;
    digest_of("hello", 5, &digest);
    struct blob_writer *writer = NULL;
    assert_int_equal(blob_writer_new(store, &digest, 5, &writer, NULL), 0);
    assert_int_equal(blob_writer_write(writer, "hel", 3, NULL), 0);
    assert_false(blob_store_has(store, &digest));
    blob_writer_free(writer);
    blob_store_free(store);
    scratch_write(scratch, "tmp/0", bytes_of_text("what a crash left"));
    scratch_write(scratch, "tmp/dir/file", bytes_of_text("and more"));
    assert_int_equal(blob_store_open(scratch, &store, NULL), 0);
    *state = store;
    assert_store_is_empty(store);
}

/* Breaks if a blob that rotted on disk reaches a parser. */
static void test_rot(void **state)
{
    struct blob_store *store = *state;
    struct digest digest;
    char name[DIGEST_HEX_BYTES], path[SCRATCH_PATH_BYTES + DIGEST_HEX_BYTES];
    cleanup_buffer struct buffer read_back;
    buffer_init(&read_back);
    assert_int_equal(blob_store_put(store, "hello", 5, &digest, NULL), 0);
    digest_format_hex(&digest, name);
    snprintf(path, sizeof(path), "blobs/sha256/%s", name);
    scratch_write(scratch, path, bytes_of_text("hellp"));
    assert_int_equal(blob_store_read(store, &digest, 100, &read_back, NULL), -EBADMSG);
    assert_int_equal(read_back.size, 0);
    /* Storing it again repairs it. */
    assert_int_equal(blob_store_put(store, "hello", 5, &digest, NULL), 0);
    assert_int_equal(blob_store_read(store, &digest, 100, &read_back, NULL), 0);
}

/* Breaks if two daemons can have one store, and sweep each other's files. */
static void test_lock(void **state)
{
    (void)state;
    struct blob_store *second = NULL;
    struct error error = {0};
    assert_int_equal(blob_store_open(scratch, &second, &error), -EBUSY);
    assert_true(strlen(error.hint) > 0);
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lock, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
