/* What one commit costs the leader, in fleets of some sizes: counted, not timed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/sim/scene.h"

enum {
    SETTLE_MS = 60000,
    COMMITS = 40,
    EACH_MS = 500,
    GROWTH_MAX_PERCENT = 200, /* of what it is in a sixth of the fleet: gossip takes more rounds */
};

struct work {
    uint64_t count, bytes;
};

static struct work work_of(const struct cluster *c, unsigned machine)
{
    return (struct work){c->machines[machine].sent_count, c->machines[machine].sent_bytes};
}

/* What the leader sends in that time, with or without commits. */
static struct work measure(struct cluster *c, unsigned leader, bool commits)
{
    struct work before = work_of(c, leader), after;
    for (unsigned i = 0; i < COMMITS; i++) {
        if (commits)
            cluster_make_token(c, leader, (uint8_t)(i + 1));
        assert_true(cluster_run(c, EACH_MS));
    }
    after = work_of(c, leader);
    return (struct work){after.count - before.count, after.bytes - before.bytes};
}

/* Per commit, beyond what the leader sends anyway. */
static struct work work_per_commit(unsigned peers)
{
    struct cluster *c = scene_start(peers, 5);
    scene_settle(c, SETTLE_MS);
    assert_true(cluster_run(c, 20000));
    unsigned leader = (unsigned)cluster_leader(c);
    uint64_t applied = agent_intent(c->machines[leader].agent)->applied_index;
    struct work idle = measure(c, leader, false), busy = measure(c, leader, true);
    assert_int_equal(cluster_leader(c), (int)leader);
    assert_int_equal(agent_intent(c->machines[leader].agent)->applied_index, applied + COMMITS);
    assert_true(cluster_wait(c, SETTLE_MS, cluster_is_settled));
    struct work each = {(busy.count - idle.count) / COMMITS, (busy.bytes - idle.bytes) / COMMITS};
    print_message("%u peers: %u messages, %u bytes a commit; at rest %u bytes/s\n", peers,
                  (unsigned)each.count, (unsigned)each.bytes,
                  (unsigned)(idle.bytes * 1000 / (COMMITS * EACH_MS)));
    scene_end(c);
    return each;
}

/* Breaks if what the leader sends for a commit grows as the fleet does (six times here): all but
 * the voters are to have it from one another. */
static void test_does_not_grow(void **state)
{
    (void)state;
    struct work few = work_per_commit(10), many = work_per_commit(60);
    assert_true(few.count > 0 && few.bytes > 0);
    assert_true(many.count * 100 <= few.count * GROWTH_MAX_PERCENT);
    assert_true(many.bytes * 100 <= few.bytes * GROWTH_MAX_PERCENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_does_not_grow)};
    return cmocka_run_group_tests_name("sim-leader_work", tests, scene_set_up, NULL);
}
