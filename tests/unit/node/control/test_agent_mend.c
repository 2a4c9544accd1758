/* Peers that lost a part of their log to the disk. */
#include "node/control/bounds.h"
#include "tests/unit/node/control/agent_bench.h"

static void agree(struct fleet *f, unsigned at, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct command command = fleet_command(COMMAND_PEER_STATE);
        command.peer_state.id = (struct id){{1}};
        command.peer_state.state = INTENT_DRAINING;
        fleet_propose(f, at, &command); /* refused, but a log entry */
        fleet_run(f, 3 * FLEET_DELAY_MS);
    }
    fleet_run(f, 1000);
}

static bool is_mended(const struct fleet *f)
{
    for (unsigned i = 0; i < f->peer_count; i++)
        if (f->peers[i].events[AGENT_MENDED] > 0)
            return true;
    return false;
}

static uint64_t last_stored(const struct fleet *f, unsigned peer)
{
    return f->peers[peer].disk.log_index + f->peers[peer].disk.entry_count;
}

/* Starts three voters that have agreed on something; the last one is then down. */
static void start(struct fleet *f, unsigned *ret_leader, unsigned *ret_other, unsigned *ret_hurt)
{
    fleet_start(f, 3, 3);
    *ret_leader = fleet_leader(f);
    *ret_other = (*ret_leader + 1) % 3;
    *ret_hurt = (*ret_leader + 2) % 3;
    agree(f, *ret_leader, 10);
    fleet_kill(f, *ret_hurt);
    f->lost_kinds = 1 << AGENT_FEED_PUSH;
}

/* Nobody leads when only this peer could help. */
static void assert_mute(struct fleet *f, unsigned hurt, unsigned other)
{
    unsigned said = f->peers[hurt].sent[AGENT_RAFT];
    fleet_run(f, 3000);
    assert_int_equal(f->peers[hurt].sent[AGENT_RAFT], said);
    assert_true(agent_intent_is_old(f->peers[hurt].agent));
    fleet_kill(f, other);
    fleet_run(f, 5000);
    assert_false(fleet_is_led(f));
    assert_int_equal(f->peers[hurt].sent[AGENT_RAFT], said);
    fleet_restart(f, other);
    fleet_wait(f, fleet_is_led);
}

/* The peer is a voter like any other again, and after a restart. */
static void assert_mended(struct fleet *f, unsigned hurt, unsigned other)
{
    f->lost_kinds = 0;
    fleet_wait(f, is_mended);
    assert_false(agent_intent_is_old(f->peers[hurt].agent));
    fleet_run(f, 2000);
    unsigned leader = fleet_leader(f);
    agree(f, leader, 3);
    assert_int_equal(last_stored(f, hurt), last_stored(f, leader));
    fleet_kill(f, hurt);
    fleet_restart(f, hurt);
    fleet_run(f, 2000);
    fleet_kill(f, other);
    fleet_run(f, 2000);
    fleet_wait(f, fleet_is_led);
    agree(f, fleet_leader(f), 3);
    assert_int_equal(last_stored(f, hurt), last_stored(f, 3 - hurt - other));
    fleet_restart(f, other);
    fleet_run(f, 2000);
}

/* Breaks if a peer votes or acknowledges while entries are gone that it acknowledged, or never does
 * again, or has lost what came behind them. */
static void test_log(void **state)
{
    (void)state;
    struct fleet f;
    unsigned leader, other, hurt;
    for (uint64_t behind = 0; behind < 4; behind += 3) {
        start(&f, &leader, &other, &hurt);
        f.peers[hurt].lost_through = last_stored(&f, hurt) - behind;
        fleet_restart(&f, hurt);
        assert_mute(&f, hurt, other);
        assert_mended(&f, hurt, other);
        fleet_done(&f);
    }
}

/* The same for the snapshot: then only an older intent is there, by which nothing may be removed.
 */
static void test_snapshot(void **state)
{
    (void)state;
    struct fleet f;
    unsigned leader, other, hurt;
    fleet_found(&f, 3);
    f.compact_after_entries = 16;
    fleet_restart(&f, 0);
    fleet_wait(&f, fleet_is_led);
    fleet_join(&f);
    fleet_join(&f);
    fleet_run(&f, 4000);
    leader = fleet_leader(&f);
    hurt = leader == 1 ? 2 : 1; /* who founded the cluster has no intent of before */
    other = 3 - leader - hurt;
    agree(&f, leader, AGENT_COMPACT_KEEP + 50);
    fleet_kill(&f, hurt);
    f.lost_kinds = 1 << AGENT_FEED_PUSH;
    f.peers[hurt].lost_through = f.peers[hurt].disk.log_index;
    f.peers[hurt].lost_snapshot = true;
    assert_true(f.peers[hurt].disk.entry_count > 0);
    fleet_restart(&f, hurt);
    assert_mute(&f, hurt, other);
    assert_mended(&f, hurt, other);
    fleet_done(&f);
}

/* Breaks if what the feed had brought before does not count. */
static void test_feed_is_ahead(void **state)
{
    (void)state;
    struct fleet f;
    unsigned leader, other, hurt;
    start(&f, &leader, &other, &hurt);
    struct fleet_disk *disk = &f.peers[hurt].disk;
    f.peers[hurt].lost_through = last_stored(&f, hurt);
    buffer_clear(&disk->intent);
    assert_int_equal(intent_write(agent_intent(f.peers[leader].agent), &disk->intent), 0);
    fleet_restart(&f, hurt);
    fleet_run(&f, 1000);
    assert_int_equal(f.peers[hurt].events[AGENT_MENDED], 1);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_snapshot),
        cmocka_unit_test(test_feed_is_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
