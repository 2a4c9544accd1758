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
#include <unistd.h>

#include <cmocka.h>

#include "node/peer/peer.h"
#include "node/store/secret_file.h"

enum {
    SNAPSHOT_INDEX = 5,
    LOG_INDEX = 2, /* the last entry that was cut off */
    LAST_INDEX = 8,
    FED_INDEX = 10, /* of the intent that the feed brought, and entries behind it */
    FED = 4,
};

static const struct id peers[] = {{{1}}, {{2}}};

void peer_step(struct peer *peer, struct agent_input *input)
{
    (void)peer;
    (void)input;
}

void peer_stop(struct peer *peer, int exit_code)
{
    (void)peer;
    fail_msg("stopped with %d", exit_code);
}

struct fixture {
    uv_loop_t loop;
    struct peer peer;
    char directory[64];
    struct error error;
    struct peer_loaded *loaded;
    const struct agent_stored *stored;
};

static void open_store(struct fixture *f)
{
    const struct store_options options = {.directory = f->directory};
    assert_int_equal(store_open(&f->loop, &options, &f->peer.store, &f->error), 0);
}

static void close_store(struct fixture *f)
{
    uv_run(&f->loop, UV_RUN_DEFAULT);
    store_close(f->peer.store);
    f->peer.store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

/* What a voter has: a snapshot, entries before and behind it, a vote, and what the feed brought. */
static void fill(struct fixture *f)
{
    char text[32];
    struct raft_entry entries[LAST_INDEX - LOG_INDEX];
    struct raft_snapshot snapshot = {
        .index = SNAPSHOT_INDEX,
        .term = 2,
        .configuration = {.members = {{peers[0], RAFT_VOTER}, {peers[1], RAFT_VOTER}}, .count = 2},
        .data = bytes_of_text("the snapshot's state")};
    struct agent_write log = {.entries = entries, .hard_state_changed = true};
    struct agent_write compacted = {.has_snapshot = true,
                                    .keeps_log = true,
                                    .snapshot = snapshot,
                                    .log_index = LOG_INDEX,
                                    .log_term = 1};
    struct agent_write fed = {0};
    log.hard_state = (struct raft_hard_state){.term = 2, .vote = peers[1], .commit = 6};
    for (uint64_t index = LOG_INDEX + 1; index <= LAST_INDEX; index++) {
        snprintf(text, sizeof(text), "data of entry %u", (unsigned)index);
        entries[log.entry_count++] = (struct raft_entry){.index = index,
                                                         .term = 2,
                                                         .type = RAFT_ENTRY_COMMAND,
                                                         .data = bytes_of_text(strdup(text))};
    }
    assert_int_equal(buffer_append(&fed.intent, "what the feed brought", 21), 0);
    assert_int_equal(peer_store_write(&f->peer, &log), 0);
    assert_int_equal(peer_store_write(&f->peer, &compacted), 0);
    assert_int_equal(peer_store_write(&f->peer, &fed), 0);
    for (size_t i = 0; i < log.entry_count; i++)
        free((void *)entries[i].data.data);
    buffer_done(&fed.intent);
}

/* What the feed brings in small, behind what fill() has stored. */
static void feed(struct fixture *f)
{
    char texts[FED][32];
    struct raft_entry entries[FED];
    for (unsigned i = 0; i < FED; i++) {
        uint64_t index = FED_INDEX + 1 + i;
        snprintf(texts[i], sizeof(texts[i]), "data fed at %u", (unsigned)index);
        entries[i] = (struct raft_entry){
            .index = index, .term = 3, .type = RAFT_ENTRY_COMMAND, .data = bytes_of_text(texts[i])};
    }
    for (unsigned i = 0; i < FED; i += 2) {
        struct agent_write fed = {.fed = entries + i, .fed_count = 2};
        assert_int_equal(peer_store_write(&f->peer, &fed), 0);
    }
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    uv_loop_init(&f->loop);
    snprintf(f->directory, sizeof(f->directory), "/tmp/consort-peer-store-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->peer.loop = &f->loop;
    f->peer.options.data_dir = f->directory;
    f->peer.options.name = "p1";
    open_store(f);
    fill(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[512];
    peer_loaded_free(f->loaded);
    close_store(f);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    DIR *directory = opendir(f->directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        snprintf(path, sizeof(path), "%s/%s", f->directory, entry->d_name);
        unlink(path);
    }
    closedir(directory);
    rmdir(f->directory);
    free(f);
    return 0;
}

static int load(struct fixture *f)
{
    peer_loaded_free(f->loaded);
    f->loaded = NULL;
    f->error = (struct error){0};
    return peer_store_load(&f->peer, &f->loaded, &f->stored, &f->error);
}

/* Puts rubbish wherever `text` stands in the file. */
static void damage(struct fixture *f, const char *text)
{
    char path[128];
    struct stat file;
    unsigned places = 0;
    close_store(f);
    snprintf(path, sizeof(path), "%s/store.mdb", f->directory);
    int fd = open(path, O_RDWR);
    assert_int_equal(fstat(fd, &file), 0);
    char *bytes = malloc((size_t)file.st_size);
    assert_non_null(bytes);
    assert_int_equal(pread(fd, bytes, (size_t)file.st_size, 0), file.st_size);
    for (char *at = bytes;
         (at = memmem(at, (size_t)(file.st_size - (at - bytes)), text, strlen(text)));
         at++, places++)
        assert_int_equal(pwrite(fd, "#", 1, at - bytes), 1);
    free(bytes);
    close(fd);
    assert_true(places > 0);
    open_store(f);
}

static void assert_entries(const struct fixture *f, uint64_t first)
{
    const struct raft_stored *raft = &f->stored->raft;
    assert_int_equal(raft->log_index, first - 1);
    assert_int_equal(raft->entry_count, LAST_INDEX - first + 1);
    for (size_t i = 0; i < raft->entry_count; i++)
        assert_int_equal(raft->entries[i].index, first + i);
    assert_int_equal(raft->hard_state.term, 2);
    assert_true(id_equal(&raft->hard_state.vote, &peers[1]));
}

/* Breaks if anything comes back from the disk in another form than it went there. */
static void test_round_trip(void **state)
{
    struct fixture *f = *state;
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), 0);
    assert_entries(f, LOG_INDEX + 1);
    assert_int_equal(f->stored->raft.log_term, 1);
    assert_int_equal(f->stored->raft.snapshot->index, SNAPSHOT_INDEX);
    assert_true(bytes_equal(f->stored->intent, bytes_of_text("what the feed brought")));
}

/* Breaks if a damaged entry that the snapshot holds as well keeps a peer from starting, or is found
 * again and again. */
static void test_entry_in_snapshot(void **state)
{
    struct fixture *f = *state;
    damage(f, "data of entry 4");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(load(f), 0);
        assert_entries(f, SNAPSHOT_INDEX + 1);
        assert_int_equal(f->stored->raft.log_term, 2);
        close_store(f);
        open_store(f);
        uint64_t first, last;
        assert_int_equal(store_log_bounds(f->peer.store, &first, &last, &f->error), 0);
        assert_int_equal(first, SNAPSHOT_INDEX + 1);
        assert_int_equal(last, LAST_INDEX);
    }
}

/* Breaks if a peer goes on as if it had not acknowledged an entry that is gone, or throws away what
 * is behind that. */
static void test_lost_entry(void **state)
{
    struct fixture *f = *state;
    damage(f, "data of entry 7");
    assert_int_equal(load(f), 0);
    assert_int_equal(f->stored->lost_through, 7);
    assert_true(f->stored->intent_is_old);
    assert_int_equal(f->stored->raft.entry_count, 1);
    assert_int_equal(f->stored->raft.entries[0].index, 8);
    assert_int_equal(f->stored->raft.snapshot->index, SNAPSHOT_INDEX);
    assert_true(id_equal(&f->stored->raft.hard_state.vote, &peers[1]));
    damage(f, "data of entry 8");
    assert_int_equal(load(f), 0);
    assert_int_equal(f->stored->lost_through, 8);
    assert_int_equal(f->stored->raft.entry_count, 0);
}

/* Breaks if a peer goes on that has no state at all by which it would know whom to believe. */
static void test_nobody_to_believe(void **state)
{
    struct fixture *f = *state;
    damage(f, "the snapshot's state");
    damage(f, "what the feed brought");
    assert_int_equal(load(f), -EBADMSG);
    assert_non_null(strstr(f->error.message, "corrupt"));
    assert_non_null(strstr(f->error.message, f->directory));
    assert_non_null(strstr(f->error.hint, "token"));
    assert_null(f->loaded);
}

static void assert_says_what_to_type(const struct fixture *f)
{
    char move[256];
    snprintf(move, sizeof(move), "mv %s %s.lost", f->directory, f->directory);
    assert_non_null(strstr(f->error.hint, "does not start"));
    assert_non_null(strstr(f->error.hint, move));
    assert_non_null(strstr(f->error.hint, "consort peer revoke p1"));
    assert_non_null(strstr(f->error.hint, "consort token create"));
    assert_non_null(strstr(f->error.hint, "consort join TOKEN"));
}

/* Breaks if a vote that is not there although there is a log is taken for one never given. */
static void test_vote(void **state)
{
    struct fixture *f = *state;
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_delete(&batch, STORE_KEY_HARD_STATE);
    assert_int_equal(store_write(f->peer.store, &batch, NULL, NULL), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), -EBADMSG);
    assert_non_null(strstr(f->error.message, "this peer's vote is missing"));
    assert_says_what_to_type(f);
}

static void path_of(const struct fixture *f, const char *name, char ret[512])
{
    snprintf(ret, 512, "%s/%s", f->directory, name);
}

/* Breaks if a peer whose store is gone or unreadable begins anew under its old key: it could vote
 * twice; if nobody is told what to type; or if a directory that nobody used yet is refused. */
static void test_store_is_gone(void **state)
{
    struct fixture *f = *state;
    char store[512], key[512];
    path_of(f, "store.mdb", store);
    path_of(f, SECRET_FILE_IDENTITY, key);
    close_store(f);
    FILE *file = fopen(key, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(truncate(store, 0), 0);
    assert_int_equal(peer_store_open(&f->peer, &f->error), -EBADMSG);
    assert_non_null(strstr(f->error.message, store));
    assert_says_what_to_type(f);
    assert_int_equal(unlink(store), 0);
    for (int i = 0; i < 2; i++) { /* nor does it pass the second time */
        f->error = (struct error){0};
        assert_int_equal(peer_store_open(&f->peer, &f->error), -EBADMSG);
        assert_non_null(strstr(f->error.message, "is gone"));
        assert_says_what_to_type(f);
        assert_false(store_exists(f->directory));
    }
    assert_int_equal(unlink(key), 0);
    assert_int_equal(peer_store_open(&f->peer, &f->error), 0);
    assert_true(store_exists(f->directory));
}

/* Breaks if a log whose end is gone without a trace is taken for a shorter one. */
static void test_log_end(void **state)
{
    struct fixture *f = *state;
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_truncate_from(&batch, 7); /* what is committed is there */
    assert_int_equal(store_write(f->peer.store, &batch, NULL, NULL), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), 0);
    store_batch_truncate_from(&batch, 6);
    assert_int_equal(store_write(f->peer.store, &batch, NULL, NULL), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), -EBADMSG);
    assert_non_null(strstr(f->error.message, "log entries 6 to 6 are missing"));
    assert_non_null(strstr(f->error.hint, "token"));
}

/* Breaks if a damaged snapshot is served, or keeps a peer from starting whose log is whole and who
 * knows whom to believe. */
static void test_snapshot(void **state)
{
    struct fixture *f = *state;
    damage(f, "the snapshot's state");
    assert_int_equal(load(f), 0);
    assert_null(f->stored->raft.snapshot);
    assert_int_equal(f->stored->lost_through, LOG_INDEX);
    assert_true(f->stored->intent_is_old);
    assert_int_equal(f->stored->raft.entry_count, LAST_INDEX - LOG_INDEX);
    assert_true(bytes_equal(f->stored->intent, bytes_of_text("what the feed brought")));
}

/* Breaks if a peer goes on whose damaged snapshot alone said where its log ended. */
static void test_snapshot_alone(void **state)
{
    struct fixture *f = *state;
    struct store_batch batch;
    store_batch_init(&batch);
    store_batch_truncate_from(&batch, 1);
    assert_int_equal(store_write(f->peer.store, &batch, NULL, NULL), 0);
    damage(f, "the snapshot's state");
    assert_int_equal(load(f), -EBADMSG);
    assert_non_null(strstr(f->error.message, "raft.snapshot"));
}

/* Breaks if what the others have as well keeps a peer from starting once it is damaged. */
static void test_intent(void **state)
{
    struct fixture *f = *state;
    damage(f, "what the feed brought");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(load(f), 0);
        assert_entries(f, LOG_INDEX + 1);
        assert_int_equal(f->stored->intent.size, 0);
        assert_true(f->stored->intent_is_old); /* until the feed has brought another */
        close_store(f);
        open_store(f);
    }
}

static void assert_fed(const struct fixture *f, size_t count, bool is_old)
{
    assert_int_equal(f->stored->fed_count, count);
    assert_int_equal(f->stored->intent_is_old, is_old);
    for (size_t i = 0; i < count; i++) {
        char text[32];
        snprintf(text, sizeof(text), "data fed at %u", (unsigned)(FED_INDEX + 1 + i));
        assert_int_equal(f->stored->fed[i].index, FED_INDEX + 1 + i);
        assert_int_equal(f->stored->fed[i].term, 3);
        assert_int_equal(f->stored->fed[i].type, RAFT_ENTRY_COMMAND);
        assert_true(bytes_equal(f->stored->fed[i].data, bytes_of_text(text)));
    }
}

/* Breaks if what is stored behind the intent does not come back, or stays when it is of no use. */
static void test_fed(void **state)
{
    struct fixture *f = *state;
    struct agent_write whole = {0};
    struct agent_write dropped = {.drops_fed = true};
    feed(f);
    assert_int_equal(load(f), 0);
    assert_fed(f, FED, false);
    assert_true(bytes_equal(f->stored->intent, bytes_of_text("what the feed brought")));
    assert_int_equal(peer_store_write(&f->peer, &dropped), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), 0);
    assert_fed(f, 0, false);
    feed(f);
    assert_int_equal(buffer_append(&whole.intent, "all of it", 9), 0);
    assert_int_equal(peer_store_write(&f->peer, &whole), 0);
    buffer_done(&whole.intent);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), 0);
    assert_fed(f, 0, false);
    assert_true(bytes_equal(f->stored->intent, bytes_of_text("all of it")));
    assert_entries(f, LOG_INDEX + 1); /* Raft's own are others */
}

/* Breaks if a damaged entry, or one behind it, is taken for true, keeps a peer from starting, or
 * is forgotten by the next start: the intent is older than it was. */
static void test_fed_damaged(void **state)
{
    struct fixture *f = *state;
    feed(f);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    damage(f, "data fed at 13");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(load(f), 0);
        assert_fed(f, 2, true);
        close_store(f);
        open_store(f);
    }
}

static void change_fed(struct fixture *f, const char *deleted, const char *put)
{
    struct store_batch batch;
    store_batch_init(&batch);
    if (deleted)
        store_batch_delete(&batch, deleted);
    if (put)
        store_batch_put(&batch, put, bytes_of_text("rubbish"));
    assert_int_equal(store_write(f->peer.store, &batch, NULL, NULL), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), 0);
}

/* Breaks if one that is missing, or what is no entry, is passed over in silence. */
static void test_fed_senseless(void **state)
{
    struct fixture *f = *state;
    feed(f);
    change_fed(f, NULL, PEER_FED_PREFIX "000000000000000f");
    assert_fed(f, FED, true);
    change_fed(f, PEER_FED_PREFIX "000000000000000f", PEER_FED_PREFIX "fourteen");
    assert_fed(f, FED, true);
    change_fed(f, PEER_FED_PREFIX "fourteen", NULL);
    assert_fed(f, FED, false);
    change_fed(f, PEER_FED_PREFIX "000000000000000c", NULL);
    assert_fed(f, 1, true);
}

/* Breaks if a start reads more than is ever stored. */
static void test_fed_too_many(void **state)
{
    struct fixture *f = *state;
    struct raft_entry *entries = calloc(FEED_STORED_ENTRIES_MAX + 1, sizeof(*entries));
    struct agent_write fed = {.fed = entries, .fed_count = FEED_STORED_ENTRIES_MAX + 1};
    assert_non_null(entries);
    for (size_t i = 0; i < fed.fed_count; i++)
        entries[i] = (struct raft_entry){.index = FED_INDEX + 1 + i, .term = 3};
    assert_int_equal(peer_store_write(&f->peer, &fed), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(load(f), 0);
    assert_int_equal(f->stored->fed_count, FEED_STORED_ENTRIES_MAX);
    assert_true(f->stored->intent_is_old);
    free(entries);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entry_in_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_to_believe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vote, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_log_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(test_intent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fed_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fed_senseless, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fed_too_many, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
