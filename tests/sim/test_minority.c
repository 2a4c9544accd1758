/* Without a quorum: who goes on, who is healed, and what is given back, under virtual time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/stand_in.h"
#include "tests/sim/scene.h"

enum {
    SEED = 11,
    SETTLE_MS = 60000,
    HEAL_MS = 25000, /* for the dead to be found, the delay, and containers that start */
    PART_SEEDS = 12,
    PART_MACHINES = 5,
};

static const struct sim_service doubled = {
    .name = "doubled", .replicas = 6, .has_health = true, .is_duplicated = true};
static const struct sim_service held = {.name = "held", .replicas = 6};
static const struct sim_service one = {.name = "one", .replicas = 1, .is_exclusive = true};

/* The machines that are cut off from the others, as the predicates below need to know. */
static uint64_t part;

static void deploy(struct cluster *c, const struct sim_service *service)
{
    cluster_deploy(c, 0, service);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
    scene_settle(c, SETTLE_MS);
}

static bool runs(const struct container *container, const char *service)
{
    return container->is_alive && container->phase == CONTAINER_RUNNING &&
           strcmp(container->service, service) == 0;
}

/* How many of a service's slots run in the part, and how many containers do. */
static unsigned slots_in(struct cluster *c, uint64_t machines, const char *service,
                         unsigned *ret_containers)
{
    uint64_t slots = 0;
    *ret_containers = 0;
    for (unsigned i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->machines[i].containers.table.count; j++) {
            const struct container *container = c->machines[i].containers.table.items[j];
            if (!(machines >> i & 1) || !runs(container, service))
                continue;
            slots |= (uint64_t)1 << container->slot;
            ++*ret_containers;
        }
    return (unsigned)__builtin_popcountll(slots);
}

static bool part_is_healed(struct cluster *c)
{
    unsigned containers;
    return slots_in(c, part, "doubled_app", &containers) == doubled.replicas &&
           containers == doubled.replicas;
}

static unsigned stand_ins(struct cluster *c, const char *service)
{
    unsigned count = 0;
    for (unsigned i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->machines[i].containers.table.count; j++) {
            const struct container *container = c->machines[i].containers.table.items[j];
            count += stand_in_is(container->generation) &&
                     (!service || strcmp(container->service, service) == 0);
        }
    return count;
}

static void cut_off(struct cluster *c, uint64_t machines)
{
    part = machines;
    cluster_partition(c, machines);
}

/* Breaks if a part without a quorum is not healed, if what is to be held is doubled, or if anything
 * is left of that once all are together again. */
static void test_minority_is_healed(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    unsigned containers;
    deploy(c, &doubled);
    deploy(c, &held);
    deploy(c, &one);
    unsigned held_before = slots_in(c, 3, "held_app", &containers);
    cut_off(c, 3);
    assert_true(cluster_wait(c, HEAL_MS, part_is_healed));
    assert_true(cluster_run(c, HEAL_MS));
    assert_true(part_is_healed(c));
    assert_int_equal(slots_in(c, 3, "held_app", &containers), held_before);
    assert_int_equal(stand_ins(c, "held_app") + stand_ins(c, "one_app"), 0);
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(stand_ins(c, NULL), 0);
    scene_end(c);
}

/* Breaks if one that is left alone of many does nothing. */
static void test_one_is_left(void **state)
{
    (void)state;
    struct cluster *c = scene_start(3, SEED);
    deploy(c, &doubled);
    part = 4;
    cluster_kill(c, 0);
    cluster_kill(c, 1);
    assert_true(cluster_wait(c, HEAL_MS, part_is_healed));
    cluster_restart(c, 0);
    cluster_restart(c, 1);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(stand_ins(c, NULL), 0);
    scene_end(c);
}

/* Breaks if of two peers the one that does not vote heals nothing when the other dies; or if that
 * one comes back to find its replicas taken for good. */
static void test_two_peers(void **state)
{
    (void)state;
    struct cluster *c = scene_start(2, SEED);
    deploy(c, &doubled);
    int leader = cluster_leader(c);
    assert_true(leader >= 0);
    part = (uint64_t)1 << (1 - leader);
    cluster_kill(c, (unsigned)leader);
    assert_true(cluster_wait(c, HEAL_MS, part_is_healed));
    cluster_restart(c, (unsigned)leader);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(stand_ins(c, NULL), 0);
    scene_end(c);
}

/* Breaks if a daemon that starts anew in the middle of it stops what it stood in for. */
static void test_daemon_restarts(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    unsigned containers;
    deploy(c, &doubled);
    cut_off(c, 1);
    assert_true(cluster_wait(c, HEAL_MS, part_is_healed));
    unsigned before = stand_ins(c, "doubled_app");
    assert_true(before > 0);
    machine_stop_daemon(&c->machines[0]);
    assert_true(cluster_run(c, 1000));
    machine_start_daemon(&c->machines[0]);
    for (unsigned i = 0; i < 40; i++) {
        assert_true(cluster_run(c, 500));
        assert_int_equal(slots_in(c, part, "doubled_app", &containers), doubled.replicas);
    }
    assert_int_equal(stand_ins(c, "doubled_app"), before);
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_int_equal(stand_ins(c, NULL), 0);
    scene_end(c);
}

/* Breaks if an election makes anybody stand in for anything. */
static void test_election(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, &doubled);
    for (unsigned i = 0; i < 3; i++) {
        int leader = cluster_leader(c);
        assert_true(leader >= 0);
        cluster_kill(c, (unsigned)leader);
        for (unsigned j = 0; j < 60; j++) {
            assert_true(cluster_run(c, 250));
            assert_int_equal(stand_ins(c, NULL), 0);
        }
        cluster_restart(c, (unsigned)leader);
        scene_settle(c, SETTLE_MS);
    }
    scene_end(c);
}

/* Whether each slot is served by something at every moment, once it was. */
static bool is_whole(struct cluster *c, uint64_t machines)
{
    unsigned containers;
    return slots_in(c, machines, "doubled_app", &containers) == doubled.replicas;
}

/* Breaks if, when a part comes back, something is stopped before what takes its place runs. */
static void test_no_gap_when_healed(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, SEED);
    deploy(c, &doubled);
    cut_off(c, 3);
    assert_true(cluster_wait(c, HEAL_MS, part_is_healed));
    part = 28;
    assert_true(cluster_wait(c, HEAL_MS, part_is_healed));
    cluster_heal_all(c);
    for (unsigned i = 0; i < SETTLE_MS / 100 && !cluster_is_settled(c); i++) {
        assert_true(cluster_run(c, 100));
        assert_true(is_whole(c, 31));
    }
    scene_settle(c, SETTLE_MS);
    assert_int_equal(stand_ins(c, NULL), 0);
    scene_end(c);
}

/* Breaks if it takes a certain partition or timing for any of this. An exclusive service that runs
 * twice is noticed by the invariants. */
static void test_any_partition(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= PART_SEEDS; seed++) {
        struct cluster *c = scene_start(PART_MACHINES, seed);
        deploy(c, &doubled);
        deploy(c, &held);
        deploy(c, &one);
        for (unsigned round = 0; round < 2; round++) {
            uint64_t side = 1 + random_below(&c->random, (1 << PART_MACHINES) - 2);
            bool is_most = __builtin_popcountll(side) * 2 > PART_MACHINES;
            uint64_t all = (1 << PART_MACHINES) - 1;
            cut_off(c, is_most ? all & ~side : side);
            if (!cluster_wait(c, HEAL_MS, part_is_healed))
                fail_msg("seed %u, part %x: %s", (unsigned)seed, (unsigned)part,
                         c->has_failed ? c->failure : "not healed");
            assert_int_equal(stand_ins(c, "held_app") + stand_ins(c, "one_app"), 0);
            cluster_heal_all(c);
            scene_settle(c, SETTLE_MS);
            assert_int_equal(stand_ins(c, NULL), 0);
        }
        scene_end(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_minority_is_healed), cmocka_unit_test(test_one_is_left),
        cmocka_unit_test(test_two_peers),          cmocka_unit_test(test_daemon_restarts),
        cmocka_unit_test(test_election),           cmocka_unit_test(test_no_gap_when_healed),
        cmocka_unit_test(test_any_partition),
    };
    return cmocka_run_group_tests(tests, scene_set_up, NULL);
}
