#include <errno.h>

#include "raft_bench.h"

/* Breaks if a message that no correct peer sends changes anything. */
static void test_refuses_nonsense(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry gap = {.index = 3, .term = 2, .type = RAFT_ENTRY_COMMAND};
    struct raft_entry future = {.index = 2, .term = 9, .type = RAFT_ENTRY_COMMAND};
    struct raft_snapshot empty = {.index = 0, .term = 1};
    struct raft_snapshot huge = {
        .index = 5, .term = 1, .data.size = (size_t)RAFT_SNAPSHOT_BYTES_MAX + 1};
    struct raft_snapshot small = bench_snapshot(5, 1, "state");
    const struct raft_message nonsense[] = {
        {.type = RAFT_HEARTBEAT},
        {.type = RAFT_MESSAGE_TYPES, .term = 3},
        {.type = RAFT_VOTE, .term = UINT64_MAX},
        {.type = RAFT_SNAPSHOT, .term = 3},
        {.type = RAFT_SNAPSHOT, .term = 3, .snapshot = &empty},
        {.type = RAFT_SNAPSHOT, .term = 3, .snapshot = &huge},
        {.type = RAFT_SNAPSHOT, .term = 3, .snapshot = &small, .offset = 6},
        {.type = RAFT_SNAPSHOT,
         .term = 3,
         .snapshot = &small,
         .offset = UINT64_MAX,
         .chunk = small.data},
        {.type = RAFT_SNAPSHOT, .term = 3, .snapshot = &small, .offset = 1, .chunk = small.data},
        {.type = RAFT_APPEND, .term = 3, .index = 1, .log_term = 4},
        {.type = RAFT_APPEND,
         .term = 3,
         .index = 1,
         .log_term = 1,
         .entries = &gap,
         .entry_count = 1},
        {.type = RAFT_APPEND,
         .term = 3,
         .index = 1,
         .log_term = 1,
         .entries = &future,
         .entry_count = 1},
    };
    bench_start(&b, 3, 1, NULL, 0);
    struct raft_status before = bench_status(&b);
    for (size_t i = 0; i < array_count(nonsense); i++) {
        assert_int_equal(bench_say(&b, 2, nonsense[i]), -EPROTO);
        assert_int_equal(b.output.message_count, 0);
    }
    struct raft_message reply = {.type = RAFT_APPEND_REPLY, .term = 7};
    assert_int_equal(bench_say(&b, 1, reply), -EPROTO);
    assert_int_equal(bench_say(&b, 9, reply), -ESRCH);
    struct raft_status after = bench_status(&b);
    assert_true(after.term == before.term && after.commit == before.commit &&
                after.last_index == before.last_index && id_equal(&after.leader, &before.leader));
    struct raft_message ahead = {.type = RAFT_HEARTBEAT, .term = 2, .commit = 1000};
    assert_int_equal(bench_say(&b, 2, ahead), 0);
    assert_int_equal(bench_status(&b).commit, 1);
    bench_lead(&b, 3);
    assert_int_equal(bench_acknowledge(&b, 2, 1000), -EPROTO);
    raft_free(b.raft);
}

/* Breaks if proposals are not bounded, or their errors are other than documented. */
static void test_proposals(void **state)
{
    (void)state;
    struct bench b;
    char text[81];
    memset(text, 'x', 80);
    text[80] = '\0';
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(bench_propose(&b, "a"), -EREMOTE);
    bench_lead(&b, 3);
    assert_int_equal(bench_propose(&b, text), 0);
    assert_int_equal(b.output.proposed_index, 3);
    assert_int_equal(b.output.proposed_term, 2);
    assert_int_equal(bench_propose(&b, text), -EBUSY);
    assert_int_equal(b.output.next_deadline_ms, 0);
    bench_store(&b);
    assert_int_equal(bench_acknowledge(&b, 2, 3), 0);
    assert_int_equal(bench_status(&b).uncommitted_bytes, 80);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    struct bytes huge = {(const uint8_t *)text, RAFT_ENTRY_BYTES_MAX + 1};
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_PROPOSE, .data = huge}),
                     -E2BIG);
    raft_free(b.raft);
}

/* Breaks if an old leader is left believing that it leads, or a candidate in a term that is over.
 */
static void test_answers_older_terms(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 5, NULL, 0);
    struct raft_message old = {.type = RAFT_HEARTBEAT, .term = 4};
    assert_int_equal(bench_say(&b, 2, old), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND_REPLY, 2)->term, 5);
    old.type = RAFT_PRE_VOTE;
    assert_int_equal(bench_say(&b, 2, old), 0);
    assert_true(bench_sent(&b, RAFT_PRE_VOTE_REPLY, 2)->reject);
    old.type = RAFT_VOTE;
    assert_int_equal(bench_say(&b, 2, old), 0);
    assert_true(bench_sent(&b, RAFT_VOTE_REPLY, 2)->reject);
    assert_int_equal(bench_sent(&b, RAFT_VOTE_REPLY, 2)->term, 5);
    old.type = RAFT_VOTE_REPLY;
    assert_int_equal(bench_say(&b, 2, old), 0);
    assert_int_equal(b.output.message_count, 0);
    raft_free(b.raft);
}

/* Breaks if a restart takes what contradicts itself, or loses what was committed. */
static void test_restore(void **state)
{
    (void)state;
    struct raft_config config;
    struct id self = bench_peer(1);
    struct raft *raft = NULL;
    raft_config_init(&config, &self, 1);
    struct raft_entry entries[3];
    for (uint64_t i = 0; i < 3; i++)
        entries[i] = (struct raft_entry){.index = i + 4, .term = 2, .type = RAFT_ENTRY_COMMAND};
    struct raft_snapshot snapshot = {.index = 5, .term = 2, .configuration = bench_voters(1, 3)};
    const struct raft_stored good = {.hard_state = {.term = 3, .commit = 9},
                                     .snapshot = &snapshot,
                                     .log_index = 3,
                                     .log_term = 1,
                                     .entries = entries,
                                     .entry_count = 3};
    struct raft_stored bad = good;
    bad.log_index = 6; /* a gap behind the snapshot */
    assert_int_equal(raft_new(&config, &bad, 0, &raft), -EINVAL);
    bad = good;
    bad.log_term = 3; /* terms go back */
    assert_int_equal(raft_new(&config, &bad, 0, &raft), -EINVAL);
    bad = good;
    bad.hard_state.term = 1; /* before the log's */
    assert_int_equal(raft_new(&config, &bad, 0, &raft), -EINVAL);
    snapshot.term = 1; /* not the log's */
    assert_int_equal(raft_new(&config, &good, 0, &raft), -EINVAL);
    assert_null(raft);
    snapshot.term = 2;
    assert_int_equal(raft_new(&config, &good, 0, &raft), 0);
    struct raft_output output;
    assert_int_equal(
        raft_step(raft, &(struct raft_input){.type = RAFT_TICK, .defer_apply = true}, &output), 0);
    assert_int_equal(output.committed_count, 0);
    struct raft_input bounded = {.type = RAFT_TICK, .apply_max = 5};
    assert_int_equal(raft_step(raft, &bounded, &output), 0);
    assert_int_equal(output.committed_count, 0);
    bounded.apply_max = 6;
    assert_int_equal(raft_step(raft, &bounded, &output), 0);
    assert_int_equal(output.committed_count, 1);
    assert_int_equal(output.committed[0].index, 6);
    assert_int_equal(raft_entry_at(raft, 4)->index, 4);
    assert_null(raft_entry_at(raft, 3));
    assert_null(raft_entry_at(raft, 7));
    raft_free(raft);
    raft_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_nonsense),
        cmocka_unit_test(test_proposals),
        cmocka_unit_test(test_answers_older_terms),
        cmocka_unit_test(test_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
