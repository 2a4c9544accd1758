#include <errno.h>

#include "base/writer.h"
#include "node/control/bounds.h"
#include "tests/unit/node/control/agent_bench.h"

static struct command drain(const struct fleet *f, unsigned peer, bool drained)
{
    struct command command = fleet_command(COMMAND_PEER_STATE);
    command.peer_state.id = fleet_id(f, peer);
    command.peer_state.state = drained ? INTENT_DRAINING : INTENT_ACTIVE;
    return command;
}

static const struct agent_result *answer_of(struct fleet *f, unsigned peer, uint64_t request)
{
    for (int64_t waited = 0; waited <= AGENT_READ_TIMEOUT_MS && !fleet_result(f, peer, request);
         waited++)
        fleet_run(f, 1);
    const struct agent_result *result = fleet_result(f, peer, request);
    assert_non_null(result);
    assert_int_equal(fleet_result_count(f, peer, request), 1);
    return result;
}

static unsigned outside_of(const struct fleet *f)
{
    unsigned outside = 0;
    while (fleet_status(f, outside).is_voter)
        outside++;
    return outside;
}

/* Breaks if a change whose proposer was answered is not shown by a read at any other peer: those
 * that vote, the one that leads, and those outside of Raft, which must not wait for gossip. */
static void test_at_each_peer(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 3);
    for (unsigned proposer = 0; proposer < 5; proposer++) {
        struct command command = drain(&f, 4, proposer % 2 == 0);
        fleet_agree(&f, proposer, &command);
        uint64_t index = fleet_status(&f, fleet_leader(&f)).applied_index;
        uint64_t requests[5];
        int64_t began_ms = f.now_ms;
        for (unsigned i = 0; i < 5; i++)
            requests[i] = fleet_read(&f, i);
        for (unsigned i = 0; i < 5; i++) {
            assert_int_equal(answer_of(&f, i, requests[i])->result.code, 0);
            assert_true(fleet_status(&f, i).applied_index >= index);
        }
        assert_true(f.now_ms - began_ms < FEED_PULL_DELAY_MS);
        fleet_run(&f, 500);
    }
    fleet_done(&f);
}

/* Breaks if a read is answered by what was asked before it came, or each read costs a question. */
static void test_rounds_are_shared(void **state)
{
    enum { READS = 100 };
    (void)state;
    struct fleet f;
    uint64_t requests[READS];
    fleet_start(&f, 5, 3);
    unsigned outside = outside_of(&f);
    for (unsigned i = 0; i < READS; i++)
        requests[i] = fleet_read(&f, outside);
    assert_int_equal(f.peers[outside].sent[AGENT_READ_ASK], 1);
    for (unsigned i = 0; i < READS; i++)
        assert_int_equal(answer_of(&f, outside, requests[i])->result.code, 0);
    assert_int_equal(f.peers[outside].sent[AGENT_READ_ASK], 2);
    fleet_done(&f);
}

/* Breaks if a read without a quorum is answered from what this peer happens to know, waits for
 * ever, or ends without words on what to do. */
static void test_no_quorum(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 3);
    unsigned leader = fleet_leader(&f), outside = outside_of(&f), last = 0;
    while (last == leader || !fleet_status(&f, last).is_voter)
        last++;
    for (unsigned i = 0; i < 5; i++)
        if (i != last && i != outside)
            fleet_kill(&f, i);
    uint64_t requests[] = {fleet_read(&f, last), fleet_read(&f, outside)};
    unsigned at[] = {last, outside};
    for (unsigned i = 0; i < 2; i++) {
        const struct agent_result *result = answer_of(&f, at[i], requests[i]);
        assert_int_equal(result->result.code, -EAGAIN);
        assert_non_null(strstr(result->result.error.message, "majority"));
        assert_non_null(strstr(result->result.error.hint, "--consistent"));
    }
    fleet_done(&f);
}

/* Breaks if a leader that others replaced meanwhile answers from its own past; or does not once it
 * is back. */
static void read_at_overtaken(uint32_t clock_drift_permille)
{
    struct fleet f;
    fleet_start(&f, 3, 3);
    f.clock_drift_permille = clock_drift_permille;
    for (unsigned i = 0; i < 3; i++) {
        fleet_kill(&f, i);
        fleet_restart(&f, i);
    }
    fleet_run(&f, 5000);
    unsigned leader = fleet_leader(&f), other = leader;
    fleet_cut(&f, leader, true);
    int64_t cut_ms = f.now_ms;
    while (other == leader) { /* as long as nobody else leads, what it answers is right */
        fleet_run(&f, 10);
        for (unsigned i = 0; i < 3; i++)
            if (i != leader && fleet_status(&f, i).role == RAFT_LEADER)
                other = i;
        assert_true(f.now_ms - cut_ms < 10000);
    }
    struct command command = drain(&f, leader, true);
    fleet_agree(&f, other, &command);
    uint64_t index = fleet_status(&f, other).applied_index;
    uint64_t request = fleet_read(&f, leader);
    assert_int_equal(answer_of(&f, leader, request)->result.code, -EAGAIN);
    assert_true(fleet_status(&f, leader).applied_index < index);
    request = fleet_read(&f, leader);
    fleet_cut(&f, leader, false);
    assert_int_equal(answer_of(&f, leader, request)->result.code, 0);
    assert_true(fleet_status(&f, leader).applied_index >= index);
    fleet_done(&f);
}

static void test_overtaken(void **state)
{
    (void)state;
    read_at_overtaken(0);
}

static void test_overtaken_with_leases(void **state)
{
    (void)state;
    read_at_overtaken(100);
}

/* Breaks if a read at a leader costs a round although clocks are known to be good, or costs none
 * although nobody said so. */
static void test_lease(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f);
    uint64_t request = fleet_read(&f, leader);
    assert_null(fleet_result(&f, leader, request));
    assert_int_equal(answer_of(&f, leader, request)->result.code, 0);
    f.clock_drift_permille = 10;
    for (unsigned i = 0; i < 3; i++) {
        fleet_kill(&f, i);
        fleet_restart(&f, i);
    }
    fleet_run(&f, 5000);
    leader = fleet_leader(&f);
    request = fleet_read(&f, leader);
    assert_non_null(fleet_result(&f, leader, request));
    assert_int_equal(fleet_result(&f, leader, request)->result.code, 0);
    fleet_done(&f);
}

static void write_answer(struct buffer *ret, uint64_t number, int64_t code, uint64_t index)
{
    struct writer writer;
    buffer_clear(ret);
    writer_init(&writer, ret);
    writer_array(&writer, 3);
    writer_u64(&writer, number);
    writer_i64(&writer, code);
    writer_u64(&writer, index);
    assert_int_equal(writer_check(&writer), 0);
}

static uint64_t number_of_question(const struct fleet *f, unsigned peer)
{
    const struct buffer *asked = &f->peers[peer].last_sent[AGENT_READ_ASK];
    struct reader reader;
    uint64_t number = 0;
    reader_init(&reader, asked->bytes, asked->size);
    assert_int_equal(reader_u64(&reader, &number), 0);
    return number;
}

/* Breaks if a peer that was not asked can answer, or the answer to another question counts, such as
 * to one of before a restart. */
static void test_forged_answer(void **state)
{
    (void)state;
    struct fleet f;
    cleanup_buffer struct buffer bytes = {0};
    fleet_start(&f, 5, 3);
    unsigned leader = fleet_leader(&f), outside = outside_of(&f), other = 0;
    while (other == leader || other == outside)
        other++;
    f.lost_kinds = 1 << AGENT_READ_ASK;
    uint64_t request = fleet_read(&f, outside);
    uint64_t number = number_of_question(&f, outside);
    write_answer(&bytes, number, 0, 1);
    assert_int_equal(fleet_give(&f, outside, other, AGENT_READ_ANSWER, buffer_view(&bytes)), 0);
    assert_null(fleet_result(&f, outside, request));
    write_answer(&bytes, number - 1, 0, 1);
    assert_int_equal(fleet_give(&f, outside, leader, AGENT_READ_ANSWER, buffer_view(&bytes)), 0);
    assert_null(fleet_result(&f, outside, request));
    write_answer(&bytes, number, 0, 1);
    assert_int_equal(fleet_give(&f, outside, leader, AGENT_READ_ANSWER, buffer_view(&bytes)), 0);
    assert_non_null(fleet_result(&f, outside, request));

    fleet_kill(&f, outside);
    fleet_restart(&f, outside);
    f.lost_kinds = 0;
    fleet_run(&f, 3000);
    f.lost_kinds = 1 << AGENT_READ_ASK;
    request = fleet_read(&f, outside);
    assert_int_not_equal(number_of_question(&f, outside), number);
    for (unsigned i = 0; i < 5; i++)
        if (i != outside)
            assert_int_equal(fleet_give(&f, outside, i, AGENT_READ_ANSWER, buffer_view(&bytes)), 0);
    assert_null(fleet_result(&f, outside, request));

    assert_int_equal(fleet_give(&f, outside, leader, AGENT_READ_ANSWER, bytes_of_text("x")),
                     -EBADMSG);
    write_answer(&bytes, number, 1, 1); /* a code that is no errno */
    assert_int_equal(fleet_give(&f, outside, leader, AGENT_READ_ANSWER, buffer_view(&bytes)),
                     -EBADMSG);
    assert_int_equal(fleet_give(&f, leader, outside, AGENT_READ_ASK, bytes_of_text("xyz")),
                     -EBADMSG);
    fleet_done(&f);
}

/* Breaks if a voter that does not answer, or one that is gone, ends a read although others could
 * answer. */
static void test_asks_another(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 5, 3);
    unsigned leader = fleet_leader(&f), outside = outside_of(&f);
    fleet_kill(&f, leader);
    uint64_t request = fleet_read(&f, outside);
    assert_int_equal(answer_of(&f, outside, request)->result.code, 0);
    assert_true(f.peers[outside].sent[AGENT_READ_ASK] > 1);
    fleet_done(&f);
}

/* Breaks if a question is passed on from peer to peer, or is left without an answer by one that
 * can't know. */
static void test_asked_outside(void **state)
{
    (void)state;
    struct fleet f;
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    fleet_start(&f, 5, 3);
    unsigned outside = outside_of(&f);
    writer_init(&writer, &bytes);
    writer_u64(&writer, 7);
    assert_int_equal(fleet_give(&f, outside, 0, AGENT_READ_ASK, buffer_view(&bytes)), 0);
    assert_int_equal(f.peers[outside].sent[AGENT_READ_ASK], 0);
    assert_int_equal(f.peers[outside].sent[AGENT_READ_ANSWER], 1);
    write_answer(&bytes, 7, -EAGAIN, 0);
    const struct buffer *said = &f.peers[outside].last_sent[AGENT_READ_ANSWER];
    assert_int_equal(said->size, bytes.size);
    assert_memory_equal(said->bytes, bytes.bytes, bytes.size);
    fleet_done(&f);
}

/* Breaks if there is no bound to the reads that wait, or if one peer can fill it. */
static void test_too_many(void **state)
{
    (void)state;
    struct fleet f;
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    uint64_t last = 0;
    fleet_start(&f, 3, 3);
    unsigned leader = fleet_leader(&f), asker = (leader + 1) % 3;
    f.lost_kinds = 1 << AGENT_RAFT | 1 << 0; /* heartbeats are packets */
    for (unsigned i = 0; i < AGENT_READS_MAX + 10; i++) {
        buffer_clear(&bytes);
        writer_init(&writer, &bytes);
        writer_u64(&writer, i);
        assert_int_equal(fleet_give(&f, leader, asker, AGENT_READ_ASK, buffer_view(&bytes)), 0);
    }
    for (unsigned i = 0; i < AGENT_READS_MAX; i++)
        last = fleet_read(&f, leader);
    assert_int_equal(answer_of(&f, leader, last)->result.code, -EBUSY);
    assert_null(fleet_result(&f, leader, last - 1));
    f.lost_kinds = 0;
    assert_int_equal(answer_of(&f, leader, last - 1)->result.code, 0);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_at_each_peer),  cmocka_unit_test(test_rounds_are_shared),
        cmocka_unit_test(test_no_quorum),     cmocka_unit_test(test_overtaken),
        cmocka_unit_test(test_lease),         cmocka_unit_test(test_overtaken_with_leases),
        cmocka_unit_test(test_forged_answer), cmocka_unit_test(test_asks_another),
        cmocka_unit_test(test_asked_outside), cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
