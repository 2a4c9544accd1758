/* Failures that operators meet, one by one, on the whole cluster under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/scene.h"
#include "tests/sim/thief.h"

enum {
    SEED = 7,
    SETTLE_MS = 40000,
    ELECTION_MS = 5000,
};

static const struct sim_service web = {.name = "web", .replicas = 5, .has_health = true};
static const struct sim_service one = {.name = "one", .replicas = 1, .is_exclusive = true};

static void deploy(struct cluster *c, unsigned via, const struct sim_service *service)
{
    cluster_deploy(c, via, service);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
    scene_settle(c, SETTLE_MS);
}

/* How many replicas of a service run on machines that are up and not in `side`. */
static unsigned running(struct cluster *c, const char *name, uint64_t side)
{
    unsigned count = 0;
    for (unsigned i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->machines[i].containers.table.count; j++) {
            const struct container *container = c->machines[i].containers.table.items[j];
            count += !(side >> i & 1) && container->is_alive &&
                     container->phase == CONTAINER_RUNNING &&
                     strncmp(container->service, name, strlen(name)) == 0;
        }
    return count;
}

static bool web_runs_five_times(struct cluster *c)
{
    return running(c, "web", 0) == 5;
}

static unsigned leader_of(struct cluster *c)
{
    assert_true(cluster_wait(c, ELECTION_MS, cluster_has_leader));
    return (unsigned)cluster_leader(c);
}

static unsigned follower_of(struct cluster *c)
{
    return leader_of(c) == 0 ? 1 : 0;
}

/* Breaks if a dead leader's replicas stay dead, or it can't come back. */
static void test_leader_dies(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, 1, &web);
    unsigned leader = leader_of(c);
    cluster_kill(c, leader);
    assert_true(cluster_run(c, 500));
    assert_true(cluster_wait(c, 10000, web_runs_five_times));
    assert_int_not_equal(leader_of(c), leader);
    cluster_restart(c, leader);
    scene_settle(c, SETTLE_MS);
    scene_end(c);
}

static bool reads_are_over(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->machines[i].reads)
            return false;
    return true;
}

/* Breaks if a peer that does not reach the leader can't read, although other voters do; or if what
 * it answers lacks what was agreed on meanwhile. */
static void test_read_around_a_cut(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    unsigned leader = leader_of(c), cut = follower_of(c);
    cluster_cut(c, leader, cut);
    for (unsigned i = 0; i < 10; i++) {
        cluster_scale(c, leader, "web", i);
        assert_true(cluster_wait(c, 10000, cluster_is_answered));
        machine_read(&c->machines[cut]);
        assert_true(cluster_wait(c, 10000, reads_are_over));
        assert_true(cluster_run(c, 1000));
    }
    assert_int_equal(c->reads_answered, 10);
    scene_end(c);
}

/* Breaks if two of five can't be lost at once. */
static void test_two_of_five_die(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, 1, &web);
    unsigned leader = leader_of(c), other = (leader + 1) % 5;
    cluster_kill(c, leader);
    cluster_kill(c, other);
    assert_true(cluster_run(c, 500));
    assert_true(cluster_wait(c, 10000, web_runs_five_times));
    cluster_scale(c, (leader + 2) % 5, "web", 3);
    assert_true(cluster_wait(c, 10000, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
    cluster_restart(c, leader);
    cluster_restart(c, other);
    scene_settle(c, SETTLE_MS);
    scene_end(c);
}

static bool is_alive_to(struct cluster *c, unsigned observer, unsigned subject)
{
    const struct view_peer *peer =
        view_peer_find(agent_view(c->machines[observer].agent), &c->machines[subject].identity.id);
    return peer && peer->liveness == VIEW_ALIVE;
}

/* Breaks if a machine where UDP is blocked is accused or can't be used, or if it may die unseen. */
static void test_udp_is_blocked(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, 1, &web);
    unsigned blocked = follower_of(c);
    cluster_block_packets(c, blocked);
    for (int i = 0; i < 300; i++) {
        assert_true(cluster_run(c, 200));
        for (unsigned k = 0; k < c->count; k++)
            assert_true(is_alive_to(c, k, blocked) && is_alive_to(c, blocked, k));
    }
    cluster_scale(c, blocked, "web", 10);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
    scene_settle(c, SETTLE_MS);
    cluster_scale(c, blocked, "web", 5);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    scene_settle(c, SETTLE_MS);
    cluster_kill(c, blocked);
    assert_true(cluster_run(c, 500));
    assert_true(cluster_wait(c, 10000, web_runs_five_times));
    cluster_heal_all(c);
    cluster_restart(c, blocked);
    scene_settle(c, SETTLE_MS);
    scene_end(c);
}

/* Breaks if a minority stops what runs, if the majority does not take over, or if they do not come
 * to one truth. */
static void test_partition(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, 1, &web);
    unsigned leader = leader_of(c), other = (leader + 1) % 5;
    uint64_t minority = (uint64_t)1 << leader | (uint64_t)1 << other;
    unsigned before = running(c, "web", ~minority);
    cluster_partition(c, minority);
    assert_true(cluster_run(c, 10000));
    assert_int_equal(running(c, "web", ~minority), before);
    assert_int_equal(running(c, "web", minority), 5);
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    scene_end(c);
}

static bool remembers(const struct cluster *c, unsigned at, unsigned other)
{
    struct swim_member member;
    return swim_member_find(agent_swim(c->machines[at].agent), &c->machines[other].identity.id,
                            &member);
}

/* Breaks if peers that were cut off for so long that gossip has forgotten the others, and were all
 * restarted then, don't find them again: addresses outlive both, on the disk. */
static void test_restart_after_all_is_forgotten(void **state)
{
    (void)state;
    struct cluster *c = test_malloc(sizeof(*c));
    cluster_init(c, 5, SEED);
    c->forget_dead_ms = 20000;
    assert_true(cluster_start(c));
    deploy(c, 1, &web);
    cluster_partition(c, 1 << 3 | 1 << 4);
    assert_true(cluster_run(c, 60000));
    assert_false(remembers(c, 3, 0));
    assert_false(remembers(c, 0, 3));
    for (unsigned i = 3; i < 5; i++) {
        machine_kill_daemon(&c->machines[i]);
        machine_start_daemon(&c->machines[i]);
    }
    assert_true(cluster_run(c, 30000));
    assert_true(remembers(c, 3, 4));
    assert_false(remembers(c, 3, 0));
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_true(remembers(c, 3, 0));
    assert_true(remembers(c, 0, 4));
    scene_end(c);
}

/* Breaks if a rollout dies with the leader that drives it. */
static void test_leader_dies_in_a_rollout(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, 1, &web);
    struct sim_service next = web;
    next.image = "app:2";
    unsigned leader = leader_of(c);
    cluster_update(c, follower_of(c), &next);
    assert_true(cluster_run(c, 1500));
    cluster_kill(c, leader);
    assert_true(cluster_run(c, 4000));
    cluster_restart(c, leader);
    scene_settle(c, SETTLE_MS);
    const struct intent *intent = agent_intent(c->machines[leader_of(c)].agent);
    const struct intent_service *service = intent_service_find(intent, "web_app");
    assert_int_equal(service->revision, 2);
    assert_int_equal(service->rollout.state, INTENT_ROLLOUT_DONE);
    scene_end(c);
}

/* Breaks if a bad image stays, whoever leads. */
static void test_bad_update(void **state)
{
    (void)state;
    struct cluster *c = scene_start(3, SEED);
    deploy(c, 1, &web);
    struct sim_service bad = web;
    bad.image = "bad:2";
    cluster_update(c, follower_of(c), &bad);
    assert_true(cluster_run(c, 2000));
    scene_settle(c, SETTLE_MS);
    const struct intent *intent = agent_intent(c->machines[leader_of(c)].agent);
    const struct intent_service *service = intent_service_find(intent, "web_app");
    assert_int_equal(service->revision, 1);
    assert_int_equal(service->rollout.state, INTENT_ROLLOUT_ROLLED_BACK);
    scene_end(c);
}

/* Breaks if a fleet that lost its power does not find itself again, with all intent. */
static void test_power_cut(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, 1, &web);
    deploy(c, 1, &one);
    for (unsigned i = 0; i < 5; i++)
        cluster_kill(c, i);
    assert_true(cluster_run(c, 2000));
    for (unsigned i = 0; i < 5; i++)
        cluster_restart(c, i);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(running(c, "web", 0), 5);
    assert_int_equal(running(c, "one", 0), 1);
    scene_end(c);
}

/* Breaks if a peer that lost its vote when the leader left (an even number never votes for long)
 * goes on sending what it is asked for to the leader of that time. */
static void test_leader_leaves(void **state)
{
    (void)state;
    struct cluster *c = scene_start(3, SEED);
    deploy(c, 1, &web);
    unsigned leader = leader_of(c);
    cluster_leave(c, leader);
    scene_settle(c, SETTLE_MS);
    for (unsigned i = 0; i < 3; i++) {
        if (i == leader)
            continue;
        struct sim_service next = {.name = i == 0 ? "api" : "job", .replicas = 2};
        int64_t began_ms = c->timeline.now_ms;
        cluster_deploy(c, i, &next);
        assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
        assert_int_equal(c->last_error.code, 0);
        assert_in_range(c->timeline.now_ms - began_ms, 0, 1000);
    }
    scene_settle(c, SETTLE_MS);
    scene_end(c);
}

/* Breaks if a key that has left comes back without what Raft knew under it: an old voter that was
 * away meanwhile wins an election with its help, and what was agreed on since is lost. */
static void test_old_voter_meets_newcomer(void **state)
{
    (void)state;
    struct cluster *c = scene_start(3, SEED);
    unsigned leader = leader_of(c), away = (leader + 1) % 3, leaver = (leader + 2) % 3;
    struct machine *machine = &c->machines[leaver];
    cluster_kill(c, away);
    assert_true(cluster_run(c, 3000));
    cluster_leave(c, leaver);
    assert_true(cluster_run(c, 5000));
    assert_int_equal(machine->phase, MACHINE_GONE);
    cluster_deploy(c, leader, &web);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    cluster_cut(c, away, leader);
    cluster_restart(c, away);
    machine->shall_be_member = true;
    machine_start_daemon(machine);
    assert_true(cluster_run(c, 5000));
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(running(c, "web", 0), 5);
    scene_end(c);
}

/* Breaks if one stolen machine that does not vote can make the others believe anything, or keeps
 * them from what they do, a change of the leader included. */
static void test_thief(void **state)
{
    (void)state;
    struct cluster *c = scene_start(7, SEED);
    deploy(c, 1, &web);
    for (unsigned i = 0; i < 7; i++)
        if (!intent_is_voter(agent_intent(c->machines[i].agent), &c->machines[i].identity.id))
            c->thief = (int)i;
    unsigned killed = 7;
    for (unsigned i = 0; i < 40; i++) {
        thief_speaks(c);
        if (i == 10)
            cluster_kill(c, killed = leader_of(c));
        if (i == 20)
            cluster_restart(c, killed);
        if (i == 30)
            cluster_scale(c, leader_of(c), "web", 6);
        assert_true(cluster_run(c, 300));
    }
    scene_settle(c, SETTLE_MS);
    assert_int_equal(running(c, "web", 0), 6);
    for (unsigned i = 0; i < 7; i++)
        assert_true(agent_intent(c->machines[i].agent)->applied_term < 100);
    scene_end(c);
}

/* One that neither votes nor is `other`. */
static unsigned outsider_of(struct cluster *c, unsigned other)
{
    unsigned i = 0;
    while (i == other ||
           intent_is_voter(agent_intent(c->machines[i].agent), &c->machines[i].identity.id))
        i++;
    assert_true(i < c->count);
    return i;
}

/* Breaks if a peer that answers by the feed what is wrong, entries or parts of a whole intent, is
 * believed, or keeps another from asking the next. */
static void test_feed_is_garbled(void **state)
{
    (void)state;
    for (int whole = 0; whole < 2; whole++) {
        struct cluster *c = scene_start(7, SEED);
        unsigned sleeper = outsider_of(c, 7), thief = outsider_of(c, sleeper);
        c->thief = (int)thief;
        c->thief_garbles = true;
        cluster_partition(c, (uint64_t)1 << sleeper);
        for (unsigned i = 0; i < 10; i++)
            cluster_make_token(c, leader_of(c), (uint8_t)(i + 1));
        assert_true(cluster_run(c, 5000));
        for (unsigned i = 0; i < 7 && whole; i++) { /* so that they remember the newest alone */
            if (i == sleeper)
                continue;
            cluster_kill(c, i);
            cluster_restart(c, i);
        }
        assert_true(cluster_run(c, 20000));
        for (unsigned i = 0; i < SIM_COMPACT_ENTRIES * 4 && whole; i++) {
            cluster_make_token(c, leader_of(c), 1); /* refused, and an entry all the same */
            assert_true(cluster_run(c, 20));
        }
        uint64_t before = agent_intent(c->machines[sleeper].agent)->applied_index;
        cluster_heal(c, sleeper, thief);
        assert_true(cluster_run(c, 15000));
        assert_true(c->machines[sleeper].feed_refused > 0);
        assert_int_equal(agent_intent(c->machines[sleeper].agent)->applied_index, before);
        cluster_heal_all(c);
        scene_settle(c, SETTLE_MS);
        scene_end(c);
    }
}

/* Breaks if only voters get leases. */
static void test_exclusive_beyond_the_voters(void **state)
{
    (void)state;
    struct cluster *c = scene_start(7, SEED);
    deploy(c, 1, &one);
    for (unsigned i = 0; i < 7; i++) {
        unsigned holder = 0;
        while (c->machines[holder].containers.table.count == 0)
            holder++;
        cluster_leave(c, holder);
        scene_settle(c, SETTLE_MS);
        if (i == 4)
            break;
    }
    scene_end(c);
}

/* Breaks if an exclusive replica that uses all of its grace to stop runs twice. */
static void test_exclusive_holder_is_cut_off(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    for (unsigned round = 0; round < 30; round++) {
        struct sim_service service = one;
        char image[16];
        snprintf(image, sizeof(image), "app:%u", round + 1);
        service.image = image;
        deploy(c, 1, &service);
        unsigned holder = 0;
        while (c->machines[holder].containers.table.count == 0)
            holder++;
        cluster_partition(c, (uint64_t)1 << holder);
        if (!cluster_run(c, 30000))
            break;
        cluster_heal_all(c);
        scene_settle(c, SETTLE_MS);
    }
    scene_end(c);
}

/* Breaks if what a restarted daemon has not said again yet counts as gone: an exclusive replica
 * that was stopping as the daemon died would run beside its successor. */
static void test_exclusive_holder_restarts(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    for (unsigned round = 0; round < 40; round++) {
        struct sim_service service = one;
        char image[16];
        snprintf(image, sizeof(image), "app:%u", round + 1);
        service.image = image;
        unsigned holder = 0, via = follower_of(c);
        if (round == 0) {
            deploy(c, via, &service);
            continue;
        }
        while (c->machines[holder].containers.table.count == 0)
            holder++;
        cluster_update(c, via, &service);
        cluster_run(c, 30 + (int64_t)round * 7);
        machine_kill_daemon(&c->machines[holder]);
        cluster_run(c, 20 + (int64_t)round * 20);
        machine_start_daemon(&c->machines[holder]);
        scene_settle(c, SETTLE_MS);
    }
    scene_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_leader_dies),
        cmocka_unit_test(test_read_around_a_cut),
        cmocka_unit_test(test_two_of_five_die),
        cmocka_unit_test(test_udp_is_blocked),
        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_restart_after_all_is_forgotten),
        cmocka_unit_test(test_leader_dies_in_a_rollout),
        cmocka_unit_test(test_bad_update),
        cmocka_unit_test(test_power_cut),
        cmocka_unit_test(test_leader_leaves),
        cmocka_unit_test(test_old_voter_meets_newcomer),
        cmocka_unit_test(test_thief),
        cmocka_unit_test(test_feed_is_garbled),
        cmocka_unit_test(test_exclusive_beyond_the_voters),
        cmocka_unit_test(test_exclusive_holder_is_cut_off),
        cmocka_unit_test(test_exclusive_holder_restarts),
    };
    return cmocka_run_group_tests_name("sim-scenarios", tests, scene_set_up, NULL);
}
