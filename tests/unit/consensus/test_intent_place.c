#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/consensus/intent_fixture.h"

static struct command_place_change add_of(uint32_t slot, uint32_t revision, unsigned peer)
{
    return (struct command_place_change){COMMAND_PLACE_ADD, "hello_web", slot, revision,
                                         fixture_id(peer),  0,           ""};
}

static struct command_place_change end_of(enum command_place_action action, uint64_t generation)
{
    return (struct command_place_change){action, "", 0, 0, ID_NONE, generation, ""};
}

static void deploy_web(struct fixture *f, struct service_spec *spec)
{
    fixture_init(f, 3);
    fixture_spec(spec, "web");
    spec->replicas = 3;
    assert_int_equal(fixture_deploy(f, "hello", spec, 1), 0);
}

/* Breaks if a replica's life (placed, stopped, deleted) is not what the leader said. */
static void test_life(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    deploy_web(&f, &spec);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 2), 0);
    assert_string_equal(fixture_last_event(&f)->subject, "hello_web.1");
    assert_string_equal(fixture_last_event(&f)->text, "placed on c: most room");
    struct intent_replica *replica = intent_replica_find(f.intent, 1);
    assert_non_null(replica);
    assert_int_equal(replica->want, INTENT_RUN);
    assert_string_equal(intent_spec_of(f.intent, replica)->image, "example/app:1");
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_STOP, 1), 0);
    assert_int_equal(replica->want, INTENT_STOP);
    assert_string_equal(replica->reason, "not needed");
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0); /* the stopped one does not count */
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(f.intent->replicas.count, 1);
    assert_int_equal(f.intent->next_generation, 3);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a batch is applied in part. */
static void test_whole_or_not(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    deploy_web(&f, &spec);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    const struct command_place_change bad[] = {
        add_of(1, 1, 1),                /* its slot is taken */
        add_of(2, 9, 1),                /* no such revision */
        add_of(2, 1, 9),                /* no such peer */
        add_of(0, 1, 1),                /* no such slot */
        end_of(COMMAND_PLACE_STOP, 99), /* no such replica */
        end_of(COMMAND_PLACE_DELETE, 99),
        add_of(3, 1, 1), /* twice in the batch */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct command_place_change changes[] = {add_of(3, 1, 1), bad[i]};
        assert_int_equal(fixture_place(&f, changes, 2), -ESTALE);
        assert_int_equal(f.intent->replicas.count, 1);
        assert_int_equal(f.intent->next_generation, 2);
    }
    struct command_place_change good[] = {end_of(COMMAND_PLACE_DELETE, 1), add_of(1, 1, 1),
                                          add_of(2, 1, 2)};
    assert_int_equal(fixture_place(&f, good, 3), 0);
    assert_int_equal(f.intent->replicas.count, 2);
    assert_int_equal(fixture_place(&f, NULL, 0), 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if replicas go to a peer that drains, or its replicas can't be replaced before they stop.
 */
static void test_draining(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    deploy_web(&f, &spec);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 1), -ESTALE);
    assert_int_equal(fixture_peer_state(&f, 0, INTENT_DRAINING), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 2, 1, 0), -ESTALE);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 1), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 2), -ESTALE);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a service that is going gets replicas, or does not go with its last one. */
static void test_removing(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    deploy_web(&f, &spec);
    assert_int_equal(fixture_add(&f, "hello_web", 1, 1, 0), 0);
    assert_int_equal(fixture_remove(&f, "hello_web", false), 0);
    assert_int_equal(fixture_add(&f, "hello_web", 2, 1, 0), -ESTALE);
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_STOP, 1), 0);
    assert_int_equal(f.intent->services.count, 1);
    assert_int_equal(fixture_end(&f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(f.intent->services.count, 0);
    assert_string_equal(fixture_last_event(&f)->text, "gone");
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if the leader's word on an old rollout overrides an operator's newer deploy. */
static void test_rollout(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    deploy_web(&f, &spec);
    struct intent_service *web = fixture_service(&f, "hello_web");
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_DONE, 1, ""), 0);
    assert_true(web->rollout.ended_wall_ms > web->rollout.started_wall_ms);

    struct command stale = fixture_command(&f, COMMAND_ROLLOUT);
    memcpy(stale.rollout.service, "hello_web", sizeof("hello_web"));
    stale.rollout.rollout = web->rollout.id;
    stale.rollout.state = INTENT_ROLLOUT_FAILED;
    stale.rollout.revision = 1;
    spec.stop_grace_ms = 1;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(fixture_apply(&f, &stale), -ESTALE);
    assert_int_equal(web->revision, 2);

    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_ROLLING_BACK, 9, ""), -ENOENT);
    assert_int_equal(
        fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_ROLLING_BACK, 1, "hello_web.1 exits"), 0);
    assert_int_equal(web->revision, 1);
    assert_int_equal(web->rollout.ended_wall_ms, 0);
    assert_string_equal(web->rollout.reason, "hello_web.1 exits");
    assert_string_equal(fixture_last_event(&f)->text,
                        "revision 1: rolling back: hello_web.1 exits");
    assert_int_equal(fixture_rollout(&f, "hello_web", INTENT_ROLLOUT_ROLLED_BACK, 1, ""), 0);
    assert_string_equal(web->rollout.reason, "hello_web.1 exits");
    spec.stop_grace_ms = 2;
    assert_int_equal(fixture_deploy(&f, "hello", &spec, 1), 0);
    assert_int_equal(web->rollout.from, 1);
    assert_string_equal(web->rollout.reason, "");
    service_spec_done(&spec);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_life),     cmocka_unit_test(test_whole_or_not),
        cmocka_unit_test(test_draining), cmocka_unit_test(test_removing),
        cmocka_unit_test(test_rollout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
