/* What a peer whose key was stolen can do by saying too much in its own name, or what is not so. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/gossip/thief.h"

enum {
    SECOND_MS = 1000,
    PEERS = 10,
    THIEF = 0,
    OTHER = 3,
    VICTIM = 7,
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
    for (size_t i = 1; i < net.count; i++)
        count += net.peers[i].event_counts[type];
    return count;
}

static struct swim_member seen(size_t observer, size_t subject)
{
    struct swim_member member;
    assert_true(swim_member_find(net.peers[observer].swim, fake_id(&net, subject), &member));
    return member;
}

static bool is_complete(size_t observer, size_t owner)
{
    return swim_member_is_complete(net.peers[observer].swim, fake_id(&net, owner));
}

static bool victim_is_dead(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 1; i < net.count; i++)
        if (net.peers[i].swim && fake_state(&net, i, VICTIM) != SWIM_DEAD)
            return false;
    return true;
}

static bool word_is_out(struct fake_network *unused)
{
    (void)unused;
    for (size_t i = 1; i < net.count; i++)
        if (net.peers[i].swim && !fake_has(&net, i, OTHER, SWIM_TABLE_META, "word", "out"))
            return false;
    return true;
}

/* Breaks if words that the thief signs in another's place, or another's that it changed, are taken.
 */
static void test_speaks_for_others(void **state)
{
    (void)state;
    start(1);
    struct swim_member victim = seen(OTHER, VICTIM);
    struct fact_view presence = {.kind = FACT_PRESENCE,
                                 .version = victim.incarnation + 1,
                                 .presence = {.address = victim.address, .left = true}};
    struct fact *signed_by_thief = thief_sign(&net, THIEF, &presence);
    cleanup_buffer struct buffer raw = {0};
    buffer_append(&raw, signed_by_thief->bytes, signed_by_thief->view.raw.size);
    /* [1, id, …]: the array's and the kind's byte, and two before the id's. */
    memcpy(raw.bytes + 4, victim.id.bytes, ID_BYTES);
    fact_release(net.pool, signed_by_thief);
    struct fact *forged = calloc(1, sizeof(*forged) + raw.size);
    assert_non_null(forged);
    memcpy(forged->bytes, raw.bytes, raw.size);
    assert_int_equal(fact_parse((struct bytes){forged->bytes, raw.size}, &forged->view), 0);
    assert_true(id_equal(&forged->view.signer, &victim.id));

    /* What follows the forgery in the same packet is not even looked at. */
    struct packet_draft draft;
    cleanup_buffer struct buffer bytes = {0};
    struct fact *accusation = thief_accusation(&net, THIEF, VICTIM, VICTIM, 0);
    packet_draft_init(&draft, PACKET_GOSSIP, 0, NULL, net.config.packet_bytes_max);
    assert_true(packet_draft_add(&draft, forged));
    assert_true(packet_draft_add(&draft, accusation));
    assert_int_equal(packet_write(&draft, &bytes), 0);
    assert_int_equal(fake_inject(&net, OTHER, THIEF, SWIM_PACKET, buffer_view(&bytes)), -EBADMSG);
    assert_int_equal(fake_state(&net, OTHER, VICTIM), SWIM_ALIVE);
    fact_release(net.pool, accusation);

    /* The same over a stream. */
    cleanup_buffer struct buffer delta = {0};
    assert_int_equal(sync_write_delta(false, &forged, 1, &delta), 0);
    assert_int_equal(fake_inject(&net, OTHER, THIEF, SWIM_STREAM, buffer_view(&delta)), -EBADMSG);
    assert_int_equal(fake_state(&net, OTHER, VICTIM), SWIM_ALIVE);
    free(forged);
    fake_done(&net);
}

/* Breaks if one owner's flood of records keeps membership or the records of others from spreading,
 * or makes everyone check and pass on all of it. */
static void test_floods_records(void **state)
{
    (void)state;
    enum { PER_TICK = 100, TICK_MS = 25, SECONDS = 15, BURST_SECONDS = 10, KEYS = 4000 };
    start(2);
    uint64_t before = 0;
    for (int said = 0, tick = 0; tick < SECONDS * SECOND_MS / TICK_MS; tick++) {
        for (int i = 0; i < PER_TICK; i++, said++) {
            char key[16], value[SWIM_VALUE_BYTES_MAX + 1];
            snprintf(key, sizeof(key), "k%d", said % KEYS);
            memset(value, 'a' + said / KEYS % 26, sizeof(value) - 1);
            value[sizeof(value) - 1] = 0;
            assert_int_equal(fake_publish(&net, THIEF, SWIM_TABLE_META, key, value), 0);
        }
        if (tick == BURST_SECONDS * SECOND_MS / TICK_MS) {
            before = net.packet_bytes + net.stream_bytes;
            fake_forget_events(&net);
            fake_stop(&net, VICTIM);
            fake_publish(&net, OTHER, SWIM_TABLE_META, "word", "out");
            fake_tick(&net, OTHER);
        }
        fake_run(&net, TICK_MS);
    }
    int64_t word_ms = fake_wait(&net, 10 * SECOND_MS, word_is_out);
    assert_true(victim_is_dead(&net));
    uint64_t cost = net.packet_bytes + net.stream_bytes - before;
    unsigned taken = events(SWIM_RECORD_CHANGED) / (PEERS - 2) / (SECONDS - BURST_SECONDS);
    print_message(
        "%d records/s of %d bytes: %u/s taken at each peer, another's word out %d ms after "
        "the flood, %u KiB/s a peer\n",
        PER_TICK * SECOND_MS / TICK_MS, (int)SWIM_VALUE_BYTES_MAX, taken, (int)word_ms,
        (unsigned)(cost / (SECONDS - BURST_SECONDS) / PEERS / 1024));
    assert_true(taken <= 4 * SWIM_OWNER_NEWS_PER_SECOND);
    assert_int_equal(word_ms, 0);
    fake_done(&net);
}

/* A delta of the largest size, of what all know long since. */
static void write_old_news(size_t owner, struct buffer *ret)
{
    enum { COPIES = SWIM_SYNC_BYTES_MAX / 1000 };
    static char value[SWIM_VALUE_BYTES_MAX - 20];
    struct fact *facts[COPIES];
    memset(value, 'v', sizeof(value) - 1);
    uint64_t version = ((uint64_t)net.peers[owner].generation << 32) + 1;
    struct fact *fact = thief_record(&net, owner, version, 0, "old", value);
    for (size_t i = 0; i < COPIES; i++)
        facts[i] = fact;
    assert_int_equal(sync_write_delta(false, facts, COPIES, ret), 0);
    fact_release(net.pool, fact);
}

/* Whether OTHER takes a record of the thief's that is news, over a stream or in a packet. */
static bool takes_news(uint64_t version, bool by_stream)
{
    cleanup_buffer struct buffer delta = {0};
    char key[16];
    snprintf(key, sizeof(key), "news-%u", (unsigned)version);
    version += (uint64_t)net.peers[THIEF].generation << 32;
    struct fact *fact = thief_record(&net, THIEF, version, 0, key, "value");
    if (by_stream) {
        assert_int_equal(sync_write_delta(false, &fact, 1, &delta), 0);
        fake_inject(&net, OTHER, THIEF, SWIM_STREAM, buffer_view(&delta));
        fact_release(net.pool, fact);
    } else {
        struct thief_words words = {.kind = PACKET_PING, .sequence = 1, .fact_count = 1};
        words.facts[0] = fact;
        assert_int_equal(thief_say(&net, THIEF, OTHER, &words), 0);
    }
    return fake_has(&net, OTHER, THIEF, SWIM_TABLE_META, key, "value");
}

/* Breaks if one peer can make another look at all that it sends, asked or not; or if who sent too
 * much is not heard again later, or others are not heard meanwhile. */
static void test_tells_without_end(void **state)
{
    (void)state;
    cleanup_buffer struct buffer old = {0};
    struct swim_counters before, after;
    start(14);
    fake_stop(&net, THIEF); /* its own instance would see that it is outrun */
    write_old_news(THIEF, &old);
    assert_true(takes_news(100, true));
    assert_true(takes_news(101, false));
    for (size_t told = 0; told < SWIM_TOLD_BURST_BYTES; told += old.size) /* at once */
        assert_int_equal(fake_inject(&net, OTHER, THIEF, SWIM_STREAM, buffer_view(&old)), 0);
    uint64_t next = 102; /* what the last large one left */
    while (next < 2000 && takes_news(next, true))
        next++;
    assert_true(next < 2000);
    swim_counters(net.peers[OTHER].swim, &before);
    assert_false(takes_news(next + 1, false));
    swim_counters(net.peers[OTHER].swim, &after);
    assert_int_equal(after.acks_sent - before.acks_sent, 1); /* it answers all the same */

    fake_publish(&net, VICTIM, SWIM_TABLE_META, "word", "out");
    fake_tick(&net, VICTIM);
    fake_run(&net, 2 * SECOND_MS);
    assert_true(fake_has(&net, OTHER, VICTIM, SWIM_TABLE_META, "word", "out"));
    assert_true(takes_news(next + 2, true)); /* a little is free again */
    assert_true(takes_news(next + 3, false));
    fake_done(&net);
}

/* Breaks if records that never add up to what their owner signed are asked for again without end.
 */
static void test_false_sums(void **state)
{
    (void)state;
    enum { RECORDS = 200, MINUTES = 10 };
    char value[SWIM_VALUE_BYTES_MAX + 1];
    start(3);
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = 0;
    uint64_t generation = seen(THIEF, THIEF).incarnation >> 32 << 32;
    for (unsigned i = 0; i < RECORDS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        struct thief_words words = {.kind = PACKET_GOSSIP, .fact_count = 1};
        words.facts[0] = thief_record(&net, THIEF, generation + (1u << 30) + i, 12345, key, value);
        thief_say_to_all(&net, THIEF, &words);
    }
    fake_stop(&net, THIEF); /* or it would say that it was outrun, and all of this void */
    fake_run(&net, MINUTES * 60 * SECOND_MS);
    assert_false(is_complete(OTHER, THIEF));
    uint64_t before = net.stream_bytes;
    fake_run(&net, MINUTES * 60 * SECOND_MS);
    uint64_t rate = (net.stream_bytes - before) / (MINUTES * 60) / (PEERS - 1);
    print_message("sums that are false: %u bytes/s of sync a peer\n", (unsigned)rate);
    assert_true(rate < 1024);
    fake_done(&net);
}

/* Breaks if two things said under one version, or two addresses under one incarnation, leave peers
 * with different ones for good. */
static void test_says_two_things(void **state)
{
    (void)state;
    start(4);
    uint64_t version = (seen(THIEF, THIEF).incarnation >> 32 << 32) + (1u << 30);
    for (size_t to = 1; to < net.count; to++) {
        struct thief_words words = {.kind = PACKET_GOSSIP, .fact_count = 1};
        words.facts[0] = thief_record(&net, THIEF, version, 0, "two", to % 2 ? "one" : "other");
        thief_say(&net, THIEF, to, &words);
    }
    fake_stop(&net, THIEF);
    fake_run(&net, 20 * SECOND_MS);
    const char *said = fake_has(&net, 1, THIEF, SWIM_TABLE_META, "two", "one") ? "one" : "other";
    for (size_t i = 1; i < net.count; i++)
        assert_true(fake_has(&net, i, THIEF, SWIM_TABLE_META, "two", said));
    fake_done(&net);
}

static uint64_t digests_of_lies(struct thief_words *words, int64_t lie)
{
    words->kind = PACKET_PING;
    words->sequence = 1;
    for (size_t i = 1; i < PEERS; i++) {
        struct swim_member member = seen(i, i);
        words->digests[words->digest_count++] = (struct digest_entry){
            .prefix = id_prefix(&member.id),
            .incarnation = member.incarnation,
            .version = (uint64_t)((int64_t)member.incarnation + lie),
        };
    }
    return 0;
}

/* Breaks if whoever claims to know more makes us ask without end, or keeps us from asking others.
 */
static void test_claims_to_know_more(void **state)
{
    (void)state;
    enum { SECONDS = 60 };
    start(5);
    net.config.sync_interval_ms = 4 * SECOND_MS;
    fake_run(&net, SECONDS * SECOND_MS);
    uint64_t before = net.stream_bytes;
    for (int i = 0; i < SECONDS * 10; i++) {
        struct thief_words words = {0};
        digests_of_lies(&words, INT64_C(1) << 31);
        thief_say_to_all(&net, THIEF, &words);
        fake_run(&net, SECOND_MS / 10);
    }
    uint64_t cost = net.stream_bytes - before;
    cost /= (uint64_t)SECONDS * PEERS;
    print_message("claims to know more, 10 a second: %u bytes/s of sync a peer\n", (unsigned)cost);
    assert_true(cost < 44); /* twice what a sync each interval costs, of which most are saved */
    assert_int_equal(events(SWIM_SELF_OUTRUN), 0);
    fake_done(&net);
}

/* Breaks if whoever asks without end hears each rumour as often as it is sent, and others don't. */
static void test_asks_without_end(void **state)
{
    (void)state;
    start(6);
    fake_publish(&net, OTHER, SWIM_TABLE_META, "word", "out");
    for (int i = 0; i < 200; i++) { /* before a gossip interval is over */
        struct thief_words words = {.kind = PACKET_PING, .sequence = 1};
        thief_say(&net, THIEF, OTHER, &words);
    }
    for (size_t i = 0; i < net.count; i++)
        net.peers[i].event_counts[SWIM_RECORD_CHANGED] = 0;
    int64_t took_ms = fake_wait(&net, 10 * SECOND_MS, word_is_out);
    print_message("a word is out after %d ms\n", (int)took_ms);
    assert_in_range(took_ms, 1, 1 * SECOND_MS);
    fake_done(&net);
}

static unsigned pings_of_victim, relays_refused;

static bool counts_pings(struct fake_network *unused, size_t from, size_t to,
                         enum swim_input_type type, struct bytes bytes)
{
    (void)unused;
    struct packet packet;
    if (type == SWIM_PACKET && to == VICTIM && from == OTHER && packet_read(bytes, &packet) == 0 &&
        packet.kind == PACKET_PING)
        pings_of_victim++;
    return type == SWIM_PACKET && from == VICTIM; /* never answers, so relays stay open */
}

/* Breaks if one peer can take up all of what a helper does for others, or have it flood a third. */
static void test_floods_relays(void **state)
{
    (void)state;
    start(7);
    net.tap = counts_pings;
    pings_of_victim = relays_refused = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        struct thief_words words = {
            .kind = PACKET_RELAY, .sequence = 1000 + i, .subject = fake_id(&net, VICTIM)};
        thief_say(&net, THIEF, OTHER, &words);
    }
    fake_run(&net, 20);
    assert_in_range(pings_of_victim, SWIM_RELAYS_PER_ORIGIN_MAX, SWIM_RELAYS_PER_ORIGIN_MAX + 1);
    unsigned before = pings_of_victim;
    struct thief_words words = {
        .kind = PACKET_RELAY, .sequence = 1, .subject = fake_id(&net, VICTIM)};
    thief_say(&net, 1, OTHER, &words); /* an honest one, which is served all the same */
    fake_run(&net, 20);
    assert_true(pings_of_victim > before);
    fake_done(&net);
}

/* Breaks if the highest generation that a thief can claim for itself harms others, or outlives it.
 */
static void test_absurd_generation(void **state)
{
    (void)state;
    start(8);
    struct fact_view view = {.kind = FACT_PRESENCE,
                             .version = UINT64_MAX,
                             .presence = {.address = seen(OTHER, THIEF).address}};
    struct thief_words words = {.kind = PACKET_GOSSIP, .fact_count = 1};
    words.facts[0] = thief_sign(&net, THIEF, &view);
    thief_say_to_all(&net, THIEF, &words);
    fake_run(&net, 10 * SECOND_MS);
    for (size_t i = 1; i < net.count; i++)
        for (size_t k = 1; k < net.count; k++)
            assert_int_equal(fake_state(&net, i, k), SWIM_ALIVE);
    view.presence.left = true;
    words.facts[words.fact_count++] = thief_sign(&net, THIEF, &view);
    thief_say_to_all(&net, THIEF, &words);
    for (size_t i = 1; i < net.count; i++) {
        assert_int_equal(swim_revoke(net.peers[i].swim, net.now_ms, fake_id(&net, THIEF)), 0);
        fake_tick(&net, i);
        assert_int_equal(fake_state(&net, i, THIEF), -1);
    }
    fake_run(&net, 10 * SECOND_MS);
    assert_int_equal(events(SWIM_MEMBER_DEAD), 0);
    fake_done(&net);
}

/* Breaks if anything that a thief said of itself outlives its revocation. */
static void test_revoked(void **state)
{
    (void)state;
    start(9);
    fake_publish(&net, THIEF, SWIM_TABLE_META, "lie", "is here");
    fake_run(&net, 3 * SECOND_MS);
    assert_true(fake_has(&net, OTHER, THIEF, SWIM_TABLE_META, "lie", "is here"));
    for (size_t i = 1; i < net.count; i++)
        assert_int_equal(swim_revoke(net.peers[i].swim, net.now_ms, fake_id(&net, THIEF)), 0);
    for (int i = 0; i < 100; i++) {
        struct thief_words words = {.kind = PACKET_PING, .sequence = 1, .fact_count = 1};
        words.facts[0] = thief_accusation(&net, THIEF, VICTIM, VICTIM, 0);
        assert_int_equal(thief_say(&net, THIEF, OTHER, &words), -EPERM);
        fake_run(&net, 100);
    }
    for (size_t i = 1; i < net.count; i++) {
        assert_int_equal(fake_state(&net, i, THIEF), -1);
        assert_true(fake_has(&net, i, THIEF, SWIM_TABLE_META, "lie", NULL));
    }
    assert_int_equal(events(SWIM_MEMBER_SUSPECT), 0);
    fake_done(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_speaks_for_others),   cmocka_unit_test(test_floods_records),
        cmocka_unit_test(test_false_sums),          cmocka_unit_test(test_says_two_things),
        cmocka_unit_test(test_claims_to_know_more), cmocka_unit_test(test_asks_without_end),
        cmocka_unit_test(test_floods_relays),       cmocka_unit_test(test_tells_without_end),
        cmocka_unit_test(test_absurd_generation),   cmocka_unit_test(test_revoked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
