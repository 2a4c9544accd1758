#include <errno.h>

#include "tests/unit/node/control/agent_bench.h"

static bool peer_0_leads(const struct fleet *f)
{
    return fleet_status(f, 0).role == RAFT_LEADER;
}

/* Breaks if the first peer of a cluster does not lead itself, or its intent is not what it founded.
 */
static void test_bootstrap(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 3);
    struct agent_status status = fleet_status(&f, 0);
    struct id self = fleet_id(&f, 0);
    assert_int_equal(status.role, RAFT_LEADER);
    assert_true(id_equal(&status.leader, &self));
    assert_true(status.leader_is_alive && status.is_voter);
    assert_int_equal(status.voter_count, 1);
    assert_int_equal(status.live_voter_count, 1);
    assert_int_equal(status.member_count, 1);
    assert_int_equal(status.newest_index, status.applied_index);
    const struct intent_peer *peer = intent_peer_find(agent_intent(f.peers[0].agent), &self);
    assert_non_null(peer);
    assert_string_equal(peer->name, "p0");
    assert_int_equal(f.peers[0].events[AGENT_LEADER], 1);
    fleet_done(&f);
}

/* Breaks if a peer starts from a store that is damaged or another cluster's. */
static void test_refuses_store(void **state)
{
    (void)state;
    struct fleet f;
    fleet_found(&f, 3);
    struct fleet_peer *peer = &f.peers[0];
    struct agent *agent = NULL;
    struct agent_config config = {.identity = &peer->identity,
                                  .chain = &peer->chain,
                                  .cluster = f.root.id,
                                  .generation = 1,
                                  .swim = swim_config_lan()};
    struct agent_stored stored = {.intent = bytes_of_text("\xc1")};
    assert_int_equal(agent_new(&config, &stored, 0, &agent), -EINVAL);
    stored.intent = bytes_of_text("\x7f\xa3"
                                  "9.0"); /* of a level that is not known */
    assert_int_equal(agent_new(&config, &stored, 0, &agent), -EPROTONOSUPPORT);

    stored.intent = buffer_view(&peer->disk.snapshot_data);
    config.cluster = peer->identity.id;
    assert_int_equal(agent_new(&config, &stored, 0, &agent), -EINVAL);

    struct raft_snapshot snapshot = peer->disk.snapshot;
    snapshot.data.size--;
    stored = (struct agent_stored){.raft = {.snapshot = &snapshot}};
    config.cluster = f.root.id;
    assert_int_equal(agent_new(&config, &stored, 0, &agent), -EINVAL);

    /* its log ends before its snapshot begins */
    snapshot.data.size++;
    stored.raft.log_index = snapshot.index + 1;
    stored.raft.log_term = 1;
    assert_int_equal(agent_new(&config, &stored, 0, &agent), -EINVAL);
    assert_null(agent);
    agent_free(NULL);
    fleet_done(&f);
}

/* Breaks if a peer forgets by a restart what was agreed on, or who it is shut out from. */
static void test_restart(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct command command = fleet_admission(3);
    fleet_agree(&f, 0, &command);
    struct command revoke = fleet_command(COMMAND_PEER_STATE);
    revoke.peer_state.id = command.admit.id;
    revoke.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, 0, &revoke);
    fleet_run(&f, 3000);
    uint64_t index = fleet_status(&f, 0).applied_index;

    fleet_kill(&f, 0);
    fleet_kill(&f, 1);
    fleet_restart(&f, 1);
    assert_int_equal(fleet_status(&f, 1).applied_index, index); /* from what the feed brought */
    assert_true(swim_is_revoked(agent_swim(f.peers[1].agent), &command.admit.id));
    fleet_restart(&f, 0);
    fleet_wait(&f, peer_0_leads);
    fleet_run(&f, 3000);
    for (unsigned i = 0; i < 2; i++) {
        const struct intent *intent = agent_intent(f.peers[i].agent);
        const struct intent_peer *peer = intent_peer_find(intent, &command.admit.id);
        assert_true(intent->applied_index > index);
        assert_non_null(peer);
        assert_int_equal(peer->state, INTENT_REVOKED);
        assert_int_equal(f.peers[i].events[AGENT_SHUT_OUT], 2); /* once a start */
        assert_int_equal(fleet_status(&f, i).live_count, 2);
    }
    fleet_done(&f);
}

/* Breaks if a key may talk to us that was revoked, has left or was never admitted; or if one may
 * not whose admission we have only not heard of yet. */
static void test_admits(void **state)
{
    (void)state;
    struct fleet f;
    const char *reason;
    fleet_start(&f, 3, 1);
    struct agent *agent = f.peers[1].agent;
    struct id id = fleet_id(&f, 2);
    assert_true(agent_admits(agent, &id, &f.peers[2].chain, &reason));
    assert_null(reason);

    /* certified, and by its log index admitted before or after what we know */
    struct party stranger;
    struct certificate_chain chain;
    party_init(&stranger, 9, "p9", ROLE_PEER, &f.root);
    chain = stranger.chain;
    chain.certificates[0].log_index = fleet_status(&f, 1).applied_index + 1;
    assert_true(agent_admits(agent, &stranger.identity.id, &chain, &reason));
    chain.certificates[0].log_index--;
    assert_false(agent_admits(agent, &stranger.identity.id, &chain, &reason));
    assert_string_equal(reason, "it is not admitted");

    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = id;
    command.peer_state.state = INTENT_LEFT;
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 500);
    assert_true(agent_admits(agent, &id, &f.peers[2].chain, &reason)); /* must hear that itself */
    assert_int_equal(f.peers[1].events[AGENT_SHUT_OUT], 0);
    assert_int_equal(agent_leave(f.peers[2].agent, f.now_ms), 0);
    fleet_run(&f, 1000);
    assert_false(agent_admits(agent, &id, &f.peers[2].chain, &reason));
    assert_non_null(strstr(reason, "has left"));
    assert_int_equal(f.peers[1].events[AGENT_SHUT_OUT], 1);

    /* what a revoked peer certified is void, unless the cluster knows better by itself */
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 500);
    assert_false(agent_admits(agent, &id, &f.peers[2].chain, &reason));
    assert_string_equal(reason, "it was revoked");
    struct certificate leaf = {.cluster = f.root.id,
                               .subject = stranger.identity.id,
                               .name = "p9",
                               .role = ROLE_PEER,
                               .serial = 99,
                               .log_index = UINT64_MAX};
    assert_int_equal(certificate_sign(&leaf, &f.peers[2].identity), 0);
    assert_int_equal(certificate_chain_extend(&leaf, &f.peers[2].chain, &chain), 0);
    assert_false(agent_admits(agent, &stranger.identity.id, &chain, &reason));
    assert_string_equal(reason, "its certificate was issued by a revoked peer");
    struct command admission = fleet_admission(8);
    assert_true(id_equal(&admission.admit.id, &stranger.identity.id));
    fleet_agree(&f, 0, &admission);
    fleet_run(&f, 500);
    assert_true(agent_admits(agent, &stranger.identity.id, &chain, &reason));
    fleet_done(&f);
}

/* Breaks if the node is not told, or is told again and again, who no longer belongs here. */
static void test_shut_out(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    struct command command = fleet_command(COMMAND_PEER_STATE);
    struct id id = fleet_id(&f, 2);
    command.peer_state.id = id;
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 3000);
    for (unsigned i = 0; i < 2; i++) {
        struct swim_member member;
        assert_int_equal(f.peers[i].events[AGENT_SHUT_OUT], 1);
        assert_true(id_equal(&f.peers[i].last_event[AGENT_SHUT_OUT].id, &id));
        assert_false(swim_member_find(agent_swim(f.peers[i].agent), &id, &member));
        assert_null(view_peer_find(agent_view(f.peers[i].agent), &id));
    }
    fleet_done(&f);
}

/* Breaks if a peer that leaves is shut out before it has heard that this was agreed on. */
static void test_left(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, 1);
    command.peer_state.state = INTENT_LEFT;
    fleet_agree(&f, 1, &command);
    fleet_run(&f, 1000);
    assert_int_equal(f.peers[0].events[AGENT_SHUT_OUT], 0); /* still there: must hear of it */
    assert_int_equal(agent_leave(f.peers[1].agent, f.now_ms), 0);
    fleet_run(&f, 1000);
    assert_int_equal(f.peers[0].events[AGENT_SHUT_OUT], 1);
    fleet_done(&f);
}

/* Breaks if a voter does not learn that it was revoked itself, and goes on as if nothing was. */
static void test_removed(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), revoked = (leader + 1) % 3;
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, revoked);
    command.peer_state.state = INTENT_REVOKED;
    fleet_agree(&f, leader, &command);
    fleet_run(&f, 1000);
    assert_int_equal(f.peers[revoked].events[AGENT_REMOVED], 1);
    assert_int_equal(f.peers[revoked].events[AGENT_SHUT_OUT], 0);
    fleet_done(&f);
}

/* Breaks if bytes that make no sense are taken for something, whatever they claim to be. */
static void test_junk(void **state)
{
    (void)state;
    struct fleet f;
    static const uint8_t junk[] = {0x93, 0xc1, 0xff, 0x00, 0x7f};
    fleet_start(&f, 2, 1);
    uint64_t index = fleet_status(&f, 0).applied_index;
    for (unsigned kind = 0; kind < FLEET_KINDS + 2; kind++) {
        for (size_t size = 0; size <= sizeof(junk); size++) {
            struct bytes bytes = {junk, size};
            assert_int_equal(fleet_give(&f, 0, 1, (uint8_t)kind, bytes), -EBADMSG);
        }
    }
    struct agent_input packet = {
        .type = AGENT_PACKET, .from = fleet_id(&f, 1), .bytes = {junk, sizeof(junk)}};
    assert_int_equal(fleet_step(&f, 0, packet), -EBADMSG);
    assert_int_equal(fleet_step(&f, 0, (struct agent_input){.type = AGENT_COMPACTED}), -EINVAL);
    assert_int_equal(fleet_step(&f, 0, (struct agent_input){.type = AGENT_RECOVER}), -EINVAL);
    assert_int_equal(fleet_step(&f, 0, (struct agent_input){.type = AGENT_HAND_OVER + 1}), -EINVAL);
    fleet_run(&f, 1000);
    assert_int_equal(fleet_status(&f, 0).applied_index, index);
    assert_int_equal(fleet_status(&f, 0).live_count, 2);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bootstrap), cmocka_unit_test(test_refuses_store),
        cmocka_unit_test(test_restart),   cmocka_unit_test(test_admits),
        cmocka_unit_test(test_shut_out),  cmocka_unit_test(test_left),
        cmocka_unit_test(test_removed),   cmocka_unit_test(test_junk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
