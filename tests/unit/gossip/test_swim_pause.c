/* Peers that stand still for a while (stopped, swapped out, on a machine that was suspended), with
 * all that came for them in the meantime waiting in their sockets, as far as it fits. */
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
    MINUTE_MS = 60 * SECOND_MS,
    SEEDS = 8,
    SLEEPER = 2,
    OTHER = 3,
};

static struct fake_network net;

static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 5 * SECOND_MS + (int64_t)seed * 77);
    fake_forget_events(&net);
}

static bool is_accused_by(size_t observer, size_t subject, size_t accuser)
{
    struct swim_suspicion suspicion;
    swim_suspicion(net.peers[observer].swim, fake_id(&net, subject), &suspicion);
    for (size_t i = 0; i < suspicion.count; i++)
        if (id_equal(&suspicion.accusations[i].by, fake_id(&net, accuser)))
            return true;
    return false;
}

static size_t accuser_count(size_t observer, size_t subject)
{
    struct swim_member member;
    assert_true(swim_member_find(net.peers[observer].swim, fake_id(&net, subject), &member));
    return member.accusers;
}

static void nobody_is_accused_by_the_sleeper(void)
{
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.count; k++)
            assert_false(is_accused_by(i, k, SLEEPER));
}

/* Breaks if a peer that wakes holds its own pause against others, or takes what waits in its socket
 * (answers to probes that are long over, what others said of it) for the present. */
static void test_wakes(void **state)
{
    (void)state;
    static const int pauses_ms[] = {200, 390, 600, 950, 1000, 2000, 5000, 30000, 600000};
    for (size_t i = 0; i < sizeof(pauses_ms) / sizeof(*pauses_ms); i++) {
        int64_t worst_ms = 0;
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            start(10, seed);
            const unsigned *counts = net.peers[SLEEPER].event_counts;
            net.peers[SLEEPER].paused_until = net.now_ms + pauses_ms[i];
            fake_run(&net, pauses_ms[i]);
            nobody_is_accused_by_the_sleeper();
            for (int64_t ms = 0; ms < 10 * SECOND_MS; ms += 20) {
                fake_run(&net, 20);
                nobody_is_accused_by_the_sleeper();
                worst_ms = fake_all_alive(&net) || worst_ms > ms ? worst_ms : ms;
            }
            assert_true(fake_all_alive(&net));
            assert_int_equal(counts[SWIM_MEMBER_SUSPECT], 0);
            assert_int_equal(counts[SWIM_MEMBER_DEAD], 0);
            assert_true(counts[SWIM_SELF_REFUTED] <= 2);
            fake_done(&net);
        }
        print_message("pause of %d ms: all well again %d ms after it at most\n", pauses_ms[i],
                      (int)worst_ms);
        assert_true(worst_ms <= 3 * SECOND_MS);
    }
}

/* Breaks if the packets that overflowed the socket leave a peer that wakes with accusations whose
 * answers it did not get: others may not die by them. */
static void test_old_accusations_wait_in_the_socket(void **state)
{
    (void)state;
    static const int pauses_ms[] = {10 * SECOND_MS, 10 * MINUTE_MS};
    unsigned heard = 0;
    for (size_t i = 0; i < 2 * SEEDS; i++) {
        start(8, i + 1);
        int pause_ms = pauses_ms[i % 2];
        int64_t wakes_ms = net.now_ms + pause_ms;
        net.peers[SLEEPER].paused_until = wakes_ms;
        /* The other is cut off until all but the sleeper accuse it, and comes back. By then the
         * sleeper's socket is full. */
        net.peers[OTHER].group = 1;
        while (accuser_count(0, OTHER) < 4)
            fake_run(&net, 5);
        fake_run(&net, 50);
        net.socket_packets_max = 0;
        net.peers[OTHER].group = 0;
        fake_run(&net, wakes_ms - net.now_ms);
        assert_int_equal(fake_state(&net, 0, OTHER), SWIM_ALIVE);
        fake_run(&net, 10 * SECOND_MS);
        heard += net.peers[SLEEPER].event_counts[SWIM_MEMBER_SUSPECT] > 0;
        assert_int_equal(net.peers[SLEEPER].event_counts[SWIM_MEMBER_DEAD], 0);
        assert_true(fake_all_alive(&net));
        fake_done(&net);
    }
    assert_true(heard > 0); /* else this has tried nothing */
}

/* Breaks if a suspicion that a peer held when it fell asleep ends in a death when it wakes,
 * although the suspect answered long ago. */
static void test_suspicion_sleeps_too(void **state)
{
    (void)state;
    static const int pauses_ms[] = {1500, 20 * SECOND_MS, 10 * MINUTE_MS};
    for (size_t i = 0; i < 3 * SEEDS; i++) {
        start(6, i + 1);
        const struct member *other = member_find(net.peers[SLEEPER].swim, fake_id(&net, OTHER));
        net.peers[OTHER].group = 1;
        while (!other->suspicion || other->suspicion->count < 4)
            fake_run(&net, 5);
        /* At the very last moment. */
        fake_run(&net, other->suspicion->deadline_ms - net.now_ms - 10);
        assert_int_equal(fake_state(&net, SLEEPER, OTHER), SWIM_SUSPECT);
        net.peers[SLEEPER].paused_until = net.now_ms + pauses_ms[i / SEEDS];
        net.peers[OTHER].group = 0;
        net.socket_packets_max = 0; /* nothing that waits tells it */
        fake_run(&net, pauses_ms[i / SEEDS] + 10 * SECOND_MS);
        assert_int_equal(net.peers[SLEEPER].event_counts[SWIM_MEMBER_DEAD], 0);
        assert_true(fake_all_alive(&net));
        fake_done(&net);
    }
}

/* Breaks if a peer that is held up again and again never finds out that another is dead. */
static void test_starved(void **state)
{
    (void)state;
    start(5, 3);
    fake_stop(&net, OTHER);
    for (int i = 0; i < 20; i++) {
        net.peers[SLEEPER].paused_until = net.now_ms + 1100;
        fake_run(&net, 3 * SECOND_MS);
    }
    assert_int_equal(fake_state(&net, SLEEPER, OTHER), SWIM_DEAD);
    assert_int_equal(net.peers[SLEEPER].event_counts[SWIM_MEMBER_DEAD], 1);
    fake_done(&net);
}

/* Breaks if what a peer was asked to probe for others before it slept is answered as if it were
 * now, or keeps it busy for ever. */
static void test_relays_are_dropped(void **state)
{
    (void)state;
    start(4, 9);
    struct swim *sleeper = net.peers[SLEEPER].swim;
    struct packet packet = {.kind = PACKET_RELAY, .sequence = 7, .subject = *fake_id(&net, OTHER)};
    struct swim_input input = {
        .now_ms = net.now_ms, .from = *fake_id(&net, 0), .source = net.peers[0].address};
    net.peers[OTHER].group = 1;
    relay_start(sleeper, &input, &packet);
    fake_tick(&net, SLEEPER);
    net.peers[SLEEPER].paused_until = net.now_ms + 5 * SECOND_MS;
    net.now_ms += 5 * SECOND_MS;
    struct swim_input tick = {.now_ms = net.now_ms, .type = SWIM_TICK};
    assert_int_equal(swim_step(sleeper, &tick, &net.output), 0);
    for (size_t i = 0; i < net.output.message_count; i++) {
        struct packet sent;
        if (net.output.messages[i].channel == SWIM_CHANNEL_PACKET) {
            assert_int_equal(packet_read(net.output.messages[i].bytes, &sent), 0);
            assert_int_not_equal(sent.kind, PACKET_NACK);
        }
    }
    for (size_t i = 0; i < SWIM_RELAYS_MAX; i++)
        assert_int_equal(sleeper->relays[i].sequence, 0);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wakes),
        cmocka_unit_test(test_old_accusations_wait_in_the_socket),
        cmocka_unit_test(test_suspicion_sleeps_too),
        cmocka_unit_test(test_starved),
        cmocka_unit_test(test_relays_are_dropped),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
