/* What somebody on the network without a key can do to a dozen peers, one trick at a time; at each
 * step the rules of rules.h hold, and after it all is well. docs/threat-model.md names these. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "tests/sim/sealed/campaign.h"
#include "tests/sim/sealed/rules.h"

enum {
    SECOND_MS = 1000,
    SEEDS = 2,
    MOVED = 3, /* a peer */
};

/* Runs a campaign of some tricks from each seed; the outcomes are summed up. */
static struct campaign_outcome run(unsigned tricks, bool revokes)
{
    struct campaign_outcome sum = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct campaign_options options = campaign_defaults();
        struct campaign_outcome outcome;
        options.tricks = tricks;
        options.all_at_once = true;
        options.attack_ms = 25 * SECOND_MS;
        options.loss_permille = 10;
        options.revokes = revokes;
        campaign_run(seed, &options, &outcome);
        if (!outcome.has_passed)
            fail_msg("seed %d, %.3f s: %s", (int)seed, (double)outcome.ended_ms / 1000,
                     outcome.failure);
        for (int i = 0; i < TRICK_COUNT; i++)
            sum.trick_counts[i] += outcome.trick_counts[i];
        for (int i = 0; i < SESSION_REFUSALS; i++)
            sum.counters.refused[i] += outcome.counters.refused[i];
        sum.counters.victims_asked_bytes += outcome.counters.victims_asked_bytes;
        sum.counters.victims_bytes += outcome.counters.victims_bytes;
        sum.counters.victims_pings += outcome.counters.victims_pings;
        sum.cookies_used += outcome.cookies_used;
        if (outcome.settled_ms > sum.settled_ms)
            sum.settled_ms = outcome.settled_ms;
    }
    return sum;
}

static void print_refused(const struct campaign_outcome *outcome)
{
    for (int i = SESSION_ACCEPTED + 1; i < SESSION_REFUSALS; i++)
        if (outcome->counters.refused[i] > 0)
            print_message("  %u times: %s\n", (unsigned)outcome->counters.refused[i],
                          session_refusal_words((enum session_refusal)i));
    print_message("  all well %.1f s after it\n", (double)outcome->settled_ms / 1000);
}

static void assert_refused(const struct campaign_outcome *outcome, enum session_refusal refusal,
                           unsigned least)
{
    if (outcome->counters.refused[refusal] < least)
        fail_msg("only %u times: %s", (unsigned)outcome->counters.refused[refusal],
                 session_refusal_words(refusal));
}

/* Breaks if anything that is sent again is delivered again, to the same peer or another, of this
 * life of its sender or an earlier one, before a restart or after. */
static void test_replays(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_REPLAY, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_REPLAY] > 5000);
    assert_refused(&outcome, SESSION_REPLAYED, 1000);
    assert_refused(&outcome, SESSION_UNKNOWN_INDEX, 1000);
    assert_refused(&outcome, SESSION_NOT_FOR_US, 50);
    assert_refused(&outcome, SESSION_KEYS_EXPIRED, 1);
}

/* Breaks if a victim under whose address somebody asks gets more than a little of what was asked,
 * or if that makes a peer unreachable. */
static void test_reflects(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_REFLECT, false);
    const struct world_counters *counters = &outcome.counters;
    print_message("  victims got %u bytes for %u sent under their addresses, %u packets unasked\n",
                  (unsigned)counters->victims_bytes, (unsigned)counters->victims_asked_bytes,
                  (unsigned)counters->victims_pings);
    assert_true(counters->victims_asked_bytes > 1000 * 1000);
    assert_true(counters->victims_bytes < counters->victims_asked_bytes / 2);
}

/* Breaks if first packets of strangers, under forged addresses or with cookies for real ones, leave
 * anything behind, or keep peers that restart meanwhile from their handshakes. */
static void test_floods(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_FLOOD, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_FLOOD] > 5000);
    assert_refused(&outcome, SESSION_COOKIE_WANTED, 1000);
    assert_refused(&outcome, SESSION_NOT_AUTHENTIC, 1000);
    assert_refused(&outcome, SESSION_CHAIN_BAD, 100);
    assert_refused(&outcome, SESSION_SOURCE_BUSY, 1);
    assert_refused(&outcome, SESSION_COOKIE_RECEIVED, 1); /* an honest peer was asked for one */
    assert_true(outcome.cookies_used > 100);
}

/* Breaks if a packet with a bit flipped, cut off, or put together of two, is taken. */
static void test_forges(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_FORGE, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_FORGE] > 500);
    assert_refused(&outcome, SESSION_NOT_AUTHENTIC, 1000);
    assert_refused(&outcome, SESSION_MALFORMED, 10);
}

/* Breaks if cookies that the attacker makes for first packets that it sees keep peers apart, also
 * those that have to show cookies. */
static void test_cookies(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_COOKIE | 1 << TRICK_FLOOD, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_COOKIE] > 50);
    assert_refused(&outcome, SESSION_COOKIE_RECEIVED, 100);
}

/* Breaks if peers are held dead that some others still reach, or a death is not found. */
static void test_withholds(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_WITHHOLD, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_WITHHOLD] > 200);
}

/* Breaks if packets that come seconds late, in any order, do harm: also answers of before a
 * restart, and more of them than a replay window holds. */
static void test_delays(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_DELAY | 1 << TRICK_REPLAY, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_DELAY] > 500);
    assert_refused(&outcome, SESSION_REPLAYED, 1000);
}

/* Breaks if one whose packets come from elsewhere is lost, or others keep sending there after. */
static void test_redirects(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_REDIRECT, false);
    print_refused(&outcome);
    assert_true(outcome.trick_counts[TRICK_REDIRECT] > 100);
}

static unsigned count_learnt(const struct world *world)
{
    unsigned count = 0;
    struct address lair = world_lair(0);
    for (unsigned i = 0; i < world->count; i++) {
        const struct address *learnt =
            i == MOVED ? NULL
                       : swim_member_learnt(world->peers[i].swim, &world->peers[MOVED].identity.id);
        count += learnt && address_equal(learnt, &lair);
    }
    return count;
}

/* Breaks if somebody on the path who passes a peer's packets on from its own address makes others
 * send there while the peer is reached where it says; or, where nothing else gets through, if the
 * peer is lost instead, or if others do not come back to its address soon after. */
static void test_moves_an_address(void **state)
{
    (void)state;
    struct world world;
    struct world_options options = world_defaults();
    world_init(&world, &options);
    struct attacker *attacker = world.attacker = attacker_new(&world, 1);
    world_run(&world, world.timeline.now_ms + 20 * SECOND_MS);
    assert_true(rules_all_well(&world));

    attacker->redirect =
        (struct attacker_redirect){.peer = MOVED, .as = world_lair(0), .is_both_ways = true};
    world_run(&world, world.timeline.now_ms + 30 * SECOND_MS);
    assert_int_equal(count_learnt(&world), 0);

    attacker->redirect.is_only_way = true;
    world_run(&world, world.timeline.now_ms + 40 * SECOND_MS);
    print_message("  %u of %u send to the attacker, the only way there is\n", count_learnt(&world),
                  world.count - 1);
    assert_in_range(count_learnt(&world), world.count / 2, world.count - 1);

    attacker->redirect = (struct attacker_redirect){.peer = WORLD_NOBODY};
    world_run(&world, world.timeline.now_ms + 20 * SECOND_MS);
    assert_int_equal(count_learnt(&world), 0);
    assert_true(rules_all_well(&world));
    assert_string_equal(world.failure, "");
    world_done(&world);
    attacker_free(attacker);
}

/* Breaks if anything of a revoked peer is taken, what it said before included. */
static void test_revoked(void **state)
{
    (void)state;
    struct campaign_outcome outcome = run(1 << TRICK_REPLAY | 1 << TRICK_DELAY, true);
    print_refused(&outcome);
    assert_refused(&outcome, SESSION_NOT_ADMITTED, 20);
}

/* Breaks if a seed that failed can't be looked at again. */
static void test_repeats(void **state)
{
    (void)state;
    uint64_t traces[3];
    for (int i = 0; i < 3; i++) {
        struct campaign_options options = campaign_defaults();
        struct campaign_outcome outcome;
        options.attack_ms = 5 * SECOND_MS;
        campaign_run(i < 2 ? 7 : 8, &options, &outcome);
        assert_true(outcome.has_passed);
        traces[i] = outcome.trace;
    }
    assert_int_equal(traces[0], traces[1]);
    assert_int_not_equal(traces[0], traces[2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replays),          cmocka_unit_test(test_reflects),
        cmocka_unit_test(test_floods),           cmocka_unit_test(test_forges),
        cmocka_unit_test(test_cookies),          cmocka_unit_test(test_withholds),
        cmocka_unit_test(test_delays),           cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_moves_an_address), cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_repeats),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
