/* The profile by which peers watch one another, chosen while the cluster runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/sim/scene.h"

enum {
    SEED = 11,
    SETTLE_MS = 40000,
    TAKEN_ON_MS = 10000,
    COMMAND_MS = 20000,
    PATIENT_MS = 5 * 60 * 1000, /* until no suspicion lasts longer than its own profile says */
    ROUND_MS = 120 * 1000,
};

/* By when all know of a death, as the manual says it. */
static const int64_t death_ms[] = {
    [INTENT_PROFILE_LAN] = 3000, [INTENT_PROFILE_WAN] = 20000, [INTENT_PROFILE_EDGE] = 90000};

static enum intent_profile wanted;
static unsigned victim;

static uint32_t interval_of(enum intent_profile profile)
{
    switch (profile) {
    case INTENT_PROFILE_LAN:
        return swim_config_lan().probe_interval_ms;
    case INTENT_PROFILE_WAN:
        return swim_config_wan().probe_interval_ms;
    case INTENT_PROFILE_EDGE:
        return swim_config_edge().probe_interval_ms;
    }
    return 0;
}

static bool goes_by(const struct cluster *c, unsigned i)
{
    const struct agent *agent = c->machines[i].agent;
    return agent &&
           swim_config_in_force(agent_swim(agent))->probe_interval_ms == interval_of(wanted);
}

/* All machines that are up go by the profile that is wanted. */
static bool all_go_by_it(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->machines[i].agent && !goes_by(c, i))
            return false;
    return true;
}

/* As machine `i` sees machine `j`. */
static enum view_liveness seen(const struct cluster *c, unsigned i, unsigned j)
{
    const struct view_peer *peer =
        view_peer_find(agent_view(c->machines[i].agent), &c->machines[j].identity.id);
    return peer ? (enum view_liveness)peer->liveness : VIEW_LEFT;
}

static bool victim_is_known_dead(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (i != victim && c->machines[i].agent && seen(c, i, victim) != VIEW_DEAD)
            return false;
    return true;
}

static bool all_are_seen_alive(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        for (unsigned j = 0; j < c->count; j++)
            if (!c->machines[i].agent || seen(c, i, j) != VIEW_ALIVE)
                return false;
    return true;
}

static void choose(struct cluster *c, unsigned via, enum intent_profile profile)
{
    wanted = profile;
    cluster_set_profile(c, via, profile);
    assert_true(cluster_wait(c, COMMAND_MS, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
}

/* Breaks if a peer does not take on what was agreed on, be it voter or not, and be it that it was
 * off, cut off or frozen meanwhile. */
static void test_all_take_it_on(void **state)
{
    (void)state;
    struct cluster *c = scene_start(7, SEED);
    scene_settle(c, SETTLE_MS);
    choose(c, 3, INTENT_PROFILE_WAN);
    assert_true(cluster_wait(c, TAKEN_ON_MS, all_go_by_it));

    cluster_kill(c, 4);
    cluster_partition(c, 1u << 5);
    machine_freeze(&c->machines[6]);
    cluster_run(c, 2000);
    choose(c, 3, INTENT_PROFILE_EDGE);
    cluster_run(c, ROUND_MS);
    for (unsigned i = 0; i < 4; i++)
        assert_true(goes_by(c, i));
    assert_false(goes_by(c, 5));
    cluster_restart(c, 4);
    cluster_heal_all(c);
    machine_thaw(&c->machines[6]);
    assert_true(cluster_wait(c, ROUND_MS, all_go_by_it));
    assert_true(cluster_wait(c, 2 * ROUND_MS, all_are_seen_alive));

    choose(c, 6, INTENT_PROFILE_LAN);
    assert_true(cluster_wait(c, TAKEN_ON_MS, all_go_by_it));
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_settled));
    scene_end(c);
}

/* Breaks if a death becomes known later than operators are told of the profile, or if a running
 * cluster keeps the pace of the profile before. */
static void test_death_is_known_in_time(void **state)
{
    static const enum intent_profile order[] = {INTENT_PROFILE_EDGE, INTENT_PROFILE_LAN,
                                                INTENT_PROFILE_WAN, INTENT_PROFILE_LAN};
    (void)state;
    struct cluster *c = scene_start(7, SEED);
    scene_settle(c, SETTLE_MS);
    for (size_t i = 0; i < array_count(order); i++) {
        choose(c, 0, order[i]);
        assert_true(cluster_run(c, PATIENT_MS));
        assert_true(all_go_by_it(c));
        assert_true(all_are_seen_alive(c));
        for (victim = 1; victim < 4; victim++) {
            cluster_kill(c, victim);
            assert_true(cluster_wait(c, death_ms[order[i]], victim_is_known_dead));
            cluster_restart(c, victim);
            assert_true(cluster_wait(c, 2 * ROUND_MS, all_are_seen_alive));
        }
    }
    scene_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_take_it_on),
        cmocka_unit_test(test_death_is_known_in_time),
    };
    return cmocka_run_group_tests_name("sim-profiles", tests, scene_set_up, NULL);
}
