#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/control/control_fixture.h"

enum {
    REPLICAS = 4,
    TICK_MS = 250,
};

typedef void adjust(struct service_spec *spec);

/* Deploys "s_web", adjusted, whose `number` makes each revision differ. */
static void deploy(struct cluster *c, uint32_t number, adjust *change)
{
    struct service_spec spec;
    fixture_spec(&spec, "web");
    spec.replicas = REPLICAS;
    spec.stop_grace_ms = number;
    if (change)
        change(&spec);
    cluster_deploy(c, &spec);
}

static void start(struct cluster *c, unsigned peer_count, adjust *change)
{
    cluster_init(c, peer_count);
    deploy(c, 1, change);
    cluster_calm(c);
    assert_int_equal(cluster_rollout_state(c, "s_web"), INTENT_ROLLOUT_DONE);
}

/* Ticks until the rollout has ended, checking that at least `serving_min` serve at any time. */
static void watch(struct cluster *c, size_t serving_min)
{
    for (int i = 0; i < 1000; i++) {
        cluster_step(c);
        assert_true(cluster_serving(c, "s_web") >= serving_min);
        cluster_obey(c);
        c->now_ms += TICK_MS;
        uint8_t rollout = cluster_rollout_state(c, "s_web");
        if (rollout != INTENT_ROLLOUT_RUNNING && rollout != INTENT_ROLLOUT_ROLLING_BACK)
            return;
    }
    fail_msg("the rollout does not end");
}

/* Breaks if a first deploy is not done once its replicas were well for the monitor time. */
static void test_first(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 2);
    deploy(&c, 1, NULL);
    assert_int_equal(cluster_step(&c), REPLICAS);
    cluster_obey(&c);
    assert_int_equal(cluster_step(&c), 0);
    c.now_ms += CLUSTER_MONITOR_MS - 1;
    assert_int_equal(cluster_step(&c), 0);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_RUNNING);
    c.now_ms += 1;
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_done(&c);
}

/* Breaks if an update, by default, ever leaves fewer replicas serving than are wanted. */
static void test_start_first(void **state)
{
    (void)state;
    for (unsigned peer_count = 1; peer_count <= 5; peer_count++) {
        struct cluster c;
        start(&c, peer_count, NULL);
        deploy(&c, 2, NULL);
        watch(&c, REPLICAS);
        assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
        assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
        cluster_calm(&c);
        assert_int_equal(c.f.intent->replicas.count, REPLICAS);
        cluster_done(&c);
    }
}

/* Breaks if the old replica stops before the new one serves, or before it has for a moment. */
static void test_start_first_order(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, NULL);
    deploy(&c, 2, NULL);
    assert_int_equal(cluster_step(&c), 1); /* one at a time, by default */
    uint64_t generation = REPLICAS + 1;
    assert_int_equal(intent_replica_find(c.f.intent, generation)->slot, 1);
    cluster_report(&c, generation, VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE);
    c.now_ms += 3600000;
    assert_int_equal(cluster_step(&c), 0);
    cluster_report(&c, generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_STARTING);
    assert_int_equal(cluster_step(&c), 0);
    cluster_report(&c, generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_NONE);
    assert_int_equal(cluster_step(&c), 0);
    assert_int_equal(c.deadline_ms, c.now_ms + CONTROL_TRUST_MS);
    cluster_report(&c, generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_GOOD);
    assert_int_equal(cluster_step(&c),
                     2); /* its health is known: the old one goes, the next comes */
    assert_int_equal(cluster_replica(&c, "s_web", 1)->generation, generation);
    cluster_done(&c);
}

static void stop_first(struct service_spec *spec)
{
    spec->update.order = SPEC_STOP_FIRST;
}

static void stop_first_by_two(struct service_spec *spec)
{
    spec->update.order = SPEC_STOP_FIRST;
    spec->update.parallelism = 2;
}

/* Breaks if stop-first stops more than the parallelism says, or starts beside what still stops. */
static void test_stop_first(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, stop_first);
    deploy(&c, 2, stop_first);
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(cluster_count(&c, "s_web"), REPLICAS - 1);
    c.now_ms += 3600000;
    assert_int_equal(cluster_step(&c), 0); /* until it is gone */
    watch(&c, REPLICAS - 1);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    cluster_done(&c);
    start(&c, 2, stop_first_by_two);
    deploy(&c, 2, stop_first_by_two);
    watch(&c, REPLICAS - 2);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    cluster_done(&c);
}

/* Breaks if stop-first stops one that serves while another one is down. */
static void test_stop_first_waits(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, stop_first);
    const struct intent_replica *down = cluster_replica(&c, "s_web", 3);
    cluster_report(&c, down->generation, VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE);
    deploy(&c, 2, stop_first);
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(down->want, INTENT_STOP); /* it has nothing to lose */
    watch(&c, REPLICAS - 1);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    cluster_done(&c);
}

static void stop_first_and_half_may_fail(struct service_spec *spec)
{
    spec->update.order = SPEC_STOP_FIRST;
    spec->update.max_failure_permille = 500;
}

/* Breaks if stop-first goes on to stop others when the first new replica serves nobody. */
static void test_stop_first_stops(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, NULL);
    c.bad_revision = 2;
    deploy(&c, 2, stop_first_and_half_may_fail);
    for (int i = 0; i < 200; i++) {
        cluster_step(&c);
        assert_true(cluster_serving(&c, "s_web") >= REPLICAS - 1);
        cluster_obey(&c);
        c.now_ms += TICK_MS;
    }
    assert_int_equal(cluster_count_of(&c, "s_web", 2), 1);
    cluster_done(&c);
}

static void fill_a_quarter(struct service_spec *spec)
{
    spec->resources.memory_reserved_bytes = cluster_memory_bytes / REPLICAS;
}

static void too_large(struct service_spec *spec)
{
    spec->resources.memory_reserved_bytes = 2 * cluster_memory_bytes;
}

/* Breaks if an update without room for two at once does not go on one after the other, or stops one
 * for which there can't be another. */
static void test_no_room(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 1, fill_a_quarter);
    deploy(&c, 2, fill_a_quarter);
    watch(&c, REPLICAS - 1);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    cluster_calm(&c);
    deploy(&c, 3, too_large);
    cluster_calm(&c);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    cluster_done(&c);
}

static void by_two_with_delay(struct service_spec *spec)
{
    spec->update.parallelism = 2;
    spec->update.delay_ms = 30000;
}

static void all_at_once(struct service_spec *spec)
{
    spec->update.parallelism = 0;
}

/* Breaks if batches are larger than the parallelism, or come before their delay is over. */
static void test_batches(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, NULL);
    deploy(&c, 2, by_two_with_delay);
    assert_int_equal(cluster_step(&c), 2);
    cluster_obey(&c);
    cluster_run(&c, CONTROL_TRUST_MS);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), 2);
    assert_int_equal(cluster_count(&c, "s_web"), REPLICAS);
    cluster_run(&c, 29000);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), 2);
    cluster_run(&c, 1001);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    cluster_calm(&c);
    deploy(&c, 3, all_at_once);
    assert_int_equal(cluster_step(&c), REPLICAS);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_done(&c);
}

/* Breaks if a bad revision is not rolled back, costs requests, or does not say why. */
static void test_rollback(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, NULL);
    c.bad_revision = 2;
    deploy(&c, 2, NULL);
    watch(&c, REPLICAS);
    const struct intent_service *web = fixture_service(&c.f, "s_web");
    assert_int_equal(web->rollout.state, INTENT_ROLLOUT_ROLLED_BACK);
    assert_int_equal(web->revision, 1);
    assert_non_null(strstr(web->rollout.reason, "s_web.1 on "));
    assert_non_null(strstr(web->rollout.reason, "crashes (2 restarts, exit code 1)"));
    assert_non_null(strstr(web->rollout.reason, "no such table"));
    cluster_calm(&c);
    assert_int_equal(cluster_count_of(&c, "s_web", 1), REPLICAS);
    assert_int_equal(c.f.intent->replicas.count, REPLICAS);
    cluster_done(&c);
}

/* Breaks if going back, too, does not take the old replicas' places that were stopped already. */
static void test_late_rollback(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, NULL);
    deploy(&c, 2, NULL);
    for (int i = 0; cluster_count_of(&c, "s_web", 1) > 2; i++) {
        assert_true(i < 100);
        cluster_step(&c);
        cluster_obey(&c);
        c.now_ms += TICK_MS;
    }
    for (size_t i = 0; i < c.f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c.f.intent->replicas.items[i];
        if (replica->revision == 2)
            cluster_report(&c, replica->generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_BAD);
    }
    c.bad_revision = 2;
    watch(&c, 0);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_ROLLED_BACK);
    cluster_calm(&c);
    assert_int_equal(cluster_count_of(&c, "s_web", 1), REPLICAS);
    assert_int_equal(cluster_serving(&c, "s_web"), REPLICAS);
    cluster_done(&c);
}

/* Breaks if a first deploy that fails is not said to have failed, or to be well once it is. */
static void test_first_fails(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 2);
    c.bad_revision = 1;
    deploy(&c, 1, NULL);
    watch(&c, 0);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_FAILED);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), REPLICAS); /* they are tried again and again */
    for (uint64_t generation = 1; generation <= REPLICAS; generation++)
        cluster_report(&c, generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_NONE);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_done(&c);
}

static void pause_on_failure(struct service_spec *spec)
{
    spec->update.failure_action = SPEC_ON_FAILURE_PAUSE;
}

/* Breaks if a paused rollout goes on, or fills a lost slot with the revision that failed. */
static void test_pause(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, NULL);
    c.bad_revision = 2;
    deploy(&c, 2, pause_on_failure);
    watch(&c, REPLICAS);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_PAUSED);
    cluster_calm(&c);
    assert_int_equal(cluster_serving(&c, "s_web"), REPLICAS);
    cluster_see(&c, 0, VIEW_DEAD);
    cluster_calm(&c);
    assert_int_equal(cluster_count_of(&c, "s_web", 1), REPLICAS);
    c.bad_revision = 0;
    deploy(&c, 3, NULL); /* what is right takes over */
    watch(&c, REPLICAS);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_done(&c);
}

static void continue_on_failure(struct service_spec *spec)
{
    spec->update.failure_action = SPEC_ON_FAILURE_CONTINUE;
}

static void half_may_fail(struct service_spec *spec)
{
    spec->update.max_failure_permille = 500;
}

/* Breaks if failures that the spec allows stop a rollout, or others don't. */
static void test_tolerance(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, NULL);
    c.bad_revision = 2;
    deploy(&c, 2, continue_on_failure);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_RUNNING);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    assert_int_equal(cluster_serving(&c, "s_web"), REPLICAS); /* the old ones still do */
    c.bad_revision = 0;
    deploy(&c, 3, NULL);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);

    c.bad_revision = 4;
    deploy(&c, 4, half_may_fail);
    for (int i = 0; i < 200 && cluster_count_of(&c, "s_web", 4) < 2; i++) {
        cluster_step(&c);
        cluster_obey(&c);
        c.now_ms += TICK_MS;
        assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_RUNNING);
    }
    watch(&c, REPLICAS); /* the third is one too many */
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_ROLLED_BACK);
    cluster_done(&c);
}

static void be_a_job(struct service_spec *spec)
{
    spec->restart.condition = SPEC_RESTART_ON_FAILURE;
}

/* Breaks if a replica that has done its work counts as failed, or one that has not as done. */
static void test_job(void **state)
{
    (void)state;
    for (int exit_code = 0; exit_code <= 1; exit_code++) {
        struct cluster c;
        cluster_init(&c, 1);
        deploy(&c, 1, be_a_job);
        assert_int_equal(cluster_step(&c), REPLICAS);
        for (uint64_t generation = 1; generation <= REPLICAS; generation++) {
            cluster_report(&c, generation, VIEW_REPLICA_EXITED, VIEW_HEALTH_NONE);
            view_replica_find(&c.view, generation)->exit_code = exit_code;
        }
        cluster_calm(&c);
        assert_int_equal(cluster_rollout_state(&c, "s_web"),
                         exit_code == 0 ? INTENT_ROLLOUT_DONE : INTENT_ROLLOUT_FAILED);
        assert_int_equal(cluster_count(&c, "s_web"), REPLICAS);
        cluster_done(&c);
    }
}

/* Breaks if a single crash, or one after the monitor time, rolls back. */
static void test_not_failed(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, NULL);
    deploy(&c, 2, NULL);
    cluster_step(&c);
    uint64_t generation = REPLICAS + 1;
    cluster_report(&c, generation, VIEW_REPLICA_BACKOFF, VIEW_HEALTH_NONE);
    view_replica_find(&c.view, generation)->restarts = CONTROL_CRASHES_MAX - 1;
    assert_int_equal(cluster_step(&c), 0);
    cluster_report(&c, generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_NONE);
    cluster_run(&c, CLUSTER_MONITOR_MS + TICK_MS);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_RUNNING);
    cluster_report(&c, generation, VIEW_REPLICA_BACKOFF, VIEW_HEALTH_NONE);
    cluster_step(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_RUNNING);
    cluster_done(&c);
}

/* Breaks if a rollback that fails goes on for ever, or goes round in circles. */
static void test_rollback_fails(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2, NULL);
    c.bad_revision = 2;
    deploy(&c, 2, NULL);
    while (cluster_rollout_state(&c, "s_web") == INTENT_ROLLOUT_RUNNING) {
        cluster_step(&c);
        cluster_obey(&c);
        c.now_ms += TICK_MS;
    }
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_ROLLING_BACK);
    cluster_new_leader(&c);
    for (uint64_t generation = 1; generation <= REPLICAS; generation++)
        cluster_report(&c, generation, VIEW_REPLICA_FAILED, VIEW_HEALTH_NONE);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_FAILED);
    assert_int_equal(fixture_service(&c.f, "s_web")->revision, 1);
    for (uint64_t generation = 1; generation <= REPLICAS; generation++)
        if (intent_replica_find(c.f.intent, generation))
            cluster_report(&c, generation, VIEW_REPLICA_RUNNING, VIEW_HEALTH_NONE);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_ROLLED_BACK);
    cluster_done(&c);
}

static void be_global(struct service_spec *spec)
{
    spec->mode = SPEC_GLOBAL;
}

/* Breaks if a global service is not updated peer by peer, or a dead peer holds up the others, or is
 * forgotten when it is back. */
static void test_global(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, be_global);
    cluster_see(&c, 2, VIEW_DEAD);
    deploy(&c, 2, be_global);
    watch(&c, 2);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), 2);
    cluster_see(&c, 2, VIEW_ALIVE);
    cluster_calm(&c);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), 3);
    assert_int_equal(cluster_count(&c, "s_web"), 3);
    cluster_done(&c);
}

static void be_exclusive(struct service_spec *spec)
{
    spec->exclusive = true;
    spec->replicas = 1;
}

/* Breaks if an update of an exclusive service runs two at once. */
static void test_exclusive(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, be_exclusive);
    deploy(&c, 2, be_exclusive);
    assert_int_equal(cluster_step(&c), 1);
    assert_int_equal(cluster_count(&c, "s_web"), 0);
    cluster_report(&c, 1, VIEW_REPLICA_STOPPING, VIEW_HEALTH_NONE);
    c.now_ms += 3600000;
    assert_int_equal(cluster_step(&c), 0);
    watch(&c, 0);
    assert_int_equal(c.f.intent->replicas.count, 1);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), 1);
    cluster_done(&c);
}

/* Breaks if a service without replicas is never done, or one whose stack changes halfway. */
static void test_overtaken(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, NULL);
    for (uint32_t number = 2; number <= 6; number++) {
        deploy(&c, number, NULL);
        for (int i = 0; i < 10; i++) {
            cluster_step(&c);
            assert_true(cluster_serving(&c, "s_web") >= REPLICAS);
            cluster_obey(&c);
            c.now_ms += TICK_MS;
        }
    }
    watch(&c, REPLICAS);
    cluster_calm(&c);
    assert_int_equal(cluster_count_of(&c, "s_web", 6), REPLICAS);
    assert_int_equal(c.f.intent->replicas.count, REPLICAS);
    assert_int_equal(fixture_scale(&c.f, "s_web", 0), 0);
    cluster_calm(&c);
    deploy(&c, 7, NULL);
    assert_int_equal(fixture_scale(&c.f, "s_web", 0), 0);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_done(&c);
}

/* Breaks if a peer's death in the middle of an update stops the update. */
static void test_death_within(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 3, NULL);
    deploy(&c, 2, NULL);
    cluster_run(&c, CONTROL_TRUST_MS + TICK_MS);
    cluster_see(&c, 1, VIEW_DEAD);
    cluster_new_leader(&c);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    assert_int_equal(cluster_count_of(&c, "s_web", 2), REPLICAS);
    assert_int_equal(cluster_count(&c, "s_web"), REPLICAS);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_start_first),
        cmocka_unit_test(test_start_first_order),
        cmocka_unit_test(test_stop_first),
        cmocka_unit_test(test_stop_first_waits),
        cmocka_unit_test(test_stop_first_stops),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_batches),
        cmocka_unit_test(test_rollback),
        cmocka_unit_test(test_late_rollback),
        cmocka_unit_test(test_first_fails),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_tolerance),
        cmocka_unit_test(test_job),
        cmocka_unit_test(test_not_failed),
        cmocka_unit_test(test_rollback_fails),
        cmocka_unit_test(test_global),
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_death_within),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
