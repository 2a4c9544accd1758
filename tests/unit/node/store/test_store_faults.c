/* A store on a disk that fails: each write, sync and allocation in turn, and a crash after each
 * event. What is found afterwards is the state before a batch or the one after it, never a mix. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/store/store.h"
#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/node/store/failing_disk.h"

enum {
    BATCHES = 10,
    CRASHES_EACH = 6,
    LARGE_BYTES = 20000, /* a value on pages of its own */
    APPENDED = 4,        /* entries, by a batch */
    TRUNCATED = 2,
    FAULTS_MAX = 2000,
    SECTOR_BYTES = 512,
    MAP_BYTES = 4 * 1024 * 1024,
};

/* A kind of fault: `call`, or an allocation. */
#define ALLOCATIONS DISK_CALLS

struct fixture {
    uv_loop_t loop;
    char directory[64];
    struct store *store;
    int result; /* of the last batch; 1: not told yet */
    struct error error;
};

static const char *path_of(const struct fixture *f)
{
    static char path[128];
    snprintf(path, sizeof(path), "%s/store.mdb", f->directory);
    return path;
}

static int open_store(struct fixture *f)
{
    const struct store_options options = {.directory = f->directory, .map_bytes = MAP_BYTES};
    f->error = (struct error){0};
    return store_open(&f->loop, &options, &f->store, &f->error);
}

static void close_store(struct fixture *f)
{
    store_close(f->store);
    f->store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void remove_files(struct fixture *f)
{
    char path[512];
    DIR *directory = opendir(f->directory);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        snprintf(path, sizeof(path), "%s/%s", f->directory, entry->d_name);
        unlink(path);
    }
    closedir(directory);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    uv_loop_init(&f->loop);
    snprintf(f->directory, sizeof(f->directory), "%s/consort-faults-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(f->directory));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    if (f->store)
        close_store(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    remove_files(f);
    rmdir(f->directory);
    free(f);
    return 0;
}

/* ---- what is stored -------------------------------------------------------------------------- */

static int dump_value(void *context, const char *key, struct bytes value)
{
    struct buffer *text = context;
    if (strcmp(key, "store.generation") == 0)
        return 0;
    assert_int_equal(buffer_append(text, key, strlen(key) + 1), 0);
    assert_int_equal(buffer_append(text, &value.size, sizeof(value.size)), 0);
    return buffer_append(text, value.data, value.size);
}

static int dump_entry(void *context, uint64_t index, struct bytes entry)
{
    struct buffer *text = context;
    assert_int_equal(buffer_append(text, &index, sizeof(index)), 0);
    return buffer_append(text, entry.data, entry.size);
}

static void dump(struct fixture *f, struct buffer *ret)
{
    buffer_clear(ret);
    int rc = store_each(f->store, "", dump_value, ret, &f->error);
    if (rc == 0)
        rc = store_log_each(f->store, 0, dump_entry, ret, &f->error);
    if (rc < 0)
        fail_msg("%s", f->error.message);
}

/* The last index of the log before that batch. */
static uint64_t last_before(unsigned number)
{
    uint64_t last = 0;
    for (unsigned i = 0; i < number; i++)
        last += APPENDED - (i % 4 == 3 ? TRUNCATED : 0);
    return last;
}

/* Everything that a peer does to its store, in small: each batch builds on the one before. */
static void fill_batch(struct store_batch *batch, unsigned number)
{
    static uint8_t large[LARGE_BYTES];
    uint64_t last = last_before(number);
    char key[32];
    store_batch_init(batch);
    memset(large, (int)number + 1, sizeof(large));
    snprintf(key, sizeof(key), "value %u", number);
    store_batch_put(batch, STORE_KEY_HARD_STATE, bytes_of_text(key));
    store_batch_put(batch, key, (struct bytes){large, 200});
    if (number % 3 == 0)
        store_batch_put(batch, STORE_KEY_SNAPSHOT, (struct bytes){large, sizeof(large)});
    if (number % 4 == 3) {
        store_batch_truncate_from(batch, last - TRUNCATED + 1);
        last -= TRUNCATED;
    }
    for (unsigned i = 1; i <= APPENDED; i++)
        store_batch_append(batch, last + i, (struct bytes){large, 300 + 700 * (i % 3)});
    if (number % 3 == 2)
        store_batch_compact_to(batch, last - 1);
    if (number > 1) {
        snprintf(key, sizeof(key), "value %u", number - 2);
        store_batch_delete(batch, key);
    }
    if (number % 3 == 0)
        store_batch_delete_all(batch, "fed/");
    for (unsigned i = 0; i < 2; i++) {
        snprintf(key, sizeof(key), "fed/%02u%02u", number, i);
        store_batch_put(batch, key, (struct bytes){large, 100 + 900 * i});
    }
}

static void on_written(void *context, int result, const struct error *error)
{
    struct fixture *f = context;
    f->result = result;
    if (result < 0)
        f->error = *error;
}

/* Returns how it ended, for the caller or by the callback. */
static int write_batch(struct fixture *f, struct store_batch *batch)
{
    f->result = 1;
    int rc = store_write(f->store, batch, on_written, f);
    store_batch_done(batch);
    if (rc < 0)
        return rc;
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->result <= 0);
    return f->result;
}

static void write_sound(struct fixture *f, unsigned number)
{
    struct store_batch batch;
    fill_batch(&batch, number);
    assert_int_equal(write_batch(f, &batch), 0);
}

/* ---- the file -------------------------------------------------------------------------------- */

static void read_file(struct fixture *f, struct buffer *ret)
{
    uint8_t chunk[4096];
    FILE *file = fopen(path_of(f), "rb");
    assert_non_null(file);
    buffer_clear(ret);
    for (size_t size; (size = fread(chunk, 1, sizeof(chunk), file)) > 0;)
        assert_int_equal(buffer_append(ret, chunk, size), 0);
    fclose(file);
}

static void write_file(struct fixture *f, const struct buffer *image)
{
    remove_files(f);
    FILE *file = fopen(path_of(f), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(image->bytes, 1, image->size, file), image->size);
    fclose(file);
}

/* ---- faults ---------------------------------------------------------------------------------- */

static void arm(int kind, int64_t count)
{
    if (kind == ALLOCATIONS)
        memory_fail_after(count);
    else
        disk_fail_after((enum disk_call)kind, count);
}

/* True if the fault came. */
static bool disarm(int kind)
{
    if (kind == ALLOCATIONS)
        return memory_pause() < 0;
    bool came = disk_has_failed();
    disk_fail_after(DISK_WRITES, -1);
    return came;
}

/* One batch with the fault `kind` after `count` calls; false if that many were not made. */
static bool try_batch(struct fixture *f, const struct buffer *image, unsigned number, int kind,
                      int64_t count, struct buffer *ret_found, int *ret_rc)
{
    struct store_batch batch;
    write_file(f, image);
    assert_int_equal(open_store(f), 0);
    arm(kind, count);
    fill_batch(&batch, number);
    *ret_rc = write_batch(f, &batch);
    bool came = disarm(kind);
    close_store(f);
    assert_int_equal(open_store(f), 0);
    dump(f, ret_found);
    close_store(f);
    return came;
}

static void sweep_batch(struct fixture *f, const struct buffer *image, unsigned number,
                        const struct buffer *before, const struct buffer *after)
{
    cleanup_buffer struct buffer found = {0};
    for (int kind = 0; kind <= ALLOCATIONS; kind++) {
        int64_t count = 0;
        int rc;
        for (; try_batch(f, image, number, kind, count, &found, &rc); count++) {
            assert_true(count < FAULTS_MAX);
            bool is_old = bytes_equal(buffer_view(&found), buffer_view(before));
            bool is_new = bytes_equal(buffer_view(&found), buffer_view(after));
            if (!is_old && !is_new)
                fail_msg("batch %u, fault %d after %d calls: neither old nor new", number, kind,
                         (int)count);
            if (rc == 0 && !is_new)
                fail_msg("batch %u, fault %d after %d calls: reported durable, and gone", number,
                         kind, (int)count);
        }
        assert_int_equal(rc, 0);
        assert_true(bytes_equal(buffer_view(&found), buffer_view(after)));
        assert_true(count > 0 || kind == DISK_SIZES);
    }
}

/* Breaks if a write, sync or allocation that fails leaves a part of a batch behind, or a batch that
 * was reported durable is not there. */
static void test_each_fault(void **state)
{
    struct fixture *f = *state;
    cleanup_buffer struct buffer image = {0}, before = {0}, after = {0};
    assert_int_equal(open_store(f), 0);
    write_sound(f, 0);
    for (unsigned number = 1; number < BATCHES; number++) {
        dump(f, &before);
        close_store(f);
        read_file(f, &image);
        assert_int_equal(open_store(f), 0);
        write_sound(f, number);
        dump(f, &after);
        close_store(f);
        sweep_batch(f, &image, number, &before, &after);
        write_file(f, &image);
        assert_int_equal(open_store(f), 0);
        write_sound(f, number);
    }
}

/* Breaks if a store that could not be opened, for want of memory or by its disk, can't be opened
 * afterwards, or has lost something. */
static void test_each_fault_of_opening(void **state)
{
    struct fixture *f = *state;
    cleanup_buffer struct buffer image = {0}, before = {0}, found = {0};
    assert_int_equal(open_store(f), 0);
    write_sound(f, 0);
    dump(f, &before);
    close_store(f);
    read_file(f, &image);
    for (int is_new = 0; is_new < 2; is_new++)
        for (int kind = 0; kind <= ALLOCATIONS; kind++)
            for (int64_t count = 0;; count++) {
                assert_true(count < FAULTS_MAX);
                if (is_new)
                    remove_files(f);
                else
                    write_file(f, &image);
                arm(kind, count);
                int rc = open_store(f);
                bool came = disarm(kind);
                if (rc == 0)
                    close_store(f);
                else
                    uv_run(&f->loop, UV_RUN_DEFAULT);
                if (rc < 0)
                    assert_true(f->error.message[0] != '\0');
                if (open_store(f) < 0)
                    fail_msg("fault %d after %d calls: %s", kind, (int)count, f->error.message);
                dump(f, &found);
                close_store(f);
                assert_true(is_new ? found.size == 0
                                   : bytes_equal(buffer_view(&found), buffer_view(&before)));
                if (!came)
                    break;
            }
}

/* ---- crashes --------------------------------------------------------------------------------- */

static void check_crash(struct fixture *f, const struct disk_history *history, size_t events,
                        const struct buffer *before, const struct buffer *after)
{
    cleanup_buffer struct buffer found = {0};
    if (open_store(f) < 0)
        fail_msg("after %zu of %zu events: %s", events, history->count, f->error.message);
    dump(f, &found);
    close_store(f);
    bool is_old = bytes_equal(buffer_view(&found), buffer_view(before));
    bool is_new = bytes_equal(buffer_view(&found), buffer_view(after));
    if (!is_new && !is_old)
        fail_msg("after %zu of %zu events: neither old nor new", events, history->count);
    if (is_old && events > history->count)
        fail_msg("a batch that was durable is gone");
    if (is_new && !disk_has_committed(history, events))
        fail_msg("after %zu of %zu events: there before its last sector", events, history->count);
}

/* Breaks if a crash, with whatever was not synced lost, reordered or rubbish, leaves anything else
 * than the state before the batch or the one after it. */
static void test_each_crash(void **state)
{
    struct fixture *f = *state;
    cleanup_buffer struct buffer image = {0}, crashed = {0}, before = {0}, after = {0};
    struct random random;
    random_init(&random, 1);
    assert_int_equal(open_store(f), 0);
    write_sound(f, 0);
    for (unsigned number = 1; number < BATCHES; number++) {
        struct disk_history history;
        dump(f, &before);
        read_file(f, &image);
        disk_record_begin();
        write_sound(f, number);
        disk_record_end(&history);
        dump(f, &after);
        close_store(f);
        assert_true(history.count >= 3); /* pages, a sync, the meta page */
        for (size_t events = 1; events <= history.count + 1; events++)
            for (int i = 0; i < CRASHES_EACH; i++) {
                buffer_clear(&crashed);
                assert_int_equal(buffer_append(&crashed, image.bytes, image.size), 0);
                disk_crash(&history, events, &random, &crashed);
                write_file(f, &crashed);
                check_crash(f, &history, events, &before, &after);
            }
        disk_history_done(&history);
        write_file(f, &image);
        assert_int_equal(open_store(f), 0);
        write_sound(f, number);
    }
}

/* ---- rubbish --------------------------------------------------------------------------------- */

/* In a process of its own: 0 the same as before, 1 refused, else something else, or a crash. */
static int try_rubbish(struct fixture *f, const struct buffer *before)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};
    int status;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0) {
        assert_int_equal(waitpid(child, &status, 0), child);
        return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    }
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        signal(signals[i], SIG_DFL); /* not the test's own handlers */
    struct buffer found = {0};
    if (open_store(f) < 0)
        _exit(1);
    int rc = store_each(f->store, "", dump_value, &found, &f->error);
    if (rc == 0)
        rc = store_log_each(f->store, 0, dump_entry, &found, &f->error);
    if (rc < 0)
        _exit(1);
    _exit(bytes_equal(buffer_view(&found), buffer_view(before)) ? 0 : 2);
}

/* Breaks if a sector of rubbish, anywhere in the file, crashes a peer, or hides a record from it,
 * or keeps it from starting where nothing was. */
static void test_each_sector_of_rubbish(void **state)
{
    struct fixture *f = *state;
    cleanup_buffer struct buffer image = {0}, spoilt = {0}, before = {0};
    struct random random;
    unsigned outcomes[2] = {0};
    random_init(&random, 1);
    assert_int_equal(open_store(f), 0);
    for (unsigned number = 0; number < BATCHES; number++)
        write_sound(f, number);
    dump(f, &before);
    close_store(f);
    read_file(f, &image);
    for (size_t at = 0; at + SECTOR_BYTES <= image.size; at += SECTOR_BYTES) {
        buffer_clear(&spoilt);
        assert_int_equal(buffer_append(&spoilt, image.bytes, image.size), 0);
        random_fill(&random, spoilt.bytes + at, SECTOR_BYTES);
        write_file(f, &spoilt);
        int outcome = try_rubbish(f, &before);
        if (outcome < 0 || outcome > 1)
            fail_msg("rubbish at byte %zu: %s", at, outcome < 0 ? "a crash" : "another state");
        outcomes[outcome]++;
    }
    assert_true(outcomes[0] > 0 && outcomes[1] > 0);
}

/* Breaks if a store that is sound, but larger than the others here, is taken for a damaged one. */
static void test_large_store_is_sound(void **state)
{
    struct fixture *f = *state;
    struct store_batch batch;
    uint64_t last = 0;
    char key[64];
    for (unsigned round = 0; round < 12; round++) {
        assert_int_equal(open_store(f), 0);
        store_batch_init(&batch);
        for (unsigned i = 0; i < 400; i++) {
            snprintf(key, sizeof(key), "%u/a key that is somewhat longer/%u", i % 7,
                     400 * round + i);
            store_batch_put(&batch, key, bytes_of_text("value"));
            store_batch_append(&batch, ++last, bytes_of_text(key));
        }
        if (round % 3 == 2)
            store_batch_compact_to(&batch, last - 300);
        for (unsigned i = 0; i < 300 && round > 0; i++) {
            snprintf(key, sizeof(key), "%u/a key that is somewhat longer/%u", i % 7,
                     400 * (round - 1) + i);
            store_batch_delete(&batch, key);
        }
        assert_int_equal(write_batch(f, &batch), 0);
        close_store(f);
    }
    if (open_store(f) < 0)
        fail_msg("%s", f->error.message);
}

/* ---- a full store ---------------------------------------------------------------------------- */

/* Breaks if a log that is cut by its size can outgrow the store's cap, or a batch that the cap
 * refused changes anything, or the store can't be cut any more once it is full. */
static void test_full_store_can_be_cut(void **state)
{
    struct fixture *f = *state;
    static uint8_t entry[64 * 1024];
    cleanup_buffer struct buffer before = {0}, found = {0};
    struct store_batch batch;
    uint64_t last = 0;
    int rc = 0;
    assert_int_equal(open_store(f), 0);
    while (rc == 0 && last < 10 * MAP_BYTES / sizeof(entry)) {
        dump(f, &before);
        store_batch_init(&batch);
        store_batch_append(&batch, last + 1, (struct bytes){entry, sizeof(entry)});
        rc = write_batch(f, &batch);
        last += rc == 0;
    }
    assert_int_equal(rc, -ENOSPC);
    assert_non_null(strstr(f->error.message, "limit of 4 MiB"));
    dump(f, &found);
    assert_true(bytes_equal(buffer_view(&found), buffer_view(&before)));
    for (int i = 0; i < 3; i++) {
        store_batch_init(&batch);
        store_batch_compact_to(&batch, last - 4);
        assert_int_equal(write_batch(f, &batch), 0);
        for (int k = 0; k < 8; k++) {
            store_batch_init(&batch);
            store_batch_append(&batch, ++last, (struct bytes){entry, sizeof(entry)});
            assert_int_equal(write_batch(f, &batch), 0);
        }
    }
    close_store(f);
    read_file(f, &found);
    assert_true(found.size <= MAP_BYTES);
    assert_int_equal(open_store(f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_fault, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_fault_of_opening, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_crash, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_sector_of_rubbish, setup, teardown),
        cmocka_unit_test_setup_teardown(test_large_store_is_sound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_store_can_be_cut, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
