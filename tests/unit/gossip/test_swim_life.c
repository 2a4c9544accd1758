/* The life of peers over days and weeks: partitions that outlast memory, power cuts of a whole
 * fleet, and what is still said of those that left.
 *
 * Where days pass, a day takes a minute: the times after which peers are forgotten are scaled so.
 * All others (probes, suspicions, reconnects) are as shipped; to them a month is endless anyway.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "gossip/swim_internal.h"
#include "tests/unit/gossip/thief.h"

enum {
    SECOND_MS = 1000,
    DAY_MS = 60 * SECOND_MS, /* scaled */
    HOUR_MS = DAY_MS / 24,
    PEERS = 10,
    HALF = PEERS / 2, /* from this one on they are on the other side */
    LEAVES_HERE = 4,
    LEAVES_THERE = 9,
    REVOKED = 8,
    CUT_OFF = 3,
};

static struct fake_network net;

/* Starts peers for which days are short. They know no seeds any more. */
static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    for (size_t i = 0; i < count; i++)
        fake_stop(&net, i);
    net.config.forget_dead_ms = net.config.forget_dead_ms / (24 * 60);
    net.config.forget_left_ms = net.config.forget_left_ms / (24 * 60);
    assert_int_equal(net.config.forget_dead_ms, 3 * DAY_MS);
    assert_int_equal(net.config.forget_left_ms, HOUR_MS);
    for (size_t i = 0; i < count; i++)
        fake_start(&net, i);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    for (size_t i = 0; i < count; i++) {
        swim_remove_seed(net.peers[i].swim, &net.peers[0].address);
        swim_remove_seed(net.peers[i].swim, &net.peers[1].address);
        assert_int_equal(net.peers[i].swim->seed_count, 0);
    }
    fake_forget_events(&net);
}

static void leave(size_t index)
{
    assert_int_equal(swim_leave(net.peers[index].swim, net.now_ms), 0);
    fake_tick(&net, index);
    fake_run(&net, SECOND_MS);
    fake_stop(&net, index);
}

static void publish_everywhere(const char *key, const char *value)
{
    for (size_t i = 0; i < net.count; i++)
        if (net.peers[i].swim)
            assert_int_equal(fake_publish(&net, i, SWIM_TABLE_META, key, value), 0);
}

static bool all_alive_and_equal(struct fake_network *unused)
{
    (void)unused;
    return fake_all_alive(&net) && fake_all_equal(&net);
}

static bool halves_forgot_each_other(void)
{
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.count; k++)
            if (net.peers[i].swim && (i < HALF) != (k < HALF) && fake_state(&net, i, k) != -1)
                return false;
    return true;
}

static bool is_seed(size_t at, size_t index)
{
    const struct swim *swim = net.peers[at].swim;
    for (size_t i = 0; i < swim->seed_count; i++)
        if (address_equal(&swim->seeds[i].address, &net.peers[index].address))
            return true;
    return false;
}

static void nobody_lists(size_t index)
{
    for (size_t i = 0; i < net.count; i++) {
        if (!net.peers[i].swim)
            continue;
        int state = fake_state(&net, i, index);
        assert_true(state == -1 || state == SWIM_LEFT);
    }
}

/* Cuts a fleet in halves for that long, in which one leaves on either side. */
static void live_apart(int64_t days)
{
    publish_everywhere("name", "old");
    publish_everywhere("gone", "old");
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_equal) >= 0);
    for (size_t i = HALF; i < net.count; i++)
        net.peers[i].group = 1;
    fake_run(&net, DAY_MS);
    publish_everywhere("name", "new");
    for (size_t i = 0; i < net.count; i++)
        assert_int_equal(
            swim_withdraw(net.peers[i].swim, net.now_ms, SWIM_TABLE_META, bytes_of_text("gone")),
            0);
    leave(LEAVES_HERE);
    for (size_t i = 0; i < HALF; i++)
        if (net.peers[i].swim)
            assert_int_equal(swim_revoke(net.peers[i].swim, net.now_ms, fake_id(&net, REVOKED)), 0);
    fake_run(&net, (days - 2) * DAY_MS);
    leave(LEAVES_THERE);
    fake_run(&net, DAY_MS);
    assert_true(halves_forgot_each_other());
    assert_false(is_seed(0, LEAVES_HERE)); /* it left; and the other is revoked */
    assert_false(is_seed(0, REVOKED));
    /* There nobody knows of that: with it, the two sides would never come to the same. */
    fake_stop(&net, REVOKED);
}

/* Breaks if two halves of a fleet that were apart for so long that each forgot the other (without a
 * seed on either side) stay apart for good, or if they bring back what went meanwhile: peers that
 * left, records that were withdrawn or changed. Five days: the graves stand. A month: they don't.
 */
static void test_a_month_apart(void **state)
{
    (void)state;
    static const int days[] = {5, 30};
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t seed = 1; seed <= 3; seed++) {
            start(PEERS, seed);
            live_apart(days[i]);
            assert_int_equal(net.peers[0].swim->graves.count > 0, days[i] < 9);
            for (size_t k = HALF; k < net.count; k++)
                net.peers[k].group = 0;
            fake_forget_events(&net);
            /* Those that were stopped there are still listed there. */
            int64_t took_ms = fake_wait(&net, 20 * SECOND_MS, all_alive_and_equal);
            print_message("%d days, seed %d: together after %d ms\n", days[i], (int)seed,
                          (int)took_ms);
            assert_true(took_ms >= 0);
            for (size_t k = 0; k < net.count; k++) {
                if (!net.peers[k].swim)
                    continue;
                assert_true(fake_has(&net, 0, k, SWIM_TABLE_META, "name", "new"));
                assert_true(fake_has(&net, HALF, k, SWIM_TABLE_META, "name", "new"));
                assert_true(fake_has(&net, HALF, k, SWIM_TABLE_META, "gone", NULL));
            }
            for (int minute = 0; minute < 10; minute++) {
                nobody_lists(LEAVES_HERE);
                nobody_lists(LEAVES_THERE);
                fake_run(&net, 6 * SECOND_MS);
            }
            assert_true(all_alive_and_equal(&net));
            /* Who is met again is no seed any more. */
            for (size_t k = HALF; k < net.count; k++)
                if (net.peers[k].swim)
                    assert_false(is_seed(0, k));
            fake_done(&net);
        }
    }
}

/* Breaks if one that was cut off, for not long enough to forget anybody, brings back a peer that
 * left soon after the cut, as alive, long after all others forgot it. */
static void test_left_behind_its_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        start(6, seed);
        net.peers[CUT_OFF].group = 1;
        fake_run(&net, HOUR_MS);
        leave(LEAVES_HERE);
        fake_run(&net, 40 * HOUR_MS); /* reconnects aren't scaled: they may take as long again */
        assert_int_equal(fake_state(&net, 0, LEAVES_HERE), -1);
        assert_int_equal(fake_state(&net, CUT_OFF, LEAVES_HERE), SWIM_DEAD);
        net.peers[CUT_OFF].group = 0;
        fake_forget_events(&net);
        assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
        fake_run(&net, 5 * SECOND_MS);
        assert_int_equal(fake_state(&net, CUT_OFF, LEAVES_HERE), SWIM_DEAD); /* it still tells */
        fake_run(&net, 2 * DAY_MS);
        assert_int_equal(fake_state(&net, CUT_OFF, LEAVES_HERE), -1);
        for (size_t i = 0; i < net.count; i++)
            assert_int_equal(net.peers[i].event_counts[SWIM_MEMBER_JOINED], 0);
        assert_int_equal(fake_state(&net, 0, LEAVES_HERE), -1);
        fake_done(&net);
    }
}

static const struct seed *seed_at(const struct swim *swim, const struct address *address)
{
    for (size_t i = 0; i < swim->seed_count; i++)
        if (address_equal(&swim->seeds[i].address, address))
            return &swim->seeds[i];
    return NULL;
}

/* Breaks if those that died take the place of seeds that an operator gave, or keep it from one. */
static void test_given_seeds_come_first(void **state)
{
    (void)state;
    start(3, 5);
    struct swim *swim = net.peers[0].swim;
    struct address address;
    for (uint32_t i = 0; i < SWIM_SEEDS_MAX - 1; i++) {
        address = address_from_v4(0x0a010000 + i, 7300);
        assert_int_equal(swim_add_seed(swim, NULL, &address), 0);
    }
    fake_stop(&net, 1);
    fake_stop(&net, 2);
    fake_run(&net, 4 * DAY_MS);
    assert_int_equal(swim->members.count, 1);
    assert_int_equal(is_seed(0, 1) + is_seed(0, 2), 1); /* there was room for one */
    assert_int_equal(swim->seed_count, SWIM_SEEDS_MAX);
    for (uint32_t i = 0; i < SWIM_SEEDS_MAX - 1; i++) {
        address = address_from_v4(0x0a010000 + i, 7300);
        assert_non_null(seed_at(swim, &address));
    }
    address = address_from_v4(0x0a020000, 7300);
    assert_int_equal(swim_add_seed(swim, NULL, &address), 0);
    assert_int_equal(is_seed(0, 1) + is_seed(0, 2), 0);
    assert_int_equal(swim->seed_count, SWIM_SEEDS_MAX);
    address = address_from_v4(0x0a020001, 7300);
    assert_int_equal(swim_add_seed(swim, NULL, &address), -ENOSPC);
    fake_done(&net);
}

/* Breaks if a forgotten peer that is revoked is knocked at for ever. */
static void test_revoked_is_no_seed(void **state)
{
    (void)state;
    start(3, 6);
    fake_stop(&net, 1);
    fake_run(&net, 4 * DAY_MS);
    assert_int_equal(fake_state(&net, 0, 1), -1);
    assert_true(is_seed(0, 1));
    assert_int_equal(swim_revoke(net.peers[0].swim, net.now_ms, fake_id(&net, 1)), 0);
    fake_run(&net, DAY_MS);
    assert_false(is_seed(0, 1));
    assert_true(is_seed(2, 1));
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_month_apart),
        cmocka_unit_test(test_left_behind_its_back),
        cmocka_unit_test(test_given_seeds_come_first),
        cmocka_unit_test(test_revoked_is_no_seed),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
