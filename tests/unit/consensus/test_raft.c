#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "consensus/raft.h"

/* One core among hand-made messages: it is peer 1; the others exist only in what they say. */
struct bench {
    struct raft *raft;
    struct raft_output output;
    int64_t now_ms;
};

static struct id peer(int number)
{
    struct id id = {{0}};
    id.bytes[0] = (uint8_t)number;
    return id;
}

static struct raft_configuration voters(int first, int last)
{
    struct raft_configuration configuration = {0};
    for (int i = first; i <= last; i++)
        configuration.members[configuration.count++] = (struct raft_member){peer(i), RAFT_VOTER};
    return configuration;
}

/* Starts peer 1 of peers 1 … count at `term`, with a snapshot of index 1, term 1 and these entries.
 */
static void bench_start(struct bench *b, int count, uint64_t term, const struct raft_entry *entries,
                        size_t entry_count)
{
    struct raft_config config;
    struct id self = peer(1);
    raft_config_init(&config, &self, 1);
    config.pre_vote = false;
    config.inflight_max = 3;
    config.message_bytes_max = 1; /* so that each append carries one entry */
    config.uncommitted_bytes_max = 100;
    struct raft_snapshot snapshot = {.index = 1, .term = 1, .configuration = voters(1, count)};
    struct raft_stored stored = {.hard_state = {.term = term},
                                 .snapshot = &snapshot,
                                 .log_index = 1,
                                 .log_term = 1,
                                 .entries = entries,
                                 .entry_count = entry_count};
    *b = (struct bench){.now_ms = 1000};
    assert_int_equal(raft_new(&config, &stored, b->now_ms, &b->raft), 0);
    b->now_ms += config.quiet_after_start_ms;
}

static int bench_give(struct bench *b, struct raft_input input)
{
    input.now_ms = b->now_ms;
    return raft_step(b->raft, &input, &b->output);
}

static int bench_say(struct bench *b, int from, struct raft_message message)
{
    message.from = peer(from);
    return bench_give(b, (struct raft_input){.type = RAFT_MESSAGE, .message = &message});
}

static void bench_store(struct bench *b)
{
    if (b->output.sequence > 0)
        assert_int_equal(
            bench_give(b, (struct raft_input){.type = RAFT_STORED, .sequence = b->output.sequence}),
            0);
}

static struct raft_status status_of(const struct bench *b)
{
    struct raft_status status;
    raft_status(b->raft, &status);
    return status;
}

/* The last message of that type to that peer among what may be sent now, or NULL. */
static const struct raft_message *bench_sent(const struct bench *b, enum raft_message_type type,
                                             int to)
{
    struct id id = peer(to);
    for (size_t i = b->output.message_count; i-- > 0;)
        if (b->output.messages[i].type == type && id_equal(&b->output.messages[i].to, &id))
            return &b->output.messages[i];
    return NULL;
}

/* Makes peer 1 of `count` the leader; its first entry is stored. */
static void bench_lead(struct bench *b, int count)
{
    assert_int_equal(bench_give(b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    bench_store(b);
    for (int i = 2; i <= count && status_of(b).role != RAFT_LEADER; i++)
        bench_say(b, i, (struct raft_message){.type = RAFT_VOTE_REPLY, .term = status_of(b).term});
    assert_int_equal(status_of(b).role, RAFT_LEADER);
    bench_store(b);
}

static int bench_acknowledge(struct bench *b, int from, uint64_t index)
{
    return bench_say(b, from,
                     (struct raft_message){
                         .type = RAFT_APPEND_REPLY, .term = status_of(b).term, .index = index});
}

static int bench_propose(struct bench *b, const char *text)
{
    return bench_give(b, (struct raft_input){.type = RAFT_PROPOSE, .data = bytes_of_text(text)});
}

/* Breaks if a leader counts copies of an earlier term's entry as its commitment (figure 8). */
static void test_commits_its_own_term_only(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry old = {.index = 2, .term = 2, .type = RAFT_ENTRY_COMMAND};
    bench_start(&b, 3, 3, &old, 1);
    bench_lead(&b, 3);
    assert_int_equal(status_of(&b).term, 4);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(status_of(&b).commit, 1);
    assert_int_equal(bench_acknowledge(&b, 2, 3), 0);
    assert_int_equal(status_of(&b).commit, 3);
    assert_int_equal(b.output.committed_count, 2);
    raft_free(b.raft);
}

/* Breaks if a candidate leads before its own vote is on the disk: it could lead twice in one term.
 */
static void test_own_vote_is_stored_first(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    uint64_t sequence = b.output.sequence;
    assert_int_equal(b.output.hard_state.term, 2);
    assert_non_null(bench_sent(&b, RAFT_VOTE, 2));
    struct raft_message grant = {.type = RAFT_VOTE_REPLY, .term = 2};
    assert_int_equal(bench_say(&b, 2, grant), 0);
    assert_int_equal(bench_say(&b, 3, grant), 0);
    assert_int_equal(status_of(&b).role, RAFT_CANDIDATE);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_STORED, .sequence = 99}),
                     -EINVAL);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_STORED, .sequence = sequence}),
                     0);
    assert_int_equal(status_of(&b).role, RAFT_LEADER);
    assert_int_equal(b.output.changed, RAFT_CHANGED_ROLE | RAFT_CHANGED_LEADER);
    raft_free(b.raft);
}

/* Breaks if a peer stays in a configuration that its log says was left, or stands for election in
 * another than its log's latest: two peers could lead in one term. */
static void test_configurations_in_the_log(void **state)
{
    (void)state;
    struct raft_changes changes = {.transition = RAFT_TRANSITION_EXPLICIT};
    for (int i = 1; i <= 6; i++)
        changes.members[changes.count++] =
            (struct raft_change){i <= 3 ? RAFT_REMOVE : RAFT_ADD_VOTER, peer(i)};
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
    assert_int_equal(status_of(&b).commit, 2); /* nobody said so */
    raft_free(b.raft);

    bench_start(&b, 3, 2, entries, array_count(entries));
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_true(raft_configuration_is_joint(raft_configuration(b.raft)));
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
    assert_null(bench_sent(&b, RAFT_VOTE, 2));
    assert_non_null(bench_sent(&b, RAFT_VOTE, 6));
    bench_store(&b);
    struct raft_message grant = {.type = RAFT_VOTE_REPLY, .term = 3};
    for (int i = 2; i <= 4; i++)
        assert_int_equal(bench_say(&b, i, grant), 0);
    assert_int_equal(status_of(&b).role, RAFT_CANDIDATE);
    assert_int_equal(bench_say(&b, 5, grant), 0);
    assert_int_equal(status_of(&b).role, RAFT_LEADER);
    /* The old half has to agree to be left. */
    bench_store(&b);
    assert_int_equal(bench_acknowledge(&b, 4, 4), 0);
    assert_int_equal(bench_acknowledge(&b, 5, 4), 0);
    assert_int_equal(status_of(&b).commit, 2);
    assert_int_equal(bench_acknowledge(&b, 2, 4), 0);
    assert_int_equal(status_of(&b).commit, 4);
    assert_int_equal(raft_configuration(b.raft)->count, 3);
    assert_int_equal(status_of(&b).role, RAFT_FOLLOWER); /* it was removed */
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
    assert_int_equal(status_of(&b).commit, 2);
    assert_int_equal(b.output.hard_state.commit, 1);
    assert_int_equal(b.output.committed_count, 0);
    assert_int_equal(b.output.message_count, 0);
    assert_int_equal(b.output.message_once_stored_count, 1);
    assert_int_equal(b.output.once_stored, b.output.sequence);
    bench_store(&b);
    assert_int_equal(b.output.hard_state.commit, 2);
    assert_int_equal(b.output.committed_count, 1);

    struct raft_snapshot snapshot = {
        .index = 10, .term = 2, .configuration = voters(1, 3), .data = bytes_of_text("state")};
    struct raft_message install = {.type = RAFT_SNAPSHOT, .term = 2, .snapshot = &snapshot};
    assert_int_equal(bench_say(&b, 2, install), 0);
    assert_int_equal(b.output.snapshot->index, 10);
    assert_int_equal(b.output.hard_state.commit, 2);
    assert_int_equal(status_of(&b).applied, 10);
    bench_store(&b);
    assert_int_equal(b.output.hard_state.commit, 10);
    raft_free(b.raft);
}

/* Breaks if a peer that may have promised loyalty before a restart votes at once. */
static void test_quiet_after_restart(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 2, NULL, 0);
    struct raft_message vote = {.type = RAFT_VOTE, .term = 3, .index = 1, .log_term = 1};
    b.now_ms -= 10;
    assert_int_equal(bench_say(&b, 2, vote), 0);
    assert_int_equal(status_of(&b).term, 2);
    b.now_ms += 10;
    assert_int_equal(bench_say(&b, 2, vote), 0);
    assert_int_equal(status_of(&b).term, 3);
    raft_free(b.raft);
}

/* Breaks if a follower helps to depose a leader that it hears, or refuses when the leader asks. */
static void test_loyalty(void **state)
{
    (void)state;
    struct bench b;
    struct raft_message heartbeat = {.type = RAFT_HEARTBEAT, .term = 2};
    struct raft_message vote = {.type = RAFT_VOTE, .term = 3, .index = 1, .log_term = 1};
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(bench_say(&b, 2, heartbeat), 0);
    assert_int_equal(status_of(&b).leader.bytes[0], 2);
    b.now_ms += 299;
    assert_int_equal(bench_say(&b, 3, vote), 0);
    vote.type = RAFT_PRE_VOTE;
    assert_int_equal(bench_say(&b, 3, vote), 0);
    assert_int_equal(b.output.message_once_stored_count + b.output.message_count, 0);
    assert_int_equal(status_of(&b).term, 2);
    vote.type = RAFT_VOTE;
    vote.transfer = true;
    assert_int_equal(bench_say(&b, 3, vote), 0);
    assert_int_equal(status_of(&b).term, 3);
    assert_int_equal(status_of(&b).vote.bytes[0], 3);
    assert_int_equal(b.output.message_once_stored_count, 1);
    /* One vote a term. */
    assert_int_equal(bench_say(&b, 2, vote), 0);
    assert_true(b.output.messages_once_stored[0].reject);
    raft_free(b.raft);
}

/* Breaks if forgetting a dead leader does not free a follower to vote. */
static void test_forget_leader(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(bench_say(&b, 2, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 2}), 0);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_FORGET_LEADER}), 0);
    assert_int_equal(status_of(&b).leader.bytes[0], 0);
    struct raft_message vote = {.type = RAFT_VOTE, .term = 3, .index = 1, .log_term = 1};
    assert_int_equal(bench_say(&b, 3, vote), 0);
    assert_int_equal(status_of(&b).term, 3);
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
    assert_int_equal(status_of(&b).last_index, 3);
    bench_store(&b);
    assert_int_equal(status_of(&b).stored_index, 3);
    /* What is there already is neither stored again nor cut off by an append that was overtaken. */
    append.entry_count = 0;
    assert_int_equal(bench_say(&b, 2, append), 0);
    assert_int_equal(b.output.sequence, 0);
    assert_int_equal(status_of(&b).last_index, 3);
    raft_free(b.raft);
}

/* Breaks if a message that no correct peer sends changes anything. */
static void test_refuses_nonsense(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry gap = {.index = 3, .term = 2, .type = RAFT_ENTRY_COMMAND};
    struct raft_entry future = {.index = 2, .term = 9, .type = RAFT_ENTRY_COMMAND};
    struct raft_snapshot empty = {.index = 0, .term = 1};
    const struct raft_message nonsense[] = {
        {.type = RAFT_HEARTBEAT},
        {.type = RAFT_MESSAGE_TYPES, .term = 3},
        {.type = RAFT_VOTE, .term = UINT64_MAX},
        {.type = RAFT_SNAPSHOT, .term = 3},
        {.type = RAFT_SNAPSHOT, .term = 3, .snapshot = &empty},
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
    struct raft_status before = status_of(&b);
    for (size_t i = 0; i < array_count(nonsense); i++) {
        assert_int_equal(bench_say(&b, 2, nonsense[i]), -EPROTO);
        assert_int_equal(b.output.message_count, 0);
    }
    struct raft_message reply = {.type = RAFT_APPEND_REPLY, .term = 7};
    assert_int_equal(bench_say(&b, 1, reply), -EPROTO);
    assert_int_equal(bench_say(&b, 9, reply), -ESRCH);
    struct raft_status after = status_of(&b);
    assert_true(after.term == before.term && after.commit == before.commit &&
                after.last_index == before.last_index && id_equal(&after.leader, &before.leader));
    struct raft_message ahead = {.type = RAFT_HEARTBEAT, .term = 2, .commit = 1000};
    assert_int_equal(bench_say(&b, 2, ahead), 0);
    assert_int_equal(status_of(&b).commit, 1);
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
    assert_int_equal(status_of(&b).uncommitted_bytes, 80);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    struct bytes huge = {(const uint8_t *)text, RAFT_ENTRY_BYTES_MAX + 1};
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_PROPOSE, .data = huge}),
                     -E2BIG);
    raft_free(b.raft);
}

static struct raft_entry change_entry(uint64_t index, enum raft_change_type type, int number,
                                      struct buffer *buffer)
{
    struct raft_changes changes = {.members = {{type, peer(number)}}, .count = 1};
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
    assert_int_equal(status_of(&b).role, RAFT_CANDIDATE);
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

    struct raft_changes add = {.members = {{RAFT_ADD_VOTER, peer(4)}}, .count = 1};
    struct raft_input input = {.type = RAFT_PROPOSE_CONFIGURATION, .changes = &add};
    bench_start(&b, 3, 2, &entry, 1);
    bench_lead(&b, 3);
    assert_int_equal(bench_give(&b, input), -EBUSY);
    assert_int_equal(bench_acknowledge(&b, 2, 3), 0);
    assert_int_equal(bench_give(&b, input), 0);
    raft_free(b.raft);
}

/* Breaks if configuration changes that are not allowed, or a second one, are taken. */
static void test_configuration_proposals(void **state)
{
    (void)state;
    struct bench b;
    struct raft_changes add = {.members = {{RAFT_ADD_LEARNER, peer(4)}}, .count = 1};
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
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TRANSFER, .peer = peer(4)}),
                     -ENOENT);
    raft_free(b.raft);
}

static struct raft_progress_status progress_of(const struct bench *b, int number)
{
    struct raft_progress_status progress;
    struct id id = peer(number);
    assert_int_equal(raft_progress_of(b->raft, &id, &progress), 0);
    return progress;
}

/* Breaks if a follower that answers nothing is sent appends without end, or none ever again. */
static void test_flow_control(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(progress_of(&b, 2).state, RAFT_PROBE);
    assert_true(progress_of(&b, 2).paused);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(progress_of(&b, 2).state, RAFT_REPLICATE);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(bench_propose(&b, "x"), 0);
        assert_int_equal(bench_sent(&b, RAFT_APPEND, 2) != NULL, i < 3);
    }
    assert_int_equal(progress_of(&b, 2).inflight, 3);
    assert_true(progress_of(&b, 2).paused);
    /* A heartbeat's answer without an acknowledgement: an empty append asks what is missing. */
    struct raft_message answer = {.type = RAFT_HEARTBEAT_REPLY, .term = 2};
    assert_int_equal(bench_say(&b, 2, answer), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 2)->entry_count, 0);
    assert_int_equal(bench_acknowledge(&b, 2, 4), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 2)->entry_count, 1);
    assert_int_equal(progress_of(&b, 2).next, 8);
    bench_give(&b, (struct raft_input){.type = RAFT_UNREACHABLE, .peer = peer(2)});
    assert_int_equal(progress_of(&b, 2).state, RAFT_PROBE);
    assert_int_equal(progress_of(&b, 2).next, 5);
    raft_free(b.raft);
}

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
    assert_int_equal(status_of(&b).first_index, 3);
    struct raft_message refusal = {
        .type = RAFT_APPEND_REPLY, .term = 2, .reject = true, .index = 1};
    assert_int_equal(bench_say(&b, 3, refusal), 0);
    assert_int_equal(bench_sent(&b, RAFT_SNAPSHOT, 3)->snapshot->index, 2);
    assert_int_equal(progress_of(&b, 3).state, RAFT_INSTALL);
    struct raft_message answer = {.type = RAFT_HEARTBEAT_REPLY, .term = 2};
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_null(bench_sent(&b, RAFT_SNAPSHOT, 3));
    b.now_ms += RAFT_SNAPSHOT_TIMEOUT_MS;
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_int_equal(bench_sent(&b, RAFT_APPEND, 3)->index, 2);
    refusal.index = 2;
    assert_int_equal(bench_say(&b, 3, refusal), 0);
    assert_non_null(bench_sent(&b, RAFT_SNAPSHOT, 3));
    bench_give(&b, (struct raft_input){.type = RAFT_UNREACHABLE, .peer = peer(3)});
    assert_int_equal(progress_of(&b, 3).state, RAFT_PROBE);
    assert_int_equal(bench_say(&b, 3, answer), 0);
    assert_non_null(bench_sent(&b, RAFT_SNAPSHOT, 3));
    assert_int_equal(bench_acknowledge(&b, 3, 2), 0);
    assert_int_equal(progress_of(&b, 3).state, RAFT_REPLICATE);
    raft_free(b.raft);
}

/* Breaks if a leader that hears of no quorum goes on leading, or claims its lease. */
static void test_quorum_check_and_lease(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_false(raft_leader_lease_valid(b.raft, b.now_ms));
    b.now_ms += 75;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    struct raft_message answer = {
        .type = RAFT_HEARTBEAT_REPLY, .term = 2, .sent_ms = b.now_ms, .round = UINT64_MAX};
    b.now_ms += 200;
    assert_int_equal(bench_say(&b, 2, answer), 0);
    /* It counts from when the heartbeat was sent, not from when it was answered. */
    assert_true(raft_leader_lease_valid(b.raft, b.now_ms));
    assert_false(raft_leader_lease_valid(b.raft, b.now_ms + 75));
    b.now_ms += 25;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(status_of(&b).role, RAFT_LEADER);
    b.now_ms += 300;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(status_of(&b).role, RAFT_FOLLOWER);
    assert_int_equal(status_of(&b).term, 2);
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

/* Breaks if a snapshot of what a follower has anyway throws its log away. */
static void test_needless_snapshot(void **state)
{
    (void)state;
    struct bench b;
    struct raft_entry entry = {.index = 2, .term = 2, .type = RAFT_ENTRY_COMMAND};
    struct raft_snapshot snapshot = {.index = 2, .term = 2, .configuration = voters(1, 3)};
    struct raft_message install = {.type = RAFT_SNAPSHOT, .term = 2, .snapshot = &snapshot};
    bench_start(&b, 3, 2, &entry, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(bench_say(&b, 2, install), 0);
        assert_null(b.output.snapshot);
        assert_int_equal(b.output.committed_count, i == 0);
        assert_int_equal(bench_sent(&b, RAFT_APPEND_REPLY, 2)->index, 2);
    }
    assert_int_equal(status_of(&b).first_index, 2);
    raft_free(b.raft);
}

/* Breaks if a follower waits longer or shorter than its election timeout, or says so wrongly. */
static void test_election_timeout(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(bench_say(&b, 2, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 2}), 0);
    assert_in_range(b.output.next_deadline_ms - b.now_ms, RAFT_ELECTION_TIMEOUT_MS,
                    RAFT_ELECTION_TIMEOUT_MAX_MS);
    raft_set_election_timeout(b.raft, 400);
    b.now_ms += 399;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_int_equal(b.output.next_deadline_ms, b.now_ms + 1);
    assert_string_equal(raft_role_name(status_of(&b).role), "follower");
    b.now_ms += 1;
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_TICK}), 0);
    assert_string_equal(raft_role_name(status_of(&b).role), "candidate");
    raft_free(b.raft);
}

/* Breaks if an old leader is left believing that it leads. */
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
    assert_int_equal(b.output.message_count, 0);
    raft_free(b.raft);
}

/* Breaks if a restart takes what contradicts itself, or loses what was committed. */
static void test_restore(void **state)
{
    (void)state;
    struct raft_config config;
    struct id self = peer(1);
    struct raft *raft = NULL;
    raft_config_init(&config, &self, 1);
    struct raft_entry entries[3];
    for (uint64_t i = 0; i < 3; i++)
        entries[i] = (struct raft_entry){.index = i + 4, .term = 2, .type = RAFT_ENTRY_COMMAND};
    struct raft_snapshot snapshot = {.index = 5, .term = 2, .configuration = voters(1, 3)};
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
    assert_int_equal(raft_step(raft, &(struct raft_input){.type = RAFT_TICK}, &output), 0);
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
        cmocka_unit_test(test_commits_its_own_term_only),
        cmocka_unit_test(test_own_vote_is_stored_first),
        cmocka_unit_test(test_configurations_in_the_log),
        cmocka_unit_test(test_commit_is_not_stored_ahead),
        cmocka_unit_test(test_quiet_after_restart),
        cmocka_unit_test(test_loyalty),
        cmocka_unit_test(test_forget_leader),
        cmocka_unit_test(test_conflicting_log),
        cmocka_unit_test(test_refuses_nonsense),
        cmocka_unit_test(test_proposals),
        cmocka_unit_test(test_voter_by_its_log),
        cmocka_unit_test(test_unapplied_configuration),
        cmocka_unit_test(test_configuration_proposals),
        cmocka_unit_test(test_flow_control),
        cmocka_unit_test(test_snapshot_is_repeated),
        cmocka_unit_test(test_quorum_check_and_lease),
        cmocka_unit_test(test_read_bounds),
        cmocka_unit_test(test_needless_snapshot),
        cmocka_unit_test(test_election_timeout),
        cmocka_unit_test(test_answers_older_terms),
        cmocka_unit_test(test_restore),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
