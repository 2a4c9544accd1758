#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/control/control_fixture.h"

static void assert_why(const struct cluster *c, const char *expected)
{
    cleanup_buffer struct buffer words = {0};
    assert_int_equal(control_explain(c->f.intent, &c->view, "s_web", &words), 0);
    assert_int_equal(buffer_append(&words, "", 1), 0);
    if (!strstr((const char *)words.bytes, expected))
        fail_msg("%s is not in: %s", expected, (const char *)words.bytes);
}

static void start(struct cluster *c, uint32_t replicas)
{
    struct service_spec spec;
    cluster_init(c, 2);
    fixture_spec(&spec, "web");
    spec.replicas = replicas;
    cluster_deploy(c, &spec);
    cluster_calm(c);
}

/* Breaks if `why` is wrong about how a replica is, in any of its states. */
static void test_replica_states(void **state)
{
    (void)state;
    static const struct {
        enum view_replica_state state;
        enum view_health health;
        const char *words;
    } cases[] = {
        {VIEW_REPLICA_UNKNOWN, VIEW_HEALTH_NONE, " is being prepared"},
        {VIEW_REPLICA_PENDING, VIEW_HEALTH_NONE, " is being prepared: because"},
        {VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE, " is starting"},
        {VIEW_REPLICA_RUNNING, VIEW_HEALTH_STARTING, " runs, its health is not known yet"},
        {VIEW_REPLICA_RUNNING, VIEW_HEALTH_BAD, " is unhealthy: because"},
        {VIEW_REPLICA_STOPPING, VIEW_HEALTH_NONE, " is stopping"},
        {VIEW_REPLICA_BACKOFF, VIEW_HEALTH_NONE, " crashes (3 restarts, exit code 7): because"},
        {VIEW_REPLICA_EXITED, VIEW_HEALTH_NONE, " exited with code 7"},
        {VIEW_REPLICA_FAILED, VIEW_HEALTH_NONE, " can't be started: because"},
    };
    struct cluster c;
    start(&c, 1);
    uint64_t generation = cluster_replica(&c, "s_web", 1)->generation;
    struct view_replica *seen = view_replica_find(&c.view, generation);
    seen->restarts = 3;
    seen->exit_code = 7;
    strcpy(seen->detail, "because");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        seen->state = (uint8_t)cases[i].state;
        seen->health = (uint8_t)cases[i].health;
        assert_why(&c, cases[i].words);
    }
    view_replica_remove(&c.view, generation);
    assert_why(&c, " is not heard of yet");
    cluster_done(&c);
}

/* Breaks if `why` is wrong about what is the matter with a replica's peer. */
static void test_peer_states(void **state)
{
    (void)state;
    struct cluster c;
    start(&c, 2);
    static const struct {
        enum view_liveness liveness;
        const char *words;
    } cases[] = {{VIEW_SUSPECT, "b does not answer"},
                 {VIEW_DEAD, "b is dead"},
                 {VIEW_LEFT, "b was shut down"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        cluster_see(&c, 1, cases[i].liveness);
        assert_why(&c, cases[i].words);
    }
    struct id b = fixture_id(1);
    view_peer_remove(&c.view, &b);
    assert_why(&c, "b was not heard of yet");
    assert_int_equal(fixture_peer_state(&c.f, 1, INTENT_LEFT), 0);
    assert_why(&c, "b has left");
    assert_int_equal(fixture_peer_state(&c.f, 1, INTENT_REVOKED), 0);
    assert_why(&c, "b was revoked");
    cluster_done(&c);
}

/* Breaks if `why` does not say, peer by peer, what keeps a replica from being placed. */
static void test_verdicts(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 2);
    fixture_spec(&spec, "web");
    spec.resources.cpu_reserved_millis = 9000;
    cluster_deploy(&c, &spec);
    assert_why(&c, "s_web.1 waits for a peer that may take it:");
    assert_why(&c, "  a needs 9000m of CPU, 4000m are free");
    cluster_see(&c, 1, VIEW_DEAD);
    assert_why(&c, "  b is dead"); /* its name once */
    assert_int_equal(fixture_peer_state(&c.f, 1, INTENT_DRAINING), 0);
    assert_why(&c, "  b is draining");
    struct id a = fixture_id(0);
    view_peer_find(&c.view, &a)->has_capacity = false;
    assert_why(&c, "  a has not told its capacity yet");
    view_peer_find(&c.view, &a)->has_capacity = true;

    fixture_spec(&spec, "web");
    spec.resources.memory_reserved_bytes = (uint64_t)8 << 30;
    cluster_deploy(&c, &spec);
    assert_why(&c, "  a needs 8192M of memory, 4096M are free");
    fixture_spec(&spec, "web");
    assert_int_equal(text_list_add(&spec.constraints, "node.name==z"), 0);
    cluster_deploy(&c, &spec);
    assert_why(&c, "  a does not meet the constraint node.name==z");
    fixture_spec(&spec, "web");
    spec.replicas = 2;
    spec.max_replicas_per_node = 1;
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_why(&c, "  a has 1 already, the most for one peer");
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replica_states),
        cmocka_unit_test(test_peer_states),
        cmocka_unit_test(test_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
