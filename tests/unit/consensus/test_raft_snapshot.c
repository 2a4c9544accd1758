#include <errno.h>

#include "raft_bench.h"

/* Breaks if a lost snapshot is never sent again, or is sent to who may not be there. */
static void test_snapshot_is_repeated(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(raft_compact(b.raft, 1, 0, bytes_of_text("s")), -EINVAL);
    assert_int_equal(raft_compact(b.raft, 2, 0, bytes_of_text("s")), 0);
    assert_int_equal(bench_status(&b).first_index, 3);
    struct raft_message refusal = {
        .type = RAFT_APPEND_REPLY, .term = 2, .reject = true, .index = 1};
    assert_int_equal(bench_say(&b, 3, refusal), 0);
    assert_int_equal(bench_sent(&b, RAFT_SNAPSHOT, 3)->snapshot->index, 2);
    assert_int_equal(bench_progress(&b, 3).state, RAFT_INSTALL);
    struct raft_message answer = {.type = RAFT_HEARTBEAT_REPLY, .term = 2};
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_null(bench_sent(&b, RAFT_SNAPSHOT, 3));
    b.now_ms += RAFT_SNAPSHOT_TIMEOUT_MS;
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 3)->index, 2);
    refusal.index = 2;
    assert_int_equal(bench_say(&b, 3, refusal), 0);
    assert_non_null(bench_sent(&b, RAFT_SNAPSHOT, 3));
    bench_give(&b, (struct raft_input){.type = RAFT_UNREACHABLE, .peer = bench_peer(3)});
    assert_int_equal(bench_progress(&b, 3).state, RAFT_PROBE);
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_non_null(bench_sent(&b, RAFT_SNAPSHOT, 3));
    assert_int_equal(bench_acknowledge(&b, 3, 2), 0);
    assert_int_equal(bench_progress(&b, 3).state, RAFT_REPLICATE);
    raft_free(b.raft);
}

/* Breaks if a snapshot of what a follower has anyway throws its log away. */
static void test_needless_snapshot(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry entry = {.index = 2, .term = 2, .type = RAFT_ENTRY_COMMAND};
    struct raft_snapshot snapshot = {.index = 2, .term = 2, .configuration = bench_voters(1, 3)};
    struct raft_message install = {.type = RAFT_SNAPSHOT, .term = 2, .snapshot = &snapshot};
    bench_start(&b, 3, 2, &entry, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bench_say(&b, 2, install), 0);
        assert_null(b.output.snapshot);
        assert_int_equal(b.output.committed_count, i == 0);
        assert_int_equal(bench_sent(&b, RAFT_APPEND_REPLY, 2)->index, 2);
    }
    assert_int_equal(bench_status(&b).first_index, 2);
    raft_free(b.raft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_is_repeated),
        cmocka_unit_test(test_needless_snapshot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
