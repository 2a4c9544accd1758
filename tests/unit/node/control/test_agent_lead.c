#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

static size_t running(const struct fleet *f, unsigned by)
{
    const struct intent *intent = agent_intent(f->peers[by].agent);
    size_t count = 0;
    for (size_t i = 0; i < intent->replicas.count; i++)
        count += ((const struct intent_replica *)intent->replicas.items[i])->want == INTENT_RUN;
    return count;
}

static void deploy(struct fleet *f, uint32_t replicas)
{
    struct service_spec spec;
    fixture_spec(&spec, "web");
    spec.replicas = replicas;
    spec.failover_after_ms = 1000;
    fleet_deploy(f, fleet_leader(f), &spec);
}

/* Peers do as they shall: each publishes what it is to run as running. */
static void obey(struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++) {
        if (!f->peers[i].agent)
            continue;
        const struct intent *intent = agent_intent(f->peers[i].agent);
        for (size_t j = 0; j < intent->replicas.count; j++) {
            const struct intent_replica *replica = intent->replicas.items[j];
            struct view_replica word = {.generation = replica->generation,
                                        .state = VIEW_REPLICA_RUNNING};
            if (id_equal(&replica->peer, &f->peers[i].identity.id) && replica->want == INTENT_RUN)
                assert_int_equal(agent_publish_replica(f->peers[i].agent, f->now_ms, &word), 0);
        }
        f->peers[i].output.next_deadline_ms = f->now_ms;
    }
    fleet_run(f, 500);
}

/* Breaks if a leader decides the same twice while its first word is still on its way. */
static void test_decides_once(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    deploy(&f, 3);
    for (int i = 0; i < 50; i++) {
        fleet_run(&f, FLEET_DELAY_MS);
        assert_in_range(agent_intent(f.peers[0].agent)->next_generation, 1, 4);
    }
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(running(&f, i), 3);
        assert_int_equal(fleet_wanted(&f, i), 1); /* spread */
        assert_true(f.peers[i].wanted_changes > 0);
    }
    fleet_done(&f);
}

/* Breaks if nobody places anew what the lost leader ran, or what ran elsewhere is moved too. */
static void test_leader_lost(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    deploy(&f, 3);
    fleet_run(&f, 500);
    obey(&f);
    unsigned lost = fleet_leader(&f);
    fleet_kill(&f, lost);
    fleet_run(&f, 8000);
    obey(&f);
    unsigned leader = fleet_leader(&f);
    size_t wanted = 0;
    for (unsigned i = 0; i < 3; i++)
        if (i != lost)
            wanted += fleet_wanted(&f, i);
    assert_int_equal(wanted, 3);
    assert_int_equal(agent_intent(f.peers[leader].agent)->next_generation, 5); /* one is new */
    fleet_done(&f);
}

/* Breaks if a leader that lost the lead while its decisions were under way decides nothing more
 * once it leads again. */
static void test_leads_again(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 1);
    fleet_mute(&f, 0, true);
    struct service_spec spec;
    fixture_spec(&spec, "web");
    struct command command = fleet_command(COMMAND_DEPLOY);
    strcpy(command.deploy.stack, "s");
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    fleet_propose(&f, 0, &command);
    fleet_kill(&f, 0);
    fleet_restart(&f, 0); /* the write was done, nobody was told */
    fleet_run(&f, 3000);
    assert_int_equal(fleet_wanted(&f, 0), 1);
    service_spec_done(&spec);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decides_once),
        cmocka_unit_test(test_leader_lost),
        cmocka_unit_test(test_leads_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
