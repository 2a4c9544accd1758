/* A fleet in which nothing happens: what it still says, and how fast it finds out when something
 * does happen after all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gossip/swim_internal.h"
#include "tests/unit/gossip/fake_network.h"

enum {
    PEERS = 20,
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    SETTLE_MS = 2 * MINUTE_MS, /* all have met all, and have said that they are there */
    SPEAKER = 7,
};

static struct fake_network net;
static unsigned packets, with_digests, streams;
static size_t victim;

static bool look(struct fake_network *unused, size_t from, size_t to, enum swim_input_type type,
                 struct bytes bytes)
{
    struct packet packet;
    (void)unused, (void)from, (void)to;
    streams += type == SWIM_STREAM;
    if (type != SWIM_PACKET)
        return false;
    assert_int_equal(packet_read(bytes, &packet), 0);
    packets++;
    with_digests += packet.digest_count > 0;
    return false;
}

static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, SETTLE_MS);
    packets = with_digests = streams = 0;
    net.tap = look;
}

/* Breaks if those who know the same go on telling each other what they know. */
static void test_says_little(void **state)
{
    (void)state;
    start(PEERS, 1);
    uint64_t before = net.packet_bytes;
    fake_run(&net, MINUTE_MS);
    assert_int_equal(with_digests, 0);
    assert_in_range(packets, 1, PEERS * 60 * 4);
    assert_true((net.packet_bytes - before) / packets <= 20);
    assert_in_range(streams, 1, PEERS * 60 / 32); /* one sync in 16 intervals of 4 s, and some */
    fake_done(&net);
}

/* Breaks if only what is said by rumours or at the next sync reaches those who missed it. */
static void test_differences_are_seen(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        start(PEERS, seed);
        struct swim *swim = net.peers[SPEAKER].swim;
        for (size_t i = 0; i < PEERS; i++)
            net.peers[i].swim->sync_ms = NEVER_MS;
        assert_int_equal(fake_publish(&net, SPEAKER, SWIM_TABLE_META, "key", "value"), 0);
        while (swim->rumors[RUMOR_RECORD].count > 0)
            rumor_drop(swim, swim->rumors[RUMOR_RECORD].rumors[0].fact);
        assert_true(fake_wait(&net, 3 * SECOND_MS, fake_all_equal) >= 0);
        assert_true(with_digests > 0);
        fake_run(&net, 5 * SECOND_MS); /* and then it is quiet again */
        with_digests = 0;
        fake_run(&net, 10 * SECOND_MS);
        assert_int_equal(with_digests, 0);
        fake_done(&net);
    }
}

/* Breaks if views that differ save syncs: who lies about its own would keep all from asking. */
static void test_syncs_while_views_differ(void **state)
{
    (void)state;
    start(PEERS, 2);
    for (int i = 0; i < 60 * 4; i++) {
        for (size_t to = 0; to < PEERS; to++)
            net.peers[to].swim->views_agree = false;
        fake_run(&net, SECOND_MS / 4);
    }
    assert_true(streams >= PEERS * 60 / 4 / 2);
    fake_done(&net);
}

/* Breaks if a peer that no packet reaches any more goes by what it heard last. */
static void test_syncs_while_no_view_is_heard(void **state)
{
    (void)state;
    start(PEERS, 2);
    for (size_t i = 0; i < PEERS; i++)
        for (size_t k = 0; k < PEERS; k++)
            net.packets_cut[i][k] = true;
    fake_run(&net, 10 * SECOND_MS);
    assert_int_equal(fake_publish(&net, SPEAKER, SWIM_TABLE_META, "key", "value"), 0);
    assert_true(fake_wait(&net, 40 * SECOND_MS, fake_all_equal) >= 0);
    fake_done(&net);
}

/* Breaks if a large fleet's packets, of which two seldom are of the same view, carry no digests. */
static void test_large_fleet_has_no_view(void **state)
{
    struct swim large = {.live_count = SWIM_VIEW_MEMBERS_MAX + 1};
    (void)state;
    assert_int_equal(view_hash(&large), 0);
    start(3, 3);
    uint32_t hash = view_hash(net.peers[0].swim);
    assert_int_not_equal(hash, 0);
    assert_int_equal(view_hash(net.peers[1].swim), hash);
    fake_publish(&net, 0, SWIM_TABLE_META, "key", "value");
    assert_int_not_equal(view_hash(net.peers[0].swim), hash);
    fake_done(&net);
}

static bool victim_is_suspected(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++)
        if (net.peers[i].swim && fake_state(&net, i, victim) == SWIM_SUSPECT)
            return true;
    return false;
}

/* Breaks if it is left to chance how long nobody probes a member. */
static void test_each_has_a_neighbour(void **state)
{
    (void)state;
    enum { PROBES_OF_NEIGHBOUR_MS = 2 * 600, FAILED_MS = 400 };
    for (uint64_t seed = 1; seed <= 4; seed++) {
        start(PEERS, seed);
        for (victim = 1; victim < PEERS; victim += 2) {
            fake_stop(&net, victim);
            int64_t limit_ms = PROBES_OF_NEIGHBOUR_MS + FAILED_MS + 10;
            assert_true(fake_wait(&net, limit_ms, victim_is_suspected) >= 0);
            fake_start(&net, victim);
            assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
            fake_run(&net, 30 * SECOND_MS + (int64_t)(137 * victim)); /* all health is good again */
        }
        fake_done(&net);
    }
}

/* Breaks if whoever probes nobody, and so hides its neighbour's death, hides it for long. */
static void test_neighbour_that_does_not_probe(void **state)
{
    (void)state;
    enum { TRIALS = 16, FOUND_MS = 6 * SECOND_MS };
    int64_t sum_ms = 0;
    for (uint64_t seed = 1; seed <= TRIALS; seed++) {
        start(PEERS, seed);
        const struct swim *swim = net.peers[0].swim;
        size_t place = table_lower_bound(&swim->members, fake_id(&net, 0));
        const struct id *next = member_id(member_at(swim, (place + 1) % PEERS));
        for (victim = 1; !id_equal(fake_id(&net, victim), next);)
            victim++;
        fake_stop(&net, victim);
        for (int64_t ms = 0; !victim_is_suspected(&net) && ms < FOUND_MS; ms++) {
            net.peers[0].swim->probe_round_ms = NEVER_MS;
            fake_run(&net, 1);
            sum_ms++;
        }
        assert_true(victim_is_suspected(&net));
        fake_done(&net);
    }
    print_message("suspected after %d ms on average\n", (int)(sum_ms / TRIALS));
    assert_true(sum_ms / TRIALS < 2 * SECOND_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_little),
        cmocka_unit_test(test_differences_are_seen),
        cmocka_unit_test(test_syncs_while_views_differ),
        cmocka_unit_test(test_syncs_while_no_view_is_heard),
        cmocka_unit_test(test_large_fleet_has_no_view),
        cmocka_unit_test(test_each_has_a_neighbour),
        cmocka_unit_test(test_neighbour_that_does_not_probe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
