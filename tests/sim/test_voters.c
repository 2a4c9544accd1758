/* Who votes, on the whole cluster under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/scene.h"

enum { SETTLE_MS = 40000 };

static struct cluster *start(unsigned count, const char *zones)
{
    struct cluster *c = scene_new(count, 21);
    for (unsigned i = 0; zones && i < count; i++)
        snprintf(c->machines[i].zone, sizeof(c->machines[i].zone), "%c", zones[i]);
    scene_form(c);
    return c;
}

static unsigned voters_in(struct cluster *c, unsigned ask, char zone)
{
    unsigned count = 0;
    for (unsigned i = 0; i < c->count; i++)
        count += (zone == '\0' || c->machines[i].zone[0] == zone) &&
                 intent_is_voter(agent_intent(c->machines[ask].agent), &c->machines[i].identity.id);
    return count;
}

/* Breaks if a peer that leaves takes the quorum with it, from five peers down to one, whoever
 * leads. */
static void test_scale_in(void **state)
{
    static const unsigned voters[] = {0, 1, 1, 3, 3, 5};
    (void)state;
    struct cluster *c = start(5, NULL);
    for (unsigned left = 5; left > 1; left--) {
        assert_int_equal(voters_in(c, 4, '\0'), voters[left]);
        int leader = cluster_leader(c);
        unsigned leaver = left % 2 == 1 && leader != 4 ? (unsigned)leader : 5;
        for (unsigned i = 0; i < 4 && leaver == 5; i++)
            if (c->machines[i].shall_be_member)
                leaver = i;
        cluster_leave(c, leaver);
        scene_settle(c, SETTLE_MS);
        cluster_set_profile(c, 4, left % 2 == 0 ? INTENT_PROFILE_WAN : INTENT_PROFILE_LAN);
        assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
        assert_int_equal(c->last_error.code, 0);
    }
    assert_int_equal(voters_in(c, 4, '\0'), 1);
    scene_end(c);
}

/* Breaks if the first peers keep all votes in one zone, though others have come since, so that its
 * loss is the loss of all; or if votes go to and fro once they are spread. */
static void test_zones(void **state)
{
    (void)state;
    struct cluster *c = start(9, "aaaaabbcc");
    assert_true(cluster_run(c, 60000));
    scene_settle(c, SETTLE_MS);
    assert_true(voters_in(c, 0, 'a') <= 2);
    assert_int_equal(voters_in(c, 0, '\0'), 5);
    uint64_t change = agent_intent(c->machines[0].agent)->configuration_index;
    assert_true(cluster_run(c, 60000));
    assert_int_equal(agent_intent(c->machines[0].agent)->configuration_index, change);
    for (unsigned i = 0; i < 9; i++)
        if (c->machines[i].zone[0] == 'a')
            cluster_kill(c, i);
    assert_true(cluster_run(c, 5000));
    assert_true(cluster_has_leader(c));
    scene_end(c);
}

/* Runs until so many vote by m0's intent, and asserts at each moment on the way that no majority
 * was ever needed of peers that had not the log: somebody leads, and changes are agreed on. */
static void choose_number(struct cluster *c, unsigned max)
{
    cluster_set_voters(c, 0, max);
    for (unsigned i = 0; i < 400 && voters_in(c, 0, '\0') != max; i++) {
        assert_true(cluster_run(c, 50));
        assert_true(cluster_has_leader(c));
    }
    assert_int_equal(voters_in(c, 0, '\0'), max);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(voters_in(c, 0, '\0'), max);
}

/* Breaks if the number of voters can't be changed while the cluster runs, up or down, or the leader
 * or the quorum is lost on the way. */
static void test_chosen_number(void **state)
{
    (void)state;
    struct cluster *c = start(9, NULL);
    uint64_t term = agent_raft_status(c->machines[0].agent)->term;
    assert_int_equal(voters_in(c, 0, '\0'), 5);
    choose_number(c, 7);
    choose_number(c, 3);
    choose_number(c, 1);
    choose_number(c, 5);
    assert_int_equal(agent_raft_status(c->machines[0].agent)->term, term);
    scene_end(c);
}

/* Breaks if voters that die while their number changes take the quorum with them, or if fewer are
 * then chosen among the dead. */
static void test_chosen_number_and_deaths(void **state)
{
    (void)state;
    struct cluster *c = start(9, NULL);
    cluster_set_voters(c, 0, 7);
    assert_true(cluster_run(c, 200));
    unsigned leader = (unsigned)cluster_leader(c);
    cluster_kill(c, (leader + 1) % 9);
    cluster_kill(c, (leader + 2) % 9);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    assert_true(cluster_run(c, 10000)); /* by now they are known to be dead */
    leader = (unsigned)cluster_leader(c);
    cluster_set_voters(c, leader, 3);
    for (unsigned i = 0; i < 400 && voters_in(c, leader, '\0') != 3; i++)
        assert_true(cluster_run(c, 50));
    assert_int_equal(voters_in(c, leader, '\0'), 3);
    cluster_kill(c, leader);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_has_leader));
    for (unsigned i = 0; i < 9; i++)
        if (c->machines[i].power != MACHINE_UP)
            cluster_restart(c, i);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(voters_in(c, 0, '\0'), 3);
    scene_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scale_in),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_chosen_number),
        cmocka_unit_test(test_chosen_number_and_deaths),
    };
    return cmocka_run_group_tests_name("sim-voters", tests, scene_set_up, NULL);
}
