#include <errno.h>

#include "node/control/agent_private.h"
#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

/* Breaks if an output that is used again shows what an earlier step said, or leaks it. */
static void test_reset(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 1);
    struct agent *agent = f.peers[0].agent;
    struct agent_output output;
    struct id id = {{1}};
    struct address address = address_from_v4(0x0a000009, 1);
    agent_output_init(&output);
    assert_int_equal(output.next_deadline_ms, INT64_MAX);
    agent->output = &output;
    for (unsigned i = 0; i < 20; i++) { /* more than it has room for at first */
        struct buffer *bytes = agent_add_send(agent, &id, i % 2 ? &address : NULL, AGENT_SYNC);
        assert_int_equal(buffer_append(bytes, "x", 1), 0);
        struct agent_write *write = agent_add_write(agent);
        assert_int_equal(buffer_append(&write->arena, "x", 1), 0);
        assert_int_equal(buffer_append(&write->intent, "x", 1), 0);
        write->entries = malloc(1);
        assert_int_equal(agent_add_result(agent, i)->request, i);
        assert_true(id_equal(&agent_add_event(agent, AGENT_MEMBER, &id)->id, &id));
    }
    agent->output = NULL;
    assert_true(address_is_none(&output.sends[0].address)); /* nobody knows where it is */
    assert_true(address_equal(&output.sends[19].address, &address));
    output.wanted_changed = output.routes_changed = true;
    agent_output_reset(&output);
    assert_int_equal(
        output.send_count + output.write_count + output.result_count + output.event_count, 0);
    assert_false(output.wanted_changed || output.routes_changed);
    agent_output_done(&output);
    agent_output_done(&output);
    agent_output_done(NULL);
    fleet_done(&f);
}

/* What a peer does in a minute of its life: starts, leads, admits, deploys, hears, is fed. */
static void live(struct fleet *f)
{
    struct command admission = fleet_admission(3);
    fleet_propose(f, 0, &admission);
    fleet_run(f, 100);
    struct service_spec spec;
    fixture_spec(&spec, "web");
    spec.replicas = 2;
    struct command command = fleet_command(COMMAND_DEPLOY);
    strcpy(command.deploy.stack, "s");
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    if (f->peers[1].agent)
        fleet_propose(f, 1, &command);
    service_spec_done(&spec);
    fleet_run(f, 400);
}

/* Breaks if a peer crashes, leaks or goes on with half a state when there is no memory. */
static void test_no_memory(void **state)
{
    (void)state;
    unsigned failures = 0, survived = 0;
    bool was_tried = true;
    for (int64_t n = 0; was_tried; n += 1 + n / 16) {
        struct fleet f;
        fleet_start(&f, 2, 1);
        f.memory_left = n;
        live(&f);
        was_tried = f.memory_left < 0;
        f.memory_left = -1;
        failures += was_tried;
        for (unsigned i = 0; i < 2; i++)
            if (!f.peers[i].agent) /* it stopped: what it stored is enough to go on */
                fleet_restart(&f, i);
            else
                survived++;
        fleet_run(&f, 6000);
        assert_int_equal(fleet_status(&f, 0).role, RAFT_LEADER);
        assert_int_equal(fleet_status(&f, 1).applied_index, fleet_status(&f, 0).applied_index);
        live(&f); /* again: what got lost is done now */
        fleet_run(&f, 3000);
        assert_int_equal(fleet_wanted(&f, 0) + fleet_wanted(&f, 1), 2);
        fleet_done(&f);
    }
    assert_true(failures > 20);
    assert_true(survived > 0);
}

/* Breaks if a peer that can't start for lack of memory leaks, or claims that its store is bad. */
static void test_no_memory_at_start(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct fleet_disk *disk = &f.peers[1].disk;
    struct agent_config config = {.identity = &f.peers[1].identity,
                                  .chain = &f.peers[1].chain,
                                  .cluster = f.root.id,
                                  .advertised = address_from_v4(0x0a000002, 7300),
                                  .generation = 9,
                                  .swim = swim_config_lan()};
    config.swim.members_max = 16;
    struct agent_stored stored = {.intent = buffer_view(&disk->intent)};
    struct agent *agent = NULL;
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        memory_fail_after(n);
        rc = agent_new(&config, &stored, f.now_ms, &agent);
        memory_pause();
    }
    assert_int_equal(rc, 0);
    agent_free(agent);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reset),
        cmocka_unit_test(test_no_memory),
        cmocka_unit_test(test_no_memory_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
