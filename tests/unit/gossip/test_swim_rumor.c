/* What rides on packets: which of many rumours go first, how often, and who gets how much of them.
 */
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
#include "tests/unit/gossip/fake_network.h"

enum {
    SECOND_MS = 1000,
    SEEDS = 4,
    SUBJECT = 2,
    TALKER = 3,
    FLOOD_RECORDS = 300,
    FLOOD_VALUE_BYTES = 400,
};

static struct fake_network net;

static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 5 * SECOND_MS + (int64_t)seed * 77);
    fake_forget_events(&net);
}

static void publish(size_t index, int key, int value_bytes, int seed)
{
    char name[16], value[SWIM_VALUE_BYTES_MAX + 1];
    snprintf(name, sizeof(name), "key-%d", key);
    memset(value, 'a' + seed % 26, (size_t)value_bytes);
    value[value_bytes] = '\0';
    snprintf(value, sizeof(value), "%d", seed);
    value[strlen(value)] = '.';
    assert_int_equal(fake_publish(&net, index, SWIM_TABLE_REPLICA, name, value), 0);
}

/* Everyone says something new of itself. */
static void all_change(int round)
{
    for (size_t i = 0; i < net.count; i++) {
        if (!net.peers[i].swim)
            continue;
        publish(i, 0, 100, round);
        publish(i, 1 + round % 3, 200, round);
    }
}

/* Breaks if an older version of a record, or of what a peer says of itself, stays queued. */
static void test_newest_only(void **state)
{
    (void)state;
    start(4, 3);
    struct swim *swim = net.peers[0].swim;
    for (int i = 0; i < 5; i++)
        publish(0, 0, 50, i);
    assert_int_equal(swim->rumors[RUMOR_RECORD].count, 1);
    assert_true(swim->rumors[RUMOR_RECORD].rumors[0].fact->view.version == swim->record_version);
    struct address moved = net.peers[0].address;
    for (uint16_t i = 0; i < 3; i++) {
        moved.port = (uint16_t)(8000 + i);
        assert_int_equal(swim_readdress(swim, net.now_ms, &moved), 0);
    }
    assert_int_equal(swim->rumors[RUMOR_URGENT].count, 1);
    assert_ptr_equal(swim->rumors[RUMOR_URGENT].rumors[0].fact, swim->self->presence);
    /* And at those who heard the first and then the second. */
    fake_run(&net, 50);
    publish(0, 0, 50, 77);
    fake_run(&net, 50);
    for (size_t i = 0; i < net.count; i++)
        assert_true(net.peers[i].swim->rumors[RUMOR_RECORD].count <= 1);
    /* An accusation goes with what it was answered by. */
    net.peers[0].address = moved;
    fake_run(&net, 5 * SECOND_MS);
    member_accuse(net.peers[1].swim, member_find(net.peers[1].swim, fake_id(&net, SUBJECT)));
    assert_int_equal(net.peers[1].swim->rumors[RUMOR_URGENT].count, 1);
    fake_tick(&net, 1);
    fake_run(&net, 400);
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.peers[i].swim->rumors[RUMOR_URGENT].count; k++)
            assert_int_equal(net.peers[i].swim->rumors[RUMOR_URGENT].rumors[k].fact->view.kind,
                             FACT_PRESENCE);
    fake_done(&net);
}

/* How often the peer has sent a fact of that owner's, in all messages of a step. */
static unsigned count_sent(const struct id *owner, enum fact_kind kind)
{
    unsigned count = 0;
    for (size_t i = 0; i < net.output.message_count; i++) {
        static struct packet packet;
        if (net.output.messages[i].channel != SWIM_CHANNEL_PACKET)
            continue;
        assert_int_equal(packet_read(net.output.messages[i].bytes, &packet), 0);
        for (size_t k = 0; k < packet.fact_count; k++)
            count += packet.facts[k].kind == kind && id_equal(&packet.facts[k].signer, owner);
    }
    return count;
}

/* Breaks if a rumour is sent more often than a multiple of log2(members), or not as often; or if
 * what a record costs its owner grows with the fleet. */
static void test_sent_so_often(void **state)
{
    (void)state;
    static const struct {
        size_t peers;
        unsigned log2;
    } cases[] = {{3, 2}, {7, 3}, {30, 5}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        start(cases[i].peers, 5);
        unsigned count = 0, heard = 0, most = net.config.retransmit_multiplier * cases[i].log2;
        struct swim *swim = net.peers[0].swim;
        publish(0, 0, 100, 1);
        rumor_add(swim, member_find(swim, fake_id(&net, 1))->presence, RUMOR_NEWS);
        for (int ms = 0; ms < 10 * SECOND_MS; ms += 20) {
            net.now_ms += 20;
            struct swim_input tick = {.now_ms = net.now_ms, .type = SWIM_TICK};
            assert_int_equal(swim_step(net.peers[0].swim, &tick, &net.output), 0);
            count += count_sent(fake_id(&net, 0), FACT_RECORD);
            heard += count_sent(fake_id(&net, 1), FACT_PRESENCE);
        }
        assert_int_equal(count, most < SWIM_OWN_SENDS_MAX ? most : SWIM_OWN_SENDS_MAX);
        assert_int_equal(heard, most);
        assert_int_equal(net.peers[0].swim->rumors[RUMOR_RECORD].count, 0);
        fake_done(&net);
    }
}

/* Breaks if an accusation waits behind what else there is to tell, or fills all packets for ever.
 */
static void test_urgent_first(void **state)
{
    (void)state;
    static struct packet packet;
    start(60, 7);
    struct swim *swim = net.peers[0].swim;
    for (int i = 0; i < FLOOD_RECORDS; i++)
        publish(0, i, FLOOD_VALUE_BYTES, i);
    for (size_t i = 1; i < 40; i++)
        rumor_add(swim, member_find(swim, fake_id(&net, i))->presence, RUMOR_NEWS);
    member_accuse(swim, member_find(swim, fake_id(&net, 50)));
    fake_tick(&net, 0);
    for (size_t i = 0; i < net.output.message_count; i++) {
        if (net.output.messages[i].channel != SWIM_CHANNEL_PACKET)
            continue;
        assert_int_equal(packet_read(net.output.messages[i].bytes, &packet), 0);
        /* What the receiver must know, that we are there, may go before. */
        size_t first = packet.facts[0].kind == FACT_PRESENCE &&
                       id_equal(&packet.facts[0].signer, fake_id(&net, 0));
        assert_int_equal(packet.facts[first].kind, FACT_ACCUSATION);
        assert_in_range(net.output.messages[i].bytes.size, net.config.packet_bytes_max * 2 / 3,
                        net.config.packet_bytes_max);
    }
    /* Now everyone is accused: records go on all the same. */
    for (size_t i = 1; i < 59; i++)
        member_accuse(swim, member_find(swim, fake_id(&net, i)));
    unsigned accusations = 0, records = 0;
    for (int i = 0; i < 8; i++) {
        net.now_ms += 100;
        struct swim_input tick = {.now_ms = net.now_ms, .type = SWIM_TICK};
        assert_int_equal(swim_step(swim, &tick, &net.output), 0);
        accusations += count_sent(fake_id(&net, 0), FACT_ACCUSATION);
        records += count_sent(fake_id(&net, 0), FACT_RECORD);
    }
    assert_in_range(accusations, 40, 1000);
    assert_in_range(records, 3, accusations / 4);
    fake_done(&net);
}

static bool subject_is_dead(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++)
        if (net.peers[i].swim && fake_state(&net, i, SUBJECT) != SWIM_DEAD)
            return false;
    return true;
}

enum burst { NO_BURST, ALL_CHANGE, ONE_TALKS, BURSTS };

/* The longest time, over some seeds, in which a death is known by all of 40 peers. */
static int64_t death_known_ms(enum burst burst)
{
    int64_t worst_ms = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        start(40, seed);
        fake_stop(&net, SUBJECT);
        int64_t start_ms = net.now_ms;
        for (int round = 0; !subject_is_dead(&net); round++) {
            if (burst == ALL_CHANGE)
                all_change(round); /* 78 changes in 200 ms: 390 in a second, as long as it takes */
            for (int i = 0; burst == ONE_TALKS && i < FLOOD_RECORDS / 5; i++)
                publish(TALKER, round % 5 * (FLOOD_RECORDS / 5) + i, FLOOD_VALUE_BYTES, round);
            fake_run(&net, 200);
            assert_true(net.now_ms - start_ms < 10 * SECOND_MS);
        }
        worst_ms = net.now_ms - start_ms > worst_ms ? net.now_ms - start_ms : worst_ms;
        fake_done(&net);
    }
    return worst_ms;
}

/* Breaks if a burst of other changes delays that a death is known. */
static void test_bursts_do_not_starve_membership(void **state)
{
    (void)state;
    int64_t took_ms[BURSTS];
    for (int burst = 0; burst < BURSTS; burst++)
        took_ms[burst] = death_known_ms((enum burst)burst);
    print_message("40 peers: a death is known after %d ms at worst; while all change %d ms; while "
                  "one publishes 300 records a second %d ms\n",
                  (int)took_ms[NO_BURST], (int)took_ms[ALL_CHANGE], (int)took_ms[ONE_TALKS]);
    assert_true(took_ms[ALL_CHANGE] <= took_ms[NO_BURST] + 400);
    assert_true(took_ms[ONE_TALKS] <= took_ms[NO_BURST] + 400);
}

static bool all_have_word(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++)
        if (!fake_has(&net, i, 0, SWIM_TABLE_META, "word", "said"))
            return false;
    return true;
}

/* Breaks if one owner that floods the others with records keeps what another says from being heard,
 * or is passed on without a limit. */
static void test_flood_has_a_budget(void **state)
{
    (void)state;
    int64_t worst_ms = 0;
    for (uint64_t seed = 1; seed <= 2; seed++) {
        start(12, seed);
        /* Until all have acked that the talker is there: else that takes the room of a record. */
        fake_run(&net, 20 * SECOND_MS);
        int64_t from_ms = net.now_ms;
        struct swim *talker = net.peers[TALKER].swim; /* which knows no bounds */
        talker->rumor_budget.burst_bytes = talker->rumor_budget.bytes_per_second = 1 << 30;
        talker->config.gossip_interval_ms = 10;
        talker->config.gossip_fanout = SWIM_FANOUT_MAX;
        size_t taken = 0;
        for (int round = 0; round < 20; round++) {
            for (int i = 0; i < 100; i++) /* 1,000 a second, of 900 bytes */
                publish(TALKER, round % 10 * 100 + i, SWIM_VALUE_BYTES_MAX - 1, round);
            if (round == 15) {
                assert_int_equal(fake_publish(&net, 0, SWIM_TABLE_META, "word", "said"), 0);
                int64_t took_ms = fake_wait(&net, 5 * SECOND_MS, all_have_word);
                assert_true(took_ms >= 0);
                worst_ms = took_ms > worst_ms ? took_ms : worst_ms;
            }
            fake_run(&net, 100);
            size_t used =
                budget_used(&net.peers[5].swim->rumor_budget, net.now_ms, fake_id(&net, TALKER));
            assert_true(used <= SWIM_RUMOR_BURST_BYTES);
            taken = used > taken ? used : taken;
            /* What is queued is what the budget has let through. */
            assert_true(net.peers[5].swim->rumors[RUMOR_RECORD].count * SWIM_VALUE_BYTES_MAX <=
                        SWIM_RUMOR_BURST_BYTES +
                            (size_t)(net.now_ms - from_ms) * SWIM_RUMOR_BYTES_PER_SECOND / 1000 +
                            SWIM_VALUE_BYTES_MAX * 2);
        }
        assert_true(taken > SWIM_RUMOR_BURST_BYTES / 2); /* else nothing was tried */
        /* When it has calmed down, all is known all the same. */
        assert_true(fake_wait(&net, 60 * SECOND_MS, fake_all_equal) >= 0);
        fake_done(&net);
    }
    print_message(
        "12 peers, one publishes 900 KB/s: another's word is known after %d ms at worst\n",
        (int)worst_ms);
    assert_true(worst_ms <= 1 * SECOND_MS);
}

/* Breaks if a budget gives more than its burst and its rate, or forgets who has used it up. */
static void test_budget(void **state)
{
    (void)state;
    struct budget budget = {.burst_bytes = 1000, .bytes_per_second = 100};
    struct id spender = {{1}}, other = {{2}};
    int64_t now_ms = 5000;
    assert_true(budget_has(&budget, now_ms, &spender, 1000));
    assert_false(budget_has(&budget, now_ms, &spender, 1001));
    for (int i = 0; i < 10; i++) {
        assert_true(budget_has(&budget, now_ms, &spender, 100));
        budget_take(&budget, now_ms, &spender, 100);
    }
    assert_int_equal(budget_used(&budget, now_ms, &spender), 1000);
    assert_false(budget_has(&budget, now_ms, &spender, 1));
    assert_true(budget_has(&budget, now_ms, &other, 1000));
    assert_true(budget_has(&budget, now_ms + 1000, &spender, 100));
    assert_false(budget_has(&budget, now_ms + 1000, &spender, 101));
    /* Many who use little don't push out the one who uses much. */
    for (uint8_t i = 0; i < 200; i++) {
        struct id id = {{3, i}};
        budget_take(&budget, now_ms, &id, 10);
    }
    assert_false(budget_has(&budget, now_ms, &spender, 1));
    assert_int_equal(budget_used(&budget, now_ms + 10000, &spender), 0);
    assert_true(budget_has(&budget, now_ms + 100000, &spender, 1000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_newest_only),
        cmocka_unit_test(test_sent_so_often),
        cmocka_unit_test(test_urgent_first),
        cmocka_unit_test(test_bursts_do_not_starve_membership),
        cmocka_unit_test(test_flood_has_a_budget),
        cmocka_unit_test(test_budget),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
