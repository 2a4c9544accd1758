#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/control/control_fixture.h"

/* A cluster of three peers where "s_web" with three replicas has settled, one on each. */
static void start(struct cluster *c, void (*adjust)(struct service_spec *spec))
{
    struct service_spec spec;
    cluster_init(c, 3);
    fixture_spec(&spec, "web");
    spec.replicas = 3;
    if (adjust)
        adjust(&spec);
    cluster_deploy(c, &spec);
    cluster_calm(c);
}

static unsigned peer_of(const struct intent_replica *replica)
{
    return replica->peer.bytes[0] - 1u;
}

/* Breaks if a dead peer's replicas are not replaced at once, or run twice when it comes back. */
static void test_dead(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    cluster_see(&c, 1, VIEW_SUSPECT);
    assert_int_equal(cluster_step(&c), 0);
    cluster_see(&c, 1, VIEW_DEAD);
    assert_int_equal(cluster_step(&c), 2); /* one deleted, one added */
    assert_int_equal(cluster_count_at(&c, "s_web", 1), 0);
    assert_int_equal(cluster_count(&c, "s_web"), 3);
    cluster_calm(&c);
    cluster_see(&c, 1, VIEW_ALIVE);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 3);
    assert_int_equal(c.f.intent->replicas.count, 3);
    cluster_done(&c);
}

static void wait_before_failover(struct service_spec *spec)
{
    spec->failover_after_ms = 60000;
}

/* Breaks if failover_after is not kept, from the moment of death and also by a new leader. */
static void test_failover_after(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, wait_before_failover);
    cluster_see(&c, 1, VIEW_DEAD);
    assert_int_equal(cluster_step(&c), 0);
    assert_int_equal(c.deadline_ms, c.now_ms + 60000);
    c.now_ms += 59999;
    cluster_new_leader(&c);
    assert_int_equal(cluster_step(&c), 0);
    c.now_ms += 1;
    assert_int_equal(cluster_step(&c), 2);
    cluster_done(&c);
}

/* Breaks if a leader that has just started takes everybody whom it has not heard of for dead. */
static void test_unknown_peer(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    struct id id = fixture_id(1);
    uint64_t generation = 0;
    for (size_t i = 0; i < c.f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c.f.intent->replicas.items[i];
        if (id_equal(&replica->peer, &id))
            generation = replica->generation;
    }
    view_peer_remove(&c.view, &id);
    view_replica_remove(&c.view, generation);
    cluster_new_leader(&c);
    assert_int_equal(cluster_step(&c), 0);
    c.now_ms += CONTROL_UNKNOWN_PEER_MS;
    assert_int_equal(cluster_step(&c), 2);
    cluster_done(&c);
}

/* Breaks if replicas of a peer that left or was revoked stay with it. */
static void test_gone(void **state)
{
    (void)state;
    static const enum intent_peer_state states[] = {INTENT_LEFT, INTENT_REVOKED};
    for (size_t i = 0; i < 2; i++) {
        struct cluster c;
        start(&c, wait_before_failover);
        assert_int_equal(fixture_peer_state(&c.f, 2, states[i]), 0);
        cluster_step(&c);
        assert_int_equal(cluster_count_at(&c, "s_web", 2), 0);
        assert_int_equal(cluster_count(&c, "s_web"), 3);
        cluster_done(&c);
    }
}

static void fill_the_peer(struct service_spec *spec)
{
    spec->resources.memory_reserved_bytes = cluster_memory_bytes;
}

/* Breaks if a replica that nobody can take over is forgotten, so that its peer would stop it on its
 * return. */
static void test_no_room(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, fill_the_peer);
    cluster_see(&c, 1, VIEW_DEAD);
    cluster_calm(&c);
    assert_int_equal(c.f.intent->replicas.count, 3);
    assert_int_equal(c.f.intent->next_generation, 4);
    cluster_see(&c, 1, VIEW_ALIVE);
    cluster_calm(&c);
    assert_int_equal(c.f.intent->next_generation, 4);
    cluster_done(&c);
}

/* Breaks if draining stops a replica before another serves, or leaves any. */
static void test_drain(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    assert_int_equal(fixture_peer_state(&c.f, 0, INTENT_DRAINING), 0);
    for (int i = 0; i < 20; i++) {
        cluster_step(&c);
        assert_true(cluster_serving(&c, "s_web") >= 3);
        cluster_obey(&c);
        c.now_ms += 500;
    }
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 0);
    assert_int_equal(cluster_count(&c, "s_web"), 3);
    assert_int_equal(c.f.intent->replicas.count, 3);
    assert_int_equal(fixture_peer_state(&c.f, 0, INTENT_ACTIVE), 0);
    assert_int_equal(cluster_step(&c), 0);
    cluster_done(&c);
}

/* Breaks if a drain that was called off leaves two replicas in one slot. */
static void test_drain_called_off(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    assert_int_equal(fixture_peer_state(&c.f, 0, INTENT_DRAINING), 0);
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(cluster_count(&c, "s_web"), 4);
    assert_int_equal(fixture_peer_state(&c.f, 0, INTENT_ACTIVE), 0);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 3);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 1);
    cluster_done(&c);
}

/* Breaks if scaling adds or stops others than the last slots. */
static void test_scale(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    assert_int_equal(fixture_scale(&c.f, "s_web", 8), 0);
    assert_int_equal(cluster_step(&c), 5);
    cluster_calm(&c);
    assert_int_equal(fixture_scale(&c.f, "s_web", 2), 0);
    assert_int_equal(cluster_step(&c), 6);
    assert_non_null(cluster_replica(&c, "s_web", 1));
    assert_non_null(cluster_replica(&c, "s_web", 2));
    cluster_calm(&c);
    assert_int_equal(c.f.intent->replicas.count, 2);
    assert_int_equal(fixture_scale(&c.f, "s_web", 0), 0);
    cluster_calm(&c);
    assert_int_equal(c.f.intent->replicas.count, 0);
    cluster_done(&c);
}

/* Breaks if a stopped replica is deleted while its peer still has it, or never. */
static void test_stopped(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    uint64_t generation = cluster_replica(&c, "s_web", 3)->generation;
    assert_int_equal(fixture_scale(&c.f, "s_web", 2), 0);
    assert_int_equal(cluster_step(&c), 1);
    cluster_report(&c, generation, VIEW_REPLICA_STOPPING, VIEW_HEALTH_NONE);
    c.now_ms += 3600000;
    assert_int_equal(cluster_step(&c), 0);
    assert_non_null(intent_replica_find(c.f.intent, generation));
    view_replica_remove(&c.view, generation);
    assert_int_equal(cluster_step(&c), 1);
    assert_null(intent_replica_find(c.f.intent, generation));

    generation = cluster_replica(&c, "s_web", 2)->generation;
    assert_int_equal(fixture_scale(&c.f, "s_web", 1), 0);
    assert_int_equal(cluster_step(&c), 1);
    view_replica_remove(&c.view, generation);
    cluster_new_leader(&c); /* it never heard of it, so it waits for a moment */
    assert_int_equal(cluster_step(&c), 0);
    assert_int_equal(c.deadline_ms, c.now_ms + CONTROL_ABSENT_MS);
    c.now_ms = c.deadline_ms;
    assert_int_equal(cluster_step(&c), 1);
    cluster_done(&c);
}

/* Breaks if what was stopped on a peer that then dies stays in the intent. */
static void test_stopped_dead(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    unsigned peer = peer_of(cluster_replica(&c, "s_web", 3));
    assert_int_equal(fixture_scale(&c.f, "s_web", 2), 0);
    assert_int_equal(cluster_step(&c), 1);
    cluster_see(&c, peer, VIEW_DEAD);
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(c.f.intent->replicas.count, 2);
    cluster_done(&c);
}

/* Breaks if a removed service stays, with or without its peers. */
static void test_removed(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    cluster_see(&c, 2, VIEW_DEAD);
    assert_int_equal(fixture_remove(&c.f, "s_web", false), 0);
    cluster_calm(&c);
    assert_int_equal(c.f.intent->services.count, 0);
    assert_int_equal(c.f.intent->replicas.count, 0);
    cluster_done(&c);
}

/* Breaks if a peer can speak for another one's replica. */
static void test_reported_by_another(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, NULL);
    const struct intent_replica *replica = cluster_replica(&c, "s_web", 1);
    struct view_replica *report = view_replica_find(&c.view, replica->generation);
    assert_int_equal(fixture_scale(&c.f, "s_web", 0), 0);
    assert_int_equal(cluster_step(&c), 3);
    report->peer = fixture_id((peer_of(replica) + 1) % 3);
    assert_int_equal(cluster_step(&c), 1); /* its own peer no longer speaks of it */
    cluster_done(&c);
}

static void be_global(struct service_spec *spec)
{
    spec->mode = SPEC_GLOBAL;
    assert_int_equal(text_list_add(&spec->constraints, "node.labels.no!=web"), 0);
}

/* Breaks if a global service is not on exactly the peers that it shall run on. */
static void test_global(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, be_global);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(cluster_count_at(&c, "s_web", i), 1);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_see(&c, 1, VIEW_DEAD);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 3); /* it goes on when b is back */
    cluster_labels(&c, 2, "no=web");
    assert_int_equal(fixture_peer_state(&c.f, 0, INTENT_DRAINING), 0);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 0);
    assert_int_equal(cluster_count_at(&c, "s_web", 2), 0);
    assert_int_equal(fixture_admit(&c.f, 3, "d"), 0);
    cluster_see(&c, 3, VIEW_ALIVE);
    cluster_labels(&c, 3, "");
    assert_int_equal(fixture_peer_state(&c.f, 0, INTENT_ACTIVE), 0);
    assert_int_equal(fixture_peer_state(&c.f, 1, INTENT_LEFT), 0);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 1);
    assert_int_equal(cluster_count_at(&c, "s_web", 1), 0);
    assert_int_equal(cluster_count_at(&c, "s_web", 3), 1);
    cluster_done(&c);
}

enum {
    EXCLUSIVE_END_MS = CLUSTER_EXCLUSIVE_WAIT_MS + SPEC_STOP_GRACE_MS_DEFAULT,
};

static void be_exclusive(struct service_spec *spec)
{
    spec->exclusive = true;
    spec->replicas = 1;
}

/* Breaks if an exclusive replica is placed anew while its old lease may hold, or while its
 * container may use its grace to stop. */
static void test_exclusive_dead(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, be_exclusive);
    unsigned peer = peer_of(cluster_replica(&c, "s_web", 1));
    cluster_see(&c, peer, VIEW_DEAD);
    assert_int_equal(cluster_step(&c), 0);
    c.now_ms += EXCLUSIVE_END_MS - 1;
    assert_int_equal(cluster_step(&c), 0);
    cluster_new_leader(&c); /* the lease may be one of the leader's before */
    assert_int_equal(cluster_step(&c), 0);
    c.now_ms += EXCLUSIVE_END_MS;
    assert_int_equal(cluster_step(&c), 2);
    assert_int_not_equal(peer_of(cluster_replica(&c, "s_web", 1)), peer);
    cluster_done(&c);
}

/* Breaks if an exclusive replica of a revoked peer, which may live on, is replaced before its lease
 * ends.
 */
static void test_exclusive_revoked(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, be_exclusive);
    unsigned peer = peer_of(cluster_replica(&c, "s_web", 1));
    assert_int_equal(fixture_peer_state(&c.f, peer, INTENT_REVOKED), 0);
    assert_int_equal(cluster_step(&c), 1); /* to be stopped, if the peer still listens */
    c.now_ms += EXCLUSIVE_END_MS - 1;
    assert_int_equal(cluster_step(&c), 0);
    c.now_ms += 1;
    assert_int_equal(cluster_step(&c), 2);
    cluster_done(&c);
}

/* Breaks if two exclusive replicas overlap in a drain. */
static void test_exclusive_drain(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, be_exclusive);
    const struct intent_replica *old = cluster_replica(&c, "s_web", 1);
    uint64_t generation = old->generation;
    assert_int_equal(fixture_peer_state(&c.f, peer_of(old), INTENT_DRAINING), 0);
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(cluster_count(&c, "s_web"), 0);
    cluster_report(&c, generation, VIEW_REPLICA_STOPPING, VIEW_HEALTH_NONE);
    c.now_ms += 3600000;
    assert_int_equal(cluster_step(&c), 0);
    cluster_obey(&c);
    assert_int_equal(cluster_step(&c), 2); /* gone: deleted, and placed elsewhere */
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 1);
    cluster_done(&c);
}

/* Breaks if an exclusive replica counts as gone when its peer's daemon starts anew: its container
 * may be there, and be stopped again. */
static void test_exclusive_restart(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, be_exclusive);
    const struct intent_replica *old = cluster_replica(&c, "s_web", 1);
    uint64_t generation = old->generation;
    struct id peer = old->peer;
    assert_int_equal(fixture_peer_state(&c.f, peer_of(old), INTENT_DRAINING), 0);
    assert_int_equal(cluster_step(&c), 1);
    view_replica_remove(&c.view, generation); /* what it said is void … */
    view_peer_find(&c.view, &peer)->start++;  /* … with the start that it said it in */
    assert_int_equal(cluster_step(&c), 0);
    cluster_report(&c, generation, VIEW_REPLICA_STOPPING, VIEW_HEALTH_NONE);
    assert_int_equal(cluster_step(&c), 0);
    cluster_obey(&c);
    assert_int_equal(cluster_step(&c), 2); /* now it is gone */
    cluster_done(&c);
}

/* Breaks if an exclusive replica that nobody ever reported is taken for gone too early. */
static void test_exclusive_unheard(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, be_exclusive);
    const struct intent_replica *old = cluster_replica(&c, "s_web", 1);
    assert_int_equal(fixture_peer_state(&c.f, peer_of(old), INTENT_DRAINING), 0);
    assert_int_equal(cluster_step(&c), 1);
    view_replica_remove(&c.view, old->generation);
    cluster_new_leader(&c);
    assert_int_equal(cluster_step(&c), 0);
    assert_int_equal(c.deadline_ms, c.now_ms + EXCLUSIVE_END_MS);
    c.now_ms = c.deadline_ms;
    assert_int_equal(cluster_step(&c), 2);
    cluster_done(&c);
}

/* Breaks if a step proposes more than one batch holds, or loses the rest. */
static void test_budget(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 2);
    fixture_spec(&spec, "web");
    spec.replicas = COMMAND_PLACE_CHANGES_MAX + 100;
    cluster_deploy(&c, &spec);
    assert_int_equal(cluster_step(&c), COMMAND_PLACE_CHANGES_MAX);
    assert_int_equal(c.deadline_ms, c.now_ms);
    assert_int_equal(cluster_step(&c), 100);
    cluster_obey(&c);
    cluster_see(&c, 0, VIEW_DEAD);
    assert_int_equal(cluster_step(&c), COMMAND_PLACE_CHANGES_MAX);
    assert_int_equal(cluster_count(&c, "s_web"), COMMAND_PLACE_CHANGES_MAX + 100);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 1), COMMAND_PLACE_CHANGES_MAX + 100);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead),
        cmocka_unit_test(test_failover_after),
        cmocka_unit_test(test_unknown_peer),
        cmocka_unit_test(test_gone),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_drain_called_off),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_stopped_dead),
        cmocka_unit_test(test_removed),
        cmocka_unit_test(test_reported_by_another),
        cmocka_unit_test(test_global),
        cmocka_unit_test(test_exclusive_dead),
        cmocka_unit_test(test_exclusive_revoked),
        cmocka_unit_test(test_exclusive_drain),
        cmocka_unit_test(test_exclusive_restart),
        cmocka_unit_test(test_exclusive_unheard),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
