/* What a peer whose key was stolen can make others send to an address that is not its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "gossip/swim_internal.h"
#include "tests/unit/gossip/thief.h"

enum {
    SECOND_MS = 1000,
    PEERS = 6,
    THIEF = 0,
    PEER = 1, /* to whom the thief speaks */
    OTHER = 2,
    TALES = 8, /* what PEER could tell */
};

static struct fake_network net;
static struct address victim;

static void start(uint64_t seed)
{
    fake_init(&net, PEERS, seed);
    victim = address_from_v4(0xcb007107, 7300);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 20 * SECOND_MS);
}

/* Gives PEER something to tell. */
static void tell_peer(int round)
{
    for (int i = 0; i < TALES; i++) {
        char key[16], value[128] = {0};
        snprintf(key, sizeof(key), "tale-%d", i);
        memset(value, 'a' + round, sizeof(value) - 1);
        assert_int_equal(fake_publish(&net, PEER, SWIM_TABLE_META, key, value), 0);
    }
}

static size_t write_words(enum packet_kind kind, uint32_t sequence, const struct id *subject,
                          const struct fact *fact, struct buffer *ret)
{
    struct packet_draft draft;
    packet_draft_init(&draft, kind, sequence, subject, net.config.packet_bytes_max);
    if (fact)
        assert_true(packet_draft_add(&draft, fact));
    buffer_clear(ret);
    assert_int_equal(packet_write(&draft, ret), 0);
    return ret->size;
}

/* Lets the thief say that to PEER, from `source`; returns how much goes there for it. */
static size_t answered(const struct address *source, const struct buffer *words)
{
    struct swim *swim = net.peers[PEER].swim;
    struct swim_input tick = {.now_ms = net.now_ms, .type = SWIM_TICK};
    struct swim_input input = {.now_ms = net.now_ms,
                               .type = SWIM_PACKET,
                               .from = *fake_id(&net, THIEF),
                               .source = *source,
                               .bytes = buffer_view(words)};
    size_t bytes = 0;
    assert_int_equal(swim_step(swim, &tick, &net.output), 0);
    assert_int_equal(swim_step(swim, &input, &net.output), 0);
    for (size_t i = 0; i < net.output.message_count; i++)
        if (address_equal(&net.output.messages[i].address, source))
            bytes += net.output.messages[i].bytes.size;
    return bytes;
}

/* Breaks if who has a key makes others send to an address more than what it sends under it, by the
 * least ping or one that has something to say, or if peers that are where they say are told less.
 */
static void test_forged_source(void **state)
{
    (void)state;
    cleanup_buffer struct buffer words = {0};
    start(1);
    struct address own = net.peers[THIEF].address;
    size_t least = write_words(PACKET_PING, 1, NULL, NULL, &words);
    tell_peer(0);
    size_t to_own = answered(&own, &words);
    tell_peer(1);
    fake_run(&net, SECOND_MS);
    size_t to_victim = answered(&victim, &words);
    print_message("a ping of %zu bytes: %zu to its own address, %zu to a victim's\n", least, to_own,
                  to_victim);
    assert_true(to_own > 500);
    assert_in_range(to_victim, 1, least);

    struct swim_member self;
    assert_true(swim_member_find(net.peers[PEER].swim, fake_id(&net, THIEF), &self));
    struct fact_view presence = {
        .kind = FACT_PRESENCE, .version = self.incarnation, .presence.address = self.address};
    struct fact *fact = thief_sign(&net, THIEF, &presence);
    tell_peer(2);
    fake_run(&net, SECOND_MS);
    size_t larger = write_words(PACKET_PING, UINT32_MAX, NULL, fact, &words);
    to_victim = answered(&victim, &words);
    print_message("one of %zu bytes: %zu\n", larger, to_victim);
    assert_in_range(to_victim, least, larger);
    fact_release(net.pool, fact);
    fake_done(&net);
}

/* Breaks if it is enough to say that one is there, or to guess what a ping to there asks. */
static void test_advertises_a_victim(void **state)
{
    (void)state;
    cleanup_buffer struct buffer words = {0};
    start(2);
    struct swim_member self;
    assert_true(swim_member_find(net.peers[PEER].swim, fake_id(&net, THIEF), &self));
    struct fact_view presence = {
        .kind = FACT_PRESENCE, .version = self.incarnation + 1, .presence.address = victim};
    struct fact *fact = thief_sign(&net, THIEF, &presence);
    write_words(PACKET_GOSSIP, 0, NULL, fact, &words);
    answered(&victim, &words);
    fact_release(net.pool, fact);

    /* A ping to there is under way, and there is no telling which number it has. */
    struct swim *swim = net.peers[PEER].swim;
    struct member *thief = member_find(swim, fake_id(&net, THIEF));
    assert_true(address_equal(member_address(thief), &victim));
    probe_start(swim, thief);
    for (uint32_t sequence = 1; sequence < 4096; sequence++) {
        write_words(PACKET_ACK, sequence, NULL, NULL, &words);
        answered(&victim, &words);
    }
    tell_peer(0);
    size_t least = write_words(PACKET_PING, 1, NULL, NULL, &words);
    assert_in_range(answered(&victim, &words), 1, least);

    /* Who does know it is there. */
    uint32_t sequence = 0;
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++)
        if (id_equal(&swim->probes[i].target, fake_id(&net, THIEF)) && swim->probes[i].sequence)
            sequence = swim->probes[i].sequence;
    assert_int_not_equal(sequence, 0);
    write_words(PACKET_ACK, sequence, NULL, NULL, &words);
    answered(&victim, &words);
    net.now_ms += net.config.gossip_interval_ms; /* rumours ride on answers again */
    write_words(PACKET_PING, 1, NULL, NULL, &words);
    assert_true(answered(&victim, &words) > 500);
    fake_done(&net);
}

/* Breaks if the outcome of a probe that somebody asked for is larger than the question. */
static void test_asks_for_probes(void **state)
{
    (void)state;
    cleanup_buffer struct buffer words = {0};
    start(3);
    struct swim *swim = net.peers[PEER].swim;
    fake_stop(&net, OTHER);
    size_t asked = write_words(PACKET_RELAY, 7, fake_id(&net, OTHER), NULL, &words);
    assert_int_equal(answered(&victim, &words), 0);
    size_t nacked = 0;
    for (int ms = 0; ms < SECOND_MS && nacked == 0; ms += 10) {
        struct swim_input tick = {.now_ms = net.now_ms + ms, .type = SWIM_TICK};
        if (ms == 100)
            tell_peer(0);
        assert_int_equal(swim_step(swim, &tick, &net.output), 0);
        for (size_t i = 0; i < net.output.message_count; i++)
            if (address_equal(&net.output.messages[i].address, &victim))
                nacked += net.output.messages[i].bytes.size;
    }
    assert_in_range(nacked, 1, asked);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forged_source),
        cmocka_unit_test(test_advertises_a_victim),
        cmocka_unit_test(test_asks_for_probes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
