#include <errno.h>

#include "raft_bench.h"

/* Breaks if a peer stays in a configuration that its log says was left, or stands for election in
 * another than its log's latest: two peers could lead in one term. */
static void test_configurations_in_the_log(void **state)
{
    (void)state;
    struct raft_changes changes = {.transition = RAFT_TRANSITION_EXPLICIT};
    for (int i = 1; i <= 6; i++)
        changes.members[changes.count++] =
            (struct raft_change){i <= 3 ? RAFT_REMOVE : RAFT_ADD_VOTER, bench_peer(i)};
    cleanup_buffer struct buffer buffer;
    struct writer writer;
    buffer_init(&buffer);
    writer_init(&writer, &buffer);
    raft_changes_write(&changes, &writer);
    const struct raft_entry entries[] = {
        {.index = 2, .term = 2, .type = RAFT_ENTRY_CONFIGURATION, .data = buffer_view(&buffer)},
        {.index = 3, .term = 2, .type = RAFT_ENTRY_CONFIGURATION},
    };
    struct raft_message append = {.type = RAFT_APPEND,
                                  .term = 2,
                                  .index = 1,
                                  .log_term = 1,
                                  .entries = entries,
                                  .entry_count = 2};
    struct bench b;
    bench_start(&b, 3, 2, NULL, 0);
    assert_int_equal(bench_say(&b, 2, append), 0);
    assert_int_equal(bench_status(&b).commit, 2); /* nobody said so */
    raft_free(b.raft);

    bench_start(&b, 3, 2, entries, array_count(entries));
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_true(raft_configuration_is_joint(raft_configuration(b.raft)));
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    assert_null(bench_held(&b, RAFT_VOTE, 2));
    assert_non_null(bench_held(&b, RAFT_VOTE, 6));
    bench_store(&b);
    struct raft_message grant = {.type = RAFT_VOTE_REPLY, .term = 3};
    for (int i = 2; i <= 4; i++)
        assert_int_equal(bench_say(&b, i, grant), 0);
    assert_int_equal(bench_status(&b).role, RAFT_CANDIDATE);
    assert_int_equal(bench_say(&b, 5, grant), 0);
    assert_int_equal(bench_status(&b).role, RAFT_LEADER);
    /* The old half has to agree to be left. */
    bench_store(&b);
    assert_int_equal(bench_acknowledge(&b, 4, 4), 0);
    assert_int_equal(bench_acknowledge(&b, 5, 4), 0);
    assert_int_equal(bench_status(&b).commit, 2);
    assert_int_equal(bench_acknowledge(&b, 2, 4), 0);
    assert_int_equal(bench_status(&b).commit, 4);
    assert_int_equal(raft_configuration(b.raft)->count, 3);
    assert_int_equal(bench_status(&b).role, RAFT_FOLLOWER); /* it was removed */
    raft_free(b.raft);
}

static struct raft_entry change_entry(uint64_t index, enum raft_change_type type, int number,
                                      struct buffer *buffer)
{
    struct raft_changes changes = {.members = {{type, bench_peer(number)}}, .count = 1};
    struct writer writer;
    buffer_init(buffer);
    writer_init(&writer, buffer);
    raft_changes_write(&changes, &writer);
    return (struct raft_entry){
        .index = index, .term = 2, .type = RAFT_ENTRY_CONFIGURATION, .data = buffer_view(buffer)};
}

/* Breaks if a peer that its log makes a voter waits for another to say that this is committed: it
 * may be the only one that can. */
static void test_voter_by_its_log(void **state)
{
    (void)state;
    struct bench b;
    cleanup_buffer struct buffer removal, addition;
    const struct raft_entry entries[] = {change_entry(2, RAFT_REMOVE, 1, &removal),
                                         change_entry(3, RAFT_ADD_VOTER, 1, &addition)};
    bench_start(&b, 3, 2, entries, array_count(entries));
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(raft_configuration(b.raft)->count, 2);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    assert_int_equal(bench_status(&b).role, RAFT_CANDIDATE);
    raft_free(b.raft);
}

/* Breaks if a peer stands for election, or a leader begins a change, beside one that it has not
 * applied yet. */
static void test_unapplied_configuration(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry entry = {.index = 2, .term = 2, .type = RAFT_ENTRY_CONFIGURATION};
    struct raft_message append = {.type = RAFT_APPEND,
                                  .term = 2,
                                  .index = 1,
                                  .log_term = 1,
                                  .commit = 2,
                                  .entries = &entry,
                                  .entry_count = 1};
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(bench_say(&b, 2, append), 0);
    uint64_t sequence = b.output.sequence;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), -EAGAIN);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_STORED, .sequence = sequence}),
                     0);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    raft_free(b.raft);

    struct raft_changes add = {.members = {{RAFT_ADD_VOTER, bench_peer(4)}}, .count = 1};
    struct raft_input input = {.type = RAFT_PROPOSE_CONFIGURATION, .changes = &add};
    bench_start(&b, 3, 2, &entry, 1);
    bench_lead(&b, 3);
    assert_int_equal(bench_give(&b, input), -EBUSY);
    assert_int_equal(bench_acknowledge(&b, 2, 3), 0);
    assert_int_equal(bench_give(&b, input), 0);
    raft_free(b.raft);
}

/* Breaks if a leader changes the members before an entry of its own is committed: one of an earlier
 * term may have a change in its log that this one does not know, and be elected by that. */
static void test_no_change_before_own_commit(void **state)
{
    (void)state;
    struct bench b;
    struct raft_changes add = {.members = {{RAFT_ADD_LEARNER, bench_peer(4)}}, .count = 1};
    struct raft_input input = {.type = RAFT_PROPOSE_CONFIGURATION, .changes = &add};
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(bench_give(&b, input), -EBUSY);
    assert_int_equal(bench_acknowledge(&b, 2, bench_status(&b).last_index), 0);
    assert_int_equal(bench_give(&b, input), 0);
    raft_free(b.raft);
}

/* Breaks if configuration changes that are not allowed, or a second one, are taken. */
static void test_configuration_proposals(void **state)
{
    (void)state;
    struct bench b;
    struct raft_changes add = {.members = {{RAFT_ADD_LEARNER, bench_peer(4)}}, .count = 1};
    struct raft_changes leave = {0};
    struct raft_input input = {.type = RAFT_PROPOSE_CONFIGURATION, .changes = &add};
    bench_start(&b, 1, 1, NULL, 0);
    assert_int_equal(bench_give(&b, input), -EREMOTE);
    bench_lead(&b, 1);
    bench_store(&b);
    assert_int_equal(bench_give(&b, input), 0);
    assert_int_equal(bench_give(&b, input), -EBUSY);
    bench_give(&b, (struct raft_input){.type = RAFT_STORED, .sequence = 3});
    assert_int_equal(b.output.changed, RAFT_CHANGED_CONFIGURATION);
    assert_int_equal(raft_configuration(b.raft)->count, 2);
    input.changes = &leave;
    assert_int_equal(bench_give(&b, input), -EINVAL);
    assert_int_equal(
        bench_give(&b, (struct raft_input){.type = RAFT_TRANSFER, .peer = bench_peer(4)}), -ENOENT);
    raft_free(b.raft);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configurations_in_the_log),
        cmocka_unit_test(test_voter_by_its_log),
        cmocka_unit_test(test_unapplied_configuration),
        cmocka_unit_test(test_no_change_before_own_commit),
        cmocka_unit_test(test_configuration_proposals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
