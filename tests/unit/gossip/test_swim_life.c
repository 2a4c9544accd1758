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
    SILENT = 4,     /* says nothing after a power cut, so no record of it stands against old ones */
    KEPT_MAX = 512, /* messages of before a power cut */
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

/* --- A power cut --- */

struct kept {
    size_t from, to;
    enum swim_input_type type;
    size_t size;
    uint8_t *bytes;
};

static struct kept kept[KEPT_MAX];
static size_t kept_count;

static bool keep(struct fake_network *unused, size_t from, size_t to, enum swim_input_type type,
                 struct bytes bytes)
{
    (void)unused;
    if (type == SWIM_UNREACHED || kept_count == KEPT_MAX)
        return false;
    uint8_t *copy = malloc(bytes.size);
    assert_non_null(copy);
    memcpy(copy, bytes.data, bytes.size);
    kept[kept_count++] = (struct kept){from, to, type, bytes.size, copy};
    return false;
}

static void forget_kept(void)
{
    while (kept_count > 0)
        free(kept[--kept_count].bytes);
}

/* How many facts of that kind the messages carry, in packets and over streams together. */
static size_t kept_facts(enum fact_kind kind, enum swim_input_type type)
{
    size_t count = 0;
    for (size_t i = 0; i < kept_count; i++) {
        struct bytes bytes = {kept[i].bytes, kept[i].size};
        struct sync_message message;
        struct fact_view view;
        struct packet packet;
        if (kept[i].type != type)
            continue;
        if (type == SWIM_PACKET) {
            assert_int_equal(packet_read(bytes, &packet), 0);
            for (size_t k = 0; k < packet.fact_count; k++)
                count += packet.facts[k].kind == kind;
        } else if (sync_read(bytes, &message) == 0 && message.kind == SYNC_DELTA) {
            while (sync_next_fact(&message, &view))
                count += view.kind == kind;
        }
    }
    return count;
}

/* Each of them to everybody, whomever it was for. */
static void replay(void)
{
    for (size_t i = 0; i < kept_count; i++)
        for (size_t to = 0; to < net.count; to++)
            if (to != kept[i].from)
                fake_inject(&net, to, kept[i].from, kept[i].type,
                            (struct bytes){kept[i].bytes, kept[i].size});
}

static void publish_again(void)
{
    for (size_t i = 0; i < net.count; i++)
        if (i != SILENT)
            assert_int_equal(fake_publish(&net, i, SWIM_TABLE_META, "name", "new"), 0);
}

static void all_are_of_generation(uint32_t generation)
{
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.count; k++) {
            struct swim_member member;
            assert_true(swim_member_find(net.peers[i].swim, fake_id(&net, k), &member));
            assert_int_equal(member.incarnation >> 32, generation);
            assert_int_equal(member.state, SWIM_ALIVE);
            assert_int_equal(member.accusers, 0);
            const char *name = k == SILENT ? NULL : "new";
            assert_true(fake_has(&net, i, k, SWIM_TABLE_META, "name", name));
            assert_true(fake_has(&net, i, k, SWIM_TABLE_META, "gone", NULL));
        }
}

/* All words of one generation: presences, records (by rumour and by anti-entropy) and accusations,
 * one of them of a peer that is there. */
static void keep_words_of_old(uint64_t seed)
{
    fake_init(&net, 6, seed);
    net.tap = keep;
    publish_everywhere("name", "old");
    publish_everywhere("gone", "old");
    assert_true(fake_wait(&net, 20 * SECOND_MS, all_alive_and_equal) >= 0);
    net.peers[CUT_OFF].group = 1;
    fake_run(&net, 1500);
    net.peers[CUT_OFF].group = 0;
    assert_true(fake_wait(&net, 20 * SECOND_MS, all_alive_and_equal) >= 0);
    net.tap = NULL;
    for (int kind = FACT_PRESENCE; kind <= FACT_RECORD; kind++)
        assert_true(kept_facts((enum fact_kind)kind, SWIM_PACKET) > 0);
    assert_true(kept_facts(FACT_PRESENCE, SWIM_STREAM) > 0);
    assert_true(kept_facts(FACT_RECORD, SWIM_STREAM) > 0);
}

/* Breaks if what was said before a power cut of the whole fleet counts after it. Nobody remembers
 * that it was said: only that it is of an older generation tells. */
static void test_words_of_before_a_power_cut(void **state)
{
    (void)state;
    static const enum swim_event_type none[] = {
        SWIM_MEMBER_JOINED, SWIM_MEMBER_ALIVE,   SWIM_MEMBER_SUSPECT, SWIM_MEMBER_DEAD,
        SWIM_MEMBER_LEFT,   SWIM_MEMBER_CHANGED, SWIM_RECORD_CHANGED, SWIM_RECORD_WITHDRAWN,
        SWIM_SELF_REFUTED,  SWIM_SELF_OUTRUN,
    };
    for (uint64_t seed = 1; seed <= 3; seed++) {
        keep_words_of_old(seed);
        for (size_t i = 0; i < net.count; i++)
            fake_stop(&net, i);
        fake_run(&net, 10 * SECOND_MS);
        for (size_t i = 0; i < net.count; i++)
            fake_start(&net, i);
        publish_again();
        assert_true(fake_wait(&net, 20 * SECOND_MS, all_alive_and_equal) >= 0);
        fake_run(&net, 2 * SECOND_MS);
        all_are_of_generation(2);
        fake_forget_events(&net);
        replay();
        all_are_of_generation(2);
        fake_run(&net, 20 * SECOND_MS);
        all_are_of_generation(2);
        for (size_t i = 0; i < net.count; i++)
            for (size_t k = 0; k < sizeof(none) / sizeof(*none); k++)
                assert_int_equal(net.peers[i].event_counts[none[k]], 0);
        assert_true(all_alive_and_equal(&net));
        forget_kept();
        fake_done(&net);
    }
}

/* Breaks if words of before the cut, that come while all come back, last. */
static void test_words_of_before_while_all_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        keep_words_of_old(seed);
        for (size_t i = 0; i < net.count; i++)
            fake_stop(&net, i);
        for (size_t i = 0; i < net.count; i++)
            fake_start(&net, i);
        replay();
        publish_again();
        fake_run(&net, 300);
        replay();
        assert_true(fake_wait(&net, 20 * SECOND_MS, all_alive_and_equal) >= 0);
        fake_run(&net, 5 * SECOND_MS);
        all_are_of_generation(2);
        for (size_t i = 0; i < net.count; i++)
            assert_int_equal(net.peers[i].event_counts[SWIM_SELF_OUTRUN], 0);
        forget_kept();
        fake_done(&net);
    }
}

/* --- Those that left --- */

/* Says to all that run, in the name of `teller`, that `accuser` doesn't reach `accused`. */
static void say_accusation(size_t teller, size_t accuser, size_t accused, uint64_t incarnation)
{
    struct fact_view view = {
        .kind = FACT_ACCUSATION,
        .version = incarnation,
        .accusation.accused = *fake_id(&net, accused),
    };
    struct thief_words words = {.kind = PACKET_GOSSIP, .fact_count = 1};
    words.facts[0] = thief_sign(&net, accuser, &view);
    thief_say_to_all(&net, teller, &words);
}

static uint64_t incarnation_of(size_t at, size_t index)
{
    struct swim_member member;
    assert_true(swim_member_find(net.peers[at].swim, fake_id(&net, index), &member));
    return member.incarnation;
}

static bool leaver_has_left(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++)
        if (net.peers[i].swim && fake_state(&net, i, LEAVES_HERE) != SWIM_LEFT)
            return false;
    return true;
}

static void accuse_the_leaver(uint64_t incarnation)
{
    for (size_t by = 0; by < net.count; by++)
        if (by != LEAVES_HERE)
            say_accusation(by == 0 ? 1 : 0, by, LEAVES_HERE, incarnation);
}

static void the_leaver_accuses(void)
{
    for (size_t accused = 0; accused < net.count; accused++) {
        if (accused == LEAVES_HERE)
            continue;
        say_accusation(0, LEAVES_HERE, accused, incarnation_of(accused, accused));
        say_accusation(LEAVES_HERE, LEAVES_HERE, accused, incarnation_of(accused, accused));
    }
}

/* Breaks if accusations that come late, of a peer that left or by it, count: it has said goodbye,
 * and nobody has to find out whether it is there, nor whom it reaches. */
static void test_late_accusations(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        fake_init(&net, 7, seed);
        assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
        uint64_t before = incarnation_of(0, LEAVES_HERE);
        assert_int_equal(swim_leave(net.peers[LEAVES_HERE].swim, net.now_ms), 0);
        fake_tick(&net, LEAVES_HERE);
        assert_true(fake_wait(&net, 2 * SECOND_MS, leaver_has_left) >= 0);
        fake_stop(&net, LEAVES_HERE);
        fake_forget_events(&net);
        for (int i = 0; i < 10; i++) {
            accuse_the_leaver(before);
            accuse_the_leaver(incarnation_of(0, LEAVES_HERE));
            the_leaver_accuses();
            assert_true(leaver_has_left(&net));
            fake_run(&net, 3 * SECOND_MS);
        }
        assert_true(leaver_has_left(&net));
        assert_true(fake_all_alive(&net));
        for (size_t i = 0; i < net.count; i++) {
            const unsigned *counts = net.peers[i].event_counts;
            struct swim_suspicion suspicion;
            assert_int_equal(counts[SWIM_MEMBER_SUSPECT] + counts[SWIM_MEMBER_DEAD], 0);
            assert_int_equal(counts[SWIM_MEMBER_ALIVE] + counts[SWIM_MEMBER_JOINED], 0);
            if (!net.peers[i].swim)
                continue;
            swim_suspicion(net.peers[i].swim, fake_id(&net, LEAVES_HERE), &suspicion);
            assert_int_equal(suspicion.count, 0);
        }
        fake_done(&net);
    }
}

/* Breaks if who holds a peer dead that has left meanwhile does not hear of it, or the others take
 * its accusations for news. */
static void test_held_dead_but_left(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        fake_init(&net, 7, seed);
        assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
        net.peers[CUT_OFF].group = 1;
        fake_run(&net, SECOND_MS);
        leave(LEAVES_HERE);
        fake_run(&net, 60 * SECOND_MS);
        assert_int_equal(fake_state(&net, CUT_OFF, LEAVES_HERE), SWIM_DEAD);
        net.peers[CUT_OFF].group = 0;
        fake_forget_events(&net);
        assert_true(fake_wait(&net, 60 * SECOND_MS, fake_all_alive) >= 0);
        assert_true(fake_wait(&net, 10 * SECOND_MS, leaver_has_left) >= 0);
        for (int i = 0; i < 10; i++) {
            fake_run(&net, 2 * SECOND_MS);
            assert_true(leaver_has_left(&net));
        }
        assert_int_equal(net.peers[0].event_counts[SWIM_MEMBER_JOINED], 0);
        assert_int_equal(net.peers[CUT_OFF].event_counts[SWIM_MEMBER_LEFT], 1);
        fake_done(&net);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_month_apart),
        cmocka_unit_test(test_left_behind_its_back),
        cmocka_unit_test(test_given_seeds_come_first),
        cmocka_unit_test(test_revoked_is_no_seed),
        cmocka_unit_test(test_words_of_before_a_power_cut),
        cmocka_unit_test(test_words_of_before_while_all_come_back),
        cmocka_unit_test(test_late_accusations),
        cmocka_unit_test(test_held_dead_but_left),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
