#include <errno.h>

#include "base/writer.h"
#include "consensus/bounds.h"
#include "node/control/bounds.h"
#include "tests/unit/node/control/agent_bench.h"

static bool all_know_a_leader(const struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].agent && !f->peers[i].is_cut && !fleet_status(f, i).leader_is_alive)
            return false;
    return true;
}

static struct command drain(const struct fleet *f, unsigned peer, bool drained)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(f, peer);
    command.peer_state.state = drained ? INTENT_DRAINING : INTENT_ACTIVE;
    return command;
}

/* Breaks if a newcomer's certificate does not come with its admission, or is not its own. */
static void test_admission(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 1, 1);
    struct command command = fleet_admission(1);
    struct agent_result result = fleet_agree(&f, 0, &command);
    const struct certificate *leaf = &result.chain.certificates[0];
    assert_int_equal(result.chain.count, 2);
    assert_true(id_equal(&leaf->subject, &command.admit.id));
    assert_string_equal(leaf->name, "p1");
    assert_int_equal(leaf->role, ROLE_PEER);
    assert_int_equal(leaf->serial, result.result.serial);
    assert_int_equal(leaf->log_index, fleet_status(&f, 0).applied_index);
    assert_int_equal(certificate_chain_verify(&result.chain, &f.root.id), CERTIFICATE_GOOD);

    /* a refusal says why, and certifies nobody */
    command.admit.id.bytes[0] ^= 1; /* another key under the same name */
    uint64_t request = fleet_propose(&f, 0, &command);
    fleet_run(&f, 100);
    const struct agent_result *refused = fleet_result(&f, 0, request);
    assert_non_null(refused);
    assert_true(refused->result.code < 0);
    assert_int_not_equal(refused->result.error.message[0], 0);
    assert_int_equal(refused->chain.count, 0);
    fleet_done(&f);
}

/* Breaks if a leader that is too far from the root key admits a key and says that all went well. */
static void test_admission_without_certificate(void **state)
{
    (void)state;
    struct fleet f;
    fleet_found(&f, 1);
    struct fleet_peer *peer = &f.peers[0];
    struct identity issuer = f.root;
    peer->chain = (struct certificate_chain){0};
    for (unsigned i = 0; i < CERTIFICATE_CHAIN_COUNT_MAX; i++) {
        struct certificate leaf = {
            .cluster = f.root.id, .name = "p", .role = ROLE_PEER, .serial = i + 1};
        struct identity subject;
        party_identity(&subject, (uint8_t)(i + 1 == CERTIFICATE_CHAIN_COUNT_MAX ? 1 : 100 + i));
        leaf.subject = subject.id;
        assert_int_equal(certificate_sign(&leaf, &issuer), 0);
        struct certificate_chain chain = peer->chain;
        assert_int_equal(certificate_chain_extend(&leaf, &chain, &peer->chain), 0);
        issuer = subject;
    }
    fleet_restart(&f, 0);
    fleet_wait(&f, all_know_a_leader);
    struct command command = fleet_admission(1);
    uint64_t request = fleet_propose(&f, 0, &command);
    fleet_run(&f, 100);
    const struct agent_result *result = fleet_result(&f, 0, request);
    assert_non_null(result);
    assert_int_equal(result->result.code, -ELOOP);
    assert_int_equal(result->chain.count, 0);

    /* what admits nobody needs no certificate */
    command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(&f, 0);
    command.peer_state.state = INTENT_DRAINING;
    assert_int_equal(fleet_agree(&f, 0, &command).chain.count, 0);
    fleet_done(&f);
}

/* Breaks if what is asked at a peer that does not lead gets lost, or is answered twice, or the
 * answer goes to somebody else who uses the same number. */
static void test_forwarded(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    assert_int_equal(fleet_leader(&f), 0);
    struct command first = drain(&f, 1, true), second = drain(&f, 0, true);
    second.peer_state.id = (struct id){{77}}; /* there is no such peer */
    f.next_request = 40;
    uint64_t request = fleet_propose(&f, 1, &first);
    f.next_request = 40;
    assert_int_equal(fleet_propose(&f, 2, &second), request);
    fleet_run(&f, 1000);
    assert_int_equal(fleet_result_count(&f, 1, request), 1);
    assert_int_equal(fleet_result_count(&f, 2, request), 1);
    assert_int_equal(fleet_result_count(&f, 0, request), 0);
    assert_int_equal(fleet_result(&f, 1, request)->result.code, 0);
    assert_int_equal(fleet_result(&f, 2, request)->result.code, -ENOENT);
    assert_int_not_equal(fleet_result(&f, 2, request)->result.error.message[0], 0);
    assert_int_equal(f.peers[1].sent[AGENT_PROPOSE], 1);
    assert_int_equal(f.peers[0].sent[AGENT_RESULT], 2);
    fleet_run(&f, 2 * AGENT_PROPOSE_TIMEOUT_MS);
    assert_int_equal(fleet_result_count(&f, 1, request), 1);
    fleet_done(&f);
}

/* Breaks if who asked a peer that does not lead is told of another version than was made. */
static void test_forwarded_version(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    struct command command = fleet_command(COMMAND_BLOB_SET);
    strcpy(command.blob_set.blob.name, "app");
    uint64_t version = fleet_agree(&f, 1, &command).result.version;
    const struct intent_blob *blob =
        intent_blob_find(agent_intent(f.peers[0].agent), SPEC_FILE_CONFIG, "app");
    assert_non_null(blob);
    assert_int_equal(version, blob->version);
    assert_true(version > 0);
    fleet_done(&f);
}

/* Breaks if a peer that was not asked can answer in the leader's place. */
static void test_forged_result(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    struct command command = drain(&f, 1, true);
    fleet_agree(&f, 1, &command);
    struct buffer words = {0}; /* a success, as the leader said it to number 1 */
    struct buffer *told = &f.peers[0].last_sent[AGENT_RESULT];
    assert_int_equal(buffer_append(&words, told->bytes, told->size), 0);
    assert_int_equal(words.bytes[1], 1);
    words.bytes[1] = 2;

    f.lost_kinds = 1 << AGENT_PROPOSE;
    uint64_t request = fleet_propose(&f, 1, &command);
    assert_int_equal(fleet_give(&f, 1, 2, AGENT_RESULT, buffer_view(&words)), 0);
    assert_null(fleet_result(&f, 1, request));
    assert_int_equal(fleet_give(&f, 1, 0, AGENT_RESULT, buffer_view(&words)), 0);
    assert_non_null(fleet_result(&f, 1, request));
    /* and to nobody, once it is answered */
    assert_int_equal(fleet_give(&f, 1, 0, AGENT_RESULT, buffer_view(&words)), 0);
    assert_int_equal(fleet_result_count(&f, 1, request), 1);
    /* a code that is no errno */
    words.bytes[2] = 1;
    assert_int_equal(fleet_give(&f, 1, 0, AGENT_RESULT, buffer_view(&words)), -EBADMSG);
    buffer_done(&words);
    fleet_done(&f);
}

/* Breaks if whoever asked waits for ever, or is told a lie, when the leader is lost before it
 * answers. */
static void test_leader_lost(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), asker = (leader + 1) % 3;
    struct command command = drain(&f, asker, true);
    uint64_t request = fleet_propose(&f, asker, &command);
    fleet_kill(&f, leader);
    assert_null(fleet_result(&f, asker, request));
    fleet_run(&f, AGENT_PROPOSE_TIMEOUT_MS + 100);
    assert_int_equal(fleet_result_count(&f, asker, request), 1);
    assert_int_equal(fleet_result(&f, asker, request)->result.code, -ETIMEDOUT);
    assert_non_null(strstr(fleet_result(&f, asker, request)->result.error.message, "may still"));

    fleet_agree(&f, asker, &command); /* the two that are left agree */
    assert_int_not_equal(fleet_leader(&f), leader);
    fleet_done(&f);
}

/* Breaks if a leader that is cut off says that something was agreed on which another leader then
 * replaced. */
static void test_overtaken(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f);
    fleet_cut(&f, leader, true);
    struct command command = drain(&f, leader, true);
    uint64_t request = fleet_propose(&f, leader, &command);
    assert_null(fleet_result(&f, leader, request));
    fleet_run(&f, 3000);
    unsigned other = fleet_leader(&f);
    assert_int_not_equal(other, leader);
    command = drain(&f, other, false); /* who votes does not change by it */
    fleet_agree(&f, other, &command);
    fleet_cut(&f, leader, false);
    fleet_run(&f, 5000);
    assert_int_equal(fleet_result_count(&f, leader, request), 1);
    assert_int_equal(fleet_result(&f, leader, request)->result.code, -EAGAIN);
    const struct id id = fleet_id(&f, leader);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(intent_peer_find(agent_intent(f.peers[i].agent), &id)->state,
                         INTENT_ACTIVE);
    fleet_done(&f);
}

/* Breaks if a change that can't be agreed on for lack of a quorum is not refused at once. */
static void test_no_quorum(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), last = (leader + 1) % 3;
    fleet_kill(&f, leader);
    fleet_kill(&f, (leader + 2) % 3);
    fleet_run(&f, 10000);
    struct command command = drain(&f, last, true);
    uint64_t request = fleet_propose(&f, last, &command);
    const struct agent_result *result = fleet_result(&f, last, request);
    assert_non_null(result);
    assert_int_equal(result->result.code, -EAGAIN);
    assert_non_null(strstr(result->result.error.hint, "consort status"));
    assert_int_equal(fleet_status(&f, last).live_count, 1);
    fleet_done(&f);
}

/* Breaks if peers that don't know the leader pass a command around for ever, or back. */
static void test_hops(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    cleanup_buffer struct buffer command_bytes = {0}, bytes = {0};
    struct command command = drain(&f, 1, true);
    struct writer writer;
    assert_int_equal(command_encode(&command, &command_bytes), 0);
    writer_init(&writer, &bytes);
    writer_array(&writer, 3);
    writer_u64(&writer, 7);
    writer_u64(&writer, AGENT_PROPOSE_HOPS_MAX);
    writer_binary(&writer, command_bytes.bytes, command_bytes.size);
    assert_int_equal(fleet_give(&f, 1, 2, AGENT_PROPOSE, buffer_view(&bytes)), 0);
    assert_int_equal(f.peers[1].sent[AGENT_PROPOSE], 0);
    assert_int_equal(f.peers[1].sent[AGENT_RESULT], 1);
    bytes.bytes[2]--; /* one hop is left */
    assert_int_equal(fleet_give(&f, 1, 2, AGENT_PROPOSE, buffer_view(&bytes)), 0);
    assert_int_equal(f.peers[1].sent[AGENT_PROPOSE], 1);
    /* from the leader itself: it does not lead any more, so there is no use in asking it */
    assert_int_equal(fleet_give(&f, 1, 0, AGENT_PROPOSE, buffer_view(&bytes)), 0);
    assert_int_equal(f.peers[1].sent[AGENT_PROPOSE], 1);
    assert_int_equal(f.peers[1].sent[AGENT_RESULT], 2);
    /* the answer to what was passed on goes back to who asked */
    fleet_run(&f, 200);
    assert_int_equal(f.peers[1].sent[AGENT_RESULT], 3);
    fleet_done(&f);
}

/* Breaks if a peer outside of Raft that has heard of no leader does not ask the voters. */
static void test_asks_a_voter(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 3);
    unsigned leader = fleet_leader(&f), outside = 0;
    while (fleet_status(&f, outside).is_voter)
        outside++;
    fleet_kill(&f, leader);
    fleet_run(&f, 5000); /* there is a new leader: its head is newer */
    struct command command = drain(&f, outside, true);
    fleet_agree(&f, outside, &command);
    fleet_done(&f);
}

/* Breaks if what is too large, or malformed, ends the leader or is not refused in words. */
static void test_bad_command(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct buffer large = {0};
    assert_int_equal(buffer_reserve(&large, RAFT_ENTRY_BYTES_MAX + 1), 0);
    memset(large.bytes, 0, RAFT_ENTRY_BYTES_MAX + 1);
    struct agent_input input = {.type = AGENT_PROPOSE_LOCAL,
                                .request = 900,
                                .bytes = {large.bytes, RAFT_ENTRY_BYTES_MAX + 1}};
    fleet_step(&f, 0, input);
    assert_int_equal(fleet_result(&f, 0, 900)->result.code, -E2BIG);
    input = (struct agent_input){
        .type = AGENT_PROPOSE_LOCAL, .request = 901, .bytes = bytes_of_text("junk")};
    fleet_step(&f, 1, input);
    fleet_run(&f, 200);
    assert_non_null(fleet_result(&f, 1, 901));
    assert_true(fleet_result(&f, 1, 901)->result.code < 0);
    assert_int_not_equal(fleet_result(&f, 1, 901)->result.error.message[0], 0);
    /* A newer version's: agreed on, it would stop every peer for good. */
    input = (struct agent_input){.type = AGENT_PROPOSE_LOCAL,
                                 .request = 902,
                                 .bytes = bytes_of_text("\x97\x7f\x01\x01\x01\x01\x01\x01")};
    fleet_step(&f, 1, input);
    fleet_run(&f, 200);
    assert_non_null(fleet_result(&f, 1, 902));
    assert_int_equal(fleet_result(&f, 1, 902)->result.code, -EPROTONOSUPPORT);
    buffer_done(&large);
    fleet_done(&f);
}

/* Breaks if there is no bound to the changes that wait, or if one is said to be refused that was
 * taken into the log. */
static void test_too_many(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct command command = drain(&f, 1, true);
    uint64_t first = f.next_request + 1, last = 0;
    f.lost_kinds = 1 << AGENT_PROPOSE;
    for (size_t i = 0; i < AGENT_PENDING_MAX + 1; i++)
        last = fleet_propose(&f, 1, &command);
    assert_null(fleet_result(&f, 1, last - 1));
    assert_int_equal(fleet_result(&f, 1, last)->result.code, -EBUSY);
    f.lost_kinds = 0;
    fleet_run(&f, AGENT_PROPOSE_TIMEOUT_MS + 1000);
    assert_int_equal(fleet_result(&f, 1, first)->result.code, -ETIMEDOUT);
    assert_int_equal(f.peers[1].result_count, AGENT_PENDING_MAX + 1);

    /* at a leader whose disk hangs */
    uint64_t index = fleet_status(&f, 0).applied_index;
    fleet_mute(&f, 0, true);
    command = drain(&f, 1, false);
    uint64_t refused = 0;
    for (size_t i = 0; i < AGENT_PENDING_MAX + 1 && refused == 0; i++) {
        last = fleet_propose(&f, 0, &command);
        if (fleet_result(&f, 0, last))
            refused = last;
    }
    assert_int_not_equal(refused, 0);
    assert_int_equal(fleet_result(&f, 0, refused)->result.code, -EBUSY);
    assert_int_equal(f.peers[0].disk.log_index + f.peers[0].disk.entry_count - index,
                     refused - last + AGENT_PENDING_MAX);
    fleet_done(&f);
}

/* Breaks if changes that come in one turn each cost a write and a message of their own. */
static void test_gathered(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    cleanup_buffer struct buffer bytes = {0};
    struct command command = drain(&f, 1, true);
    assert_int_equal(command_encode(&command, &bytes), 0);
    struct agent_input input = {
        .type = AGENT_PROPOSE_LOCAL, .bytes = buffer_view(&bytes), .more = true};
    size_t entries = f.peers[0].disk.entry_count;
    for (input.request = 501; input.request <= 503; input.request++) {
        assert_int_equal(fleet_step(&f, 0, input), 0);
        assert_int_equal(f.peers[0].output.next_deadline_ms, f.now_ms);
        assert_int_equal(f.peers[0].disk.entry_count, entries);
    }
    fleet_step(&f, 0, (struct agent_input){.type = AGENT_TICK});
    assert_int_equal(f.peers[0].output.write_count, 1);
    assert_int_equal(f.peers[0].disk.entry_count, entries + 3);
    fleet_run(&f, 100);
    for (uint64_t request = 501; request <= 503; request++)
        assert_int_equal(fleet_result(&f, 0, request)->result.code, 0);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admission),     cmocka_unit_test(test_admission_without_certificate),
        cmocka_unit_test(test_forwarded),     cmocka_unit_test(test_forwarded_version),
        cmocka_unit_test(test_forged_result), cmocka_unit_test(test_leader_lost),
        cmocka_unit_test(test_overtaken),     cmocka_unit_test(test_no_quorum),
        cmocka_unit_test(test_hops),          cmocka_unit_test(test_asks_a_voter),
        cmocka_unit_test(test_bad_command),   cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_gathered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
