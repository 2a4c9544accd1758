#include "tests/unit/node/control/agent_bench.h"

/* As if two states had come together: no command lets two peers have one name. */
static void rename_everywhere(struct fleet *f, unsigned renamed, const char *name)
{
    struct id id = fleet_id(f, renamed);
    for (unsigned i = 0; i < f->peer_count; i++) {
        const struct intent *intent = agent_intent(f->peers[i].agent);
        strcpy(intent_peer_find(intent, &id)->name, name);
    }
}

/* Somebody comes: the names are looked at again. */
static void let_one_join(struct fleet *f)
{
    fleet_join(f);
    fleet_run(f, 3000);
}

static size_t events_about(const struct fleet *f, const char *name)
{
    const struct intent_event *event;
    size_t count = 0;
    for (size_t i = 0; (event = intent_event_at(agent_intent(f->peers[0].agent), i)); i++)
        count += strcmp(event->subject, name) == 0 && strstr(event->text, "two living peers");
    return count;
}

/* Breaks if two living peers of one name go unnoticed at a peer, are told more than once, or are
 * not written down for all to see: by the leader, and once, whoever leads. */
static void test_told_once(void **state)
{
    (void)state;
    struct fleet f;
    struct id id;
    fleet_start(&f, 3, 3);
    fleet_run(&f, 5000);
    rename_everywhere(&f, 2, "p1");
    let_one_join(&f);
    id = fleet_id(&f, 1);
    for (unsigned i = 0; i < 3; i++) {
        const struct agent_event *event = &f.peers[i].last_event[AGENT_NAMESAKES];
        assert_int_equal(f.peers[i].events[AGENT_NAMESAKES], 1);
        assert_true(id_equal(&event->id, &id) || id_equal(&event->other, &id));
        assert_true(id_compare(&event->id, &event->other) < 0);
    }
    assert_int_equal(events_about(&f, "p1"), 1);
    let_one_join(&f);
    fleet_kill(&f, 2);
    fleet_run(&f, 8000);
    fleet_restart(&f, 2);
    fleet_run(&f, 8000);
    assert_int_equal(f.peers[0].events[AGENT_NAMESAKES], 1);
    assert_int_equal(f.peers[1].events[AGENT_NAMESAKES], 1);
    assert_int_equal(events_about(&f, "p1"), 1);
    fleet_done(&f);
}

/* Breaks if a peer that is dead, or was shut out, is taken for a living one of that name. */
static void test_only_the_living(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    fleet_kill(&f, 2);
    fleet_run(&f, 8000);
    struct id id = fleet_id(&f, 2);
    for (unsigned i = 0; i < 2; i++)
        strcpy(intent_peer_find(agent_intent(f.peers[i].agent), &id)->name, "p1");
    let_one_join(&f);
    assert_int_equal(f.peers[0].events[AGENT_NAMESAKES], 0);

    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = id;
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, 0, &command);
    let_one_join(&f);
    assert_int_equal(f.peers[0].events[AGENT_NAMESAKES], 0);
    assert_int_equal(events_about(&f, "p1"), 0);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_once),
        cmocka_unit_test(test_only_the_living),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
