/* Quorums lost for good, and `consort recover`, on the whole cluster under virtual time. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/scene.h"

enum {
    SETTLE_MS = 60000,
    ELECTION_MS = 5000,
    CHAOS_SEEDS = 30,
};

static const struct sim_service web = {.name = "web", .replicas = 5, .has_health = true};
static const struct sim_service late = {.name = "late", .replicas = 2};
static const struct sim_service lost = {.name = "lost", .replicas = 2};

static int answer(struct cluster *c)
{
    if (!cluster_wait(c, SETTLE_MS, cluster_is_answered))
        fail_msg("%s", c->has_failed ? c->failure : "a command is never answered");
    return c->last_error.code;
}

static void deploy(struct cluster *c, unsigned via, const struct sim_service *service)
{
    cluster_deploy(c, via, service);
    assert_int_equal(answer(c), 0);
}

static const struct intent *intent_of(struct cluster *c, unsigned i)
{
    return agent_intent(c->machines[i].agent);
}

static bool votes(struct cluster *c, unsigned by, unsigned i)
{
    return intent_is_voter(intent_of(c, by), &c->machines[i].identity.id);
}

/* Every machine that is up is in that epoch. */
static void assert_epoch(struct cluster *c, uint64_t epoch)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->machines[i].agent)
            assert_int_equal(intent_of(c, i)->epoch, epoch);
}

static unsigned running(struct cluster *c, const char *name)
{
    unsigned count = 0;
    for (unsigned i = 0; i < c->count; i++)
        for (size_t j = 0; j < c->machines[i].containers.table.count; j++) {
            const struct container *container = c->machines[i].containers.table.items[j];
            count += container->is_alive && container->phase == CONTAINER_RUNNING &&
                     strncmp(container->service, name, strlen(name)) == 0;
        }
    return count;
}

static bool web_runs_five_times(struct cluster *c)
{
    return running(c, "web") == 5;
}

static bool late_runs(struct cluster *c)
{
    return running(c, "late") == 2;
}

/* Breaks if a fleet that lost most of its voters can't go on, or those that come back after all are
 * not taken in: as peers that follow, then as voters by the leader's choice. */
static void test_three_of_five_die(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, 7);
    deploy(c, 1, &web);
    scene_settle(c, SETTLE_MS);
    for (unsigned i = 0; i < 3; i++)
        cluster_kill(c, i);
    assert_true(cluster_run(c, 10000));
    cluster_deploy(c, 4, &late);
    assert_int_not_equal(answer(c), 0);

    cluster_recover(c, 4, false);
    assert_int_equal(answer(c), 0);
    deploy(c, 3, &late);
    if (!cluster_wait(c, SETTLE_MS, web_runs_five_times) || !cluster_wait(c, SETTLE_MS, late_runs))
        fail_msg("%s", c->has_failed ? c->failure : "the replicas are never placed");
    assert_epoch(c, 2);
    for (unsigned i = 0; i < 3; i++)
        assert_false(votes(c, 4, i));

    for (unsigned i = 0; i < 3; i++)
        cluster_restart(c, i);
    scene_settle(c, SETTLE_MS);
    assert_epoch(c, 2);
    for (unsigned i = 0; i < 5; i++)
        assert_true(votes(c, 4, i));
    scene_end(c);
}

/* Breaks if old voters that have a quorum among themselves go on beside the new epoch, once they
 * hear of it; or if what they agreed on meanwhile comes into it. */
static void test_old_quorum_lives(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, 8);
    deploy(c, 1, &web);
    scene_settle(c, SETTLE_MS);
    cluster_partition(c, 0x7); /* 0, 1, 2 on their side */
    assert_true(cluster_run(c, 10000));
    deploy(c, 0, &lost);
    cluster_recover(c, 4, false);
    assert_int_equal(answer(c), 0);
    deploy(c, 3, &late);
    assert_true(cluster_run(c, 5000));
    assert_non_null(intent_service_find(intent_of(c, 0), "lost_app"));
    assert_int_equal(intent_of(c, 0)->epoch, 1);
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_epoch(c, 2);
    assert_null(intent_service_find(intent_of(c, 0), "lost_app"));
    assert_non_null(intent_service_find(intent_of(c, 0), "late_app"));
    assert_int_equal(running(c, "lost"), 0);
    scene_end(c);
}

/* Breaks if old voters can be recovered apart from an epoch that they don't know, asleep as it
 * began, and vote themselves into one of their own. */
static void test_old_voters_sleep(void **state)
{
    (void)state;
    struct cluster *c = scene_start(5, 9);
    deploy(c, 1, &web);
    scene_settle(c, SETTLE_MS);
    for (unsigned i = 0; i < 3; i++)
        cluster_kill(c, i);
    assert_true(cluster_run(c, 10000));
    cluster_recover(c, 3, false);
    assert_int_equal(answer(c), 0);
    cluster_partition(c, 0x7);
    for (unsigned i = 0; i < 3; i++)
        cluster_restart(c, i);
    assert_true(cluster_run(c, 10000));
    deploy(c, 1, &lost); /* they have a quorum of the old epoch, and know of no other */
    deploy(c, 4, &late);
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_epoch(c, 2);
    assert_int_equal(running(c, "lost"), 0);
    scene_end(c);
}

/* Breaks if who does not vote can recover by its own word, or not even with the cluster's key. */
static void test_no_voter_is_left(void **state)
{
    (void)state;
    struct cluster *c = scene_start(7, 10);
    deploy(c, 1, &web);
    scene_settle(c, SETTLE_MS);
    unsigned survivor = 7;
    bool died[7] = {false};
    for (unsigned i = 0; i < 7; i++) {
        if (votes(c, i, i)) {
            cluster_kill(c, i);
            died[i] = true;
        } else {
            survivor = i;
        }
    }
    assert_true(cluster_run(c, 10000));
    cluster_recover(c, survivor, false);
    assert_int_equal(answer(c), -EKEYREJECTED);
    cluster_recover(c, survivor, true);
    assert_int_equal(answer(c), 0);
    deploy(c, survivor, &late);
    assert_true(cluster_run(c, 15000));
    assert_epoch(c, 2);
    for (unsigned i = 0; i < 7; i++)
        if (died[i])
            cluster_restart(c, i);
    scene_settle(c, SETTLE_MS);
    assert_epoch(c, 2);
    scene_end(c);
}

/* Breaks if two who recovered, on the two sides of a cut, can't be brought together by the
 * cluster's own key. */
static void test_recovered_twice(void **state)
{
    (void)state;
    struct cluster *c = scene_start(4, 11);
    deploy(c, 1, &web);
    scene_settle(c, SETTLE_MS);
    unsigned side[2], found = 0;
    for (unsigned i = 0; i < 4 && found < 2; i++)
        if (votes(c, 0, i))
            side[found++] = i;
    cluster_partition(c, (uint64_t)1 << side[0]);
    for (unsigned i = 0; i < 4; i++)
        if (i != side[0] && i != side[1])
            cluster_cut(c, side[1], i);
    assert_true(cluster_run(c, 10000));
    c->is_torn = true;
    for (unsigned i = 0; i < 2; i++) {
        cluster_recover(c, side[i], false);
        assert_int_equal(answer(c), 0);
    }
    assert_true(cluster_run(c, 5000));
    cluster_recover(c, side[1], true);
    assert_int_equal(answer(c), 0);
    assert_true(cluster_run(c, 2000));
    cluster_heal_all(c);
    scene_settle(c, SETTLE_MS);
    assert_epoch(c, 3);
    scene_end(c);
}

/* From a seed: voters die or are cut off, somebody recovers, crashes in the middle of it or not,
 * and the others come back in some order. */
static void chaos(uint64_t seed)
{
    struct random random;
    unsigned count = 5 + seed % 3;
    struct cluster *c = scene_start(count, seed);
    random_init(&random, seed);
    deploy(c, 1, &web);
    uint64_t gone = 0;
    while (__builtin_popcountll(gone) * 2 < (int)count)
        gone |= (uint64_t)1 << random_below(&random, count);
    bool kills = random_chance(&random, 1, 2);
    unsigned survivor = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!(gone >> i & 1) && votes(c, i, i))
            survivor = i;
        if (kills && gone >> i & 1)
            cluster_kill(c, i);
    }
    if (!kills)
        cluster_partition(c, gone);
    assert_true(cluster_run(c, (int64_t)random_below(&random, 8000)));
    for (unsigned try = 0; try < 3; try++) {
        bool is_voter = votes(c, survivor, survivor);
        cluster_recover(c, survivor, !is_voter || random_chance(&random, 1, 4));
        if (random_chance(&random, 1, 2)) {
            assert_true(cluster_run(c, (int64_t)random_below(&random, 6)));
            cluster_kill(c, survivor);
            assert_true(cluster_run(c, 1000));
            cluster_restart(c, survivor);
            assert_true(cluster_run(c, 3000));
        }
    }
    answer(c);
    assert_true(cluster_run(c, (int64_t)random_below(&random, 8000)));
    if (!kills) { /* who lives on the other side may have taken its vote by now */
        cluster_recover(c, survivor, true);
        assert_int_equal(answer(c), 0);
        assert_true(cluster_run(c, 5000));
    }
    cluster_heal_all(c);
    for (unsigned i = 0; kills && i < count; i++) {
        if (!(gone >> i & 1))
            continue;
        cluster_restart(c, i);
        assert_true(cluster_run(c, (int64_t)random_below(&random, 3000)));
    }
    scene_settle(c, SETTLE_MS);
    scene_end(c);
}

/* Breaks if any of what must hold at each step does not (tests/sim/invariants.h), in some order of
 * what happens around a recovery. */
static void test_chaos(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= CHAOS_SEEDS; seed++) {
        chaos(seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_three_of_five_die), cmocka_unit_test(test_old_quorum_lives),
        cmocka_unit_test(test_old_voters_sleep),  cmocka_unit_test(test_no_voter_is_left),
        cmocka_unit_test(test_recovered_twice),   cmocka_unit_test(test_chaos),
    };
    return cmocka_run_group_tests_name("sim-recover", tests, scene_set_up, NULL);
}
