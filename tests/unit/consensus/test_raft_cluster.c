#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "raft_cluster.h"

/* Breaks if a healthy cluster does not elect a leader and agree. */
static void test_elects_and_agrees(void **state)
{
    (void)state;
    for (int voters = 1; voters <= 5; voters++) {
        struct cluster c;
        cluster_start(&c,
                      &(struct cluster_options){.seed = 1, .voters = voters, .write_max_ms = 3});
        assert_true(cluster_wait(&c, cluster_one_leader));
        for (int i = 0; i < 20; i++)
            assert_int_equal(cluster_propose(&c, cluster_leader(&c)), 0);
        assert_true(cluster_wait(&c, cluster_all_agree));
        assert_true(c.nodes[0].applied >= 21);
        cluster_stop(&c);
    }
}

/* Breaks if the loss of the leader, or its return, loses anything or leaves no leader. */
static void test_leader_is_replaced(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 2, .voters = 3});
    assert_true(cluster_wait(&c, cluster_one_leader));
    int first = cluster_leader(&c);
    assert_int_equal(cluster_propose(&c, first), 0);
    assert_true(cluster_wait(&c, cluster_all_agree));
    cluster_cut(&c, first);
    assert_int_equal(cluster_propose(&c, first), 0); /* can never be committed */
    cluster_run(&c, 3000);
    assert_int_not_equal(cluster_leader(&c), first);
    assert_int_equal(cluster_status(&c, first).role, RAFT_PRE_CANDIDATE);
    assert_int_equal(cluster_propose(&c, first), -EREMOTE);
    assert_int_equal(cluster_propose(&c, cluster_leader(&c)), 0);
    cluster_heal(&c);
    assert_true(cluster_wait(&c, cluster_all_agree));
    cluster_stop(&c);
}

/* Breaks if a follower that was cut off forces an election when it returns. */
static void test_returning_follower_disturbs_nobody(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 3, .voters = 3});
    assert_true(cluster_wait(&c, cluster_all_agree));
    int leader = cluster_leader(&c), other = (leader + 1) % 3;
    uint64_t term = cluster_status(&c, leader).term;
    cluster_cut(&c, other);
    cluster_run(&c, 5000);
    cluster_heal(&c);
    cluster_run(&c, 2000);
    assert_int_equal(cluster_leader(&c), leader);
    assert_int_equal(cluster_status(&c, other).term, term);
    cluster_stop(&c);
}

/* Breaks if a voter that was removed while it was cut off, and does not know, deposes the leader.
 */
static void test_removed_voter_disturbs_nobody(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 8, .voters = 4});
    assert_true(cluster_wait(&c, cluster_all_agree));
    int leader = cluster_leader(&c), removed = (leader + 1) % 4;
    uint64_t term = cluster_status(&c, leader).term;
    cluster_cut(&c, removed);
    struct raft_changes changes = cluster_one_change(&c, RAFT_REMOVE, removed);
    assert_int_equal(cluster_change(&c, leader, &changes), 0);
    cluster_run(&c, 2000);
    cluster_heal(&c);
    cluster_run(&c, 5000);
    assert_int_equal(raft_configuration(c.nodes[removed].raft)->count, 4);
    assert_int_equal(cluster_leader(&c), leader);
    assert_int_equal(cluster_status(&c, leader).term, term);
    cluster_stop(&c);
}

/* Breaks if members cannot be replaced one and all, the leader among them. */
static void test_all_members_are_replaced(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 4, .voters = 3, .spares = 3});
    assert_true(cluster_wait(&c, cluster_all_agree));
    cluster_compact(&c, cluster_leader(&c), 0);
    struct raft_changes changes = {.transition = RAFT_TRANSITION_JOINT};
    for (int i = 0; i < 6; i++)
        changes.members[changes.count++] =
            (struct raft_change){i < 3 ? RAFT_REMOVE : RAFT_ADD_VOTER, c.nodes[i].id};
    int leader = cluster_leader(&c);
    assert_int_equal(cluster_change(&c, leader, &changes), 0);
    assert_int_equal(cluster_change(&c, leader, &changes), -EBUSY);
    cluster_run(&c, 5000);
    assert_true(cluster_leader(&c) >= 3);
    for (int i = 0; i < 3; i++)
        cluster_crash(&c, i);
    assert_true(cluster_wait(&c, cluster_all_agree));
    assert_int_equal(cluster_propose(&c, cluster_leader(&c)), 0);
    assert_true(cluster_wait(&c, cluster_all_agree));
    assert_int_equal(raft_configuration(c.nodes[4].raft)->count, 3);
    cluster_stop(&c);
}

/* Breaks if a follower behind the discarded log is not caught up by a snapshot. */
static void test_snapshot_catches_up(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 5, .voters = 3});
    assert_true(cluster_wait(&c, cluster_all_agree));
    int leader = cluster_leader(&c), other = (leader + 1) % 3;
    cluster_crash(&c, other);
    for (int i = 0; i < 50; i++)
        assert_int_equal(cluster_propose(&c, leader), 0);
    cluster_run(&c, 500);
    cluster_compact(&c, leader, 5);
    assert_int_equal(cluster_status(&c, leader).first_index, c.nodes[leader].applied - 4);
    cluster_restart(&c, other);
    assert_true(cluster_wait(&c, cluster_all_agree));
    assert_true(cluster_status(&c, other).first_index > 10);
    cluster_stop(&c);
}

/* Breaks if leadership cannot be handed over without an election timeout. */
static void test_transfer(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 6, .voters = 3});
    assert_true(cluster_wait(&c, cluster_all_agree));
    int leader = cluster_leader(&c), other = (leader + 2) % 3;
    struct raft_input transfer = {.type = RAFT_TRANSFER, .peer = c.nodes[other].id};
    cluster_run(&c, RAFT_HEARTBEAT_MS + 25);
    assert_true(raft_leader_lease_valid(c.nodes[leader].raft, c.now_ms));
    assert_int_equal(cluster_give(&c, other, transfer), -EREMOTE);
    assert_int_equal(cluster_give(&c, leader, transfer), 0);
    assert_false(raft_leader_lease_valid(c.nodes[leader].raft, c.now_ms));
    assert_int_equal(cluster_propose(&c, leader), -EAGAIN);
    cluster_run(&c, 50);
    assert_int_equal(cluster_leader(&c), other);
    cluster_stop(&c);
}

/* Breaks if a read is confirmed by a leader that was replaced, or not at all by one that leads. */
static void test_reads(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, &(struct cluster_options){.seed = 7, .voters = 3});
    assert_true(cluster_wait(&c, cluster_all_agree));
    int leader = cluster_leader(&c);
    assert_int_equal(cluster_read_at(&c, leader), 0);
    cluster_run(&c, 50);
    assert_int_equal(c.reads_confirmed, 1);
    /* At another peer, by way of the leader. */
    assert_int_equal(cluster_read_at(&c, (leader + 1) % 3), 0);
    cluster_run(&c, 50);
    assert_int_equal(c.reads_confirmed, 2);
    cluster_cut(&c, leader);
    assert_int_equal(cluster_read_at(&c, leader), 0);
    assert_int_equal(cluster_read_at(&c, (leader + 1) % 3), 0);
    cluster_run(&c, 3000);
    assert_int_equal(c.reads_confirmed, 2);
    assert_int_equal(cluster_read_at(&c, leader), -EREMOTE);
    cluster_stop(&c);
}

static void change_something(struct cluster *c, int leader)
{
    struct raft_changes changes = {
        .count = 1 + (uint32_t)random_below(&c->random, 3),
        .transition = (enum raft_transition)random_below(&c->random, 2),
    };
    for (uint32_t i = 0; i < changes.count; i++) {
        int node = (int)random_below(&c->random, (uint64_t)c->count);
        changes.members[i].type =
            (enum raft_change_type)random_below(&c->random, RAFT_CHANGE_TYPES);
        changes.members[i].id = c->nodes[node].id;
    }
    cluster_change(c, leader, &changes);
}

/* One random thing that happens to clusters. */
static void disturb(struct cluster *c)
{
    int node = (int)random_below(&c->random, (uint64_t)c->count);
    int leader = cluster_leader(c);
    switch (random_below(&c->random, 16)) {
    case 0:
        cluster_cut(c, node);
        break;
    case 1:
    case 2:
        cluster_heal(c);
        break;
    case 3:
        cluster_crash(c, random_chance(&c->random, 1, 2) && leader >= 0 ? leader : node);
        break;
    case 4:
    case 5:
        cluster_restart(c, node);
        break;
    case 6:
        cluster_compact(c, node, random_below(&c->random, 10));
        break;
    case 7:
        if (leader >= 0 && c->options.spares > 0)
            change_something(c, leader);
        break;
    case 8:
        if (leader >= 0)
            cluster_give(c, leader,
                         (struct raft_input){.type = RAFT_TRANSFER, .peer = c->nodes[node].id});
        break;
    case 9:
        if (leader >= 0)
            cluster_give(c, leader,
                         (struct raft_input){.type = RAFT_UNREACHABLE, .peer = c->nodes[node].id});
        break;
    case 10:
    case 11:
        for (int i = 0; i < c->count; i++)
            cluster_read_at(c, i);
        break;
    default:
        for (int i = 0; i < c->count; i++)
            cluster_propose(c, i);
        break;
    }
}

static uint64_t run_chaos(const struct cluster_options *options)
{
    struct cluster c;
    cluster_start(&c, options);
    for (int i = 0; i < 150; i++) {
        cluster_run(&c, (int64_t)random_below(&c.random, 120));
        disturb(&c);
    }
    cluster_heal(&c);
    cluster_restart_all(&c);
    c.options.lost_permille = 0;
    assert_true(cluster_wait(&c, cluster_one_leader));
    cluster_run(&c, 2000);
    assert_true(cluster_wait(&c, cluster_one_leader));
    assert_int_equal(cluster_propose(&c, cluster_leader(&c)), 0);
    if (!cluster_wait(&c, cluster_all_agree))
        fail_msg("seed %llu: no agreement", (unsigned long long)options->seed);
    uint64_t digest = c.digest;
    cluster_stop(&c);
    return digest;
}

/* Breaks if any of Raft's properties fails under faults, or agreement does not return after them.
 */
static void test_chaos(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        run_chaos(&(struct cluster_options){
            .seed = seed,
            .voters = 3 + (int)(seed % 3),
            .lost_permille = 50,
            .duplicated_permille = 30,
            .delay_max_ms = 40,
            .write_max_ms = 30,
        });
}

/* Breaks if changing members under faults breaks any of these. */
static void test_chaos_of_members(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        run_chaos(&(struct cluster_options){
            .seed = seed,
            .voters = 1 + (int)(seed % 4),
            .spares = 3,
            .lost_permille = 30,
            .duplicated_permille = 30,
            .delay_max_ms = 30,
            .write_max_ms = 20,
        });
}

/* Breaks if a step that finds no memory has done half of its work, or loses some for good. */
static void test_chaos_without_memory(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_chaos(&(struct cluster_options){
            .seed = seed,
            .voters = 3,
            .spares = 2,
            .delay_max_ms = 20,
            .write_max_ms = 10,
            .failing_memory = true,
        });
}

/* Breaks if anything depends on addresses, on uninitialised memory or on the order of a table. */
static void test_same_seed_same_run(void **state)
{
    (void)state;
    struct cluster_options options = {
        .seed = 99, .voters = 3, .spares = 2, .lost_permille = 40, .delay_max_ms = 30};
    uint64_t first = run_chaos(&options);
    assert_true(run_chaos(&options) == first);
    options.seed = 100;
    assert_false(run_chaos(&options) == first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elects_and_agrees),
        cmocka_unit_test(test_leader_is_replaced),
        cmocka_unit_test(test_returning_follower_disturbs_nobody),
        cmocka_unit_test(test_removed_voter_disturbs_nobody),
        cmocka_unit_test(test_all_members_are_replaced),
        cmocka_unit_test(test_snapshot_catches_up),
        cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_chaos),
        cmocka_unit_test(test_chaos_of_members),
        cmocka_unit_test(test_chaos_without_memory),
        cmocka_unit_test(test_same_seed_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
