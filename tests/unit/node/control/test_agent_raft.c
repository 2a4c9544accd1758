#include <errno.h>

#include "node/control/bounds.h"
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

static bool leads(const struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].agent && fleet_status(f, i).role == RAFT_LEADER)
            return true;
    return false;
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
    fleet_wait(&f, leads);
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
    fleet_wait(&f, leads);
    fleet_run(&f, 1000);
    assert_true(fleet_status(&f, 0).applied_index > index);
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
    fleet_wait(&f, leads);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compact),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_waits_for_disk),
        cmocka_unit_test(test_leader_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
