#include <errno.h>

#include "raft_bench.h"

static int read_at(struct bench *b, uint64_t context)
{
    return bench_give(b, (struct raft_input){.type = RAFT_READ, .context = context});
}

static int tick(struct bench *b, int64_t after_ms)
{
    b->now_ms += after_ms;
    return bench_give(b, (struct raft_input){.type = RAFT_TICK});
}

/* Peer 2 leads in term 2, and peer 1 follows. */
static void follow(struct bench *b)
{
    bench_start(b, 3, 1, NULL, 0);
    assert_int_equal(bench_say(b, 2, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 2}), 0);
    bench_store(b);
    assert_int_equal(bench_status(b).role, RAFT_FOLLOWER);
}

static uint64_t asked(const struct bench *b)
{
    const struct raft_message *question = bench_sent(b, RAFT_READ_REQUEST, 2);
    assert_non_null(question);
    assert_int_equal(question->term, 2);
    return question->round;
}

static struct raft_message reply(uint64_t round, uint64_t index)
{
    return (struct raft_message){
        .type = RAFT_READ_REPLY, .term = 2, .round = round, .index = index};
}

/* Breaks if a follower does not pass reads on, or passes each one on by itself. */
static void test_follower_asks(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    assert_int_equal(read_at(&b, 1), -EREMOTE); /* it knows of no leader */
    raft_free(b.raft);
    follow(&b);
    assert_int_equal(read_at(&b, 1), 0);
    uint64_t first = asked(&b);
    for (uint64_t i = 2; i <= 4; i++) {
        assert_int_equal(read_at(&b, i), 0);
        assert_null(bench_sent(&b, RAFT_READ_REQUEST, 2));
    }
    assert_int_equal(bench_say(&b, 2, reply(first, 9)), 0);
    assert_int_equal(b.output.read_count, 1);
    assert_int_equal(b.output.reads[0].context, 1);
    assert_int_equal(b.output.reads[0].rc, 0);
    assert_int_equal(b.output.reads[0].index, 9);
    uint64_t rest = asked(&b);
    assert_int_equal(rest, first + 3);
    assert_int_equal(bench_say(&b, 2, reply(rest, 11)), 0);
    assert_int_equal(b.output.read_count, 3);
    assert_int_equal(b.output.reads[2].context, 4);
    assert_int_equal(b.output.reads[2].index, 11);
    assert_null(bench_sent(&b, RAFT_READ_REQUEST, 2));
    raft_free(b.raft);
}

/* Breaks if an answer to an earlier question, of another peer or of a time to come is taken. */
static void test_stale_answers(void **state)
{
    (void)state;
    struct bench b;
    follow(&b);
    assert_int_equal(read_at(&b, 1), 0);
    uint64_t first = asked(&b);
    assert_int_equal(bench_say(&b, 2, reply(first - 1, 9)), 0);
    assert_int_equal(b.output.read_count, 0);
    assert_int_equal(bench_say(&b, 2, reply(first + 1, 9)), 0);
    assert_int_equal(b.output.read_count, 0);
    assert_int_equal(bench_say(&b, 3, reply(first, 9)), 0);
    assert_int_equal(b.output.read_count, 0);
    struct raft_message old = reply(first, 9);
    old.term = 1;
    assert_int_equal(bench_say(&b, 2, old), 0);
    assert_int_equal(b.output.read_count, 0);
    assert_int_equal(bench_say(&b, 2, reply(first, 9)), 0);
    assert_int_equal(b.output.read_count, 1);
    assert_int_equal(read_at(&b, 2), 0);
    assert_int_equal(bench_say(&b, 2, reply(first, 9)), 0); /* the same once more */
    assert_int_equal(b.output.read_count, 0);
    raft_free(b.raft);
}

/* Breaks if a peer counts its questions from the same number again after a restart: it would take
 * an answer of before it for one of now. */
static void test_numbers_of_two_lives(void **state)
{
    (void)state;
    uint64_t numbers[2];
    for (uint64_t life = 0; life < 2; life++) {
        struct bench b;
        struct raft_config config = bench_config();
        config.seed = 100 + life;
        bench_start_as(&b, &config, 3, 2, NULL, 0);
        assert_int_equal(bench_say(&b, 2, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 2}),
                         0);
        assert_int_equal(read_at(&b, 1), 0);
        numbers[life] = asked(&b);
        if (life == 1) {
            assert_int_equal(bench_say(&b, 2, reply(numbers[0], 9)), 0);
            assert_int_equal(b.output.read_count, 0);
        }
        raft_free(b.raft);
    }
    assert_true(numbers[0] != numbers[1]);
}

/* Breaks if a lost question is never repeated, or a read waits for ever. */
static void test_no_answer(void **state)
{
    (void)state;
    struct bench b;
    follow(&b);
    assert_int_equal(read_at(&b, 1), 0);
    uint64_t first = asked(&b);
    assert_true(b.output.next_deadline_ms <= b.now_ms + RAFT_HEARTBEAT_MS);
    assert_int_equal(tick(&b, RAFT_HEARTBEAT_MS), 0);
    assert_int_equal(asked(&b), first);
    int64_t waited_ms = RAFT_HEARTBEAT_MS;
    while (waited_ms <
           RAFT_ELECTION_TIMEOUT_MAX_MS) { /* the leader lives, and says nothing of it */
        assert_int_equal(b.output.read_count, 0);
        waited_ms += RAFT_HEARTBEAT_MS;
        b.now_ms += RAFT_HEARTBEAT_MS;
        assert_int_equal(bench_say(&b, 2, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 2}),
                         0);
        assert_int_equal(tick(&b, 0), 0);
    }
    assert_int_equal(b.output.read_count, 1);
    assert_int_equal(b.output.reads[0].rc, -ECANCELED);
    assert_int_equal(read_at(&b, 2), 0);
    assert_int_equal(bench_say(&b, 3, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 3}), 0);
    assert_int_equal(b.output.read_count, 1);
    assert_int_equal(b.output.reads[0].context, 2);
    assert_int_equal(b.output.reads[0].rc, -ECANCELED);
    for (uint64_t i = 0; i < RAFT_READS_MAX; i++)
        assert_int_equal(read_at(&b, i), 0);
    assert_int_equal(read_at(&b, 0), -EBUSY);
    raft_free(b.raft);
}

static int ask(struct bench *b, int from, uint64_t number)
{
    return bench_say(b, from,
                     (struct raft_message){.type = RAFT_READ_REQUEST, .term = 2, .round = number});
}

/* The round that the leader's last heartbeat to peer 2 carries. */
static uint64_t round_of(const struct bench *b)
{
    const struct raft_message *heartbeat = bench_sent(b, RAFT_HEARTBEAT, 2);
    assert_non_null(heartbeat);
    return heartbeat->round;
}

static int confirm(struct bench *b, int from, uint64_t round)
{
    return bench_say(b, from,
                     (struct raft_message){
                         .type = RAFT_HEARTBEAT_REPLY, .term = 2, .round = round, .sent_ms = 1});
}

/* Breaks if a leader answers before a quorum confirmed that it leads, or before it knows what is
 * committed. */
static void test_leader_answers(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 5, 1, NULL, 0);
    bench_lead(&b, 5);
    assert_int_equal(ask(&b, 3, 70), 0);
    assert_null(bench_sent(&b, RAFT_HEARTBEAT, 2)); /* nothing of its own term is committed yet */
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(bench_acknowledge(&b, 3, 2), 0);
    assert_int_equal(bench_status(&b).commit, 2);
    assert_int_equal(ask(&b, 3, 70), 0);
    uint64_t round = round_of(&b);
    assert_null(bench_sent(&b, RAFT_READ_REPLY, 3));
    assert_int_equal(ask(&b, 3, 70), 0); /* asked twice: one round is enough */
    assert_null(bench_sent(&b, RAFT_HEARTBEAT, 2));
    assert_int_equal(confirm(&b, 2, round - 1), 0);
    assert_int_equal(confirm(&b, 3, round - 1), 0);
    assert_int_equal(confirm(&b, 4, round), 0);
    assert_null(bench_sent(&b, RAFT_READ_REPLY, 3));
    assert_int_equal(confirm(&b, 2, round), 0);
    const struct raft_message *answer = bench_sent(&b, RAFT_READ_REPLY, 3);
    assert_non_null(answer);
    assert_int_equal(answer->round, 70);
    assert_int_equal(answer->index, 2);
    assert_int_equal(confirm(&b, 5, round), 0);
    assert_null(bench_sent(&b, RAFT_READ_REPLY, 3));
    raft_free(b.raft);
}

/* Breaks if a read waits for ever because those who could confirm it lost their votes meanwhile:
 * nobody is left to answer a heartbeat (simulate, seed 1447). */
static void test_confirmed_by_change(void **state)
{
    (void)state;
    struct raft_changes changes = {.members = {{RAFT_REMOVE, bench_peer(2)}}, .count = 1};
    struct bench b;
    bench_start(&b, 2, 1, NULL, 0);
    bench_lead(&b, 2);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_PROPOSE_CONFIGURATION,
                                                        .changes = &changes}),
                     0);
    bench_store(&b);
    assert_int_equal(read_at(&b, 1), 0);
    assert_int_equal(b.output.read_count, 0);
    assert_int_equal(bench_acknowledge(&b, 2, 3), 0);
    assert_int_equal(raft_configuration(b.raft)->count, 1);
    assert_int_equal(b.output.read_count, 1);
    assert_int_equal(b.output.reads[0].rc, 0);
    assert_int_equal(b.output.reads[0].index, 2);
    raft_free(b.raft);
}

/* Breaks if one peer's questions can fill a leader, or a stranger's are taken. */
static void test_questions_are_bounded(void **state)
{
    (void)state;
    struct bench b;
    bench_start(&b, 3, 1, NULL, 0);
    bench_lead(&b, 3);
    assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
    assert_int_equal(ask(&b, 9, 1), -ESRCH);
    for (uint64_t i = 1; i <= RAFT_FORWARDED_READS_EACH_MAX; i++) {
        assert_int_equal(ask(&b, 3, i), 0);
        assert_int_equal(round_of(&b), i);
    }
    assert_int_equal(ask(&b, 3, 1000), 0);
    assert_null(bench_sent(&b, RAFT_HEARTBEAT, 2));
    assert_int_equal(ask(&b, 2, 1), 0); /* another's still is */
    assert_non_null(bench_sent(&b, RAFT_HEARTBEAT, 3));
    assert_int_equal(bench_say(&b, 3, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 3}), 0);
    assert_null(bench_sent(&b, RAFT_READ_REPLY, 3)); /* it does not lead any more */
    assert_int_equal(b.output.read_count, 0);
    raft_free(b.raft);
}

static void lead_by_lease(struct bench *b, bool read_by_lease, uint32_t drift_permille)
{
    struct raft_config config = bench_config();
    config.read_by_lease = read_by_lease;
    config.clock_drift_permille = drift_permille;
    bench_start_as(b, &config, 3, 1, NULL, 0);
    bench_lead(b, 3);
    assert_int_equal(bench_acknowledge(b, 2, 2), 0);
    struct raft_message loyal = {.type = RAFT_HEARTBEAT_REPLY, .term = 2, .sent_ms = b->now_ms};
    assert_int_equal(bench_say(b, 2, loyal), 0);
}

/* Breaks if a lease is read by where nobody allowed it, or beyond its end, or not at all. */
static void test_lease(void **state)
{
    (void)state;
    struct bench b;
    lead_by_lease(&b, false, 100);
    assert_int_equal(read_at(&b, 1), 0);
    assert_int_equal(b.output.read_count, 0);
    raft_free(b.raft);

    lead_by_lease(&b, true, 0); /* nobody knows how clocks drift */
    assert_false(raft_leader_lease_valid(b.raft, b.now_ms));
    assert_int_equal(read_at(&b, 1), 0);
    assert_int_equal(b.output.read_count, 0);
    raft_free(b.raft);

    lead_by_lease(&b, true, 200);
    assert_int_equal(read_at(&b, 1), 0);
    assert_int_equal(b.output.read_count, 1);
    assert_int_equal(b.output.reads[0].index, 2);
    assert_int_equal(ask(&b, 3, 7), 0);
    assert_non_null(bench_sent(&b, RAFT_READ_REPLY, 3));
    b.now_ms += RAFT_ELECTION_TIMEOUT_MS * 8 / 10 - 1;
    assert_int_equal(read_at(&b, 2), 0);
    assert_int_equal(b.output.read_count, 1);
    b.now_ms += 1;
    assert_int_equal(read_at(&b, 3), 0);
    assert_int_equal(b.output.read_count, 0);
    assert_int_equal(ask(&b, 3, 8), 0);
    assert_null(bench_sent(&b, RAFT_READ_REPLY, 3));
    raft_free(b.raft);

    lead_by_lease(&b, true, 100);
    assert_int_equal(
        bench_give(&b, (struct raft_input){.type = RAFT_TRANSFER, .peer = bench_peer(2)}), 0);
    assert_int_equal(read_at(&b, 1), 0); /* the others may elect peer 2 at once */
    assert_int_equal(b.output.read_count, 0);
    raft_free(b.raft);
}

/* Breaks if a peer that a lease counts on can be told to help elect another. */
static void test_lease_holds_followers(void **state)
{
    (void)state;
    for (int by_lease = 0; by_lease < 2; by_lease++) {
        struct bench b;
        struct raft_config config = bench_config();
        config.read_by_lease = by_lease;
        bench_start_as(&b, &config, 3, 1, NULL, 0);
        assert_int_equal(bench_say(&b, 2, (struct raft_message){.type = RAFT_HEARTBEAT, .term = 2}),
                         0);
        int expected = by_lease ? -EPERM : 0;
        assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_FORGET_LEADER}), expected);
        struct id leader = bench_status(&b).leader;
        assert_int_equal(id_is_none(&leader), !by_lease);
        assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), expected);
        b.now_ms += RAFT_ELECTION_TIMEOUT_MS;
        assert_int_equal(bench_give(&b, (struct raft_input){.type = RAFT_CAMPAIGN}), 0);
        raft_free(b.raft);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_follower_asks),         cmocka_unit_test(test_stale_answers),
        cmocka_unit_test(test_numbers_of_two_lives),  cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_leader_answers),        cmocka_unit_test(test_confirmed_by_change),
        cmocka_unit_test(test_questions_are_bounded), cmocka_unit_test(test_lease),
        cmocka_unit_test(test_lease_holds_followers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
