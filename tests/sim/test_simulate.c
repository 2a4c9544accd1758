/* The simulator itself: that it repeats, and that it notices when a rule is broken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/sim/scene.h"
#include "tests/sim/schedule.h"

enum {
    SEEDS_MAX = 240, /* a rule broken is not always noticed; how often hangs on the timings */
    LEASE_DURATION_MS = 60000, /* leases take their time to end */
};

/* Breaks if anything but the seed decides what happens: a run that can't be repeated can't be
 * understood. */
static void test_repeats(void **state)
{
    (void)state;
    struct schedule_options options = {.peers = 5, .faults = FAULT_ALL};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct schedule_outcome first, second;
        schedule_run(seed, &options, (struct trace){.is_digested = true}, &first);
        schedule_run(seed, &options, (struct trace){.is_digested = true}, &second);
        assert_true(first.digest == second.digest);
        assert_int_equal(first.ended_ms, second.ended_ms);
        assert_true(first.digest != 0);
    }
}

/* Runs seeds until one fails with words that begin so. */
static void expect_noticed(enum sabotage sabotage, unsigned peers, unsigned faults,
                           const char *const *invariants)
{
    struct schedule_options options = {
        .peers = peers,
        .faults = faults,
        .sabotage = sabotage,
        .duration_ms = sabotage == SABOTAGE_IGNORE_LEASE ? LEASE_DURATION_MS : 0};
    char last[256] = "nothing";
    for (uint64_t seed = 1; seed <= SEEDS_MAX; seed++) {
        struct schedule_outcome outcome;
        schedule_run(seed, &options, (struct trace){0}, &outcome);
        for (size_t i = 0; !outcome.has_passed && invariants[i]; i++) {
            if (strncmp(outcome.failure, invariants[i], strlen(invariants[i])) != 0)
                continue;
            print_message("seed %llu: %s\n", (unsigned long long)seed, outcome.failure);
            return;
        }
        if (!outcome.has_passed)
            snprintf(last, sizeof(last), "%s", outcome.failure);
    }
    fail_msg("nobody noticed, but: %s", last);
}

static const char *const raft_words[] = {"one leader a term",       "one vote a term",
                                         "committed is never lost", "logs match",
                                         "states are equal",        NULL};

/* Each breaks if the simulator would not see the rule broken. */

static void test_votes_before_they_are_stored(void **state)
{
    (void)state;
    expect_noticed(SABOTAGE_SEND_BEFORE_STORED, 3, FAULT_CRASH | FAULT_DISK, raft_words);
}

static void test_disk_that_lies(void **state)
{
    (void)state;
    expect_noticed(SABOTAGE_LOSE_SYNCED, 5, FAULT_CRASH | FAULT_DAEMON, raft_words);
}

static void test_votes_that_were_refused(void **state)
{
    (void)state;
    expect_noticed(SABOTAGE_GRANT_VOTES, 5, FAULT_CRASH | FAULT_DAEMON | FAULT_PARTITION,
                   raft_words);
}

static void test_commit_before_a_majority(void **state)
{
    (void)state;
    expect_noticed(SABOTAGE_COMMIT_EARLY, 5, FAULT_PARTITION | FAULT_CRASH, raft_words);
}

static void test_ignored_leases(void **state)
{
    static const char *const words[] = {"exclusive runs once", NULL};
    (void)state;
    expect_noticed(SABOTAGE_IGNORE_LEASE, 3, FAULT_PARTITION, words);
}

static void test_containers_that_never_stop(void **state)
{
    static const char *const words[] = {"no orphans", NULL};
    (void)state;
    expect_noticed(SABOTAGE_NEVER_STOP, 3, FAULT_CONTAINER, words);
}

static void test_reads_of_the_past(void **state)
{
    static const char *const words[] = {"reads are fresh", NULL};
    (void)state;
    expect_noticed(SABOTAGE_READ_LOCAL, 5, FAULT_PARTITION | FAULT_DELAY, words);
}

static void test_forgotten_entries_of_the_feed(void **state)
{
    static const char *const words[] = {"what is stored counts", NULL};
    (void)state;
    expect_noticed(SABOTAGE_FORGET_FED, 9, FAULT_CRASH | FAULT_DAEMON, words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_votes_before_they_are_stored),
        cmocka_unit_test(test_disk_that_lies),
        cmocka_unit_test(test_votes_that_were_refused),
        cmocka_unit_test(test_commit_before_a_majority),
        cmocka_unit_test(test_ignored_leases),
        cmocka_unit_test(test_containers_that_never_stop),
        cmocka_unit_test(test_reads_of_the_past),
        cmocka_unit_test(test_forgotten_entries_of_the_feed),
    };
    return cmocka_run_group_tests_name("sim-simulate", tests, scene_set_up, NULL);
}
