#include "raft_bench.h"

/* Breaks if a leader counts copies of an earlier term's entry as its commitment (figure 8). */
static void test_commits_its_own_term_only(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry old = {.index = 2, .term = 2, .type = RAFT_ENTRY_COMMAND};
    bench_start(&b, 3, 3, &old, 1);
    bench_lead(&b, 3);
    assert_int_equal(bench_status(&b).term, 4);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(bench_status(&b).commit, 1);
    assert_int_equal(bench_acknowledge(&b, 2, 3), 0);
    assert_int_equal(bench_status(&b).commit, 3);
    assert_int_equal(b.output.committed_count, 2);
    raft_free(b.raft);
}

/* Breaks if a commit index may reach the disk before the entries that it speaks of. */
static void test_commit_is_not_stored_ahead(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry entry = {.index = 2, .term = 2, .type = RAFT_ENTRY_COMMAND};
    bench_start(&b, 3, 1, NULL, 0);
    struct raft_message append = {.type = RAFT_APPEND,
                                  .term = 2,
                                  .index = 1,
                                  .log_term = 1,
                                  .commit = 2,
                                  .entries = &entry,
                                  .entry_count = 1};
    assert_int_equal(bench_say(&b, 2, append), 0);
    assert_int_equal(bench_status(&b).commit, 2);
    assert_int_equal(b.output.hard_state.commit, 1);
    assert_int_equal(b.output.committed_count, 0);
    assert_int_equal(b.output.message_count, 0);
    assert_int_equal(b.output.message_once_stored_count, 1);
    assert_int_equal(b.output.once_stored, b.output.sequence);
    bench_store(&b);
    assert_int_equal(b.output.hard_state.commit, 2);
    assert_int_equal(b.output.committed_count, 1);

    struct raft_snapshot snapshot = bench_snapshot(10, 2, "state");
    struct raft_message install = {
        .type = RAFT_SNAPSHOT, .term = 2, .snapshot = &snapshot, .chunk = snapshot.data};
    assert_int_equal(bench_say(&b, 2, install), 0);
    assert_int_equal(b.output.snapshot->index, 10);
    assert_int_equal(b.output.hard_state.commit, 2);
    assert_int_equal(bench_status(&b).applied, 10);
    bench_store(&b);
    assert_int_equal(b.output.hard_state.commit, 10);
    raft_free(b.raft);
}

/* Breaks if a follower with another history is not led back to it, or in too many steps (§5.3). */
static void test_conflicting_log(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry old[4];
    for (uint64_t i = 0; i < 4; i++)
        old[i] = (struct raft_entry){.index = i + 2, .term = 2, .type = RAFT_ENTRY_COMMAND};
    bench_start(&b, 3, 3, old, array_count(old));
    struct raft_message append = {.type = RAFT_APPEND, .term = 4, .index = 7, .log_term = 3};
    assert_int_equal(bench_say(&b, 2, append), 0);
    bench_store(&b);
    append.index = 5;
    assert_int_equal(bench_say(&b, 2, append), 0);
    const struct raft_message *refusal = bench_sent(&b, RAFT_APPEND_REPLY, 2);
    assert_true(refusal->reject);
    assert_int_equal(refusal->hint_index, 5);
    assert_int_equal(refusal->log_term, 2);
    struct raft_entry entry = {.index = 3, .term = 3, .type = RAFT_ENTRY_COMMAND};
    append = (struct raft_message){.type = RAFT_APPEND,
                                   .term = 4,
                                   .index = 2,
                                   .log_term = 2,
                                   .entries = &entry,
                                   .entry_count = 1};
    assert_int_equal(bench_say(&b, 2, append), 0);
    assert_int_equal(b.output.truncate_from, 3);
    assert_int_equal(b.output.entry_count, 1);
    assert_int_equal(bench_status(&b).last_index, 3);
    bench_store(&b);
    assert_int_equal(bench_status(&b).stored_index, 3);
    /* What is there already is neither stored again nor cut off by an append that was overtaken. */
    append.entry_count = 0;
    assert_int_equal(bench_say(&b, 2, append), 0);
    assert_int_equal(b.output.sequence, 0);
    assert_int_equal(bench_status(&b).last_index, 3);
    raft_free(b.raft);
}

/* Breaks if a follower that answers nothing is sent appends without end, or none ever again. */
static void test_flow_control(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(bench_progress(&b, 2).state, RAFT_PROBE);
    assert_true(bench_progress(&b, 2).paused);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(bench_progress(&b, 2).state, RAFT_REPLICATE);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(bench_propose(&b, "x"), 0);
        assert_int_equal(bench_sent(&b, RAFT_APPEND, 2) != NULL, i < 3);
    }
    assert_int_equal(bench_progress(&b, 2).inflight, 3);
    assert_true(bench_progress(&b, 2).paused);
    /* A heartbeat's answer without an acknowledgement: an empty append asks what is missing. */
    struct raft_message answer = {.type = RAFT_HEARTBEAT_REPLY, .term = 2};
    assert_int_equal(bench_say(&b, 2, answer), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 2)->entry_count, 0);
    assert_int_equal(bench_acknowledge(&b, 2, 4), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 2)->entry_count, 1);
    assert_int_equal(bench_progress(&b, 2).next, 8);
    bench_give(&b, (struct raft_input){.type = RAFT_UNREACHABLE, .peer = bench_peer(2)});
    assert_int_equal(bench_progress(&b, 2).state, RAFT_PROBE);
    assert_int_equal(bench_progress(&b, 2).next, 5);
    raft_free(b.raft);
}

/* Breaks if a follower takes for committed what lies behind the entries that the leader sent: it
 * may be of another history (figure 2, AppendEntries, 5). */
static void test_commit_ends_with_what_was_sent(void **state)
{
    (void)state;
    struct bench b;
    const struct raft_entry entries[] = {
        {.index = 2, .term = 2, .type = RAFT_ENTRY_COMMAND},
        {.index = 3, .term = 2, .type = RAFT_ENTRY_COMMAND},
        {.index = 4, .term = 2, .type = RAFT_ENTRY_COMMAND},
    };
    bench_start(&b, 3, 2, entries, 3);
    struct raft_message append = {.type = RAFT_APPEND,
                                  .term = 3,
                                  .index = 1,
                                  .log_term = 1,
                                  .commit = 4,
                                  .entries = entries,
                                  .entry_count = 1};
    assert_int_equal(bench_say(&b, 2, append), 0);
    assert_int_equal(bench_status(&b).commit, 2);
    assert_int_equal(bench_status(&b).last_index, 4);
    raft_free(b.raft);
}

/* Breaks if proposals that come together are not stored and sent together, or one gets lost. */
static void test_gathered_proposals(void **state)
{
    (void)state;
    struct bench b;
    struct raft_config config = bench_config();
    config.message_bytes_max = 1024;
    bench_start_as(&b, &config, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    struct raft_input input = {
        .type = RAFT_PROPOSE, .data = bytes_of_text("a"), .defer_apply = true, .more = true};
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(bench_give(&b, input), 0);
        assert_int_equal(b.output.proposed_index, 3 + i);
        assert_int_equal(b.output.message_count, 0);
        assert_int_equal(b.output.sequence, 0);
        assert_int_equal(b.output.next_deadline_ms, b.now_ms);
    }
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(b.output.entry_count, 3);
    assert_int_equal(b.output.message_count, 1); /* the third peer is still probed */
    const struct raft_message *append = bench_sent(&b, RAFT_APPEND, 2);
    assert_int_equal(append->index, 2);
    assert_int_equal(append->entry_count, 3);
    bench_store(&b);
    assert_int_equal(bench_acknowledge(&b, 2, 5), 0);
    assert_int_equal(b.output.committed_count, 3);

    /* nothing is left over for whoever leads no more */
    assert_int_equal(bench_give(&b, input), 0);
    struct raft_message newer = {.type = RAFT_HEARTBEAT, .term = bench_status(&b).term + 1};
    assert_int_equal(bench_say(&b, 3, newer), 0);
    assert_int_equal(bench_status(&b).role, RAFT_FOLLOWER);
    assert_null(bench_sent(&b, RAFT_APPEND, 2));
    assert_int_equal(b.output.entry_count, 1);
    raft_free(b.raft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commits_its_own_term_only),
        cmocka_unit_test(test_commit_is_not_stored_ahead),
        cmocka_unit_test(test_conflicting_log),
        cmocka_unit_test(test_commit_ends_with_what_was_sent),
        cmocka_unit_test(test_flow_control),
        cmocka_unit_test(test_gathered_proposals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
