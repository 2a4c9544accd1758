#include "tests/unit/node/control/agent_bench.h"

static struct command profile_command(enum intent_profile profile)
{
    struct command command = fleet_command(COMMAND_GOSSIP);
    command.gossip.has_profile = true;
    command.gossip.profile = (uint8_t)profile;
    return command;
}

static const struct swim_config *timings(const struct fleet *f, unsigned peer)
{
    return swim_config_in_force(agent_swim(f->peers[peer].agent));
}

/* Breaks if a profile that was agreed on does not come into force everywhere, voter or not. */
static void test_all_take_it_on(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    struct swim_config lan = *timings(&f, 0), edge = swim_config_edge();
    struct command command = profile_command(INTENT_PROFILE_EDGE);
    command.gossip.has_fanout = true;
    command.gossip.fanout = 5;
    fleet_agree(&f, 2, &command);
    fleet_run(&f, 1000);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(timings(&f, i)->probe_interval_ms, edge.probe_interval_ms);
        assert_int_equal(timings(&f, i)->sync_interval_ms, edge.sync_interval_ms);
        assert_int_equal(timings(&f, i)->gossip_fanout, 5);
    }
    command = profile_command(INTENT_PROFILE_LAN);
    fleet_agree(&f, 1, &command);
    fleet_run(&f, 1000);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(timings(&f, i)->probe_interval_ms, lan.probe_interval_ms);
        assert_int_equal(timings(&f, i)->gossip_fanout, lan.gossip_fanout);
    }
    fleet_done(&f);
}

/* Breaks if a peer forgets the profile when it restarts, or misses one that was chosen while it was
 * down. */
static void test_restart(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 1);
    struct command command = profile_command(INTENT_PROFILE_WAN);
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 1000);
    for (unsigned i = 0; i < 3; i++)
        fleet_kill(&f, i);
    for (unsigned i = 0; i < 3; i++) {
        fleet_restart(&f, i);
        if (i > 0) /* a voter first has to hear which of its entries are committed */
            assert_int_equal(timings(&f, i)->probe_interval_ms,
                             swim_config_wan().probe_interval_ms);
    }
    fleet_run(&f, 5000);
    assert_int_equal(timings(&f, 0)->probe_interval_ms, swim_config_wan().probe_interval_ms);
    fleet_kill(&f, 2);
    command = profile_command(INTENT_PROFILE_EDGE);
    fleet_agree(&f, 0, &command);
    fleet_restart(&f, 2);
    fleet_run(&f, 5000);
    assert_int_equal(timings(&f, 2)->probe_interval_ms, swim_config_edge().probe_interval_ms);
    fleet_done(&f);
}

/* Breaks if a faster profile waits for what the slower one had planned next. */
static void test_comes_into_force_at_once(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 2, 1);
    struct command command = profile_command(INTENT_PROFILE_EDGE);
    fleet_agree(&f, 0, &command);
    fleet_run(&f, 61 * 1000);
    command = profile_command(INTENT_PROFILE_LAN);
    fleet_agree(&f, 0, &command);
    unsigned before = f.peers[0].sent[0];
    fleet_run(&f, 2000);
    assert_true(f.peers[0].sent[0] >= before + 4);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_take_it_on),
        cmocka_unit_test(test_restart),
        cmocka_unit_test(test_comes_into_force_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
