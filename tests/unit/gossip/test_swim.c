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

#include "tests/unit/gossip/fake_network.h"

enum {
    SECOND_MS = 1000,
    MINUTE_MS = 60 * SECOND_MS,
    SEEDS = 10,  /* with which the timing of a death is tried */
    SUBJECT = 2, /* the peer that things happen to */
};

static struct fake_network net;

static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_forget_events(&net);
}

static bool subject_is(enum swim_state state)
{
    for (size_t i = 0; i < net.count; i++)
        if (i != SUBJECT && net.peers[i].swim && fake_state(&net, i, SUBJECT) != (int)state)
            return false;
    return true;
}

static bool subject_is_dead(struct fake_network *unused)
{
    (void)unused;
    return subject_is(SWIM_DEAD);
}

static bool subject_has_left(struct fake_network *unused)
{
    (void)unused;
    return subject_is(SWIM_LEFT);
}

static unsigned events(enum swim_event_type type)
{
    unsigned count = 0;
    for (size_t i = 0; i < net.count; i++)
        count += net.peers[i].event_counts[type];
    return count;
}

/* Breaks if newcomers that know one seed do not find everyone. */
static void test_join(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 2, 3, 20, 100};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fake_init(&net, sizes[i], 11);
        int64_t took_ms = fake_wait(&net, 10 * SECOND_MS, fake_all_alive);
        print_message("%zu peers found each other in %d ms\n", sizes[i], (int)took_ms);
        assert_true(took_ms >= 0);
        fake_done(&net);
    }
}

/* Breaks if a death is not known by all of 20 peers within 3 seconds, whatever the seed. */
static void test_death(void **state)
{
    (void)state;
    static const size_t sizes[] = {2, 3, 5, 20};
    for (size_t i = 1; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        int64_t worst_ms = 0, sum_ms = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            start(sizes[i], seed);
            fake_run(&net, 5 * SECOND_MS + (int64_t)seed * 77);
            fake_stop(&net, SUBJECT);
            int64_t took_ms = fake_wait(&net, 20 * SECOND_MS, subject_is_dead);
            assert_true(took_ms >= 0);
            worst_ms = took_ms > worst_ms ? took_ms : worst_ms;
            sum_ms += took_ms;
            fake_done(&net);
        }
        print_message("%zu peers: death known after %d ms on average, %d ms at worst\n", sizes[i],
                      (int)(sum_ms / SEEDS), (int)worst_ms);
        assert_true(worst_ms < 3 * SECOND_MS);
    }
}

/* Breaks if healthy peers are suspected on a network that loses nothing, or held dead on one that
 * loses much. */
static void test_no_false_deaths(void **state)
{
    (void)state;
    start(20, 5);
    fake_run(&net, 2 * MINUTE_MS);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    net.loss_percent = 20;
    fake_run(&net, 2 * MINUTE_MS);
    print_message("20%% loss, 2 minutes: %u suspicions seen, %u refutations, %u deaths\n",
                  events(SWIM_MEMBER_SUSPECT), events(SWIM_SELF_REFUTED), events(SWIM_MEMBER_DEAD));
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    fake_done(&net);
}

/* Breaks if a peer that was paused for a while takes the others to be dead, or is not taken back.
 */
static void test_pause(void **state)
{
    (void)state;
    start(5, 8);
    net.peers[SUBJECT].paused_until = net.now_ms + 8 * SECOND_MS;
    assert_true(fake_wait(&net, 8 * SECOND_MS, subject_is_dead) >= 0);
    assert_true(fake_wait(&net, 15 * SECOND_MS, fake_all_alive) >= 0);
    assert_int_equal(net.peers[SUBJECT].event_counts[SWIM_MEMBER_DEAD], 0);
    assert_int_equal(net.peers[SUBJECT].event_counts[SWIM_MEMBER_SUSPECT], 0);
    assert_true(net.peers[SUBJECT].event_counts[SWIM_SELF_REFUTED] >= 1);
    fake_done(&net);
}

static bool subject_is_alive(struct fake_network *unused)
{
    (void)unused;
    return subject_is(SWIM_ALIVE);
}

/* Breaks if one liar can get a healthy peer killed, if the accused does not refute at once, or if
 * the liar goes on being heard. */
static void test_false_accuser(void **state)
{
    (void)state;
    start(10, 3);
    for (int i = 0; i < 20; i++) {
        struct swim_member member;
        assert_true(swim_member_find(net.peers[0].swim, fake_id(&net, SUBJECT), &member));
        struct fact_view view = {
            .kind = FACT_ACCUSATION,
            .version = member.incarnation,
            .accusation.accused = member.id,
        };
        struct packet_draft draft;
        struct fact *accusation;
        struct buffer buffer;
        buffer_init(&buffer);
        assert_int_equal(fact_sign(net.pool, &net.peers[1].identity, &view, &accusation), 0);
        packet_draft_init(&draft, PACKET_GOSSIP, 0, NULL, net.config.packet_bytes_max);
        assert_true(packet_draft_add(&draft, accusation));
        assert_int_equal(packet_write(&draft, &buffer), 0);
        assert_int_equal(fake_inject(&net, 0, 1, SWIM_PACKET, buffer_view(&buffer)), 0);
        bool is_heard = i < SWIM_LONE_ACCUSATIONS_MAX;
        assert_int_equal(fake_state(&net, 0, SUBJECT), is_heard ? SWIM_SUSPECT : SWIM_ALIVE);
        buffer_done(&buffer);
        fact_release(net.pool, accusation);
        assert_true(fake_wait(&net, 1 * SECOND_MS, subject_is_alive) >= 0);
    }
    fake_run(&net, 10 * SECOND_MS);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    assert_true(events(SWIM_SELF_REFUTED) >= SWIM_LONE_ACCUSATIONS_MAX);
    fake_done(&net);
}

static bool all_records_equal_and_alive(struct fake_network *unused)
{
    (void)unused;
    return fake_all_alive(&net) && fake_all_equal(&net);
}

/* Breaks if records that rumours and syncs lose pieces of do not become the same everywhere. */
static void test_records_converge_under_loss(void **state)
{
    (void)state;
    start(12, 21);
    net.loss_percent = 30;
    net.delay_max_ms = 80;
    char key[32], value[300];
    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < net.count; i++) {
            int size = 10 + (int)random_below(&net.random, 280);
            memset(value, 'a' + round % 26, (size_t)size);
            value[size] = '\0';
            snprintf(key, sizeof(key), "replica-%u", (unsigned)random_below(&net.random, 12));
            assert_int_equal(fake_publish(&net, i, SWIM_TABLE_REPLICA, key, value), 0);
            snprintf(key, sizeof(key), "replica-%u", (unsigned)random_below(&net.random, 12));
            int rc = swim_withdraw(net.peers[i].swim, net.now_ms, SWIM_TABLE_REPLICA,
                                   bytes_of_text(key));
            assert_true(rc == 0 || rc == -ENOENT);
        }
        fake_run(&net, 300);
    }
    int64_t took_ms = fake_wait(&net, 30 * SECOND_MS, fake_all_equal);
    print_message("30%% loss: 12 peers' records equal %d ms after the last change\n", (int)took_ms);
    assert_true(took_ms >= 0);
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.count; k++)
            assert_true(swim_member_is_complete(net.peers[i].swim, fake_id(&net, k)));
    fake_done(&net);
}

static bool halves_see_each_other_dead(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.count; k++)
            if (fake_state(&net, i, k) !=
                (net.peers[i].group == net.peers[k].group ? SWIM_ALIVE : SWIM_DEAD))
                return false;
    return true;
}

/* Breaks if the two sides of a partition do not find each other again and merge what they know. */
static void test_partition_heals(void **state)
{
    (void)state;
    start(10, 17);
    for (size_t i = 5; i < net.count; i++)
        net.peers[i].group = 1;
    assert_true(fake_wait(&net, 15 * SECOND_MS, halves_see_each_other_dead) >= 0);
    assert_int_equal(fake_publish(&net, 0, SWIM_TABLE_META, "name", "left"), 0);
    assert_int_equal(fake_publish(&net, 9, SWIM_TABLE_META, "name", "right"), 0);
    fake_run(&net, 5 * MINUTE_MS);
    fake_forget_events(&net);
    for (size_t i = 5; i < net.count; i++)
        net.peers[i].group = 0;
    int64_t took_ms = fake_wait(&net, 2 * MINUTE_MS, all_records_equal_and_alive);
    print_message("partition of 10 merged %d ms after it healed\n", (int)took_ms);
    assert_true(took_ms >= 0);
    assert_true(fake_has(&net, 0, 9, SWIM_TABLE_META, "name", "right"));
    assert_true(fake_has(&net, 9, 0, SWIM_TABLE_META, "name", "left"));
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    fake_done(&net);
}

static bool all_know_restart(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++) {
        struct swim_member member;
        if (!swim_member_find(net.peers[i].swim, fake_id(&net, SUBJECT), &member) ||
            member.incarnation >> 32 != net.peers[SUBJECT].generation)
            return false;
    }
    return true;
}

/* Breaks if what a peer said before it restarted outlives the restart. */
static void test_restart_voids_records(void **state)
{
    (void)state;
    start(5, 31);
    assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_REPLICA, "web-1", "running"), 0);
    assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_META, "name", "old"), 0);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    assert_true(fake_has(&net, 0, SUBJECT, SWIM_TABLE_REPLICA, "web-1", "running"));
    fake_stop(&net, SUBJECT);
    fake_run(&net, 200);
    fake_start(&net, SUBJECT);
    assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_META, "name", "new"), 0);
    assert_true(fake_wait(&net, 10 * SECOND_MS, all_know_restart) >= 0);
    assert_true(fake_wait(&net, 5 * SECOND_MS, all_records_equal_and_alive) >= 0);
    for (size_t i = 0; i < net.count; i++) {
        assert_true(fake_has(&net, i, SUBJECT, SWIM_TABLE_REPLICA, "web-1", NULL));
        assert_true(fake_has(&net, i, SUBJECT, SWIM_TABLE_META, "name", "new"));
    }
    fake_done(&net);
}

/* Breaks if a peer that lost its generation can't speak any more, because others remember other
 * things of it under the same generation, with counters that are higher or lower. */
static void test_lost_generation(void **state)
{
    (void)state;
    unsigned outrun = 0;
    for (uint64_t seed = 37; seed < 45; seed++) {
        start(4, seed);
        assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_META, "name", "old"), 0);
        assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_REPLICA, "web-1", "old"), 0);
        assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
        fake_stop(&net, SUBJECT);
        net.peers[SUBJECT].generation = 0;
        fake_start(&net, SUBJECT);
        assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_META, "name", "new"), 0);
        assert_true(fake_wait(&net, 15 * SECOND_MS, all_records_equal_and_alive) >= 0);
        assert_true(fake_has(&net, 0, SUBJECT, SWIM_TABLE_META, "name", "new"));
        assert_true(fake_has(&net, 0, SUBJECT, SWIM_TABLE_REPLICA, "web-1", NULL));
        outrun += net.peers[SUBJECT].event_counts[SWIM_SELF_OUTRUN];
        fake_done(&net);
    }
    assert_true(outrun > 0);
    assert_true(outrun < 8);
}

/* Breaks if a peer that says goodbye is suspected, or if its records stay behind. */
static void test_leave(void **state)
{
    (void)state;
    start(6, 41);
    assert_int_equal(fake_publish(&net, SUBJECT, SWIM_TABLE_META, "name", "leaver"), 0);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    assert_int_equal(swim_leave(net.peers[SUBJECT].swim, net.now_ms), 0);
    fake_tick(&net, SUBJECT);
    assert_true(fake_wait(&net, 2 * SECOND_MS, subject_has_left) >= 0);
    fake_stop(&net, SUBJECT);
    fake_run(&net, 20 * SECOND_MS);
    assert_true(subject_has_left(&net));
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    assert_int_equal(events(SWIM_MEMBER_LEFT), 5);
    assert_true(fake_has(&net, 0, SUBJECT, SWIM_TABLE_META, "name", NULL));
    fake_start(&net, SUBJECT);
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_alive) >= 0);
    fake_done(&net);
}

/* Breaks if a revoked peer, or anything that it has said, is still listened to. */
static void test_revoke(void **state)
{
    (void)state;
    start(4, 43);
    for (size_t i = 0; i < net.count; i++)
        if (i != SUBJECT)
            assert_int_equal(swim_revoke(net.peers[i].swim, net.now_ms, fake_id(&net, SUBJECT)), 0);
    fake_run(&net, 20 * SECOND_MS);
    for (size_t i = 0; i < net.count; i++) {
        if (i == SUBJECT)
            continue;
        assert_int_equal(fake_state(&net, i, SUBJECT), -1);
        assert_true(swim_is_revoked(net.peers[i].swim, fake_id(&net, SUBJECT)));
        assert_int_equal(net.peers[i].event_counts[SWIM_MEMBER_REVOKED], 1);
        assert_int_equal(swim_live_count(net.peers[i].swim), 3);
    }
    assert_int_equal(fake_inject(&net, 0, SUBJECT, SWIM_PACKET, (struct bytes){NULL, 0}), -EPERM);
    assert_int_equal(swim_revoke(net.peers[0].swim, net.now_ms, fake_id(&net, 0)), -EINVAL);
    fake_done(&net);
}

/* Breaks if the dead are listed for ever, or come back from others' memory, or can't return. */
static void test_forget(void **state)
{
    (void)state;
    fake_init(&net, 4, 47);
    for (size_t i = 0; i < net.count; i++)
        fake_stop(&net, i);
    net.config.forget_dead_ms = 30 * SECOND_MS;
    net.config.reconnect_max_ms = 4 * SECOND_MS;
    for (size_t i = 0; i < net.count; i++)
        fake_start(&net, i);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    net.peers[SUBJECT].group = 1; /* cut off, so that it comes back in the same generation */
    fake_run(&net, 50 * SECOND_MS);
    fake_forget_events(&net);
    fake_run(&net, 10 * SECOND_MS);
    assert_int_equal(fake_state(&net, 0, SUBJECT), -1);
    assert_int_equal(events(SWIM_MEMBER_JOINED), 0);
    net.peers[SUBJECT].group = 0;
    /* Sooner than the graves, which stay for twice as long as the dead, are cleared. */
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_done(&net);
}

/* Breaks if one bad link between two peers that all others reach makes either of them dead. */
static void test_one_bad_link(void **state)
{
    (void)state;
    start(6, 61);
    net.cut[0][SUBJECT] = net.cut[SUBJECT][0] = true;
    fake_run(&net, 2 * MINUTE_MS);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    fake_done(&net);
}

/* Breaks if a new address is not followed. */
static void test_readdress(void **state)
{
    (void)state;
    start(4, 51);
    struct address moved = address_from_v4(0x0a000101, 7300);
    net.peers[SUBJECT].address = moved;
    assert_int_equal(swim_readdress(net.peers[SUBJECT].swim, net.now_ms, &moved), 0);
    fake_tick(&net, SUBJECT);
    fake_run(&net, 5 * SECOND_MS);
    for (size_t i = 0; i < net.count; i++) {
        struct swim_member member;
        assert_true(swim_member_find(net.peers[i].swim, fake_id(&net, SUBJECT), &member));
        assert_true(address_equal(&member.address, &moved));
    }
    assert_true(fake_all_alive(&net));
    assert_int_equal(events(SWIM_MEMBER_CHANGED), 3);
    fake_done(&net);
}

static uint64_t trace_of(uint64_t seed)
{
    start(8, seed);
    net.loss_percent = 10;
    for (int i = 0; i < 10; i++) {
        assert_int_equal(fake_publish(&net, (size_t)i % 8, SWIM_TABLE_CAPACITY, "load", "1"), 0);
        fake_run(&net, SECOND_MS);
    }
    fake_stop(&net, SUBJECT);
    fake_run(&net, 10 * SECOND_MS);
    uint64_t trace = net.trace;
    fake_done(&net);
    return trace;
}

/* Breaks if the same seed and inputs give other bytes, without which no failure can be repeated. */
static void test_determinism(void **state)
{
    (void)state;
    uint64_t first = trace_of(99);
    assert_true(first == trace_of(99));
    assert_true(first != trace_of(100));
}

/* Breaks if a configuration that can't work is accepted, or one that can is not. */
static void test_config(void **state)
{
    (void)state;
    start(1, 1);
    struct swim *swim = NULL;
    struct swim_config good = net.config;
    good.self = net.peers[0].identity.id;
    good.identity = &net.peers[0].identity;
    good.generation = 1;
    good.advertised = net.peers[0].address;
    struct swim_config bad = good;
    bad.generation = 0;
    assert_int_equal(swim_new(&bad, 0, &swim), -EINVAL);
    bad = good;
    bad.probe_timeout_ms = bad.probe_interval_ms;
    assert_int_equal(swim_new(&bad, 0, &swim), -EINVAL);
    bad = good;
    bad.confirmations = SWIM_CONFIRMATIONS_MAX + 1;
    assert_int_equal(swim_new(&bad, 0, &swim), -EINVAL);
    bad = good;
    bad.packet_bytes_max = SWIM_PACKET_BYTES_MIN - 1;
    assert_int_equal(swim_new(&bad, 0, &swim), -EINVAL);
    assert_null(swim);
    good.pool = NULL;
    assert_int_equal(swim_new(&good, 0, &swim), 0);
    swim_free(swim);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_death),
        cmocka_unit_test(test_no_false_deaths),
        cmocka_unit_test(test_pause),
        cmocka_unit_test(test_false_accuser),
        cmocka_unit_test(test_records_converge_under_loss),
        cmocka_unit_test(test_partition_heals),
        cmocka_unit_test(test_restart_voids_records),
        cmocka_unit_test(test_lost_generation),
        cmocka_unit_test(test_leave),
        cmocka_unit_test(test_revoke),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_one_bad_link),
        cmocka_unit_test(test_readdress),
        cmocka_unit_test(test_determinism),
        cmocka_unit_test(test_config),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
