#include <errno.h>

#include "tests/unit/node/control/agent_bench.h"

static bool votes(const struct fleet *f, unsigned by, unsigned peer)
{
    struct id id = fleet_id(f, peer);
    return intent_is_voter(agent_intent(f->peers[by].agent), &id);
}

static void set_state(struct fleet *f, unsigned by, unsigned peer, enum intent_peer_state state)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(f, peer);
    command.peer_state.state = (uint8_t)state;
    fleet_agree(f, by, &command);
}

/* Breaks if an even number votes: with two voters, the loss of either ends all. */
static void test_number(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 5);
    assert_int_equal(fleet_status(&f, 0).voter_count, 1);
    fleet_join(&f);
    fleet_run(&f, 3000);
    assert_int_equal(fleet_status(&f, 2).voter_count, 3);
    fleet_join(&f);
    fleet_run(&f, 3000);
    assert_int_equal(fleet_status(&f, 0).voter_count, 3);
    assert_false(votes(&f, 0, 3)); /* it came last */
    fleet_join(&f);
    fleet_run(&f, 3000);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(fleet_status(&f, i).voter_count, 5);
    fleet_done(&f);
}

/* Breaks if a dead voter is never replaced, or at once, when it may only be restarting. */
static void test_replaced(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 4, 3);
    unsigned leader = fleet_leader(&f), dead = 0;
    while (dead == leader || !votes(&f, leader, dead))
        dead++;
    unsigned spare = 0;
    while (votes(&f, leader, spare))
        spare++;
    fleet_kill(&f, dead);
    fleet_run(&f, FLEET_VOTER_REPLACE_MS - 1000);
    assert_true(votes(&f, leader, dead));
    fleet_run(&f, 10000);
    assert_false(votes(&f, leader, dead));
    assert_true(votes(&f, leader, spare));
    assert_int_equal(fleet_status(&f, leader).voter_count, 3);
    assert_int_equal(fleet_status(&f, leader).live_voter_count, 3);

    /* and it does not push anybody out when it comes back */
    fleet_restart(&f, dead);
    fleet_run(&f, 5000);
    assert_false(votes(&f, dead, dead));
    assert_true(votes(&f, dead, spare));
    assert_false(fleet_status(&f, dead).is_voter);
    fleet_done(&f);
}

/* Breaks if a voter with nobody to take its place is taken out because it is dead. */
static void test_no_spare(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), dead = (leader + 1) % 3;
    fleet_kill(&f, dead);
    fleet_run(&f, FLEET_VOTER_REPLACE_MS + 10000);
    assert_true(votes(&f, leader, dead));
    assert_int_equal(fleet_status(&f, leader).voter_count, 3);
    assert_int_equal(fleet_status(&f, leader).live_voter_count, 2);
    fleet_done(&f);
}

/* Breaks if a newcomer votes before it has the log, or a spare is awaited that never catches up. */
static void test_catches_up_first(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 4, 3);
    unsigned leader = fleet_leader(&f), spare = 0, dead = 0;
    while (votes(&f, leader, spare))
        spare++;
    while (dead == leader || dead == spare)
        dead++;
    fleet_kill(&f, dead);
    fleet_run(&f, 4000);
    fleet_mute(&f, spare, true); /* its disk hangs: it acknowledges nothing */
    fleet_run(&f, FLEET_VOTER_REPLACE_MS + 10000);
    assert_false(votes(&f, leader, spare));
    assert_int_equal(fleet_status(&f, leader).role, RAFT_LEADER);
    fleet_kill(&f, spare);
    fleet_restart(&f, spare);
    fleet_run(&f, 10000);
    assert_true(votes(&f, leader, spare));
    assert_false(votes(&f, leader, dead));
    fleet_done(&f);
}

/* Breaks if a leader that drains keeps the lead, or nobody takes over its vote. */
static void test_hand_over(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 4, 3);
    unsigned old = fleet_leader(&f);
    set_state(&f, old, old, INTENT_DRAINING);
    fleet_run(&f, 5000);
    unsigned leader = fleet_leader(&f);
    assert_int_not_equal(leader, old);
    assert_false(votes(&f, leader, old));
    assert_int_equal(fleet_status(&f, leader).voter_count, 3);
    assert_int_equal(fleet_status(&f, leader).live_voter_count, 3);
    set_state(&f, old, old, INTENT_ACTIVE); /* agreed on through the new leader */
    fleet_done(&f);
}

/* Breaks if the last peer gives its vote to nobody when it drains. */
static void test_alone(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 3);
    set_state(&f, 0, 0, INTENT_DRAINING);
    fleet_run(&f, 5000);
    assert_int_equal(fleet_status(&f, 0).role, RAFT_LEADER);
    assert_true(votes(&f, 0, 0));
    fleet_done(&f);
}

/* Breaks if a peer's word about its disk does not reach the leader, or a voter without room keeps
 * its vote for ever; or the lead, where it is the leader's own disk. */
static void test_full_disk(void **state)
{
    (void)state;
    for (int of_leader = 0; of_leader < 2; of_leader++) {
        struct fleet f;
        fleet_start(&f, 4, 3);
        unsigned full = fleet_leader(&f), by;
        if (!of_leader)
            for (full = 0; full == fleet_leader(&f) || !votes(&f, fleet_leader(&f), full);)
                full++;
        const struct view_disk disk = {.free_bytes = 1 << 20, .bytes = (uint64_t)1 << 40};
        assert_int_equal(agent_publish_disk(f.peers[full].agent, f.now_ms, &disk), 0);
        fleet_run(&f, AGENT_VOTER_SETTLE_MS_DEFAULT + 10000);
        by = fleet_leader(&f);
        assert_int_not_equal(by, full);
        assert_false(votes(&f, by, full));
        assert_int_equal(fleet_status(&f, by).voter_count, 3);
        assert_int_equal(fleet_status(&f, by).live_voter_count, 3);
        fleet_done(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_number),    cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_no_spare),  cmocka_unit_test(test_catches_up_first),
        cmocka_unit_test(test_hand_over), cmocka_unit_test(test_alone),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
