/* Many die at once: what of it is told first, to whom, and who takes himself to be slow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "gossip/swim_internal.h"
#include "tests/unit/gossip/fake_network.h"

enum {
    SECOND_MS = 1000,
    PEERS = 60,
    FEW = 6,
    SUBJECT = 50,
    PINGS = 6,
    ONE_FACT_BYTES = SWIM_PACKET_BYTES_MIN, /* packets that have room for one accusation */
};

static struct fake_network net;

static void start(void)
{
    fake_init(&net, PEERS, 1);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 12 * SECOND_MS); /* until nothing is news any more */
}

static struct member *seen_by(size_t observer, size_t subject)
{
    return member_find(net.peers[observer].swim, fake_id(&net, subject));
}

/* Lets a gossip interval pass at peer 0 alone: what it says then is in net.output. */
static void next_round(void)
{
    net.now_ms += net.config.gossip_interval_ms;
    struct swim_input tick = {.now_ms = net.now_ms, .type = SWIM_TICK};
    assert_int_equal(swim_step(net.peers[0].swim, &tick, &net.output), 0);
}

struct told {
    size_t packets, facts;
};

/* The gossip that peer 0 has just sent to another, which must not hear the same twice. */
static struct told told_to(size_t to)
{
    static struct packet packet;
    static struct id heard[PEERS];
    struct told told = {0};
    for (size_t i = 0; i < net.output.message_count; i++) {
        const struct swim_message *message = &net.output.messages[i];
        if (message->channel != SWIM_CHANNEL_PACKET || !id_equal(&message->to, fake_id(&net, to)))
            continue;
        assert_int_equal(packet_read(message->bytes, &packet), 0);
        if (packet.kind != PACKET_GOSSIP)
            continue;
        told.packets++;
        for (size_t k = 0; k < packet.fact_count; k++) {
            if (packet.facts[k].kind != FACT_ACCUSATION)
                continue;
            for (size_t h = 0; h < told.facts; h++)
                assert_false(id_equal(&heard[h], &packet.facts[k].accusation.accused));
            assert_true(told.facts < PEERS);
            heard[told.facts++] = packet.facts[k].accusation.accused;
        }
    }
    return told;
}

static void accuse(size_t first, size_t count)
{
    for (size_t i = 0; i < count; i++)
        member_accuse(net.peers[0].swim, seen_by(0, first + i));
}

/* Breaks if what is known of many deaths waits for the next gossip although there is much of it. */
static void test_all_is_told_at_once(void **state)
{
    (void)state;
    enum { DEAD = 30 };
    size_t listeners = 0;
    start();
    accuse(PEERS - DEAD, DEAD);
    next_round();
    for (size_t i = 1; i < PEERS - DEAD; i++) {
        struct told told = told_to(i);
        if (told.packets == 0)
            continue;
        listeners++;
        assert_int_equal(told.facts, DEAD);
        assert_in_range(told.packets, 2, SWIM_TOLD_PACKETS_MAX);
    }
    assert_true(listeners > 0);
    fake_done(&net);
}

/* Breaks if the number of packets has no bound, or goes on being large once many were told. */
static void test_told_so_much(void **state)
{
    (void)state;
    enum { DEAD = 40, ROUNDS = 30 };
    size_t most = 0, last = 0;
    start();
    net.peers[0].swim->config.packet_bytes_max = ONE_FACT_BYTES;
    accuse(PEERS - DEAD, DEAD);
    for (int round = 0; round < ROUNDS; round++) {
        next_round();
        last = 0;
        for (size_t i = 1; i < PEERS; i++) {
            struct told told = told_to(i);
            last = told.packets > last ? told.packets : last;
            if (member_is_accused(seen_by(0, i)))
                assert_in_range(told.packets, 0, 1);
        }
        most = last > most ? last : most;
    }
    assert_int_equal(most, SWIM_TOLD_PACKETS_MAX);
    assert_int_equal(last, 1);
    assert_in_range(net.peers[0].swim->rumors[RUMOR_URGENT].count, DEAD, PEERS);
    fake_done(&net);
}

/* Breaks if one death is told with more than a packet. */
static void test_one_death_is_little(void **state)
{
    (void)state;
    start();
    accuse(SUBJECT, 1);
    next_round();
    for (size_t i = 1; i < PEERS; i++)
        assert_in_range(told_to(i).packets, 0, 1);
    fake_done(&net);
}

/* Whether the digest of SUBJECT rides on what peer 0 has just sent. */
static bool asks_for_accusers(void)
{
    static struct packet packet;
    uint64_t prefix = id_prefix(fake_id(&net, SUBJECT));
    for (size_t i = 0; i < net.output.message_count; i++) {
        if (net.output.messages[i].channel != SWIM_CHANNEL_PACKET)
            continue;
        assert_int_equal(packet_read(net.output.messages[i].bytes, &packet), 0);
        for (size_t k = 0; k < packet.digest_count; k++)
            if (packet.digests[k].prefix == prefix)
                return true;
    }
    return false;
}

/* In how many of some intervals peer 0 asks somebody. */
static unsigned times_asked(void)
{
    unsigned times = 0;
    for (unsigned i = 0; i < PINGS; i++) {
        struct swim *swim = net.peers[0].swim;
        swim->digest_next = 0; /* so that it does not ride by its turn */
        probe_reset(swim);
        probe_start(swim, seen_by(0, 1 + i));
        next_round();
        times += asks_for_accusers();
    }
    return times;
}

/* Breaks if who knows too few accusers of a suspect waits for more rather than to ask, or goes on
 * to ask when it knows enough. */
static void test_undecided_asks(void **state)
{
    (void)state;
    start();
    struct swim *swim = net.peers[0].swim;
    assert_int_equal(times_asked(), 0);
    accuse(SUBJECT, 1);
    assert_int_equal(seen_by(0, SUBJECT)->state, SWIM_SUSPECT);
    assert_int_equal(times_asked(), PINGS);
    for (size_t i = 1; i <= net.config.confirmations; i++) {
        member_accuse(net.peers[i].swim, seen_by(i, SUBJECT));
        assert_true(fact_apply(swim, &seen_by(i, SUBJECT)->suspicion->accusations[0]->view, true));
    }
    assert_int_equal(times_asked(), 0);
    fake_done(&net);
}

/* Breaks if the living take themselves to be slow because the helpers that they ask are dead too,
 * and so look for the other dead the more slowly. */
static void test_dead_helpers_excuse(void **state)
{
    (void)state;
    enum { DEAD = PEERS / 3, ROUNDS = 50 };
    uint64_t health = 0;
    start();
    for (size_t i = PEERS - DEAD; i < PEERS; i++)
        fake_stop(&net, i);
    for (int round = 0; round < ROUNDS; round++) {
        fake_run(&net, SECOND_MS / 10);
        for (size_t i = 0; i < PEERS - DEAD; i++)
            health += net.peers[i].swim->health;
    }
    /* On average a third of a step. */
    assert_in_range(health, 1, ROUNDS * (PEERS - DEAD) / 3);
    fake_done(&net);
}

/* Breaks if a peer that nobody reaches does not suspect itself, because it suspects its helpers. */
static void test_cut_off_is_not_excused(void **state)
{
    (void)state;
    fake_init(&net, FEW, 1);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    for (size_t i = 1; i < FEW; i++)
        net.cut[0][i] = net.cut[i][0] = true;
    accuse(1, FEW - 1);
    fake_run(&net, SECOND_MS);
    assert_true(net.peers[0].swim->health > 0);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_told_at_once), cmocka_unit_test(test_told_so_much),
        cmocka_unit_test(test_one_death_is_little), cmocka_unit_test(test_undecided_asks),
        cmocka_unit_test(test_dead_helpers_excuse), cmocka_unit_test(test_cut_off_is_not_excused),
    };
    assert_true(sodium_init() >= 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
