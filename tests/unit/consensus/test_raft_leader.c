#include <errno.h>

#include "raft_bench.h"

/* Breaks if a leader that hears of no quorum goes on leading, or claims its lease. */
static void test_quorum_check_and_lease(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_false(raft_leader_lease_valid(b.raft, b.now_ms));
    b.now_ms += RAFT_HEARTBEAT_MS;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    struct raft_message answer = {
        .type = RAFT_HEARTBEAT_REPLY, .term = 2, .sent_ms = b.now_ms, .round = UINT64_MAX};
    const int64_t lease_ms =
        RAFT_ELECTION_TIMEOUT_MS - RAFT_ELECTION_TIMEOUT_MS * RAFT_CLOCK_DRIFT_PERMILLE / 1000;
    b.now_ms += lease_ms - 5;
    assert_int_equal(bench_say(&b, 2, answer), 0);
    /* It counts from when the heartbeat was sent, not from when it was answered. */
    assert_true(raft_leader_lease_valid(b.raft, b.now_ms));
    assert_false(raft_leader_lease_valid(b.raft, b.now_ms + 5));
    b.now_ms += 5;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(bench_status(&b).role, RAFT_LEADER);
    b.now_ms += RAFT_ELECTION_TIMEOUT_MS;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(bench_status(&b).role, RAFT_FOLLOWER);
    assert_int_equal(bench_status(&b).term, 2);
    raft_free(b.raft);
}

/* Breaks if a member that answers each heartbeat counts as silent right after a quorum check: who
 * looks just then, each time, never makes it a voter (seed 58 of three peers). */
static void test_active_across_checks(void **state)
{
    (void)state;
    struct bench b;
    struct raft_progress_status progress;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    const struct id two = raft_configuration(b.raft)->members[1].id;
    struct raft_message answer = {.type = RAFT_HEARTBEAT_REPLY, .term = 2, .round = UINT64_MAX};
    for (int checks = 0; checks < 3; checks++) {
        answer.sent_ms = b.now_ms;
        assert_int_equal(bench_say(&b, 2, answer), 0);
        b.now_ms += RAFT_ELECTION_TIMEOUT_MS;
        assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
        assert_int_equal(raft_progress_of(b.raft, &two, &progress), 0);
        assert_true(progress.recently_active);
    }
    b.now_ms += RAFT_ELECTION_TIMEOUT_MS;
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(raft_progress_of(b.raft, &two, &progress), 0);
    assert_false(progress.recently_active);
    raft_free(b.raft);
}

/* Breaks if a read is taken too early, too often, or is forgotten when leadership ends. */
static void test_read_bounds(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_READ}), -EAGAIN);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    for (uint64_t i = 0; i < RAFT_READS_MAX; i++)
        assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_READ, .context = i}), 0);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_READ}), -EBUSY);
    struct raft_message answer = {.type = RAFT_HEARTBEAT_REPLY, .term = 2, .round = 100};
    assert_int_equal(bench_say(&b, 2, answer), 0);
    assert_int_equal(b.output.read_count, 100);
    assert_int_equal(b.output.reads[99].context, 99);
    assert_int_equal(b.output.reads[99].index, 2);
    assert_int_equal(bench_say(&b, 3, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 3}), 0);
    assert_int_equal(b.output.read_count, RAFT_READS_MAX - 100);
    assert_int_equal(b.output.reads[0].rc, -ECANCELED);
    raft_free(b.raft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quorum_check_and_lease),
        cmocka_unit_test(test_active_across_checks),
        cmocka_unit_test(test_read_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
