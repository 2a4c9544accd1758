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
    struct raft_snapshot own = bench_snapshot(2, 0, "s");
    assert_int_equal(raft_compact(b.raft, &own, 0), 0);
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

/* How many chunks to that peer the last step sent, in order from `offset` on. */
static unsigned chunks_sent(const struct bench *b, int to, uint64_t offset)
{
    struct id id = bench_peer(to);
    unsigned count = 0;
    for (size_t i = 0; i < b->output.message_count; i++) {
        const struct raft_message *message = &b->output.messages[i];
        if (message->type != RAFT_SNAPSHOT || !id_equal(&message->to, &id))
            continue;
        assert_int_equal(message->offset, offset);
        assert_memory_equal(message->chunk.data, message->snapshot->data.data + offset,
                            message->chunk.size);
        offset += message->chunk.size;
        count++;
    }
    return count;
}

static int refuse_append(struct bench *b, int from)
{
    return bench_say(b, from,
                     (struct raft_message){.type = RAFT_APPEND_REPLY,
                                           .term = 2,
                                           .reject = true,
                                           .index = bench_progress(b, from).next - 1});
}

static int say_held(struct bench *b, int from, uint64_t index, uint64_t offset)
{
    return bench_say(b, from,
                     (struct raft_message){
                         .type = RAFT_SNAPSHOT_REPLY, .term = 2, .index = index, .offset = offset});
}

static void commit(struct bench *b, uint64_t index)
{
    while (bench_status(b).last_index < index) {
        assert_int_equal(bench_propose(b, "x"), 0);
        bench_store(b);
    }
    assert_int_equal(bench_acknowledge(b, 2, index), 0);
    assert_int_equal(bench_status(b).applied, index);
}

/* Peer 1 leads three; all up to index 2 is in a snapshot of `text`, and peer 3 needs that. */
static void start_sending(struct bench *b, const char *text)
{
    struct raft_snapshot own = bench_snapshot(2, 0, text);
    bench_start(b, 3, 1, NULL, 0);
    bench_lead(b, 3);
    commit(b, 2);
    assert_int_equal(raft_compact(b->raft, &own, 0), 0);
    assert_int_equal(refuse_append(b, 3), 0);
}

/* Breaks if a snapshot is not cut into chunks, or more are sent than may be under way. */
static void test_sends_in_chunks(void **state)
{
    (void)state;
    struct bench b;
    start_sending(&b, "0123456789abcdefgh");
    assert_int_equal(chunks_sent(&b, 3, 0), 1);
    assert_int_equal(bench_status(&b).sent_index, 2);
    assert_int_equal(say_held(&b, 3, 2, 4), 0);
    assert_int_equal(chunks_sent(&b, 3, 4), 2);
    assert_int_equal(say_held(&b, 3, 2, 12), 0);
    assert_int_equal(chunks_sent(&b, 3, 12), 2);
    assert_int_equal(bench_sent(&b, RAFT_SNAPSHOT, 3)->chunk.size, 2);
    assert_int_equal(say_held(&b, 3, 2, 19), 0); /* more than there is */
    assert_int_equal(say_held(&b, 3, 9, 16), 0); /* of another one */
    assert_int_equal(chunks_sent(&b, 3, 0), 0);
    assert_int_equal(bench_acknowledge(&b, 3, 2), 0);
    assert_int_equal(bench_progress(&b, 3).state, RAFT_REPLICATE);
    assert_int_equal(bench_status(&b).sent_index, 0);
    raft_free(b.raft);
}

/* Breaks if a chunk that was lost, or overtaken, is waited for; or sent more than once for that. */
static void test_sends_what_is_missing_again(void **state)
{
    (void)state;
    struct bench b;
    start_sending(&b, "0123456789abcdefgh");
    assert_int_equal(say_held(&b, 3, 2, 4), 0);
    assert_int_equal(chunks_sent(&b, 3, 4), 2);
    assert_int_equal(say_held(&b, 3, 2, 4), 0); /* the one at 8 came first */
    assert_int_equal(chunks_sent(&b, 3, 4), 1);
    assert_int_equal(say_held(&b, 3, 2, 4), 0);
    assert_int_equal(say_held(&b, 3, 2, 0), 0); /* late */
    assert_int_equal(chunks_sent(&b, 3, 0), 0);
    assert_int_equal(say_held(&b, 3, 2, 8), 0);
    assert_int_equal(chunks_sent(&b, 3, 12), 1);
    assert_int_equal(say_held(&b, 3, 2, 8), 0); /* and the one at 8 is missing now */
    assert_int_equal(chunks_sent(&b, 3, 8), 1);
    raft_free(b.raft);
}

/* Breaks if what a follower has already is sent again after a stream broke. */
static void test_goes_on_where_the_follower_is(void **state)
{
    (void)state;
    struct bench b;
    start_sending(&b, "0123456789abcdefgh");
    assert_int_equal(say_held(&b, 3, 2, 4), 0);
    bench_give(&b, (struct raft_input){.type = RAFT_UNREACHABLE, .peer = bench_peer(3)});
    assert_int_equal(
        bench_say(&b, 3, (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .term = 2}), 0);
    assert_int_equal(chunks_sent(&b, 3, 0), 1);
    assert_int_equal(say_held(&b, 3, 2, 8), 0);
    assert_int_equal(chunks_sent(&b, 3, 8), 2);
    raft_free(b.raft);
}

/* Breaks if a log that grows fast has a transfer begin again with each compaction. */
static void test_one_snapshot_for_all(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot newer;
    start_sending(&b, "0123456789abcdefgh");
    for (uint64_t index = 3; index < 6; index++) {
        commit(&b, index);
        newer = bench_snapshot(index, 0, "newer");
        assert_int_equal(raft_compact(b.raft, &newer, index - 2), 0);
        assert_int_equal(raft_snapshot(b.raft)->index, index);
    }
    assert_int_equal(say_held(&b, 3, 2, 4), 0);
    assert_int_equal(chunks_sent(&b, 3, 4), 2);
    assert_int_equal(bench_sent(&b, RAFT_SNAPSHOT, 3)->snapshot->index, 2);
    assert_int_equal(bench_acknowledge(&b, 3, 2), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 3)->index + 1, 5);
    raft_free(b.raft);
}

/* Breaks if a follower is sent to the end what the log does not go on behind any more. */
static void test_gives_up_what_is_of_no_use(void **state)
{
    (void)state;
    struct bench b;
    start_sending(&b, "0123456789abcdefgh");
    commit(&b, 4);
    struct raft_snapshot newer = bench_snapshot(4, 0, "newer");
    assert_int_equal(raft_compact(b.raft, &newer, 1), 0);
    assert_int_equal(say_held(&b, 3, 2, 4), 0);
    assert_int_equal(chunks_sent(&b, 3, 0), 0);
    assert_int_equal(
        bench_say(&b, 3, (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .term = 2}), 0);
    assert_int_equal(chunks_sent(&b, 3, 0), 1);
    assert_int_equal(bench_sent(&b, RAFT_SNAPSHOT, 3)->snapshot->index, 4);
    raft_free(b.raft);
}

/* Breaks if a snapshot that did not fit its hash is not sent anew, or as fast as the two can. */
static void test_refused_snapshot_begins_anew(void **state)
{
    (void)state;
    struct bench b;
    start_sending(&b, "0123");
    assert_int_equal(
        bench_say(&b, 3,
                  (struct raft_message){
                      .type = RAFT_SNAPSHOT_REPLY, .term = 2, .index = 2, .reject = true}),
        0);
    assert_int_equal(chunks_sent(&b, 3, 0), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(
            bench_say(&b, 3, (struct raft_message){.type = RAFT_HEARTBEAT_REPLY, .term = 2}), 0);
        assert_int_equal(chunks_sent(&b, 3, 0), i == 0);
    }
    raft_free(b.raft);
}

/* ---- the follower ---- */

static int say_chunk(struct bench *b, int from, uint64_t term, const struct raft_snapshot *snapshot,
                     uint64_t offset, size_t size)
{
    struct raft_snapshot head = *snapshot;
    head.data.data = NULL;
    bench_store(b); /* what the step before asked for */
    return bench_say(b, from,
                     (struct raft_message){.type = RAFT_SNAPSHOT,
                                           .term = term,
                                           .snapshot = &head,
                                           .offset = offset,
                                           .chunk = {snapshot->data.data + offset, size}});
}

static const struct raft_message *said(const struct bench *b, enum raft_message_type type, int to)
{
    const struct raft_message *held = bench_held(b, type, to);
    return held ? held : bench_sent(b, type, to);
}

static void assert_held(const struct bench *b, int to, uint64_t index, uint64_t offset)
{
    const struct raft_message *reply = said(b, RAFT_SNAPSHOT_REPLY, to);
    assert_non_null(reply);
    assert_false(reply->reject);
    assert_int_equal(reply->index, index);
    assert_int_equal(reply->offset, offset);
}

/* Breaks if chunks that are late, twice there or too early get into the state. */
static void test_takes_chunks_in_order(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot snapshot = bench_snapshot(9, 2, "0123456789");
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 4), 0);
    assert_held(&b, 2, 9, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_held(&b, 2, 9, 4);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 8, 2), 0);
    assert_held(&b, 2, 9, 4);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_held(&b, 2, 9, 4);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 2, 4), 0);
    assert_held(&b, 2, 9, 6);
    assert_int_equal(bench_status(&b).applied, 1);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 6), 0);
    assert_int_equal(bench_held(&b, RAFT_APPEND_REPLY, 2)->index, 9);
    assert_int_equal(bench_status(&b).applied, 9);
    assert_true(bytes_equal(raft_snapshot(b.raft)->data, snapshot.data));
    raft_free(b.raft);
}

/* Breaks if a change of leader throws away what came, though the next one has the same. */
static void test_resumes_with_another_leader(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot snapshot = bench_snapshot(9, 2, "0123456789");
    struct raft_snapshot other = bench_snapshot(9, 2, "0123456xyz"), older = snapshot;
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_int_equal(say_chunk(&b, 3, 3, &snapshot, 0, 1), 0);
    assert_held(&b, 3, 9, 4);
    assert_int_equal(say_chunk(&b, 2, 4, &other, 4, 4), 0); /* of the same index, and another */
    assert_held(&b, 2, 9, 0);
    older.index = 8; /* where the next leader was cut */
    assert_int_equal(say_chunk(&b, 3, 5, &older, 0, 4), 0);
    assert_held(&b, 3, 8, 4);
    assert_int_equal(say_chunk(&b, 3, 5, &older, 4, 6), 0);
    assert_int_equal(bench_status(&b).applied, 8);
    raft_free(b.raft);
}

/* Breaks if anybody but the leader of the term can put in a chunk of its own. */
static void test_chunks_of_the_leader_only(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot snapshot = bench_snapshot(9, 1, "0123456789");
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_int_equal(say_chunk(&b, 3, 2, &snapshot, 4, 4), -EPROTO);
    assert_int_equal(say_chunk(&b, 3, 1, &snapshot, 4, 4), 0);
    assert_null(said(&b, RAFT_SNAPSHOT_REPLY, 3));
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 1), 0);
    assert_held(&b, 2, 9, 5);
    raft_free(b.raft);
}

/* Breaks if a snapshot that comes late takes the state back. */
static void test_older_snapshot(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot snapshot = bench_snapshot(9, 2, "new"),
                         older = bench_snapshot(5, 2, "old");
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 3), 0);
    assert_int_equal(bench_status(&b).applied, 9);
    assert_int_equal(say_chunk(&b, 2, 2, &older, 0, 3), 0);
    assert_int_equal(said(&b, RAFT_APPEND_REPLY, 2)->index, 9);
    assert_int_equal(bench_status(&b).applied, 9);
    assert_int_equal(raft_snapshot(b.raft)->index, 9);
    raft_free(b.raft);
}

/* Breaks if a late chunk of an older snapshot throws a newer one away. */
static void test_older_chunks_are_late(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot older = bench_snapshot(8, 2, "abcdefgh");
    struct raft_snapshot snapshot = bench_snapshot(9, 2, "0123456789");
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &older, 0, 4), 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_int_equal(say_chunk(&b, 2, 2, &older, 0, 4), 0);
    assert_held(&b, 2, 8, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 6), 0);
    assert_int_equal(bench_status(&b).applied, 9);
    raft_free(b.raft);
}

static int refuse_all(void *context, const struct raft_snapshot *snapshot)
{
    (void)snapshot;
    return *(int *)context;
}

/* Breaks if a state is installed that is not what its hash says; or one comes to lack memory and
 * has lost what it held. */
static void test_installs_only_what_is_verified(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot snapshot = bench_snapshot(9, 2, "0123456789"), wrong = snapshot;
    struct raft_config config = bench_config();
    int rc = -ENOMEM;
    wrong.data = bytes_of_text("01234567xx");
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_int_equal(say_chunk(&b, 2, 2, &wrong, 4, 6), 0);
    assert_true(said(&b, RAFT_SNAPSHOT_REPLY, 2)->reject);
    assert_int_equal(bench_status(&b).snapshots_refused, 1);
    assert_int_equal(bench_status(&b).applied, 1);
    assert_null(b.output.snapshot);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 6), 0);
    assert_held(&b, 2, 9, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 10), 0);
    assert_int_equal(bench_status(&b).applied, 9);
    raft_free(b.raft);

    config.verify = refuse_all;
    config.verify_context = &rc;
    bench_start_as(&b, &config, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 4), 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 6), -ENOMEM);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 4, 1), 0);
    assert_held(&b, 2, 9, 5);
    rc = 0;
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 5, 5), 0);
    assert_int_equal(bench_status(&b).applied, 9);
    raft_free(b.raft);

    config.verify = NULL;
    bench_start_as(&b, &config, 3, 2, NULL, 0);
    assert_int_equal(say_chunk(&b, 2, 2, &snapshot, 0, 10), 0);
    assert_int_equal(bench_status(&b).applied, 1);
    raft_free(b.raft);
}

/* Breaks if a state that was written down while the log went on can't be compacted to, or one of
 * the past takes the log back. */
static void test_compacts_behind_what_is_applied(void **state)
{
    (void)state;
    struct bench b;
    struct raft_snapshot taken = bench_snapshot(3, 0, "three"), early = bench_snapshot(2, 0, "two");
    struct raft_snapshot late = bench_snapshot(6, 0, "six");
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    commit(&b, 5);
    assert_int_equal(bench_propose(&b, "not applied"), 0);
    assert_int_equal(raft_compact(b.raft, &late, 0), -EINVAL);
    assert_int_equal(raft_compact(b.raft, &taken, 0), 0);
    assert_int_equal(bench_status(&b).first_index, 4);
    assert_int_equal(raft_snapshot(b.raft)->index, 3);
    assert_int_equal(raft_snapshot(b.raft)->term, 2);
    assert_int_equal(raft_compact(b.raft, &early, 0), -EINVAL);
    taken.data.size = (size_t)RAFT_SNAPSHOT_BYTES_MAX + 1;
    assert_int_equal(raft_compact(b.raft, &taken, 0), -E2BIG);
    raft_free(b.raft);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_snapshot_is_repeated),
        cmocka_unit_test(test_needless_snapshot),
        cmocka_unit_test(test_sends_in_chunks),
        cmocka_unit_test(test_sends_what_is_missing_again),
        cmocka_unit_test(test_goes_on_where_the_follower_is),
        cmocka_unit_test(test_one_snapshot_for_all),
        cmocka_unit_test(test_gives_up_what_is_of_no_use),
        cmocka_unit_test(test_refused_snapshot_begins_anew),
        cmocka_unit_test(test_takes_chunks_in_order),
        cmocka_unit_test(test_resumes_with_another_leader),
        cmocka_unit_test(test_chunks_of_the_leader_only),
        cmocka_unit_test(test_older_snapshot),
        cmocka_unit_test(test_older_chunks_are_late),
        cmocka_unit_test(test_installs_only_what_is_verified),
        cmocka_unit_test(test_compacts_behind_what_is_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
