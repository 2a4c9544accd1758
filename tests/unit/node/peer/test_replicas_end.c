#include "replicas_fixture.h"

/* Breaks if a replica that serves is stopped before others have heard that it gets no new
 * connections, or is told to serve again meanwhile, or its entry stays when it is gone. */
static void test_drained_first(void **state)
{
    struct here *h = *state;
    look(h);
    report(h, CONTAINER_RUNNING, HEALTH_HEALTHY);
    rest.wants = false;
    look(h);
    assert_int_equal(rest.published.state, VIEW_REPLICA_STOPPING);
    assert_int_equal(rest.removals, 0);
    report(h, CONTAINER_RUNNING, HEALTH_HEALTHY);
    assert_int_equal(rest.published.state, VIEW_REPLICA_STOPPING);
    rest.skipped_ms += 900;
    look(h);
    assert_int_equal(rest.removals, 0);
    rest.skipped_ms += 200;
    look(h);
    look(h);
    assert_int_equal(rest.removals, 1);
    assert_int_equal(rest.withdrawals, 0);
    report(h, CONTAINER_REMOVED, HEALTH_NONE);
    assert_int_equal(rest.withdrawals, 1);
    assert_int_equal(replicas_count(h->peer.replicas), 0);
    assert_int_equal(rest.pins, 0);
}

/* Breaks if what does not serve is waited for, or an exclusive replica without a lease runs on
 * while others could start theirs. */
static void test_stopped_at_once(void **state)
{
    struct here *h = *state;
    look(h);
    report(h, CONTAINER_STARTING, HEALTH_NONE);
    rest.wants = false;
    look(h);
    assert_int_equal(rest.removals, 1);
    report(h, CONTAINER_REMOVED, HEALTH_NONE);

    rest.wants = true;
    look(h);
    report(h, CONTAINER_RUNNING, HEALTH_NONE);
    struct intent_revision *revision = fixture_service(&rest.f, "s_web")->revisions.items[0];
    revision->spec.exclusive = true;
    rest.wants = false;
    look(h);
    assert_int_equal(rest.removals, 2);
}

/* Breaks if a replica that is no longer wanted starts once its image has come. */
static void test_unwanted_while_fetching(void **state)
{
    struct here *h = *state;
    rest.has_image = false;
    look(h);
    assert_int_equal(rest.fetches, 1);
    rest.wants = false;
    look(h);
    void (*fetched)(void *, const struct error *) = rest.fetched;
    rest.fetched = NULL;
    rest.has_image = true;
    fetched(rest.fetch_context, NULL);
    look(h);
    assert_int_equal(rest.starts, 0);
    assert_int_equal(replicas_count(h->peer.replicas), 0);
    assert_int_equal(rest.withdrawals, 1);
    assert_int_equal(rest.pins, 0);
}

/* Breaks if a peer that was revoked keeps its containers, or one without a runtime touches any. */
static void test_phases(void **state)
{
    struct here *h = *state;
    h->peer.runtime_is_ready = false;
    look(h);
    assert_int_equal(rest.starts, 0);
    h->peer.runtime_is_ready = true;
    look(h);
    assert_int_equal(rest.starts, 1);
    h->peer.phase = PEER_GONE;
    look(h);
    assert_int_equal(rest.removals, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_drained_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stopped_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unwanted_while_fetching, setup, teardown),
        cmocka_unit_test_setup_teardown(test_phases, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
