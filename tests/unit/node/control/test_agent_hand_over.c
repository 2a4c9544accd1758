/* A peer that is about to stop hands the lead over. */
#include <errno.h>

#include "tests/unit/node/control/agent_bench.h"

enum { WAIT_MS_MAX = 60000 };

static void tell_to_stop(struct fleet *f, unsigned peer)
{
    assert_int_equal(fleet_step(f, peer, (struct agent_input){.type = AGENT_HAND_OVER}), 0);
}

static bool is_handing_over(const struct fleet *f, unsigned peer)
{
    return agent_is_handing_over(f->peers[peer].agent);
}

/* Lets time go by until the peer may stop; returns how much did. */
static int64_t wait_for(struct fleet *f, unsigned peer)
{
    const int64_t begin_ms = f->now_ms;
    while (is_handing_over(f, peer)) {
        assert_true(f->now_ms < begin_ms + WAIT_MS_MAX);
        fleet_run(f, FLEET_DELAY_MS);
    }
    return f->now_ms - begin_ms;
}

/* Breaks if a planned stop of the leader costs an election timeout, or more than one term. */
static void test_no_election(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 5);
    fleet_run(&f, FLEET_ELECTION_MS);
    unsigned old = fleet_leader(&f);
    const uint64_t term = fleet_status(&f, old).term;
    tell_to_stop(&f, old);
    assert_true(is_handing_over(&f, old));
    assert_true(wait_for(&f, old) <= 8 * FLEET_DELAY_MS);
    struct id leader = agent_raft_status(f.peers[old].agent)->leader;
    assert_false(id_is_none(&leader));
    fleet_kill(&f, old);
    unsigned next = fleet_leader(&f);
    assert_true(id_equal(&leader, &f.peers[next].identity.id));
    fleet_run(&f, 4 * FLEET_ELECTION_MS);
    assert_int_equal(fleet_leader(&f), next);
    for (unsigned i = 0; i < 5; i++)
        if (i != old)
            assert_int_equal(fleet_status(&f, i).term, term + 1);
    fleet_done(&f);
}

/* Breaks if who does not lead waits for anything when it stops, or takes the lead on its way. */
static void test_follower(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), other = (leader + 1) % 3;
    tell_to_stop(&f, other);
    assert_false(is_handing_over(&f, other));
    assert_int_equal(fleet_leader(&f), leader);
    fleet_done(&f);
}

/* Breaks if a leader that nobody can succeed waits for somebody. */
static void test_nobody(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 3);
    tell_to_stop(&f, 0);
    assert_false(is_handing_over(&f, 0));
    fleet_join(&f); /* of two only one votes */
    tell_to_stop(&f, 0);
    assert_false(is_handing_over(&f, 0));
    assert_int_equal(fleet_status(&f, 0).role, RAFT_LEADER);
    fleet_done(&f);
}

/* The leader of three stops, one of the others having been dead for so long: the third leads. */
static void hand_over_past_the_dead(int64_t dead_for_ms, int64_t wait_ms_max)
{
    for (unsigned dead = 0; dead < 3; dead++) {
        struct fleet f;
        fleet_start(&f, 3, 3);
        unsigned old = fleet_leader(&f);
        if (dead != old) {
            fleet_kill(&f, dead);
            fleet_run(&f, dead_for_ms);
            tell_to_stop(&f, old);
            assert_true(wait_for(&f, old) <= wait_ms_max);
            assert_int_equal(fleet_leader(&f), 3 - old - dead);
        }
        fleet_done(&f);
    }
}

/* Breaks if a dead voter is waited for, or a living one not found behind it, be it that nobody
 * knows yet that it is dead. */
static void test_dead_voter(void **state)
{
    (void)state;
    hand_over_past_the_dead(0, WAIT_MS_MAX);
}

/* Breaks if one that is known to be dead is tried at all: that costs an election timeout. */
static void test_known_dead_voter(void **state)
{
    (void)state;
    hand_over_past_the_dead(20000, 8 * FLEET_DELAY_MS);
}

/* Breaks if a lost word ends the attempt. */
static void test_lost_word(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned old = fleet_leader(&f);
    f.lost_kinds = 1u << AGENT_RAFT;
    tell_to_stop(&f, old);
    fleet_run(&f, FLEET_DELAY_MS);
    f.lost_kinds = 0;
    assert_true(is_handing_over(&f, old));
    wait_for(&f, old);
    assert_int_not_equal(fleet_leader(&f), old);
    fleet_done(&f);
}

/* Breaks if a change that is on its way when its leader stops has an unknown outcome. */
static void test_answers(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 5);
    unsigned old = fleet_leader(&f), other = (old + 1) % 5;
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, other);
    command.peer_state.state = INTENT_DRAINING;
    uint64_t request = fleet_propose(&f, other, &command);
    fleet_run(&f, FLEET_DELAY_MS); /* in the leader's log by now */
    tell_to_stop(&f, old);
    assert_null(fleet_result(&f, other, request));
    wait_for(&f, old);
    fleet_run(&f, FLEET_DELAY_MS);
    fleet_kill(&f, old);
    assert_int_equal(fleet_result_count(&f, other, request), 1);
    assert_int_equal(fleet_result(&f, other, request)->result.code, 0);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_election),      cmocka_unit_test(test_follower),
        cmocka_unit_test(test_nobody),           cmocka_unit_test(test_dead_voter),
        cmocka_unit_test(test_known_dead_voter), cmocka_unit_test(test_lost_word),
        cmocka_unit_test(test_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
