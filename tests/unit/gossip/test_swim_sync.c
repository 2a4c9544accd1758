/* Anti-entropy: what it costs when nothing differs, when little or all does, and what one peer can
 * get out of another by it. */
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
    MINUTE_MS = 60 * SECOND_MS,
    ASKER = 1,
    VICTIM = 0,
};

static struct fake_network net;

static void start(size_t count, uint64_t seed)
{
    fake_init(&net, count, seed);
    assert_true(fake_wait(&net, 20 * SECOND_MS, fake_all_alive) >= 0);
    fake_run(&net, 20 * SECOND_MS);
    fake_forget_events(&net);
}

/* Publishes what no rumour tells. */
static void publish_in_silence(size_t index, int key, size_t value_bytes)
{
    struct swim *swim = net.peers[index].swim;
    uint8_t value[SWIM_VALUE_BYTES_MAX] = {(uint8_t)key};
    char name[16];
    snprintf(name, sizeof(name), "key-%d", key);
    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_IMAGE, bytes_of_text(name),
                                  (struct bytes){value, value_bytes}),
                     0);
    while (swim->rumors[RUMOR_RECORD].count > 0)
        rumor_drop(swim, swim->rumors[RUMOR_RECORD].rumors[0].fact);
}

/* Breaks if asking what differs costs more the more members there are, though nothing does. */
static void test_nothing_differs(void **state)
{
    (void)state;
    static const size_t sizes[] = {10, 40, 120};
    for (size_t i = 0; i < 3; i++) {
        start(sizes[i], 3);
        uint64_t before = net.stream_bytes;
        fake_run(&net, 2 * MINUTE_MS);
        double each = (double)(net.stream_bytes - before) / (double)sizes[i] / 120;
        print_message("%zu peers: %.1f bytes a second of anti-entropy each\n", sizes[i], each);
        assert_true(each < 40);
        fake_done(&net);
    }
}

/* Breaks if one thing that differs is not found, or only by telling all. Packets are cut, for their
 * digests would find it, too. */
static void test_one_thing_differs(void **state)
{
    (void)state;
    start(120, 5);
    publish_in_silence(17, 1, 200);
    uint64_t before = net.stream_bytes;
    struct swim *one = net.peers[3].swim;
    struct swim_member with;
    assert_true(swim_member_find(one, fake_id(&net, 17), &with));
    sync_with(one, &with.id, &with.address);
    fake_tick(&net, 3);
    fake_run(&net, 50);
    assert_true(fake_has(&net, 3, 17, SWIM_TABLE_IMAGE, "key-1", NULL) == false);
    print_message("one record of 120 peers: %u bytes\n", (unsigned)(net.stream_bytes - before));
    assert_in_range(net.stream_bytes - before, 300, 3000);
    fake_done(&net);
}

/* Breaks if what is larger than a message, by far, does not get across in pieces, although some of
 * them are lost on the way; or if a newcomer is not told all of many members. */
static void test_much_differs(void **state)
{
    (void)state;
    start(30, 7);
    for (size_t owner = 0; owner < 10; owner++)
        for (int i = 0; i < 100; i++)
            publish_in_silence(owner, i, SWIM_VALUE_BYTES_MAX); /* 900 KB in all */
    fake_stop(&net, 20);
    fake_start(&net, 20);
    int64_t took_ms = -1;
    for (int ms = 0; ms < MINUTE_MS && took_ms < 0; ms += 100) {
        /* Now and then a connection is lost with all that is on its way. */
        if (ms % 1000 == 0)
            fake_drop_streams(&net, 20);
        fake_run(&net, 100);
        took_ms = fake_all_equal(&net) ? ms : -1;
    }
    print_message("900 KB of records equal everywhere after %d ms\n", (int)took_ms);
    assert_true(took_ms >= 0);
    fake_done(&net);
}

/* Tells VICTIM in one delta that so many peers are there, and that it is accused itself; returns
 * how many rumours it has to tell then. */
static uint64_t rumors_after(size_t newcomers)
{
    enum { NEWCOMERS_MAX = 64 };
    struct fact *facts[NEWCOMERS_MAX + 1];
    cleanup_buffer struct buffer delta = {0};
    struct swim_counters before, after;
    assert_in_range(newcomers, 1, NEWCOMERS_MAX);
    start(5, 13);
    swim_counters(net.peers[VICTIM].swim, &before);
    for (size_t i = 0; i < newcomers; i++) {
        uint8_t seed[IDENTITY_SEED_BYTES] = {(uint8_t)i, 0x4e};
        struct identity newcomer;
        identity_init(&newcomer, seed);
        struct fact_view view = {
            .kind = FACT_PRESENCE,
            .version = (uint64_t)1 << 32,
            .presence.address = address_from_v4(0x0a630001 + (uint32_t)i, 7300),
        };
        assert_int_equal(fact_sign(net.pool, &newcomer, &view, &facts[i]), 0);
    }
    facts[newcomers] = thief_accusation(&net, ASKER, VICTIM, VICTIM, 0);
    assert_int_equal(sync_write_delta(false, facts, newcomers + 1, &delta), 0);
    assert_int_equal(fake_inject(&net, VICTIM, ASKER, SWIM_STREAM, buffer_view(&delta)), 0);
    swim_counters(net.peers[VICTIM].swim, &after);
    assert_int_equal(after.alive - before.alive, newcomers); /* it knows them all the same */
    assert_int_equal(after.refutations - before.refutations, 1);
    for (size_t i = 0; i <= newcomers; i++)
        fact_release(net.pool, facts[i]);
    fake_done(&net);
    return after.rumors_queued - before.rumors_queued;
}

/* Breaks if a newcomer among many, or one that was cut off, tells all of them as rumours what they
 * have just told it, so that what is news waits behind it; or if few things learnt in that way, and
 * what it says itself, are not passed on. */
static void test_who_catches_up_has_no_news(void **state)
{
    (void)state;
    assert_int_equal(rumors_after(31), 31 + 1);
    assert_int_equal(rumors_after(32), 1); /* that it is alive */
    assert_int_equal(rumors_after(64), 1);
}

/* An incomplete digest: it asks for everything. */
static void ask_for_all(size_t victim, size_t asker)
{
    struct buffer buffer;
    struct id last;
    memset(last.bytes, 0xff, ID_BYTES);
    buffer_init(&buffer);
    assert_int_equal(sync_write_digest(false, &ID_NONE, &last, NULL, 0, &buffer), 0);
    assert_int_equal(fake_inject(&net, victim, asker, SWIM_STREAM, buffer_view(&buffer)), 0);
    buffer_done(&buffer);
}

/* Breaks if a peer that asks again and again gets all that can be sent, or if it keeps others from
 * being answered. */
static void test_askers_have_a_budget(void **state)
{
    (void)state;
    enum { SECONDS = 60 };
    start(4, 9);
    for (int i = 0; i < 200; i++)
        publish_in_silence(VICTIM, i, SWIM_VALUE_BYTES_MAX);
    fake_run(&net, 20 * SECOND_MS);
    size_t given = 0;
    for (int ms = 0; ms < SECONDS * SECOND_MS; ms += 10) {
        net.now_ms += 10;
        ask_for_all(VICTIM, ASKER);
        for (size_t i = 0; i < net.output.message_count; i++)
            if (net.output.messages[i].channel == SWIM_CHANNEL_STREAM &&
                id_equal(&net.output.messages[i].to, fake_id(&net, ASKER)))
                given += net.output.messages[i].bytes.size;
    }
    print_message("6,000 times all asked for in 60 s: %zu KB given\n", given / 1024);
    assert_in_range(given, SWIM_SYNC_BURST_BYTES,
                    SWIM_SYNC_BURST_BYTES + SECONDS * SWIM_SYNC_BYTES_PER_SECOND +
                        2 * SWIM_SYNC_BYTES_MAX);
    ask_for_all(VICTIM, 2);
    size_t others = 0;
    for (size_t i = 0; i < net.output.message_count; i++)
        others += net.output.messages[i].bytes.size;
    assert_true(others > SWIM_SYNC_BYTES_MAX / 2);
    fake_done(&net);
}

static size_t answer_want(size_t victim, size_t from, const struct sync_range *ranges, size_t count)
{
    struct buffer buffer;
    size_t bytes = 0;
    buffer_init(&buffer);
    assert_int_equal(sync_write_want(ranges, count, &buffer), 0);
    assert_int_equal(fake_inject(&net, victim, from, SWIM_STREAM, buffer_view(&buffer)), 0);
    for (size_t i = 0; i < net.output.message_count; i++)
        if (net.output.messages[i].channel == SWIM_CHANNEL_STREAM)
            bytes += net.output.messages[i].bytes.size;
    buffer_done(&buffer);
    return bytes;
}

/* Breaks if a peer can make us talk that we have not asked, or without end if we have. */
static void test_wants_are_counted(void **state)
{
    (void)state;
    start(120, 11);
    struct swim *victim = net.peers[VICTIM].swim;
    struct sync_range all = {.after = ID_NONE};
    struct swim_member asker;
    memset(all.through.bytes, 0xff, ID_BYTES);
    victim->sync_wants = 0;
    victim->sync_ms = NEVER_MS; /* nothing of its own comes between */
    assert_int_equal(answer_want(VICTIM, ASKER, &all, 1), 0);
    assert_true(swim_member_find(victim, fake_id(&net, ASKER), &asker));
    sync_with(victim, &asker.id, &asker.address);
    assert_int_equal(answer_want(VICTIM, 2, &all, 1) > 2000, false); /* not whom it asked */
    size_t given = 0, answered = 0;
    for (int i = 0; i < 1000; i++) {
        size_t bytes = answer_want(VICTIM, ASKER, &all, 1);
        given += bytes;
        answered += bytes > 0;
    }
    print_message("%zu wants answered with %zu bytes\n", answered, given);
    assert_in_range(answered, 2, 40);
    assert_true(given < 40000);
    fake_done(&net);
}

/* Breaks if peers that hold other things take themselves to be alike: any one difference in what is
 * known of a live member must show, whoever asks. */
static void test_hashes_tell_apart(void **state)
{
    (void)state;
    start(20, 13);
    struct swim *one = net.peers[1].swim;
    struct sync_message message;
    struct swim_member with;
    assert_true(swim_member_find(one, fake_id(&net, 2), &with));
    for (int change = 0; change < 4; change++) {
        struct member *other = member_find(net.peers[2].swim, fake_id(&net, 7));
        if (change == 1)
            member_accuse(net.peers[2].swim, other);
        if (change == 2)
            other->state = SWIM_DEAD;
        if (change == 3) {
            other->state = SWIM_SUSPECT;
            other->suspicion->count--;
        }
        struct swim_input tick = {.now_ms = net.now_ms, .type = SWIM_TICK};
        sync_with(one, &with.id, &with.address);
        one->sync_ms = NEVER_MS;
        assert_int_equal(swim_step(one, &tick, &net.output), 0);
        size_t last = net.output.message_count;
        while (last > 0 && net.output.messages[last - 1].channel != SWIM_CHANNEL_STREAM)
            last--;
        assert_true(last > 0);
        assert_int_equal(sync_read(net.output.messages[last - 1].bytes, &message), 0);
        assert_int_equal(message.kind, SYNC_SUMMARY);
        struct swim_input input = {.now_ms = net.now_ms, .from = *fake_id(&net, 1)};
        size_t before = net.peers[2].swim->pending.message_count;
        summary_receive(net.peers[2].swim, &input, &message);
        bool differs = net.peers[2].swim->pending.message_count > before;
        assert_int_equal(differs, change == 1 || change == 2);
    }
    struct member *other = member_find(net.peers[2].swim, fake_id(&net, 7));
    other->suspicion->count = 1;
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_differs),
        cmocka_unit_test(test_one_thing_differs),
        cmocka_unit_test(test_much_differs),
        cmocka_unit_test(test_askers_have_a_budget),
        cmocka_unit_test(test_wants_are_counted),
        cmocka_unit_test(test_hashes_tell_apart),
        cmocka_unit_test(test_who_catches_up_has_no_news),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
