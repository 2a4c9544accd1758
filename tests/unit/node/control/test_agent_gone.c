#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/control/bounds.h"
#include "tests/unit/node/control/agent_bench.h"

static void tell_gone(struct fleet *f, unsigned peer, unsigned who)
{
    struct agent_input input = {.type = AGENT_GONE, .from = fleet_id(f, who)};
    assert_int_equal(fleet_step(f, peer, input), 0);
}

/* Breaks if voters who know that the leader's process is gone wait for an election timeout. */
static void test_elects_at_once(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 5);
    fleet_run(&f, FLEET_ELECTION_MS);
    unsigned leader = fleet_leader(&f);
    fleet_kill(&f, leader);
    for (unsigned i = 0; i < 5; i++)
        if (i != leader)
            tell_gone(&f, i, leader);
    fleet_run(&f, AGENT_GONE_CAMPAIGN_MS + 8 * FLEET_DELAY_MS);
    unsigned next = fleet_leader(&f);
    assert_int_not_equal(next, leader);
    for (unsigned i = 0; i < 5; i++)
        if (i != leader)
            assert_true(id_compare(&f.peers[next].identity.id, &f.peers[i].identity.id) <= 0);

    /* nobody else stands for election then */
    uint64_t term = fleet_status(&f, next).term;
    fleet_run(&f, 5 * AGENT_GONE_CAMPAIGN_EACH_MS);
    assert_int_equal(fleet_leader(&f), next);
    assert_int_equal(fleet_status(&f, next).term, term);
    fleet_done(&f);
}

/* Breaks if the next in line waits for an election timeout when the first can't be elected. */
static void test_next_in_line(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 5);
    fleet_run(&f, FLEET_ELECTION_MS);
    unsigned leader = fleet_leader(&f), first = leader == 0 ? 1 : 0;
    for (unsigned i = 0; i < 5; i++)
        if (i != leader && id_compare(&f.peers[i].identity.id, &f.peers[first].identity.id) < 0)
            first = i;
    fleet_kill(&f, leader);
    fleet_kill(&f, first);
    for (unsigned i = 0; i < 5; i++)
        if (i != leader && i != first)
            tell_gone(&f, i, leader);
    fleet_run(&f, AGENT_GONE_CAMPAIGN_MS + AGENT_GONE_CAMPAIGN_EACH_MS + 8 * FLEET_DELAY_MS);
    fleet_leader(&f);
    fleet_done(&f);
}

/* Breaks if one whose disk is nearly full, or that drains, is the first to stand: it would hand the
 * lead over at once. */
static void test_poor_leader_last(void **state)
{
    (void)state;
    struct fleet f;
    const struct view_disk disk = {.free_bytes = 1, .bytes = 1 << 30};
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), first = (leader + 1) % 3, second = (leader + 2) % 3;
    if (id_compare(&f.peers[first].identity.id, &f.peers[second].identity.id) > 0)
        first = second, second = 3 - leader - first;
    assert_int_equal(agent_publish_disk(f.peers[first].agent, f.now_ms, &disk), 0);
    fleet_run(&f, 5000);
    fleet_kill(&f, leader);
    tell_gone(&f, first, leader);
    tell_gone(&f, second, leader);
    fleet_run(&f, AGENT_GONE_CAMPAIGN_MS + 8 * FLEET_DELAY_MS);
    assert_int_equal(fleet_leader(&f), second);
    fleet_done(&f);
}

/* Breaks if an election timeout goes by when the only voter that can win asked before the others
 * knew that the leader is gone. */
static void test_longest_log_asked_too_early(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    fleet_run(&f, FLEET_ELECTION_MS);
    unsigned leader = fleet_leader(&f), first = (leader + 1) % 3, second = (leader + 2) % 3;
    if (id_compare(&f.peers[first].identity.id, &f.peers[second].identity.id) > 0)
        first = second, second = 3 - leader - first;
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, second);
    command.peer_state.state = INTENT_DRAINING;
    fleet_cut(&f, second, true); /* what is agreed on now, it lacks */
    fleet_agree(&f, leader, &command);
    fleet_cut(&f, second, false);
    fleet_kill(&f, leader);
    tell_gone(&f, first, leader);
    fleet_run(&f, AGENT_GONE_CAMPAIGN_MS + 8 * FLEET_DELAY_MS);
    assert_int_equal(agent_raft_status(f.peers[first].agent)->role, RAFT_PRE_CANDIDATE);
    tell_gone(&f, second, leader);
    fleet_run(&f, 2 * AGENT_GONE_CAMPAIGN_EACH_MS + 8 * FLEET_DELAY_MS);
    assert_int_equal(fleet_leader(&f), first);
    fleet_done(&f);
}

/* Breaks if a wrong word unseats a leader that lives, or leaves the peer without one for long, or
 * again and again. */
static void test_lives_after_all(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    fleet_run(&f, FLEET_ELECTION_MS);
    unsigned leader = fleet_leader(&f), other = (leader + 1) % 3;
    uint64_t term = fleet_status(&f, leader).term;
    tell_gone(&f, other, leader);
    assert_true(id_is_none(&agent_raft_status(f.peers[other].agent)->leader));
    fleet_run(&f, 2 * FLEET_ELECTION_MS);
    assert_int_equal(fleet_leader(&f), leader);
    assert_int_equal(fleet_status(&f, leader).term, term);
    struct id id = fleet_id(&f, leader);
    assert_true(id_equal(&agent_raft_status(f.peers[other].agent)->leader, &id));
    tell_gone(&f, other, leader);
    assert_true(id_equal(&agent_raft_status(f.peers[other].agent)->leader, &id));
    tell_gone(&f, leader, other); /* who leads no one is asked */
    assert_int_equal(fleet_leader(&f), leader);
    fleet_done(&f);
}

/* Breaks if a change that went to a leader that is gone is waited for until its time is over. */
static void test_told_at_once(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), other = (leader + 1) % 3;
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, other);
    command.peer_state.state = INTENT_DRAINING;
    uint64_t request = fleet_propose(&f, other, &command);
    fleet_kill(&f, leader);
    assert_null(fleet_result(&f, other, request));
    tell_gone(&f, other, leader);
    assert_int_equal(fleet_result_count(&f, other, request), 1);
    assert_int_equal(fleet_result(&f, other, request)->result.code, -ETIMEDOUT);
    fleet_run(&f, AGENT_PROPOSE_TIMEOUT_MS + 100);
    assert_int_equal(fleet_result_count(&f, other, request), 1);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elects_at_once),   cmocka_unit_test(test_next_in_line),
        cmocka_unit_test(test_poor_leader_last), cmocka_unit_test(test_longest_log_asked_too_early),
        cmocka_unit_test(test_lives_after_all),  cmocka_unit_test(test_told_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
