#include <errno.h>
#include <sodium.h>

#include "consensus/raft_message.h"
#include "tests/unit/node/control/agent_bench.h"

enum { REQUEST = 1000000 };

static void recover(struct fleet *f, unsigned peer, bool alone)
{
    struct agent_recovery recovery = {.revokes_the_others = alone, .actor = "ann"};
    fleet_step(
        f, peer,
        (struct agent_input){.type = AGENT_RECOVER, .request = REQUEST, .recovery = &recovery});
}

static uint64_t epoch_of(const struct fleet *f, unsigned peer)
{
    return agent_intent(f->peers[peer].agent)->epoch;
}

static const struct view_peer *seen(const struct fleet *f, unsigned by, unsigned peer)
{
    struct id id = fleet_id(f, peer);
    return view_peer_find(agent_view(f->peers[by].agent), &id);
}

/* Three voters, and only peer 2 of them is left; peer 3 does not vote. */
static void lose_two_of_three(struct fleet *f)
{
    fleet_start(f, 4, 3);
    fleet_run(f, 3000);
    assert_true(fleet_status(f, 2).is_voter);
    assert_false(fleet_status(f, 3).is_voter);
    fleet_kill(f, 0);
    fleet_kill(f, 1);
    fleet_run(f, 6000);
}

/* Breaks if anything of a new epoch is said before it is on the disk: lost in a crash, it would
 * begin a second time, and be another one. */
static void test_stored_first(void **state)
{
    (void)state;
    struct fleet f;
    lose_two_of_three(&f);
    fleet_mute(&f, 2, true);
    recover(&f, 2, false);
    fleet_run(&f, 8000);
    assert_null(fleet_result(&f, 2, REQUEST));
    assert_int_equal(epoch_of(&f, 2), 1);
    assert_int_equal(epoch_of(&f, 3), 1);
    assert_int_not_equal(fleet_status(&f, 2).role, RAFT_LEADER);
    recover(&f, 2, false); /* once more, meanwhile */
    assert_int_equal(fleet_result(&f, 2, REQUEST)->result.code, -EBUSY);

    fleet_kill(&f, 2); /* it was stored, and that was never said */
    fleet_restart(&f, 2);
    fleet_run(&f, 5000);
    assert_int_equal(epoch_of(&f, 2), 2);
    assert_int_equal(fleet_status(&f, 2).role, RAFT_LEADER);
    assert_int_equal(epoch_of(&f, 3), 2);
    fleet_done(&f);
}

/* Breaks if a recovery is answered before there is an epoch, or loses what only this peer's log
 * has: others may have been told that it is agreed on. */
static void test_log_counts(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    fleet_run(&f, 3000);
    unsigned leader = fleet_leader(&f);
    for (unsigned i = 0; i < 3; i++)
        if (i != leader)
            fleet_kill(&f, i);
    struct command command = fleet_command(COMMAND_GOSSIP);
    command.gossip.has_fanout = true;
    command.gossip.fanout = 5;
    fleet_propose(&f, leader, &command); /* reaches nobody */
    fleet_run(&f, 8000);
    struct view_holding holding;
    agent_holding(f.peers[leader].agent, &holding);
    assert_true(holding.index > holding.applied);
    assert_int_equal(agent_intent(f.peers[leader].agent)->gossip.fanout, 0);
    recover(&f, leader, false);
    assert_int_equal(fleet_result(&f, leader, REQUEST)->result.code, 0);
    assert_int_equal(epoch_of(&f, leader), 2);
    assert_int_equal(agent_intent(f.peers[leader].agent)->gossip.fanout, 5);
    fleet_run(&f, 3000);
    fleet_agree(&f, leader, &command);
    fleet_done(&f);
}

static void give_append(struct fleet *f, unsigned to, unsigned from, uint64_t term)
{
    cleanup_buffer struct buffer bytes = {0};
    struct raft_message message = {.type = RAFT_HEARTBEAT, .term = term};
    assert_int_equal(raft_message_encode(&message, &bytes), 0);
    assert_int_equal(fleet_give(f, to, from, AGENT_RAFT, buffer_view(&bytes)), 0);
}

/* Breaks if Raft takes what was said in an epoch that is over, or in one that is not known. */
static void test_other_epochs(void **state)
{
    (void)state;
    struct fleet f;
    lose_two_of_three(&f);
    recover(&f, 2, false);
    fleet_run(&f, 3000);
    uint64_t term = fleet_status(&f, 2).term;
    assert_int_equal(intent_epoch_of(term), 2);
    give_append(&f, 3, 2, 99);
    give_append(&f, 2, 3, intent_epoch_base(3) + 7);
    give_append(&f, 2, 3, 12345);
    give_append(&f, 3, 2, intent_epoch_base(3) + 7);
    assert_int_equal(fleet_status(&f, 2).term, term);
    assert_int_equal(fleet_status(&f, 2).role, RAFT_LEADER);
    assert_int_equal(intent_epoch_of(fleet_status(&f, 3).term), 2);
    fleet_done(&f);
}

/* Breaks if a read that Raft was asked for as the epoch began keeps all later ones waiting. */
static void test_read_under_way(void **state)
{
    (void)state;
    struct fleet f;
    lose_two_of_three(&f);
    fleet_step(&f, 2, (struct agent_input){.type = AGENT_READ_LOCAL, .request = REQUEST + 1});
    fleet_run(&f, 50);
    recover(&f, 2, false);
    fleet_run(&f, 3000);
    fleet_step(&f, 2, (struct agent_input){.type = AGENT_READ_LOCAL, .request = REQUEST + 2});
    fleet_run(&f, 1000);
    assert_non_null(fleet_result(&f, 2, REQUEST + 2));
    assert_int_equal(fleet_result(&f, 2, REQUEST + 2)->result.code, 0);
    assert_non_null(fleet_result(&f, 2, REQUEST + 1));
    assert_int_equal(fleet_result(&f, 2, REQUEST + 1)->result.code, 0);
    fleet_done(&f);
}

/* Breaks if who does not vote recovers as if it did; or, told to go on alone, leaves the old voters
 * any way in. */
static void test_alone(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 3);
    fleet_run(&f, 2000);
    fleet_kill(&f, 0);
    fleet_run(&f, 6000);
    recover(&f, 1, false);
    assert_int_equal(fleet_result(&f, 1, REQUEST)->result.code, -EKEYREJECTED);
    assert_int_equal(epoch_of(&f, 1), 1);
    recover(&f, 1, true);
    fleet_run(&f, 3000);
    assert_int_equal(epoch_of(&f, 1), 2);
    assert_int_equal(fleet_status(&f, 1).role, RAFT_LEADER);
    struct id old = fleet_id(&f, 0);
    assert_int_equal(intent_peer_find(agent_intent(f.peers[1].agent), &old)->state, INTENT_REVOKED);
    fleet_restart(&f, 0);
    fleet_run(&f, 5000);
    assert_int_equal(epoch_of(&f, 0), 1); /* it believes in nobody but itself, and is not heard */
    assert_false(seen(&f, 1, 0) && seen(&f, 1, 0)->liveness == VIEW_ALIVE);
    fleet_done(&f);
}

/* Breaks if an operator is not told where the newest state is, or old words of it stay. */
static void test_holding(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 4, 3);
    fleet_run(&f, 3000);
    assert_false(seen(&f, 3, 2)->has_holding); /* all is well */
    fleet_kill(&f, 0);
    fleet_kill(&f, 1);
    fleet_run(&f, 8000);
    struct view_holding own, other;
    agent_holding(f.peers[2].agent, &own);
    agent_holding(f.peers[3].agent, &other);
    assert_true(seen(&f, 3, 2)->has_holding && seen(&f, 2, 3)->has_holding);
    assert_int_equal(view_holding_compare(&seen(&f, 3, 2)->holding, &own), 0);
    assert_int_equal(view_holding_compare(&seen(&f, 2, 3)->holding, &other), 0);
    recover(&f, 2, false);
    fleet_run(&f, 5000);
    assert_false(seen(&f, 3, 2)->has_holding);
    assert_false(seen(&f, 2, 3)->has_holding);
    fleet_done(&f);
}

/* Breaks if a recovery for which there is no memory is neither refused nor the peer's end. */
static void test_failures(void **state)
{
    (void)state;
    bool was_tried = true;
    for (int64_t n = 0; was_tried; n++) {
        struct fleet f;
        lose_two_of_three(&f);
        f.memory_left = n;
        recover(&f, 2, false);
        was_tried = f.memory_left < 0;
        f.memory_left = -1;
        if (!f.peers[2].agent) {
            fleet_restart(&f, 2); /* from what was stored, which is the one or the other */
            assert_true(epoch_of(&f, 2) == 1 || epoch_of(&f, 2) == 2);
            if (epoch_of(&f, 2) == 1)
                recover(&f, 2, false);
        } else if (fleet_result(&f, 2, REQUEST)->result.code < 0) {
            assert_int_equal(epoch_of(&f, 2), 1);
            recover(&f, 2, false);
        }
        fleet_run(&f, 10000);
        assert_int_equal(epoch_of(&f, 3), 2);
        fleet_done(&f);
    }
}

static int set_up(void **state)
{
    (void)state;
    return sodium_init() < 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_first),   cmocka_unit_test(test_log_counts),
        cmocka_unit_test(test_other_epochs),   cmocka_unit_test(test_alone),
        cmocka_unit_test(test_read_under_way), cmocka_unit_test(test_holding),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests_name("control-agent_epoch", tests, set_up, NULL);
}
