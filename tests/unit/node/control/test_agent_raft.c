#include <errno.h>

#include "node/control/agent_private.h"
#include "node/control/bounds.h"
#include "node/control/feed.h"
#include "node/control/succession.h"
#include "tests/unit/node/control/agent_bench.h"

static void agree_often(struct fleet *f, unsigned at, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct command command = fleet_command(COMMAND_PEER_STATE);
        command.peer_state.id = fleet_id(f, at);
        command.peer_state.state = i % 2 ? INTENT_ACTIVE : INTENT_DRAINING;
        fleet_propose(f, at, &command);
        fleet_run(f, FLEET_DELAY_MS);
    }
    fleet_run(f, 1000);
}

/* Breaks if the log grows for ever, or a peer does not start from what it was cut down to. */
static void test_compact(void **state)
{
    (void)state;
    enum { COMPACT_ENTRIES = 32 };
    struct fleet f;
    fleet_found(&f, 1);
    f.compact_after_entries = COMPACT_ENTRIES;
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    agree_often(&f, 0, 1000);
    struct fleet_disk *disk = &f.peers[0].disk;
    uint64_t index = fleet_status(&f, 0).applied_index;
    assert_true(index > 1000);
    assert_in_range(disk->entry_count, AGENT_COMPACT_KEEP, AGENT_COMPACT_KEEP + COMPACT_ENTRIES);
    assert_true(disk->snapshot.index > index - COMPACT_ENTRIES);
    assert_int_equal(disk->log_index + disk->entry_count, index);
    fleet_kill(&f, 0);
    fleet_restart(&f, 0);
    assert_true(fleet_status(&f, 0).applied_index >= disk->snapshot.index);
    fleet_wait(&f, fleet_is_led);
    fleet_run(&f, 1000);
    assert_true(fleet_status(&f, 0).applied_index > index);
    fleet_done(&f);
}

static size_t log_bytes(const struct fleet_disk *disk)
{
    size_t bytes = 0;
    for (size_t i = 0; i < disk->entry_count; i++)
        bytes += disk->entries[i].data.size;
    return bytes;
}

/* Breaks if a few large entries can outgrow the store, which is capped in bytes. */
static void test_compact_by_size(void **state)
{
    (void)state;
    enum { COMPACT_BYTES = 4000 };
    struct fleet f;
    fleet_found(&f, 1);
    f.compact_after_entries = 100000;
    f.compact_after_bytes = COMPACT_BYTES;
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    struct fleet_disk *disk = &f.peers[0].disk;
    size_t most = 0, least = SIZE_MAX;
    for (int i = 0; i < 100; i++) {
        agree_often(&f, 0, 5);
        size_t bytes = log_bytes(disk);
        most = bytes > most ? bytes : most;
        least = disk->snapshot.index > 100 && bytes < least ? bytes : least;
    }
    assert_in_range(most, COMPACT_BYTES / 2, COMPACT_BYTES);
    assert_true(least <= COMPACT_BYTES / 2);
    uint64_t index = fleet_status(&f, 0).applied_index;
    assert_true(index > 500 && disk->snapshot.index > index - 200);
    fleet_kill(&f, 0);
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    fleet_run(&f, 1000);
    assert_true(fleet_status(&f, 0).applied_index > index);
    fleet_done(&f);
}

static void agree_until_compaction(struct fleet *f, unsigned at)
{
    for (unsigned i = 0; i < 1000 && !f->peers[at].compaction; i++)
        agree_often(f, at, 1);
    assert_non_null(f->peers[at].compaction);
}

/* Breaks if the log has to stand still while the state is written down; or the state that comes of
 * that is another than the one at its index. */
static void test_log_goes_on_meanwhile(void **state)
{
    (void)state;
    struct fleet f;
    fleet_found(&f, 1);
    f.compact_after_entries = 32;
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    struct fleet_disk *disk = &f.peers[0].disk;
    f.peers[0].is_slow = true;
    agree_until_compaction(&f, 0);
    uint64_t before = disk->snapshot.index, index = fleet_status(&f, 0).applied_index;
    agree_often(&f, 0, 20);
    assert_int_equal(disk->snapshot.index, before);
    assert_true(fleet_status(&f, 0).applied_index >= index + 20);
    fleet_compact(&f, 0);
    assert_in_range(disk->snapshot.index, before + 1, index);
    assert_int_equal(disk->log_index + disk->entry_count, fleet_status(&f, 0).applied_index);
    cleanup_buffer struct buffer live = {0};
    assert_int_equal(intent_write(agent_intent(f.peers[0].agent), &live), 0);
    f.peers[0].is_slow = false;
    fleet_kill(&f, 0);
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    fleet_run(&f, 1000);
    uint8_t hash[FEED_HASH_BYTES], again[FEED_HASH_BYTES];
    struct intent *intent;
    assert_int_equal(intent_read(buffer_view(&live), &intent), 0);
    struct raft_entry empty = {.index = fleet_status(&f, 0).applied_index,
                               .term = fleet_status(&f, 0).term};
    struct intent_result result;
    struct id admitted;
    assert_int_equal(feed_apply_entry(intent, &empty, &result, &admitted), 0);
    assert_int_equal(feed_hash(intent, hash), 0);
    assert_int_equal(feed_hash(agent_intent(f.peers[0].agent), again), 0);
    assert_memory_equal(hash, again, sizeof(hash)); /* but for the new leader's empty entry */
    intent_free(intent);
    fleet_done(&f);
}

/* Breaks if a thread that never gets round to it lets the log grow for ever, or what it brings
 * after all takes the log back. */
static void test_overdue_compaction(void **state)
{
    (void)state;
    struct fleet f;
    fleet_found(&f, 1);
    f.compact_after_entries = 32;
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    struct fleet_disk *disk = &f.peers[0].disk;
    f.peers[0].is_slow = true;
    agree_until_compaction(&f, 0);
    for (int i = 0; i < 10; i++) {
        agree_often(&f, 0, 30);
        assert_in_range(disk->entry_count, AGENT_COMPACT_KEEP, AGENT_COMPACT_KEEP + 2 * 32 + 30);
    }
    uint64_t index = disk->snapshot.index;
    fleet_compact(&f, 0);
    assert_int_equal(disk->snapshot.index, index);
    f.peers[0].is_slow = false;
    agree_often(&f, 0, 100);
    assert_true(disk->snapshot.index > index);
    fleet_done(&f);
}

/* Breaks if a voter that was away for longer than the log reaches back never catches up, or not to
 * the same state. */
static void test_snapshot(void **state)
{
    (void)state;
    struct fleet f;
    fleet_found(&f, 3);
    f.compact_after_entries = 16;
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    fleet_join(&f);
    fleet_join(&f);
    fleet_run(&f, 4000);
    assert_int_equal(fleet_status(&f, 0).voter_count, 3);
    unsigned leader = fleet_leader(&f), away = (leader + 1) % 3;
    fleet_kill(&f, away);
    /* a leader that drains would hand over */
    for (unsigned i = 0; i < AGENT_COMPACT_KEEP + 100; i++) {
        struct command command = fleet_command(COMMAND_PEER_STATE);
        command.peer_state.id = (struct id){{1}};
        command.peer_state.state = INTENT_DRAINING;
        fleet_propose(&f, leader, &command); /* refused, but a log entry */
        fleet_run(&f, 3 * FLEET_DELAY_MS);
    }
    uint64_t before = f.peers[away].disk.log_index + f.peers[away].disk.entry_count;
    assert_true(f.peers[leader].disk.log_index > before);
    f.lost_kinds = 1 << AGENT_FEED_PUSH; /* Raft alone must do it */
    fleet_restart(&f, away);
    fleet_run(&f, 10000);
    assert_int_equal(fleet_status(&f, away).applied_index, fleet_status(&f, leader).applied_index);
    assert_true(f.peers[away].disk.snapshot.index > before);
    fleet_done(&f);
}

/* Breaks if a peer acknowledges or answers what its disk does not have yet. */
static void test_waits_for_disk(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f);
    for (unsigned i = 0; i < 3; i++)
        fleet_mute(&f, i, true);
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, (leader + 1) % 3);
    command.peer_state.state = INTENT_DRAINING;
    uint64_t request = fleet_propose(&f, leader, &command);
    fleet_run(&f, 200);
    assert_null(fleet_result(&f, leader, request));
    for (unsigned i = 0; i < 3; i++)
        fleet_mute(&f, i, false);
    fleet_run(&f, 500);
    assert_non_null(fleet_result(&f, leader, request));
    assert_int_equal(fleet_result(&f, leader, request)->result.code, 0);
    fleet_done(&f);
}

/* Breaks if the loss of the leader is not told, or nobody takes its place. */
static void test_leader_lost(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), other = (leader + 1) % 3;
    unsigned told = f.peers[other].events[AGENT_LEADER];
    fleet_kill(&f, leader);
    fleet_run(&f, 3000);
    assert_true(f.peers[other].events[AGENT_LEADER] > told);
    struct id id = fleet_id(&f, fleet_leader(&f));
    assert_true(id_equal(&f.peers[other].last_event[AGENT_LEADER].id, &id));
    assert_true(fleet_status(&f, other).leader_is_alive);
    fleet_kill(&f, fleet_leader(&f));
    unsigned last =
        3 - leader - (id_equal(&id, &f.peers[other].identity.id) ? other : 3 - leader - other);
    fleet_run(&f, 5000);
    assert_true(id_is_none(&f.peers[last].last_event[AGENT_LEADER].id));
    assert_int_not_equal(fleet_status(&f, last).role, RAFT_LEADER);
    assert_false(fleet_status(&f, last).leader_is_alive);
    fleet_done(&f);
}

enum { THIEF = 4 };

static void say(struct fleet *f, unsigned to, const struct raft_message *message)
{
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(raft_message_encode(message, &bytes), 0);
    assert_int_equal(fleet_give(f, to, THIEF, AGENT_RAFT, buffer_view(&bytes)), 0);
}

static void say_all(struct fleet *f, unsigned to)
{
    enum { LATER = 1 << 20 };
    uint64_t index = fleet_status(f, to).applied_index, term = fleet_status(f, to).term;
    struct id thief = fleet_id(f, THIEF);
    cleanup_buffer struct buffer state = {0}, bytes = {0};
    struct intent *forged;
    assert_int_equal(intent_write(agent_intent(f->peers[to].agent), &state), 0);
    assert_int_equal(intent_read(buffer_view(&state), &forged), 0);
    forged->applied_index = index + LATER;
    forged->applied_term = term + LATER;
    assert_int_equal(intent_write(forged, &bytes), 0);
    struct raft_snapshot snapshot = {
        .index = index + LATER,
        .term = term + LATER,
        .configuration = {.members = {{thief, RAFT_VOTER}}, .count = 1},
        .data = buffer_view(&bytes)};
    agent_raft_hash(buffer_view(&bytes), snapshot.hash);
    intent_free(forged);
    struct raft_entry entry = {.index = index + 1, .term = term + LATER};
    struct raft_message said[] = {
        {.type = RAFT_PRE_VOTE, .index = index + LATER, .log_term = term + LATER},
        {.type = RAFT_VOTE, .transfer = true, .index = index + LATER, .log_term = term + LATER},
        {.type = RAFT_HEARTBEAT, .commit = index + LATER},
        {.type = RAFT_APPEND,
         .index = index,
         .log_term = term,
         .entries = &entry,
         .entry_count = 1,
         .commit = index + 1},
        {.type = RAFT_SNAPSHOT, .snapshot = &snapshot, .chunk = snapshot.data},
        {.type = RAFT_TIMEOUT_NOW}};
    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        said[i].term = term + LATER;
        say(f, to, &said[i]);
        assert_int_equal(fleet_status(f, to).term, term);
        assert_int_equal(fleet_status(f, to).applied_index, index);
    }
}

/* Tells a line by which the thief came to vote: it says so itself. */
static void tell_line(struct fleet *f, unsigned to)
{
    const struct intent *intent = agent_intent(f->peers[to].agent);
    const struct identity *thief = &f->peers[THIEF].identity;
    struct raft_changes coup = {.members = {{RAFT_ADD_VOTER, thief->id}}, .count = 1};
    struct intent_succession succession = {.from = intent->configuration_index,
                                           .index = intent->applied_index + 1};
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    assert_int_equal(succession_seal(intent, succession.index, thief, &coup), 0);
    assert_int_equal(
        raft_configuration_change(&intent->configuration, &coup, &succession.configuration), 0);
    succession.seal = coup.seal;
    writer_init(&writer, &bytes);
    writer_array(&writer, 1);
    intent_succession_write(&writer, &succession);
    assert_int_equal(fleet_give(f, to, THIEF, AGENT_LINE, buffer_view(&bytes)), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(fleet_give(f, to, THIEF, AGENT_LINE, (struct bytes){bytes.bytes, size}),
                         -EBADMSG);
    assert_int_equal(fleet_give(f, to, THIEF, AGENT_LINE_ASK, bytes_of_text("??")), -EBADMSG);
}

/* Breaks if a line is told that is longer than any can be. */
static void test_line_too_long(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    struct intent_succession succession = {.from = 1, .index = 2};
    writer_init(&writer, &bytes);
    writer_array(&writer, INTENT_SUCCESSIONS_MAX + 5);
    for (int i = 0; i < INTENT_SUCCESSIONS_MAX + 5; i++)
        intent_succession_write(&writer, &succession);
    assert_int_equal(fleet_give(&f, 1, 0, AGENT_LINE, buffer_view(&bytes)), -EBADMSG);
    fleet_done(&f);
}

/* Breaks if one stolen peer that does not vote can lead whom it likes where it likes, or have them
 * elect all the time. */
static void test_thief_leads(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, THIEF + 1, 3);
    unsigned leader = fleet_leader(&f);
    uint64_t term = fleet_status(&f, leader).term;
    for (unsigned i = 0; i < THIEF; i++) {
        say_all(&f, i);
        tell_line(&f, i);
        say_all(&f, i);
        assert_true(f.peers[i].sent[AGENT_LINE_ASK] > 0);
    }
    fleet_run(&f, 2000);
    assert_int_equal(fleet_leader(&f), leader);
    assert_int_equal(fleet_status(&f, leader).term, term);
    fleet_done(&f);
}

/* Breaks if a voter that missed how others came to vote keeps them from leading: there is no quorum
 * without it, and so nobody who could tell it by the feed. */
static void test_voter_learns_who_votes(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 5);
    f.lost_kinds = 1 << AGENT_FEED_PULL;
    fleet_cut(&f, 2, true);
    fleet_run(&f, 100);
    fleet_join(&f);
    fleet_join(&f);
    for (int i = 0; i < 200 && fleet_status(&f, 0).voter_count < 5; i++)
        fleet_run(&f, 20);
    fleet_run(&f, 1000);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(fleet_status(&f, i).voter_count, i == 2 ? 3 : 5);
    fleet_kill(&f, 0);
    fleet_kill(&f, 1);
    fleet_cut(&f, 2, false);
    fleet_wait(&f, fleet_is_led);
    fleet_run(&f, 2000);
    unsigned leader = fleet_leader(&f);
    assert_int_equal(fleet_status(&f, 2).applied_index, fleet_status(&f, leader).applied_index);
    assert_int_equal(fleet_status(&f, 2).voter_count, 5);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_compact_by_size),
        cmocka_unit_test(test_log_goes_on_meanwhile),
        cmocka_unit_test(test_overdue_compaction),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_waits_for_disk),
        cmocka_unit_test(test_leader_lost),
        cmocka_unit_test(test_line_too_long),
        cmocka_unit_test(test_thief_leads),
        cmocka_unit_test(test_voter_learns_who_votes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
