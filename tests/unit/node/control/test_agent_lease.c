#include <errno.h>
#include <stdio.h>

#include "base/writer.h"
#include "tests/unit/consensus/intent_fixture.h"
#include "tests/unit/node/control/agent_bench.h"

/* Of several peers, peer 0, which leads, does not hold it. */
static void deploy_exclusive(struct fleet *f, const char *name)
{
    struct service_spec spec;
    fixture_spec(&spec, name);
    spec.exclusive = true;
    spec.failover_after_ms = 1000;
    spec.stop_grace_ms = 1000;
    if (f->peer_count > 1)
        assert_int_equal(text_list_add(&spec.constraints, "node.name!=p0"), 0);
    struct command command = fleet_command(COMMAND_DEPLOY);
    snprintf(command.deploy.stack, sizeof(command.deploy.stack), "%s", name);
    command.deploy.services = &spec;
    command.deploy.service_count = 1;
    fleet_agree(f, 0, &command);
    service_spec_done(&spec);
    fleet_run(f, 2000);
}

/* The live peer that runs the exclusive replica; FLEET_PEERS_MAX if none does, and the test fails
 * if two do. */
static unsigned holder(const struct fleet *f)
{
    unsigned found = FLEET_PEERS_MAX;
    for (unsigned i = 0; i < f->peer_count; i++) {
        if (!f->peers[i].agent || fleet_wanted(f, i) == 0)
            continue;
        assert_int_equal(found, FLEET_PEERS_MAX);
        found = i;
    }
    return found;
}

/* A peer's word: its replicas run, as the daemon would publish it. */
static void publish(struct fleet *f, unsigned peer, uint64_t generation)
{
    struct view_replica replica = {.generation = generation, .state = VIEW_REPLICA_RUNNING};
    assert_int_equal(agent_publish_replica(f->peers[peer].agent, f->now_ms, &replica), 0);
    f->peers[peer].output.next_deadline_ms = f->now_ms;
}

/* Three peers, of which one that does not lead, the returned, holds an exclusive replica that runs.
 */
static unsigned start_holding(struct fleet *f)
{
    fleet_start(f, 3, 1);
    deploy_exclusive(f, "db");
    unsigned first = holder(f);
    assert_in_range(first, 1, 2);
    publish(f, first, 1);
    fleet_run(f, 1000);
    return first;
}

/* Breaks if an exclusive replica runs without a lease, or stops while its lease is renewed. */
static void test_granted_and_renewed(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    f.lost_kinds = 1 << AGENT_LEASE_GRANT;
    deploy_exclusive(&f, "db");
    assert_int_equal(holder(&f), FLEET_PEERS_MAX);
    f.lost_kinds = 0;
    fleet_run(&f, FLEET_LEASE_MS / 2);
    unsigned first = holder(&f), other = 3 - first;
    assert_in_range(first, 1, 2);
    for (int i = 0; i < 100; i++) {
        fleet_run(&f, 100);
        assert_int_equal(holder(&f), first);
    }
    assert_in_range(f.peers[first].sent[AGENT_LEASE_ASK], 15, 40);
    assert_int_equal(f.peers[other].sent[AGENT_LEASE_ASK], 0); /* holds nothing */
    fleet_done(&f);
}

/* Breaks if a leader does not keep the lease of what it holds itself. */
static void test_leader_holds(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 1);
    deploy_exclusive(&f, "db");
    for (int i = 0; i < 50; i++) {
        assert_int_equal(holder(&f), 0);
        fleet_run(&f, 100);
    }
    assert_int_equal(f.peers[0].sent[AGENT_LEASE_ASK], 0);
    fleet_done(&f);
}

/* Breaks if a holder that is cut off goes on past its lease, or two hold it at any time. */
static void test_runs_out(void **state)
{
    (void)state;
    struct fleet f;
    unsigned first = start_holding(&f);
    fleet_cut(&f, first, true);
    unsigned changes = f.peers[first].wanted_changes;
    fleet_run(&f, FLEET_LEASE_MS);
    assert_int_equal(fleet_wanted(&f, first), 0);
    assert_int_equal(f.peers[first].wanted_changes, changes + 1);
    int64_t cut_ms = f.now_ms;
    while (holder(&f) == FLEET_PEERS_MAX) {
        fleet_run(&f, 20);
        assert_true(f.now_ms - cut_ms < 30000);
    }
    unsigned second = holder(&f);
    assert_int_equal(second, 3 - first);
    fleet_cut(&f, first, false);
    for (int i = 0; i < 500; i++) {
        fleet_run(&f, 20);
        assert_int_equal(holder(&f), second);
    }
    fleet_done(&f);
}

/* What the peer has told all others of its first exclusive replica. */
static const struct view_replica *told(const struct fleet *f, unsigned other)
{
    return view_replica_find(agent_view(f->peers[other].agent), 1);
}

/* Breaks if a replica that ended with its lease is taken for gone, though its peer starts it again
 * with the next one: a leader that decided to stop it would have a second one started (seed 233).
 */
static void test_speaks_of_what_waits(void **state)
{
    (void)state;
    struct fleet f;
    unsigned first = start_holding(&f);
    f.lost_kinds = 1 << AGENT_LEASE_GRANT;
    fleet_run(&f, 2 * FLEET_LEASE_MS);
    assert_int_equal(fleet_wanted(&f, first), 0);
    assert_int_equal(agent_withdraw_replica(f.peers[first].agent, f.now_ms, 1), 0);
    fleet_run(&f, 2000);
    assert_non_null(told(&f, 0));
    assert_int_equal(told(&f, 0)->state, VIEW_REPLICA_PENDING);
    struct command command = fleet_command(COMMAND_REMOVE);
    snprintf(command.remove.name, sizeof(command.remove.name), "db");
    command.remove.is_stack = true;
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 5000);
    assert_null(told(&f, first));
    assert_null(told(&f, 0));
    fleet_done(&f);
}

static struct bytes lease_words(struct buffer *buffer, struct buffer *said)
{
    buffer_clear(buffer);
    assert_true(said->size > 0);
    assert_int_equal(buffer_append(buffer, said->bytes, said->size), 0);
    return buffer_view(buffer);
}

/* Breaks if a peer that does not know yet that its exclusive replica runs elsewhere now gets a
 * lease for it: there would be two. */
static void test_stale_holder(void **state)
{
    (void)state;
    struct fleet f;
    cleanup_buffer struct buffer ask = {0};
    fleet_start(&f, 3, 1);
    deploy_exclusive(&f, "db");
    unsigned first = holder(&f), second = 3 - first;
    assert_in_range(first, 1, 2);
    struct bytes words = lease_words(&ask, &f.peers[first].last_sent[AGENT_LEASE_ASK]);
    unsigned granted = f.peers[0].sent[AGENT_LEASE_GRANT];
    assert_int_equal(fleet_give(&f, 0, first, AGENT_LEASE_ASK, words), 0);
    assert_int_equal(f.peers[0].sent[AGENT_LEASE_GRANT], granted + 1);
    /* from a peer that holds none */
    assert_int_equal(fleet_give(&f, 0, second, AGENT_LEASE_ASK, words), 0);
    assert_int_equal(f.peers[0].sent[AGENT_LEASE_GRANT], granted + 1);

    fleet_cut(&f, first, true);
    fleet_run(&f, 15000);
    assert_int_equal(holder(&f), second);
    f.lost_kinds = 1 << AGENT_FEED_PUSH; /* the first learns nothing new */
    fleet_cut(&f, first, false);
    unsigned asked = f.peers[first].sent[AGENT_LEASE_ASK];
    for (int i = 0; i < 2000; i++) {
        fleet_run(&f, 20);
        assert_int_equal(holder(&f), second);
    }
    assert_true(f.peers[first].sent[AGENT_LEASE_ASK] > asked);
    assert_int_equal(fleet_status(&f, 0).live_count, 3);
    fleet_done(&f);
}

/* Breaks if the lease for what a peer still holds lets it run what it holds no longer. */
static void test_stale_holder_of_two(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    deploy_exclusive(&f, "db");
    deploy_exclusive(&f, "queue");
    publish(&f, 1, 1);
    publish(&f, 1, 2);
    fleet_run(&f, 500);
    assert_int_equal(fleet_wanted(&f, 1), 2);
    f.lost_kinds = 1 << AGENT_FEED_PUSH;
    struct command command = fleet_command(COMMAND_REMOVE);
    strcpy(command.remove.name, "queue");
    command.remove.is_stack = true;
    fleet_agree(&f, 0, &command);
    fleet_run(&f, FLEET_LEASE_MS + 1000);
    assert_int_equal(fleet_wanted(&f, 1), 0); /* it can't tell which: neither */
    f.lost_kinds = 0;
    fleet_run(&f, 2000);
    assert_int_equal(fleet_wanted(&f, 1), 1); /* it knows which */
    fleet_done(&f);
}

static void write_grant(struct buffer *buffer, uint32_t generation, int64_t asked_ms)
{
    struct writer writer;
    buffer_clear(buffer);
    writer_init(&writer, buffer);
    writer_array(&writer, 2);
    writer_u64(&writer, generation);
    writer_i64(&writer, asked_ms);
}

/* Breaks if a lease is taken from whoever grants one, or counts from when the answer came, or from
 * a time that has not been, or by the clock of an earlier start. */
static void test_grants(void **state)
{
    (void)state;
    struct fleet f;
    cleanup_buffer struct buffer bytes = {0};
    fleet_start(&f, 3, 1);
    f.lost_kinds = 1 << AGENT_LEASE_GRANT;
    deploy_exclusive(&f, "db");
    unsigned peer = f.peers[1].sent[AGENT_LEASE_ASK] > 0 ? 1 : 2, other = 3 - peer;
    uint32_t generation = f.peers[peer].generation;
    write_grant(&bytes, generation - 1, f.now_ms);
    assert_int_equal(fleet_give(&f, peer, 0, AGENT_LEASE_GRANT, buffer_view(&bytes)), 0);
    assert_int_equal(fleet_wanted(&f, peer), 0); /* asked for before its machine started again */
    write_grant(&bytes, generation - 1, f.now_ms + 1000000);
    assert_int_equal(fleet_give(&f, peer, 0, AGENT_LEASE_GRANT, buffer_view(&bytes)), 0);
    write_grant(&bytes, generation, f.now_ms - FLEET_LEASE_MS + 100);
    assert_int_equal(fleet_give(&f, peer, other, AGENT_LEASE_GRANT, buffer_view(&bytes)), 0);
    assert_int_equal(fleet_wanted(&f, peer), 0); /* it does not vote: it can't have led */
    assert_int_equal(fleet_give(&f, peer, 0, AGENT_LEASE_GRANT, buffer_view(&bytes)), 0);
    assert_int_equal(fleet_wanted(&f, peer), 1);
    fleet_run(&f, 100);
    assert_int_equal(fleet_wanted(&f, peer), 0);
    write_grant(&bytes, generation, f.now_ms + 1);
    assert_int_equal(fleet_give(&f, peer, 0, AGENT_LEASE_GRANT, buffer_view(&bytes)), -EBADMSG);
    assert_int_equal(fleet_wanted(&f, peer), 0);
    /* one that asks at a peer that does not lead gets none */
    struct bytes words = lease_words(&bytes, &f.peers[peer].last_sent[AGENT_LEASE_ASK]);
    assert_int_equal(fleet_give(&f, other, peer, AGENT_LEASE_ASK, words), 0);
    assert_int_equal(f.peers[other].sent[AGENT_LEASE_GRANT], 0);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_granted_and_renewed),
        cmocka_unit_test(test_leader_holds),
        cmocka_unit_test(test_runs_out),
        cmocka_unit_test(test_speaks_of_what_waits),
        cmocka_unit_test(test_stale_holder),
        cmocka_unit_test(test_stale_holder_of_two),
        cmocka_unit_test(test_grants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
