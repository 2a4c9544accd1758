#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/store/store.h"

enum {
    RESULTS_MAX = 64,
    TINY_MAP_BYTES = 256 * 1024,
};

/* A store in a directory of its own. */
struct fixture {
    uv_loop_t loop;
    char directory[64];
    struct store *store;
    size_t count; /* callbacks so far, with what each was for and its result */
    uintptr_t tags[RESULTS_MAX];
    int results[RESULTS_MAX];
    struct error error;
};

static struct fixture *now; /* the running test's, for callbacks that only get a tag */

static int open_store(struct fixture *fixture, size_t map_bytes)
{
    const struct store_options options = {.directory = fixture->directory, .map_bytes = map_bytes};
    return store_open(&fixture->loop, &options, &fixture->store, &fixture->error);
}

static void close_store(struct fixture *fixture)
{
    store_close(fixture->store);
    fixture->store = NULL;
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    assert_non_null(fixture);
    uv_loop_init(&fixture->loop);
    snprintf(fixture->directory, sizeof(fixture->directory), "/tmp/consort-store-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    assert_int_equal(open_store(fixture, 0), 0);
    now = fixture;
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    char path[512];
    close_store(fixture);
    assert_int_equal(uv_loop_close(&fixture->loop), 0);
    DIR *directory = opendir(fixture->directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        snprintf(path, sizeof(path), "%s/%s", fixture->directory, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    rmdir(fixture->directory);
    free(fixture);
    return 0;
}

static void on_written(void *context, int result, const struct error *error)
{
    assert_true(now->count < RESULTS_MAX);
    now->tags[now->count] = (uintptr_t)context;
    now->results[now->count++] = result;
    if (result < 0)
        now->error = *error;
}

static void submit(struct fixture *fixture, struct store_batch *batch, uintptr_t tag)
{
    assert_int_equal(store_write(fixture->store, batch, on_written, (void *)tag), 0);
}

static void put(struct fixture *fixture, const char *key, const char *value, uintptr_t tag)
{
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_put(&batch, key, bytes_of_text(value));
    submit(fixture, &batch, tag);
}

static void append(struct fixture *fixture, uint64_t index, const char *entry, uintptr_t tag)
{
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_append(&batch, index, bytes_of_text(entry));
    submit(fixture, &batch, tag);
}

static void settle(struct fixture *fixture)
{
    uv_run(&fixture->loop, UV_RUN_DEFAULT);
}

static void assert_value(struct fixture *fixture, const char *key, const char *expected)
{
    cleanup_buffer struct buffer value = {0};
    assert_int_equal(store_get(fixture->store, key, &value, NULL), 0);
    assert_true(bytes_equal(buffer_view(&value), bytes_of_text(expected)));
}

static int gather(void *context, uint64_t index, struct bytes entry)
{
    struct buffer *text = context;
    return buffer_printf(text, "%d=%.*s ", (int)index, (int)entry.size, (const char *)entry.data);
}

static void assert_log(struct fixture *fixture, const char *expected)
{
    cleanup_buffer struct buffer text = {0};
    assert_int_equal(store_log_each(fixture->store, 0, gather, &text, NULL), 0);
    assert_true(bytes_equal(buffer_view(&text), bytes_of_text(expected)));
}

/* Breaks if what was reported durable is gone after a restart, or a generation repeats. */
static void test_restart(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(store_generation(fixture->store), 1);
    put(fixture, STORE_KEY_HARD_STATE, "term 7", 1);
    append(fixture, 5, "five", 2);
    append(fixture, 6, "six", 3);
    settle(fixture);
    assert_int_equal(fixture->count, 3);
    close_store(fixture);
    assert_int_equal(open_store(fixture, 0), 0);
    assert_int_equal(store_generation(fixture->store), 2);
    assert_value(fixture, STORE_KEY_HARD_STATE, "term 7");
    assert_log(fixture, "5=five 6=six ");
    uint64_t first, last;
    assert_int_equal(store_log_bounds(fixture->store, &first, &last, NULL), 0);
    assert_int_equal(first, 5);
    assert_int_equal(last, 6);
}

/* Breaks if a process killed in the middle of commits loses a batch that it had reported durable,
 * or keeps half of one. */
static void test_crash(void **state)
{
    struct fixture *fixture = *state;
    int pipe_fds[2];
    close_store(fixture);
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        uv_loop_t loop;
        uv_loop_init(&loop);
        const struct store_options options = {.directory = fixture->directory};
        struct store *store;
        if (store_open(&loop, &options, &store, NULL) < 0)
            _exit(1);
        for (uint64_t index = 1;; index++) {
            struct store_batch batch;
            char text[32];
            snprintf(text, sizeof(text), "%d", (int)index);
            store_batch_init(&batch);
            store_batch_append(&batch, index, bytes_of_text(text));
            store_batch_put(&batch, "last", bytes_of_text(text));
            now->count = 0;
            store_write(store, &batch, on_written, NULL);
            uv_run(&loop, UV_RUN_DEFAULT);
            if (write(pipe_fds[1], &index, sizeof(index)) < 0)
                _exit(1);
        }
    }
    uint64_t reported = 0;
    while (reported < 20)
        assert_int_equal(read(pipe_fds[0], &reported, sizeof(reported)), sizeof(reported));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(pipe_fds[1]);
    while (read(pipe_fds[0], &reported, sizeof(reported)) > 0)
        continue;
    close(pipe_fds[0]);

    assert_int_equal(open_store(fixture, 0), 0);
    assert_int_equal(store_generation(fixture->store), 3);
    uint64_t first, last;
    assert_int_equal(store_log_bounds(fixture->store, &first, &last, NULL), 0);
    assert_int_equal(first, 1);
    assert_true(last >= reported);
    char text[32];
    snprintf(text, sizeof(text), "%d", (int)last);
    assert_value(fixture, "last", text);
}

/* Breaks if callbacks come out of order, or a later batch is durable before an earlier one. */
static void test_group_commit_order(void **state)
{
    struct fixture *fixture = *state;
    for (uintptr_t i = 0; i < 50; i++) {
        char text[16];
        snprintf(text, sizeof(text), "%d", (int)i);
        put(fixture, "same key", text, i);
    }
    settle(fixture);
    assert_int_equal(fixture->count, 50);
    for (uintptr_t i = 0; i < 50; i++) {
        assert_int_equal(fixture->tags[i], i);
        assert_int_equal(fixture->results[i], 0);
    }
    assert_value(fixture, "same key", "49");
}

/* Breaks if truncation or compaction leaves or takes an entry too many. */
static void test_log(void **state)
{
    struct fixture *fixture = *state;
    struct store_batch batch;
    store_batch_init(&batch);
    for (uint64_t index = 1; index <= 300; index++)
        store_batch_append(&batch, index, bytes_of_text("x"));
    store_batch_compact_to(&batch, 297);
    store_batch_truncate_from(&batch, 300);
    store_batch_append(&batch, 300, bytes_of_text("new"));
    submit(fixture, &batch, 0);
    settle(fixture);
    assert_log(fixture, "298=x 299=x 300=new ");
    store_batch_truncate_from(&batch, 0);
    store_batch_append(&batch, 1000, bytes_of_text("after a snapshot"));
    submit(fixture, &batch, 0);
    settle(fixture);
    assert_log(fixture, "1000=after a snapshot ");
    append(fixture, 1002, "gap", 9);
    settle(fixture);
    assert_int_equal(fixture->results[2], -EINVAL);
    assert_log(fixture, "1000=after a snapshot ");
}

static int count_keys(void *context, const char *key, struct bytes value)
{
    struct buffer *text = context;
    (void)value;
    return buffer_printf(text, "%s ", key);
}

/* Breaks if a walk over a prefix leaves the prefix or the order. */
static void test_each(void **state)
{
    struct fixture *fixture = *state;
    cleanup_buffer struct buffer text = {0};
    put(fixture, "lease/b", "2", 0);
    put(fixture, "lease/a", "1", 0);
    put(fixture, "leasf", "3", 0);
    put(fixture, "leas", "4", 0);
    settle(fixture);
    assert_int_equal(store_each(fixture->store, "lease/", count_keys, &text, NULL), 0);
    assert_true(bytes_equal(buffer_view(&text), bytes_of_text("lease/a lease/b ")));
    buffer_clear(&text);
    assert_int_equal(store_each(fixture->store, "zzz", count_keys, &text, NULL), 0);
    assert_int_equal(text.size, 0);
}

/* Breaks if a full store damages what is in it, does not say what to do, or stays unusable. */
static void test_full(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t large[TINY_MAP_BYTES];
    close_store(fixture);
    assert_int_equal(open_store(fixture, TINY_MAP_BYTES), 0);
    put(fixture, "kept", "yes", 0);
    settle(fixture);
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_put(&batch, "kept", bytes_of_text("no"));
    store_batch_put(&batch, "large", (struct bytes){large, sizeof(large)});
    submit(fixture, &batch, 1);
    put(fixture, "behind", "x", 2);
    settle(fixture);
    assert_int_equal(fixture->count, 3);
    assert_int_equal(fixture->results[1], -ENOSPC);
    assert_int_equal(fixture->results[2], -ENOSPC); /* it may have built on the one that failed */
    assert_non_null(strstr(fixture->error.message, fixture->directory));
    assert_true(fixture->error.hint[0] != '\0');
    assert_value(fixture, "kept", "yes");
    put(fixture, "kept", "still", 3);
    settle(fixture);
    assert_int_equal(fixture->results[3], 0);
    assert_value(fixture, "kept", "still");
}

/* Breaks if a failed write or sync, at any place in a batch, leaves part of it behind. */
static void test_faults(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, "a", "old", 0);
    settle(fixture);
    for (unsigned write = 1; write <= 3; write++) {
        struct store_batch batch;
        store_batch_init(&batch);
        store_batch_put(&batch, "a", bytes_of_text("new"));
        store_batch_append(&batch, 1, bytes_of_text("one"));
        store_batch_delete(&batch, "a");
        store_fail_after(fixture->store, write < 3 ? write : 0, write == 3);
        submit(fixture, &batch, write);
        settle(fixture);
        assert_int_equal(fixture->results[write], -EIO);
        assert_value(fixture, "a", "old");
        assert_log(fixture, "");
    }
}

/* Overwrites each place of the closed store's file where `text` stands. */
static void damage(struct fixture *fixture, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/store.mdb", fixture->directory);
    int fd = open(path, O_RDWR);
    struct stat file;
    assert_int_equal(fstat(fd, &file), 0);
    char *bytes = malloc((size_t)file.st_size);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, (size_t)file.st_size, 0), file.st_size);
    for (char *at = bytes;
         (at = memmem(at, (size_t)(file.st_size - (at - bytes)), text, strlen(text))); at++)
        assert_int_equal(pwrite(fd, "#", 1, at - bytes), 1);
    free(bytes);
    close(fd);
}

/* Breaks if a damaged record is believed, or the error does not name it. */
static void test_damaged_record(void **state)
{
    struct fixture *fixture = *state;
    cleanup_buffer struct buffer value = {0};
    put(fixture, "some.key", "a value to be damaged", 0);
    append(fixture, 41, "good", 0);
    append(fixture, 42, "an entry to be damaged", 0);
    settle(fixture);
    close_store(fixture);
    damage(fixture, "a value to be damaged");
    damage(fixture, "an entry to be damaged");
    assert_int_equal(open_store(fixture, 0), 0);
    assert_int_equal(store_get(fixture->store, "some.key", &value, &fixture->error), -EBADMSG);
    assert_int_equal(value.size, 0);
    assert_non_null(strstr(fixture->error.message, "'some.key'"));
    assert_int_equal(store_log_each(fixture->store, 0, gather, &value, &fixture->error), -EBADMSG);
    assert_non_null(strstr(fixture->error.message, "log entry 42"));
}

/* Breaks if a file that is no store, one cut short, or an empty one, which is all that some file
 * systems leave of one, crashes the peer or is taken for a new one instead of an error. */
static void test_damaged_file(void **state)
{
    struct fixture *fixture = *state;
    static char large[200 * 1024];
    char path[128];
    snprintf(path, sizeof(path), "%s/store.mdb", fixture->directory);
    struct store_batch batch;
    store_batch_init(&batch);
    memset(large, 'x', sizeof(large));
    store_batch_put(&batch, "large", (struct bytes){(uint8_t *)large, sizeof(large)});
    submit(fixture, &batch, 0);
    settle(fixture);
    close_store(fixture);
    assert_int_equal(truncate(path, 100 * 1024), 0);
    int rc = open_store(fixture, 0);
    cleanup_buffer struct buffer value = {0};
    if (rc == 0)
        assert_int_equal(store_get(fixture->store, "large", &value, NULL), -EBADMSG);
    else
        assert_int_equal(rc, -EBADMSG);
    close_store(fixture);

    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(fd, large, sizeof(large)), sizeof(large));
    close(fd);
    assert_int_equal(open_store(fixture, 0), -EBADMSG);
    assert_non_null(strstr(fixture->error.message, path));
    assert_true(fixture->error.hint[0] != '\0');
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(open_store(fixture, 0), -EBADMSG);
}

/* Breaks if two processes can write to one data directory. */
static void test_exclusive(void **state)
{
    struct fixture *fixture = *state;
    struct store *second;
    const struct store_options options = {.directory = fixture->directory};
    assert_int_equal(store_open(&fixture->loop, &options, &second, &fixture->error), -EBUSY);
    assert_non_null(strstr(fixture->error.message, "in use"));
}

/* Breaks if closing leaves a batch without its callback, or reports one durable that is not. */
static void test_close_with_work(void **state)
{
    struct fixture *fixture = *state;
    for (uintptr_t i = 0; i < 20; i++)
        append(fixture, i + 1, "x", i);
    close_store(fixture);
    assert_int_equal(fixture->count, 20);
    size_t durable = 0;
    while (durable < 20 && fixture->results[durable] == 0)
        durable++;
    for (size_t i = durable; i < 20; i++)
        assert_int_equal(fixture->results[i], -ECANCELED);
    assert_int_equal(open_store(fixture, 0), 0);
    uint64_t first, last;
    assert_int_equal(store_log_bounds(fixture->store, &first, &last, NULL), 0);
    assert_int_equal(last, durable);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_group_commit_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faults, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_exclusive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close_with_work, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
