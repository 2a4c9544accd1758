#include <errno.h>

#include "node/control/agent_private.h"
#include "tests/unit/node/control/agent_bench.h"

static void toggle(struct fleet *f, unsigned peer, bool drained)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(f, peer);
    command.peer_state.state = drained ? INTENT_DRAINING : INTENT_ACTIVE;
    fleet_agree(f, 0, &command);
}

/* One change after another, each with a head of its own. */
static void change(struct fleet *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        toggle(f, 1, i % 2 == 0);
        fleet_run(f, 500);
    }
}

static void set_blob(struct fleet *f, char name, size_t size)
{
    struct command command = fleet_command(COMMAND_BLOB_SET);
    struct intent_blob *blob = &command.blob_set.blob;
    blob->name[0] = name;
    assert_int_equal(buffer_reserve(&blob->content, size), 0);
    memset(blob->content.bytes, name, size);
    blob->content.size = size;
    fleet_agree(f, 0, &command);
    buffer_done(&blob->content);
    fleet_run(f, 1000);
}

static void set_blobs(struct fleet *f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        set_blob(f, (char)('a' + fleet_status(f, 0).applied_index % 26), 100 + i);
}

static void assert_same_intent(const struct fleet *f, unsigned a, unsigned b)
{
    cleanup_buffer struct buffer of_a = {0}, of_b = {0};
    assert_int_equal(intent_write(agent_intent(f->peers[a].agent), &of_a), 0);
    assert_int_equal(intent_write(agent_intent(f->peers[b].agent), &of_b), 0);
    assert_true(bytes_equal(buffer_view(&of_a), buffer_view(&of_b)));
}

/* From its disk alone, it is as it was, to the byte. */
static void assert_restarts_as_it_was(struct fleet *f, unsigned peer)
{
    cleanup_buffer struct buffer before = {0}, after = {0};
    assert_int_equal(intent_write(agent_intent(f->peers[peer].agent), &before), 0);
    fleet_kill(f, peer);
    fleet_restart(f, peer);
    assert_int_equal(intent_write(agent_intent(f->peers[peer].agent), &after), 0);
    assert_true(bytes_equal(buffer_view(&before), buffer_view(&after)));
}

/* Breaks if each change stores all that there is, or a start does not come to what was stored, or
 * stores it all anew. */
static void test_entries_alone(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    change(&f, 2);
    const struct fleet_disk *disk = &f.peers[1].disk;
    unsigned wholes = disk->wholes;
    for (int i = 0; i < 3; i++) {
        size_t stored = disk->fed_count;
        change(&f, 4);
        assert_int_equal(disk->fed_count, stored + 4);
        assert_same_intent(&f, 0, 1);
        assert_restarts_as_it_was(&f, 1);
        fleet_run(&f, 3000);
    }
    assert_int_equal(disk->wholes, wholes);
    fleet_done(&f);
}

/* Breaks if the entries grow without end, in number or in bytes. */
static void test_stored_anew(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    fleet_kill(&f, 1);
    f.compact_after_entries = 2;
    fleet_restart(&f, 1);
    fleet_run(&f, 3000);
    const struct fleet_disk *disk = &f.peers[1].disk;
    unsigned wholes = disk->wholes;
    for (unsigned i = 0; i < 40; i++) {
        change(&f, 1);
        assert_in_range(disk->fed_count, 0, 2 * FEED_STORED_COMPACTIONS);
    }
    assert_in_range(disk->wholes - wholes, 2, 3);
    assert_restarts_as_it_was(&f, 1);
    fleet_run(&f, 3000);

    wholes = disk->wholes;
    set_blob(&f, 'a', FEED_STORED_BYTES_MIN);
    assert_int_equal(disk->wholes, wholes + 1);
    assert_int_equal(disk->fed_count, 0);
    set_blob(&f, 'b', FEED_STORED_BYTES_MIN / 2); /* now the intent is larger */
    assert_int_equal(disk->fed_count, 1);
    assert_restarts_as_it_was(&f, 1);
    fleet_done(&f);
}

/* Breaks if what is written for a change grows with all that there is. */
static void test_volume(void **state)
{
    enum { BLOBS = 4, BLOB_BYTES = 250 * 1000, CHANGES = 100 };
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    for (unsigned i = 0; i < BLOBS; i++)
        set_blob(&f, (char)('a' + i), BLOB_BYTES);
    toggle(&f, 1, true); /* perhaps the last that is stored as a whole */
    fleet_run(&f, 1000);
    const struct fleet_disk *disk = &f.peers[1].disk;
    uint64_t before = disk->fed_bytes;
    change(&f, CHANGES);
    assert_same_intent(&f, 0, 1);
    print_message("%u changes of an intent of %zu bytes: %llu bytes are stored\n", CHANGES,
                  disk->intent.size, (unsigned long long)(disk->fed_bytes - before));
    assert_true(disk->intent.size > BLOBS * BLOB_BYTES / 2);
    assert_in_range(disk->fed_bytes - before, 1, CHANGES * 1000);
    fleet_done(&f);
}

static bool second_votes(const struct fleet *f)
{
    return fleet_status(f, 1).is_voter &&
           fleet_status(f, 1).applied_index == fleet_status(f, 0).applied_index;
}

static bool second_is_out(const struct fleet *f)
{
    return !raft_configuration_find(&agent_intent(f->peers[1].agent)->configuration,
                                    &f->peers[1].identity.id);
}

/* Breaks if entries stay behind when Raft's snapshot has them, or if they are appended to what they
 * do not follow once a voter has become one who is fed again. */
static void test_voter(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    const struct fleet_disk *disk = &f.peers[1].disk;
    set_blobs(&f, 5);
    assert_in_range(disk->fed_count, 1, 100);
    struct command command = fleet_command(COMMAND_VOTERS);
    command.voters.max = 3;
    fleet_agree(&f, 0, &command);
    fleet_wait(&f, second_votes);
    for (unsigned i = 0; i < 2; i++) {
        set_blobs(&f, 6);
        fleet_kill(&f, 1);
        fleet_restart(&f, 1);
        fleet_wait(&f, second_votes);
        assert_same_intent(&f, 0, 1);
    }
    assert_true(disk->has_snapshot);
    if (disk->fed_count > 0) /* then the feed was ahead of the snapshot */
        assert_true(disk->fed[disk->fed_count - 1].index > disk->snapshot.index);

    command.voters.max = 1;
    fleet_agree(&f, 0, &command);
    fleet_wait(&f, second_is_out);
    fleet_run(&f, 3000);
    unsigned wholes = disk->wholes;
    set_blobs(&f, 6);
    assert_true(disk->wholes <= wholes + 1);
    assert_same_intent(&f, 0, 1);
    assert_restarts_as_it_was(&f, 1);
    fleet_done(&f);
}

/* Breaks if a peer whose stored entries are damaged appends to them, takes itself for up to date,
 * or does not get rid of them. */
static void test_damaged(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    change(&f, 6);
    struct fleet_disk *disk = &f.peers[1].disk;
    unsigned wholes = disk->wholes;
    fleet_kill(&f, 1);
    assert_true(disk->fed_count > 3);
    for (int i = 0; i < 3; i++)
        free((void *)disk->fed[--disk->fed_count].data.data);
    f.peers[1].intent_is_old = true; /* as peer_store_load() says */
    fleet_restart(&f, 1);
    assert_true(agent_intent_is_old(f.peers[1].agent));
    fleet_run(&f, 5000);
    assert_false(agent_intent_is_old(f.peers[1].agent));
    assert_same_intent(&f, 0, 1);
    assert_int_equal(disk->wholes, wholes + 1);
    assert_int_equal(disk->fed_count, 0);
    change(&f, 3);
    assert_int_equal(disk->fed_count, 3);
    assert_restarts_as_it_was(&f, 1);
    fleet_done(&f);
}

static bool second_is_mended(const struct fleet *f)
{
    return !agent_intent_is_old(f->peers[1].agent);
}

/* Breaks if what is damaged stays on the disk though all that it led to came by Raft. */
static void test_damaged_and_nothing_new(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    change(&f, 2);
    struct fleet_disk *disk = &f.peers[1].disk;
    unsigned wholes = disk->wholes;
    fleet_kill(&f, 1);
    f.peers[1].intent_is_old = true;
    fleet_restart(&f, 1);
    fleet_wait(&f, second_is_mended);
    assert_int_equal(disk->wholes, wholes + 1);
    assert_int_equal(disk->fed_count, 0);
    fleet_done(&f);
}

static int start(const struct raft_entry *entries, size_t count, uint64_t *ret_index)
{
    struct agent agent = {0};
    struct id cluster = {{7}};
    struct intent *intent = intent_new(&cluster);
    struct agent_stored stored = {.fed = entries, .fed_count = count};
    assert_non_null(intent);
    intent_apply_nothing(intent, 10, 1);
    int rc = agent_feed_start(&agent, &stored, intent);
    *ret_index = intent->applied_index;
    intent_free(intent);
    return rc;
}

/* Breaks if entries are applied twice, or behind a gap: what an earlier build left counts for
 * nothing once the intent was stored anew. */
static void test_what_is_stored_follows(void **state)
{
    (void)state;
    struct raft_entry entries[4];
    uint64_t index;
    for (uint64_t i = 0; i < 4; i++)
        entries[i] = (struct raft_entry){.index = 9 + i, .term = 1, .type = RAFT_ENTRY_EMPTY};
    assert_int_equal(start(entries, 2, &index), 0);
    assert_int_equal(index, 10);
    assert_int_equal(start(entries, 4, &index), 0);
    assert_int_equal(index, 12);
    assert_int_equal(start(entries + 3, 1, &index), -EINVAL);
    entries[3].index = 11;
    assert_int_equal(start(entries, 4, &index), 0);
    assert_int_equal(index, 11);
    entries[3].index = 13;
    assert_int_equal(start(entries, 4, &index), -EINVAL);
}

/* Breaks if a snapshot of Raft's that the feed was ahead of takes what is stored of the feed away,
 * or one that has it all leaves it there. */
static void test_snapshots(void **state)
{
    (void)state;
    struct id cluster = {{7}};
    struct agent agent = {.intent = intent_new(&cluster)};
    struct feed_stored *stored = &agent.feed.stored;
    assert_non_null(agent.intent);
    for (uint64_t index = 11; index <= 13; index++) {
        struct agent_write write = {.has_snapshot = true, .snapshot = {.index = index}};
        *stored = (struct feed_stored){.index = 12, .intent_bytes = 100, .entry_count = 2};
        agent_feed_stored_by_raft(&agent, &write);
        assert_int_equal(write.drops_fed, index >= 12);
        assert_int_equal(stored->index, index >= 12 ? 0 : 12);
    }
    struct agent_write write = {.has_snapshot = true, .snapshot = {.index = 13}};
    *stored = (struct feed_stored){.index = 12, .is_damaged = true}; /* it led further once */
    agent_feed_stored_by_raft(&agent, &write);
    assert_false(write.drops_fed);
    intent_free(agent.intent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_alone),
        cmocka_unit_test(test_stored_anew),
        cmocka_unit_test(test_volume),
        cmocka_unit_test(test_voter),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_damaged_and_nothing_new),
        cmocka_unit_test(test_what_is_stored_follows),
        cmocka_unit_test(test_snapshots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
