/* What operators ask of gossip: pings that are no evidence, and counters. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/gossip/fake_network.h"

enum {
    PEERS = 3,
    SECOND_MS = 1000,
    US_PER_MS = 1000,
    TOKEN = 77,
};

static struct fake_network net;
static struct swim_event last; /* the last pong or loss at peer 0 */
static unsigned answers;

static void start(void)
{
    fake_init(&net, PEERS, 21);
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_alive) >= 0);
    fake_forget_events(&net);
    answers = 0;
    last = (struct swim_event){0};
}

static int ping(size_t target, size_t via)
{
    return swim_ping(net.peers[0].swim, net.now_ms, net.now_ms * US_PER_MS, fake_id(&net, target),
                     via == 0 ? NULL : fake_id(&net, via), TOKEN);
}

/* Runs the network a millisecond at a time, and takes what peer 0 is told out of its outputs. */
static void run(int64_t ms)
{
    unsigned before =
        net.peers[0].event_counts[SWIM_PONG] + net.peers[0].event_counts[SWIM_PING_LOST];
    fake_tick(&net, 0);
    for (int64_t i = 0; i < ms; i++)
        fake_run(&net, 1);
    answers +=
        net.peers[0].event_counts[SWIM_PONG] + net.peers[0].event_counts[SWIM_PING_LOST] - before;
    last = net.peers[0].last_ping;
}

/* Breaks if a ping is not answered, or its round trip is not what the network took. */
static void test_direct(void **state)
{
    (void)state;
    start();
    net.delay_min_ms = net.delay_max_ms = 7;
    assert_int_equal(ping(1, 0), 0);
    run(SECOND_MS);
    assert_int_equal(answers, 1);
    assert_int_equal(last.type, SWIM_PONG);
    assert_int_equal(last.token, TOKEN);
    assert_true(id_equal(&last.id, fake_id(&net, 1)));
    assert_true(id_is_none(&last.by));
    assert_int_equal(last.rtt_us, 14 * US_PER_MS);
    fake_done(&net);
}

/* Breaks if a ping through a helper goes another way, or its answer is taken for a direct one. */
static void test_through_helper(void **state)
{
    (void)state;
    start();
    net.delay_min_ms = net.delay_max_ms = 7;
    net.cut[0][1] = net.cut[1][0] = true;
    assert_int_equal(ping(1, 2), 0);
    run(SECOND_MS);
    assert_int_equal(answers, 1);
    assert_int_equal(last.type, SWIM_PONG);
    assert_true(id_equal(&last.id, fake_id(&net, 1)));
    assert_true(id_equal(&last.by, fake_id(&net, 2)));
    assert_int_equal(last.rtt_us, 28 * US_PER_MS);
    fake_done(&net);
}

/* Breaks if a lost ping is never reported, or the helper's word is. */
static void test_lost(void **state)
{
    (void)state;
    start();
    fake_stop(&net, 1);
    assert_int_equal(ping(1, 0), 0);
    run(SWIM_PING_TIMEOUT_MS + 1);
    assert_int_equal(answers, 1);
    assert_int_equal(last.type, SWIM_PING_LOST);
    assert_false(last.nacked);
    assert_int_equal(ping(1, 2), 0); /* dead by now, and asked for all the same */
    run(SWIM_PING_TIMEOUT_MS + 1);
    assert_int_equal(answers, 2);
    assert_int_equal(last.type, SWIM_PING_LOST);
    assert_true(last.nacked);
    net.cut[0][2] = net.cut[2][0] = true;
    assert_int_equal(ping(1, 2), 0);
    run(SWIM_PING_TIMEOUT_MS + 1);
    assert_int_equal(answers, 3);
    assert_false(last.nacked); /* this time the helper was not reached either */
    fake_done(&net);
}

/* Breaks if what an operator asks makes a member suspect, or us take ourselves for slow. */
static void test_no_evidence(void **state)
{
    (void)state;
    struct swim_counters counters;
    start();
    net.loss_percent = 100;
    for (int i = 0; i < SWIM_PINGS_MAX; i++)
        assert_int_equal(ping(1, 0), 0);
    assert_int_equal(ping(1, 0), -EBUSY);
    struct swim_input tick = {.now_ms = net.now_ms + SWIM_PING_TIMEOUT_MS, .type = SWIM_TICK};
    struct swim *swim = net.peers[0].swim;
    struct swim_output output;
    swim_output_init(&output);
    swim_step(swim, &tick, &output); /* slept: own probes are void, and pings are lost */
    unsigned lost = 0;
    for (size_t i = 0; i < output.event_count; i++)
        lost += output.events[i].type == SWIM_PING_LOST;
    assert_int_equal(lost, SWIM_PINGS_MAX);
    swim_counters(swim, &counters);
    assert_int_equal(counters.accusations_made, 0);
    assert_int_equal(counters.probes_failed, 0);
    assert_int_equal(counters.pings_lost, SWIM_PINGS_MAX);
    assert_int_equal(fake_state(&net, 0, 1), SWIM_ALIVE);
    swim_output_done(&output);
    fake_done(&net);
}

/* Breaks if a ping to nobody, to ourselves or through the target itself is sent. */
static void test_refused(void **state)
{
    (void)state;
    struct id nobody = {{1}};
    start();
    struct swim *swim = net.peers[0].swim;
    assert_int_equal(swim_ping(swim, net.now_ms, 1, &nobody, NULL, 1), -ENOENT);
    assert_int_equal(swim_ping(swim, net.now_ms, 1, fake_id(&net, 1), &nobody, 1), -ENOENT);
    assert_int_equal(ping(0, 0), -EINVAL);
    assert_int_equal(ping(1, 1), -EINVAL);
    assert_int_equal(swim_ping(swim, net.now_ms, 1, fake_id(&net, 1), fake_id(&net, 0), 1),
                     -EINVAL);
    fake_done(&net);
}

/* Breaks if round trips below a millisecond are rounded, where the clock is finer. */
static void test_microseconds(void **state)
{
    (void)state;
    struct swim_member member;
    struct swim_counters counters;
    start();
    fake_run(&net, 5 * SECOND_MS);
    struct swim *swim = net.peers[0].swim;
    int64_t now_us = net.now_ms * US_PER_MS;
    struct swim_output output;
    swim_output_init(&output);
    assert_int_equal(swim_ping(swim, net.now_ms, now_us + 100, fake_id(&net, 1), NULL, TOKEN), 0);
    struct swim_input input = {.now_ms = net.now_ms, .now_us = now_us + 100, .type = SWIM_TICK};
    swim_step(swim, &input, &output);
    struct packet packet = {0};
    for (size_t i = 0; i < output.message_count; i++)
        if (id_equal(&output.messages[i].to, fake_id(&net, 1)) &&
            packet_read(output.messages[i].bytes, &packet) == 0 && packet.kind == PACKET_PING)
            break;
    assert_int_equal(packet.kind, PACKET_PING);
    struct packet_draft draft;
    struct buffer ack = {0};
    packet_draft_init(&draft, PACKET_ACK, packet.sequence, NULL, SESSION_PAYLOAD_BYTES_MAX);
    assert_int_equal(packet_write(&draft, &ack), 0);
    input = (struct swim_input){.now_ms = net.now_ms,
                                .now_us = now_us + 350,
                                .type = SWIM_PACKET,
                                .from = *fake_id(&net, 1),
                                .source = net.peers[1].address,
                                .bytes = buffer_view(&ack)};
    swim_step(swim, &input, &output);
    for (size_t i = 0; i < output.event_count; i++)
        if (output.events[i].type == SWIM_PONG)
            last = output.events[i];
    assert_int_equal(last.type, SWIM_PONG);
    assert_int_equal(last.rtt_us, 250);
    assert_true(swim_member_find(swim, fake_id(&net, 1), &member));
    assert_true(member.rtt_us > 0);
    swim_counters(swim, &counters);
    assert_int_equal(counters.rtt_counts[1], 1); /* not above 250 us */
    buffer_done(&ack);
    swim_output_done(&output);
    fake_done(&net);
}

/* Breaks if a forged answer, of another peer or sequence, ends a ping. */
static void test_forged(void **state)
{
    (void)state;
    start();
    net.loss_percent = 100;
    assert_int_equal(ping(1, 0), 0);
    struct packet_draft draft;
    for (uint32_t sequence = 0; sequence < 64; sequence++) {
        struct buffer ack = {0};
        packet_draft_init(&draft, PACKET_ACK, sequence, NULL, SESSION_PAYLOAD_BYTES_MAX);
        assert_int_equal(packet_write(&draft, &ack), 0);
        fake_inject(&net, 0, 2, SWIM_PACKET, buffer_view(&ack));
        buffer_clear(&ack);
        packet_draft_init(&draft, PACKET_ACK, sequence, fake_id(&net, 1),
                          SESSION_PAYLOAD_BYTES_MAX);
        assert_int_equal(packet_write(&draft, &ack), 0);
        fake_inject(&net, 0, 2, SWIM_PACKET, buffer_view(&ack));
        buffer_done(&ack);
    }
    assert_int_equal(net.peers[0].event_counts[SWIM_PONG], 0);
    fake_done(&net);
}

/* Breaks if counters don't count what happened: to all three when one of them dies. */
static void test_counters(void **state)
{
    (void)state;
    struct swim_counters before, after;
    start();
    swim_counters(net.peers[0].swim, &before);
    assert_int_equal(before.alive, PEERS);
    fake_run(&net, 120 * SECOND_MS);
    swim_counters(net.peers[0].swim, &after);
    assert_true(after.probes_sent > before.probes_sent + 60);
    assert_true(after.acks_received - before.acks_received >= 30);
    assert_true(after.acks_sent - before.acks_sent >= 30);
    assert_int_equal(after.probes_failed, before.probes_failed);
    assert_true(after.packets_sent > before.packets_sent);
    assert_true(after.packet_bytes_received > before.packet_bytes_received);
    assert_true(after.syncs_sent > before.syncs_sent);
    assert_true(after.sync_bytes_received > before.sync_bytes_received);
    assert_true(after.rtt_count - before.rtt_count >= 30);
    assert_true(after.rtt_sum_us > before.rtt_sum_us);
    assert_int_equal(after.malformed, 0);

    static const uint8_t nonsense[] = {0xc1};
    fake_inject(&net, 0, 1, SWIM_PACKET, (struct bytes){nonsense, sizeof(nonsense)});
    fake_publish(&net, 0, SWIM_TABLE_META, "key", "value");
    fake_run(&net, SECOND_MS);
    before = after;
    swim_counters(net.peers[0].swim, &after);
    assert_int_equal(after.malformed, 1);
    assert_int_equal(after.records, 1);
    assert_true(after.rumors_queued > before.rumors_queued);
    assert_true(after.rumors_sent > before.rumors_sent);

    fake_stop(&net, 1);
    fake_run(&net, 20 * SECOND_MS);
    swim_counters(net.peers[0].swim, &after);
    assert_true(after.probes_failed >= 1);
    assert_true(after.probes_indirect >= 1);
    assert_true(after.relays_taken >= 1 || after.nacks_received >= 1);
    assert_int_equal(after.accusations_made, 1);
    assert_int_equal(after.accusations_heard, 1);
    assert_int_equal(after.deaths, 1);
    assert_int_equal(after.dead, 1);
    assert_int_equal(after.alive, PEERS - 1);
    assert_int_equal(after.suspect + after.left, 0);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_direct),  cmocka_unit_test(test_through_helper),
        cmocka_unit_test(test_lost),    cmocka_unit_test(test_no_evidence),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_microseconds),
        cmocka_unit_test(test_forged),  cmocka_unit_test(test_counters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
