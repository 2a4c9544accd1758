#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/node/control/agent_bench.h"

static unsigned raft_streamed(const struct fleet *f)
{
    unsigned count = 0;
    for (unsigned i = 0; i < f->peer_count; i++)
        count += f->peers[i].sent[AGENT_RAFT];
    return count;
}

static unsigned changes_of_leader(const struct fleet *f)
{
    unsigned count = 0;
    for (unsigned i = 0; i < f->peer_count; i++)
        count += f->peers[i].events[AGENT_LEADER];
    return count;
}

/* Runs for many elections' time, in which nobody may cease to follow or to lead. */
static void expect_leader_stays(struct fleet *f)
{
    unsigned changes = changes_of_leader(f);
    fleet_run(f, 20 * FLEET_ELECTION_MS);
    assert_int_equal(changes_of_leader(f), changes);
}

/* Breaks if an idle cluster's heartbeats take streams, which cost twice as much. */
static void test_packets_do(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    fleet_run(&f, 2000);
    unsigned streamed = raft_streamed(&f);
    expect_leader_stays(&f);
    assert_int_equal(raft_streamed(&f), streamed);
    f.lost_kinds = 1 << AGENT_RAFT;
    expect_leader_stays(&f);
    fleet_done(&f);
}

/* Breaks if a cluster loses its leader, or ever finds one, where something stops all packets. */
static void test_no_packet_arrives(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    fleet_run(&f, 2000);
    f.lost_kinds = 1;
    expect_leader_stays(&f);
    expect_leader_stays(&f);
    fleet_done(&f);
}

/* Breaks if the streams are not left again once packets get through. */
static void test_packets_come_back(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    f.lost_kinds = 1;
    fleet_run(&f, 20000);
    f.lost_kinds = 0;
    fleet_run(&f, 20000);
    unsigned streamed = raft_streamed(&f);
    expect_leader_stays(&f);
    assert_int_equal(raft_streamed(&f), streamed);
    fleet_done(&f);
}

/* Breaks if a packet that is no heartbeat, though it begins as one, is taken or hurts. */
static void test_malformed(void **state)
{
    (void)state;
    struct fleet f;
    fleet_start(&f, 3, 3);
    static const uint8_t packets[][8] = {
        {0x95}, {0x95, 0xc2, 1, 1, 1}, {0x95, 0xc2, 1, 1, 1, 1, 1}, {0x95, 1, 1, 1, 1, 1}};
    static const size_t sizes[] = {1, 5, 7, 6};
    for (unsigned i = 0; i < 4; i++) {
        struct agent_input input = {
            .type = AGENT_PACKET, .from = fleet_id(&f, 1), .bytes = {packets[i], sizes[i]}};
        assert_int_equal(fleet_step(&f, 0, input), -EBADMSG);
    }
    expect_leader_stays(&f);
    fleet_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_packets_do),
        cmocka_unit_test(test_no_packet_arrives),
        cmocka_unit_test(test_packets_come_back),
        cmocka_unit_test(test_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
