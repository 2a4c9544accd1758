/* What a peer whose key was stolen can do to others by accusing them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/unit/gossip/thief.h"

enum {
    SECOND_MS = 1000,
    PEERS = 20,
    VICTIM = 4, /* with one less, all others are asked to help */
    ACCOMPLICES_MAX = 3,
};

static struct fake_network net;

static void start(uint64_t seed)
{
    fake_init(&net, PEERS, seed);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 2 * SECOND_MS);
    fake_forget_events(&net);
}

static unsigned events(enum swim_event_type type)
{
    unsigned count = 0;
    for (size_t i = 0; i < net.count; i++)
        count += net.peers[i].event_counts[type];
    return count;
}

/* How many pairs of running peers there are of whom the one does not hold the other alive. */
static unsigned not_alive(void)
{
    unsigned count = 0;
    for (size_t i = 0; i < net.count; i++)
        for (size_t k = 0; k < net.count; k++)
            if (net.peers[i].swim && net.peers[k].swim)
                count += fake_state(&net, i, k) != SWIM_ALIVE;
    return count;
}

/* Accuses everybody once a second for a while, by as many thieves; returns which share of the time
 * a peer was not held alive by another, in thousandths. */
static unsigned accuse_on(size_t thieves, int seconds)
{
    enum { SAMPLES_PER_SECOND = 20 };
    uint64_t sum = 0;
    for (int second = 0; second < seconds; second++) {
        for (size_t thief = 0; thief < thieves; thief++)
            thief_accuses_all(&net, thief);
        for (int i = 0; i < SAMPLES_PER_SECOND; i++) {
            fake_run(&net, SECOND_MS / SAMPLES_PER_SECOND);
            sum += not_alive();
        }
    }
    uint64_t pairs = (uint64_t)net.count * (net.count - 1);
    return (unsigned)(sum * 1000 / (pairs * (uint64_t)seconds * SAMPLES_PER_SECOND));
}

static bool victim_is_dead(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 0; i < net.count; i++)
        if (net.peers[i].swim && fake_state(&net, i, VICTIM) != SWIM_DEAD)
            return false;
    return true;
}

/* Breaks if one who accuses everybody at once gets anyone killed, or makes more than a few suspect.
 */
static void test_accuses_all_at_once(void **state)
{
    (void)state;
    start(1);
    thief_accuses_all(&net, 0);
    assert_in_range(not_alive(), 1, (PEERS - 1) * SWIM_LONE_ACCUSATIONS_MAX);
    assert_true(fake_wait(&net, 1 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 20 * SECOND_MS);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    fake_done(&net);
}

/* Breaks if accusing again and again keeps peers from serving, or makes all refute without end. */
static void test_accuses_again_and_again(void **state)
{
    (void)state;
    enum { SECONDS = 60, BURST_SECONDS = 30 };
    start(2);
    fake_run(&net, 2 * SECONDS * SECOND_MS);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);

    unsigned share = accuse_on(1, BURST_SECONDS);
    uint64_t before = net.packet_bytes;
    share += accuse_on(1, SECONDS);
    uint64_t cost = (net.packet_bytes - before) / SECONDS / PEERS;
    unsigned suspects = events(SWIM_MEMBER_SUSPECT), refuted = events(SWIM_SELF_REFUTED);
    print_message("one accuser, %d s: %u suspicions at %u peers, %u refutations, "
                  "not held alive %u/1000 of the time, in the end %u bytes/s a peer\n",
                  BURST_SECONDS + SECONDS, suspects, PEERS, refuted, share, (unsigned)cost);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    /* Everyone hears it so many times at first, and then once in SWIM_LONE_ACCUSATION_MS. */
    unsigned heard = SWIM_LONE_ACCUSATIONS_MAX + 1 +
                     (BURST_SECONDS + SECONDS) * SECOND_MS / SWIM_LONE_ACCUSATION_MS;
    assert_true(suspects <= (PEERS - 1) * heard);
    assert_true(share <= 20);
    assert_true(cost <= 2400);

    /* And a death is found as ever. */
    fake_stop(&net, VICTIM);
    thief_accuses_all(&net, 0);
    int64_t took_ms = fake_wait(&net, 20 * SECOND_MS, victim_is_dead);
    print_message("a death is known to all after %d ms\n", (int)took_ms);
    assert_in_range(took_ms, 1, 5 * SECOND_MS);
    fake_done(&net);
}

/* Breaks if the accuser that is not heard any more can't be right any more. */
static void test_who_is_not_heard_may_be_right(void **state)
{
    (void)state;
    start(3);
    accuse_on(1, 10);
    fake_stop(&net, VICTIM);
    fake_run(&net, 100);
    struct thief_words words = {.kind = PACKET_GOSSIP, .fact_count = 1};
    words.facts[0] = thief_accusation(&net, 0, VICTIM, 0, 0);
    thief_say_to_all(&net, 0, &words);
    assert_in_range(fake_wait(&net, 20 * SECOND_MS, victim_is_dead), 1, 5 * SECOND_MS);
    /* What it said of that one was right, so it is given back. */
    fake_done(&net);
}

/* No stream is there to probe over when packets are lost. */
static bool loses_stream_probes(struct fake_network *unused, size_t from, size_t to,
                                enum swim_input_type type, struct bytes bytes)
{
    (void)unused;
    (void)from;
    (void)to;
    struct sync_message message;
    return type == SWIM_STREAM && sync_read(bytes, &message) == 0 &&
           (message.kind == SYNC_PING || message.kind == SYNC_ACK);
}

/* Breaks if, on a network that loses so much that nobody is heard alone any more, deaths are not
 * found, or the living die. */
static void test_nobody_is_heard(void **state)
{
    (void)state;
    start(5);
    net.loss_percent = 25;
    net.tap = loses_stream_probes;
    fake_run(&net, 120 * SECOND_MS);
    unsigned dead = events(SWIM_MEMBER_DEAD);
    fake_forget_events(&net);
    fake_stop(&net, VICTIM);
    int64_t took_ms = fake_wait(&net, 30 * SECOND_MS, victim_is_dead);
    print_message("25%% loss: %u false deaths in 120 s; a death is known to all after %d ms\n",
                  dead, (int)took_ms);
    assert_int_equal(dead, 0);
    assert_in_range(took_ms, 1, 10 * SECOND_MS);
    fake_done(&net);
}

/* Breaks if accusations of what a member was, or may be some day, count. */
static void test_other_incarnations(void **state)
{
    (void)state;
    start(4);
    static const int64_t ahead[] = {-1, 1, 1000, INT64_C(1) << 40};
    for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
        struct thief_words words = {.kind = PACKET_GOSSIP, .fact_count = 1};
        words.facts[0] = thief_accusation(&net, 0, VICTIM, VICTIM, ahead[i]);
        thief_say_to_all(&net, 0, &words);
        assert_int_equal(not_alive(), 0);
    }
    fake_run(&net, 5 * SECOND_MS);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT) + events(SWIM_SELF_REFUTED), 0);
    fake_done(&net);
}

/* Breaks if several stolen peers together get anyone killed that can answer. Four of them, as many
 * as are wanted to believe it, are heard again and again. */
static void test_accomplices(void **state)
{
    (void)state;
    for (size_t thieves = 2; thieves <= 1 + ACCOMPLICES_MAX; thieves++) {
        start(10 + thieves);
        unsigned share = accuse_on(thieves, 30);
        print_message("%zu accusers, 30 s: %u suspicions, not held alive %u/1000 of the time\n",
                      thieves, events(SWIM_MEMBER_SUSPECT), share);
        assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
        if (thieves <= net.config.confirmations)
            assert_true(events(SWIM_MEMBER_SUSPECT) <=
                        (PEERS - 1) * thieves * (SWIM_LONE_ACCUSATIONS_MAX + 2));
        assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_alive) >= 0);
        fake_done(&net);
    }
}

static bool answers_little(struct fake_network *unused, size_t from, size_t to,
                           enum swim_input_type type, struct bytes bytes)
{
    (void)unused;
    (void)bytes;
    return type == SWIM_PACKET && to == 0 && from % 2 == 1; /* half of them are not answered */
}

/* Breaks if a thief that answers some and refutes what the others say of it makes honest peers lose
 * their word for long enough to hide a death. */
static void test_discredits_others(void **state)
{
    (void)state;
    start(20);
    net.tap = answers_little;
    fake_run(&net, 120 * SECOND_MS);
    fake_stop(&net, VICTIM);
    int64_t took_ms = fake_wait(&net, 30 * SECOND_MS, victim_is_dead);
    print_message("others discredited: a death is known to all after %d ms\n", (int)took_ms);
    assert_in_range(took_ms, 1, 6 * SECOND_MS);
    fake_done(&net);
}

/* The thief says of the dead victim that it answers. */
static bool helper_lies(struct fake_network *unused, size_t from, size_t to,
                        enum swim_input_type type, struct bytes bytes)
{
    (void)unused;
    struct packet packet;
    if (type != SWIM_PACKET || packet_read(bytes, &packet) < 0)
        return false;
    for (size_t i = 0; i < packet.fact_count; i++)
        if (packet.facts[i].kind == FACT_ACCUSATION &&
            id_equal(&packet.facts[i].signer, fake_id(&net, 0)))
            return true; /* and does not accuse it itself */
    if (to != 0 || packet.kind != PACKET_RELAY || !id_equal(&packet.subject, fake_id(&net, VICTIM)))
        return false;
    struct thief_words words = {
        .kind = PACKET_ACK, .sequence = packet.sequence, .subject = fake_id(&net, VICTIM)};
    thief_say(&net, 0, from, &words);
    return true;
}

static bool honest_know(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 1; i < net.count; i++)
        if (net.peers[i].swim && fake_state(&net, i, VICTIM) != SWIM_DEAD)
            return false;
    return true;
}

/* Breaks if a helper that lies can hide a death for longer than it takes to ask the dead
 * themselves, or if those who are really reached by one peer alone die of it. */
static void test_helper_lies(void **state)
{
    (void)state;
    static const size_t sizes[] = {VICTIM + 1, PEERS};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fake_init(&net, sizes[i], 30 + i);
        assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
        net.tap = helper_lies;
        fake_stop(&net, VICTIM);
        int64_t took_ms = fake_wait(&net, 300 * SECOND_MS, honest_know);
        print_message("a helper lies to all of %zu: a death is known after %d ms\n", sizes[i],
                      (int)took_ms);
        assert_in_range(took_ms, 1, 25 * SECOND_MS);
        fake_done(&net);
    }
}

/* Breaks if anything that a thief said of others outlives its revocation. */
static void test_revoked(void **state)
{
    (void)state;
    start(21);
    thief_accuses_all(&net, 0);
    assert_true(not_alive() > 0);
    for (size_t i = 1; i < net.count; i++) {
        assert_int_equal(swim_revoke(net.peers[i].swim, net.now_ms, fake_id(&net, 0)), 0);
        fake_tick(&net, i);
        for (size_t k = 1; k < net.count; k++)
            assert_int_equal(fake_state(&net, i, k), SWIM_ALIVE);
        assert_int_equal(fake_state(&net, i, 0), -1);
    }
    fake_stop(&net, 0);
    fake_forget_events(&net);
    fake_run(&net, 30 * SECOND_MS);
    assert_int_equal(events(SWIM_MEMBER_SUSPECT) + events(SWIM_MEMBER_DEAD), 0);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuses_all_at_once),
        cmocka_unit_test(test_accuses_again_and_again),
        cmocka_unit_test(test_who_is_not_heard_may_be_right),
        cmocka_unit_test(test_nobody_is_heard),
        cmocka_unit_test(test_other_incarnations),
        cmocka_unit_test(test_accomplices),
        cmocka_unit_test(test_discredits_others),
        cmocka_unit_test(test_helper_lies),
        cmocka_unit_test(test_revoked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
