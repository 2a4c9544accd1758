/* What a peer that does not vote writes to its disk for a change, while it holds much: a whole
 * agent's writes, in a store of LMDB's. Breaks if that grows with what it holds, or if a start
 * does not come from that store to what the peer had. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/peer/peer.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

enum {
    SERVICES = 200,
    LABELS = 20,
    CHANGES = 100,
    BYTES_A_CHANGE_MAX = 64 * 1024,
};

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

struct disk_fixture {
    struct fleet fleet;
    uv_loop_t loop;
    struct peer peer;
    char directory[64];
    unsigned writes;
};

/* What this process has given to write(2) and its kin. */
static uint64_t bytes_written(void)
{
    unsigned long long bytes = 0;
    char line[64];
    FILE *file = fopen("/proc/self/io", "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) && sscanf(line, "wchar: %llu", &bytes) != 1)
        continue;
    fclose(file);
    return bytes;
}

/* Durable before anything else happens, so that no two share a commit. */
static void store(void *context, const struct agent_write *write)
{
    struct disk_fixture *f = context;
    assert_int_equal(peer_store_write(&f->peer, write), 0);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    f->writes++;
}

static void open_store(struct disk_fixture *f)
{
    const struct store_options options = {.directory = f->directory};
    struct error error = {0};
    assert_int_equal(store_open(&f->loop, &options, &f->peer.store, &error), 0);
}

static void close_store(struct disk_fixture *f)
{
    store_close(f->peer.store);
    f->peer.store = NULL;
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static int setup(void **state)
{
    struct disk_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    uv_loop_init(&f->loop);
    snprintf(f->directory, sizeof(f->directory), "/tmp/consort-feed-volume-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    f->peer.loop = &f->loop;
    f->peer.options.data_dir = f->directory;
    f->peer.options.name = "p1";
    open_store(f);
    fleet_start(&f->fleet, 2, 1);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct disk_fixture *f = *state;
    char path[512];
    fleet_done(&f->fleet);
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

static void deploy(struct fleet *f, unsigned number)
{
    struct command command = fleet_command(COMMAND_DEPLOY);
    struct service_spec spec;
    char text[INTENT_SERVICE_NAME_BYTES_MAX];
    snprintf(text, sizeof(text), "service%u", number);
    fixture_spec(&spec, text);
    for (unsigned i = 0; i < LABELS; i++) {
        snprintf(text, sizeof(text), "VARIABLE_%u=of a service, about as long as usual", i);
        assert_int_equal(text_list_add(&spec.environment, text), 0);
    }
    snprintf(command.deploy.stack, sizeof(command.deploy.stack), "stack%u", number);
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    fleet_agree(f, 0, &command);
    service_spec_done(&spec);
    fleet_run(f, 300);
}

static void toggle(struct fleet *f, bool drained)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(f, 1);
    command.peer_state.state = drained ? INTENT_DRAINING : INTENT_ACTIVE;
    fleet_agree(f, 0, &command);
    fleet_run(f, 1000);
}

static void assert_is_stored(struct disk_fixture *f)
{
    cleanup_buffer struct buffer held = {0}, found = {0};
    struct fleet_disk *disk = &f->fleet.peers[1].disk;
    struct peer_loaded *loaded;
    const struct agent_stored *stored;
    struct error error = {0};
    assert_int_equal(intent_write(agent_intent(f->fleet.peers[1].agent), &held), 0);
    close_store(f);
    open_store(f);
    assert_int_equal(peer_store_load(&f->peer, &loaded, &stored, &error), 0);
    assert_true(stored->fed_count > 0 && stored->fed_count == disk->fed_count);
    fleet_kill(&f->fleet, 1);
    f->fleet.peers[1].stored = stored; /* in place of the disk in memory */
    fleet_restart(&f->fleet, 1);
    peer_loaded_free(loaded);
    assert_int_equal(intent_write(agent_intent(f->fleet.peers[1].agent), &found), 0);
    assert_true(bytes_equal(buffer_view(&held), buffer_view(&found)));
}

static void test_volume(void **state)
{
    struct disk_fixture *f = *state;
    struct fleet *fleet = &f->fleet;
    cleanup_buffer struct buffer intent = {0};
    fleet->peers[1].on_write = store;
    fleet->peers[1].on_write_context = f;
    for (unsigned i = 0; i < SERVICES; i++)
        deploy(fleet, i);
    unsigned writes = f->writes;
    uint64_t before = bytes_written();
    for (unsigned i = 0; i < CHANGES; i++)
        toggle(fleet, i % 2 == 0);
    uint64_t written = bytes_written() - before;
    assert_int_equal(intent_write(agent_intent(fleet->peers[1].agent), &intent), 0);
    print_message("%u services, %zu bytes: %llu bytes are written for a change, %u writes for %u "
                  "changes\n",
                  SERVICES, intent.size, (unsigned long long)(written / CHANGES),
                  f->writes - writes, CHANGES);
    assert_true(intent.size > 3 * BYTES_A_CHANGE_MAX);
    assert_true(written / CHANGES < BYTES_A_CHANGE_MAX);
    assert_is_stored(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_volume, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
