#include "node/api/describe.h"
#include "node/api/find.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

/* Peer 0 of two, with the stacks s (web and web.v2) and t (web and db). */
struct here {
    struct fleet f;
    struct peer peer;
};

static void deploy(struct fleet *f, const char *stack, const char *first, const char *second)
{
    struct service_spec specs[2];
    struct command command = fleet_command(COMMAND_DEPLOY);
    fixture_spec(&specs[0], first);
    fixture_spec(&specs[1], second);
    specs[0].replicas = 2;
    snprintf(command.deploy.stack, sizeof(command.deploy.stack), "%s", stack);
    command.deploy.services = specs;
    command.deploy.service_count = 2;
    fleet_agree(f, 0, &command);
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);
}

static void start(struct here *h)
{
    fleet_start(&h->f, 2, 1);
    deploy(&h->f, "s", "web", "web.v2");
    deploy(&h->f, "t", "web", "db");
    fleet_run(&h->f, 1000);
    assert_int_equal(fleet_wanted(&h->f, 0) + fleet_wanted(&h->f, 1), 6);
    h->peer = (struct peer){.agent = h->f.peers[0].agent};
}

/* The replica's own peer says so. */
static void publish(struct here *h, uint64_t generation, enum view_replica_state state)
{
    struct view_replica word = {.generation = generation, .state = (uint8_t)state};
    const struct intent_replica *replica =
        intent_replica_find(agent_intent(h->peer.agent), generation);
    assert_non_null(replica);
    unsigned at = id_equal(&replica->peer, &h->f.peers[0].identity.id) ? 0 : 1;
    assert_int_equal(agent_publish_replica(h->f.peers[at].agent, h->f.now_ms, &word), 0);
    h->f.peers[at].output.next_deadline_ms = h->f.now_ms;
    fleet_run(&h->f, 500);
}

static void assert_service(const struct here *h, const char *name, const char *expected)
{
    const struct intent_service *service = find_service(&h->peer, name, NULL);
    if (expected) {
        assert_non_null(service);
        assert_string_equal(service->name, expected);
    } else {
        assert_null(service);
    }
}

/* Breaks if a service is not found by the names that people use, or one of several is guessed. */
static void test_find_service(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    assert_service(&h, "s_web", "s_web");
    assert_service(&h, "t_web", "t_web");
    assert_service(&h, "db", "t_db");
    assert_service(&h, "web.v2", "s_web.v2");
    assert_service(&h, "web", NULL); /* which? */
    assert_service(&h, "s_db", NULL);
    assert_service(&h, "", NULL);
    assert_service(&h, "_web", NULL);
    fleet_done(&h.f);
}

static const struct intent_replica *only_replica_of(const struct here *h, const char *service,
                                                    uint32_t slot)
{
    const struct table *replicas = &agent_intent(h->peer.agent)->replicas;
    for (size_t i = 0; i < replicas->count; i++) {
        const struct intent_replica *replica = replicas->items[i];
        if (strcmp(replica->service, service) == 0 && replica->slot == slot)
            return replica;
    }
    fail();
    return NULL;
}

/* Breaks if a replica is not found by its name or its container's id, also when its service has
 * dots in its name; or another one is found for what is no such name. */
static void test_find_replica(void **state)
{
    (void)state;
    struct here h;
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 40];
    start(&h);
    static const struct {
        const char *name, *service;
        uint32_t slot;
    } good[] = {{"s_web.1", "s_web", 1},
                {"s_web.2", "s_web", 2},
                {"db.1", "t_db", 1},
                {"s_web.v2.1", "s_web.v2", 1},
                {"web.v2.1", "s_web.v2", 1}};
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        const struct intent_replica *replica = only_replica_of(&h, good[i].service, good[i].slot);
        assert_ptr_equal(find_replica(&h.peer, good[i].name, NULL), replica);
        snprintf(name, sizeof(name), "%s.%llu", good[i].name,
                 (unsigned long long)replica->generation);
        assert_ptr_equal(find_replica(&h.peer, name, NULL), replica);
        snprintf(name, sizeof(name), "%s.%llu", good[i].name,
                 (unsigned long long)replica->generation + 100);
        assert_null(find_replica(&h.peer, name, NULL));
    }
    static const char *const bad[] = {"",         "s_web",      "s_web.",   "s_web.0",
                                      "s_web.3",  ".1",         "s_web.1x", "s_web.x1",
                                      "s_web.-1", "s_web.v2",   "web.1",    "s_web. 1",
                                      "s_web.1.", "s_web.1.1x", "s_web..1", "s_web.4294967297"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_null(find_replica(&h.peer, bad[i], NULL));
    fleet_done(&h.f);
}

/* Breaks if the replica that is replaced is shown instead of the one that serves. */
static void test_the_one_that_serves(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    uint64_t old = only_replica_of(&h, "t_db", 1)->generation;
    struct command command = fleet_command(COMMAND_PEER_STATE);
    publish(&h, old, VIEW_REPLICA_RUNNING);
    command.peer_state.id = only_replica_of(&h, "t_db", 1)->peer;
    command.peer_state.state = INTENT_DRAINING; /* it moves to the other peer */
    fleet_agree(&h.f, 0, &command);
    fleet_run(&h.f, 1000);
    uint64_t newer = 0;
    const struct table *replicas = &agent_intent(h.peer.agent)->replicas;
    for (size_t i = 0; i < replicas->count; i++) {
        const struct intent_replica *replica = replicas->items[i];
        if (strcmp(replica->service, "t_db") == 0)
            newer = replica->generation;
    }
    assert_true(newer > old);
    assert_int_equal(find_replica(&h.peer, "t_db.1", NULL)->generation, old);
    publish(&h, newer, VIEW_REPLICA_STARTING);
    assert_int_equal(find_replica(&h.peer, "t_db.1", NULL)->generation, old);
    publish(&h, newer, VIEW_REPLICA_RUNNING);
    assert_int_equal(find_replica(&h.peer, "t_db.1", NULL)->generation, newer);
    publish(&h, old, VIEW_REPLICA_EXITED);
    publish(&h, newer, VIEW_REPLICA_EXITED); /* none does: the newest */
    assert_int_equal(find_replica(&h.peer, "t_db.1", NULL)->generation, newer);
    fleet_done(&h.f);
}

/* Breaks if what is said to serve does not, or a service that is removed still wants replicas. */
static void test_counts(void **state)
{
    (void)state;
    struct here h;
    start(&h);
    const struct intent_service *service = find_service(&h.peer, "s_web", NULL);
    assert_int_equal(count_wanted(&h.peer, service), 2);
    assert_int_equal(count_serving(&h.peer, service), 0);
    publish(&h, only_replica_of(&h, "s_web", 1)->generation, VIEW_REPLICA_RUNNING);
    assert_int_equal(count_serving(&h.peer, service), 1);
    publish(&h, only_replica_of(&h, "s_web", 2)->generation, VIEW_REPLICA_STARTING);
    assert_int_equal(count_serving(&h.peer, service), 1);
    struct command command = fleet_command(COMMAND_REMOVE);
    strcpy(command.remove.name, "s_web");
    fleet_agree(&h.f, 0, &command);
    service = find_service(&h.peer, "s_web", NULL);
    assert_non_null(service); /* until its replicas are gone */
    assert_int_equal(count_wanted(&h.peer, service), 0);

    struct service_spec spec;
    fixture_spec(&spec, "agent");
    spec.mode = SPEC_GLOBAL;
    command = fleet_command(COMMAND_DEPLOY);
    strcpy(command.deploy.stack, "g");
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    fleet_agree(&h.f, 0, &command);
    service_spec_done(&spec);
    fleet_run(&h.f, 1000);
    assert_int_equal(count_wanted(&h.peer, find_service(&h.peer, "g_agent", NULL)), 2);
    fleet_done(&h.f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_service),
        cmocka_unit_test(test_find_replica),
        cmocka_unit_test(test_the_one_that_serves),
        cmocka_unit_test(test_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
