/* What one commit costs the leader, in fleets of some sizes: counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/leader_work.h"
#include "tests/sim/scene.h"

/* All but the last: per commit, beyond what the leader does anyway. tools/bench has larger fleets.
 */
enum {
    COMMITS = 20,
    SENT_MAX = 28, /* to the other voters and, a few times, by gossip */
    SENT_BYTES_MAX = 10000,
    RECEIVED_MAX = 16, /* what the voters answer */
    RECEIVED_BYTES_MAX = 2000,
    FEED_SENT_MAX = 2, /* the others have the entries from one another */
    HASHED_BYTES_MAX = 512,
    ARRIVED_MS_MAX = 1500, /* at the last peer, in virtual time */
};

static void check(unsigned peers, unsigned services)
{
    struct leader_work work;
    struct leader_work_options options = {
        .peers = peers, .commits = COMMITS, .services = services, .seed = 5};
    const char *problem = leader_work_measure(&options, &work);
    if (problem)
        fail_msg("%u peers: %s", peers, problem);
    print_message("%u peers, %u bytes of intent: sent %u (%u bytes), %u of the feed; received %u "
                  "(%u bytes); hashed %u bytes; the last has it after %u ms\n",
                  peers, (unsigned)work.intent_bytes, (unsigned)work.sent.count,
                  (unsigned)work.sent.bytes, (unsigned)work.sent.feed_count,
                  (unsigned)work.received.count, (unsigned)work.received.bytes,
                  (unsigned)work.hashed_bytes, (unsigned)work.max_ms);
    assert_in_range(work.sent.count, 1, SENT_MAX);
    assert_in_range(work.sent.bytes, 1, SENT_BYTES_MAX);
    assert_in_range(work.received.count, 0, RECEIVED_MAX);
    assert_in_range(work.received.bytes, 0, RECEIVED_BYTES_MAX);
    assert_in_range(work.sent.feed_count, 0, FEED_SENT_MAX);
    assert_in_range(work.hashed_bytes, 1, HASHED_BYTES_MAX);
    assert_in_range(work.max_ms, 0, ARRIVED_MS_MAX);
}

/* Breaks if what the leader sends, receives or hashes for a commit grows as the fleet does. */
static void test_does_not_grow_with_peers(void **state)
{
    (void)state;
    check(5, 0);
    check(60, 0);
    check(100, 0);
}

/* Breaks if a commit costs the leader more, the more there is besides what it changes. */
static void test_does_not_grow_with_services(void **state)
{
    (void)state;
    check(7, 0);
    check(7, 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_does_not_grow_with_peers),
        cmocka_unit_test(test_does_not_grow_with_services),
    };
    return cmocka_run_group_tests_name("sim-leader_work", tests, scene_set_up, NULL);
}
