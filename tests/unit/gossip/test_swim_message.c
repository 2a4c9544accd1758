#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "gossip/identity.h"
#include "gossip/swim.h"
#include "gossip/swim_message.h"

enum {
    FACTS = 80,
};

static struct identity owner;
static struct fact_pool *pool;
static struct fact *facts[FACTS];
static struct buffer buffer;

static int set_up(void **state)
{
    (void)state;
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {2};
    identity_init(&owner, seed);
    buffer_init(&buffer);
    if (fact_pool_new(7, &pool) < 0)
        return -1;
    for (size_t i = 0; i < FACTS; i++) {
        struct fact_view view = {
            .kind = FACT_ACCUSATION,
            .version = i,
            .accusation.accused = {{1, 2, 3}},
        };
        if (fact_sign(pool, &owner, &view, &facts[i]) < 0)
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < FACTS; i++)
        fact_release(pool, facts[i]);
    fact_pool_free(pool);
    buffer_done(&buffer);
    identity_done(&owner);
    return 0;
}

static void fill(struct packet_draft *draft)
{
    for (size_t i = 0; i < SWIM_PACKET_DIGESTS_MAX; i++) {
        struct digest_entry entry = {i, ID_NONE, UINT64_MAX, UINT64_MAX - i, UINT8_MAX};
        packet_draft_add_digest(draft, &entry);
    }
    for (size_t i = 0; i < FACTS; i++)
        packet_draft_add(draft, facts[i]);
}

/* Breaks if a packet grows beyond its room, or does not come out as it went in. */
static void test_packet_round_trip(void **state)
{
    (void)state;
    static const size_t rooms[] = {SWIM_PACKET_BYTES_MIN, 700, SESSION_PAYLOAD_BYTES_MAX, 65536};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        struct packet_draft draft;
        struct packet packet;
        packet_draft_init(&draft, PACKET_ACK, UINT32_MAX, &owner.id, rooms[i]);
        fill(&draft);
        buffer_clear(&buffer);
        assert_int_equal(packet_write(&draft, &buffer), 0);
        assert_true(buffer.size <= rooms[i]);
        assert_int_equal(packet_read(buffer_view(&buffer), &packet), 0);
        assert_int_equal(packet.kind, PACKET_ACK);
        assert_true(packet.sequence == UINT32_MAX);
        assert_true(id_equal(&packet.subject, &owner.id));
        assert_int_equal(packet.digest_count, draft.digest_count);
        assert_int_equal(packet.fact_count, draft.fact_count);
        for (size_t k = 0; k < packet.digest_count; k++) {
            assert_true(packet.digests[k].prefix == k);
            assert_true(packet.digests[k].incarnation == UINT64_MAX);
            assert_true(packet.digests[k].version == UINT64_MAX - k);
        }
        for (size_t k = 0; k < packet.fact_count; k++)
            assert_true(bytes_equal(packet.facts[k].raw, facts[k]->view.raw));
    }
}

/* Breaks if a probe's silence goes unnoticed, or that of what nobody answers is noticed. */
static void test_packet_asks(void **state)
{
    (void)state;
    static const bool asks[] = {
        [PACKET_PING] = true, [PACKET_RELAY] = true, [PACKET_GOSSIP] = false};
    struct packet_draft draft;
    for (int kind = PACKET_PING; kind <= PACKET_GOSSIP; kind++) {
        packet_draft_init(&draft, (enum packet_kind)kind, 1, &owner.id, SESSION_PAYLOAD_BYTES_MAX);
        buffer_clear(&buffer);
        assert_int_equal(packet_write(&draft, &buffer), 0);
        assert_int_equal(packet_asks(buffer_view(&buffer)), asks[kind]);
    }
    assert_false(packet_asks((struct bytes){0}));
}

/* Breaks if what rides on every probe grows: it is most of what an idle peer sends. */
static void test_ping_is_small(void **state)
{
    (void)state;
    struct packet_draft draft;
    packet_draft_init(&draft, PACKET_PING, UINT32_MAX, NULL, SESSION_PAYLOAD_BYTES_MAX);
    for (uint64_t i = 0; i < 4; i++) {
        struct digest_entry entry = {UINT64_MAX - i, ID_NONE, UINT64_C(9) << 32 | 9,
                                     UINT64_C(9) << 32 | 60000, 1};
        assert_true(packet_draft_add_digest(&draft, &entry));
    }
    buffer_clear(&buffer);
    assert_int_equal(packet_write(&draft, &buffer), 0);
    assert_in_range(buffer.size, 1, 80);
}

/* Breaks if a packet that was cut off, has bytes too many, or a subject where none belongs, or too
 * many items is accepted. */
static void test_packet_malformed(void **state)
{
    (void)state;
    struct packet_draft draft;
    struct packet packet;
    packet_draft_init(&draft, PACKET_PING, 1, NULL, SESSION_PAYLOAD_BYTES_MAX);
    fill(&draft);
    assert_int_equal(packet_write(&draft, &buffer), 0);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(packet_read((struct bytes){buffer.bytes, size}, &packet), -EBADMSG);
    assert_int_equal(buffer_append(&buffer, "", 1), 0);
    assert_int_equal(packet_read(buffer_view(&buffer), &packet), -EBADMSG);

    static const struct {
        enum packet_kind kind;
        bool without, with;
    } rules[] = {
        {PACKET_PING, true, false}, {PACKET_ACK, true, true},     {PACKET_RELAY, false, true},
        {PACKET_NACK, false, true}, {PACKET_GOSSIP, true, false}, {99, false, false},
    };
    for (size_t i = 0; i < 2 * sizeof(rules) / sizeof(rules[0]); i++) {
        bool with = i % 2;
        packet_draft_init(&draft, rules[i / 2].kind, 1, with ? &owner.id : NULL, 200);
        buffer_clear(&buffer);
        assert_int_equal(packet_write(&draft, &buffer), 0);
        bool good = with ? rules[i / 2].with : rules[i / 2].without;
        assert_int_equal(packet_read(buffer_view(&buffer), &packet), good ? 0 : -EBADMSG);
    }

    packet_draft_init(&draft, PACKET_GOSSIP, 0, NULL, SWIM_PACKET_BYTES_LIMIT);
    fill(&draft);
    assert_int_equal(draft.fact_count, SWIM_PACKET_FACTS_MAX);
    assert_int_equal(draft.digest_count, SWIM_PACKET_DIGESTS_MAX);
}

/* Breaks if a place gets lost or takes more room than it is given, or is taken from a packet that
 * says nothing of its receiver. */
static void test_place(void **state)
{
    (void)state;
    struct address none = {0}, place = address_from_v4(0x7f000001, 7300);
    static const struct {
        enum packet_kind kind;
        bool has_subject, good;
    } cases[] = {{PACKET_PING, false, true}, {PACKET_ACK, false, true},
                 {PACKET_ACK, true, false},  {PACKET_RELAY, true, false},
                 {PACKET_NACK, true, false}, {PACKET_GOSSIP, false, false}};
    struct packet_draft draft;
    struct packet packet;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        packet_draft_init(&draft, cases[i].kind, 1, cases[i].has_subject ? &owner.id : NULL,
                          SWIM_PACKET_BYTES_MIN);
        packet_draft_place(&draft, &place);
        fill(&draft);
        buffer_clear(&buffer);
        assert_int_equal(packet_write(&draft, &buffer), 0);
        assert_true(buffer.size <= SWIM_PACKET_BYTES_MIN);
        assert_int_equal(packet_read(buffer_view(&buffer), &packet), cases[i].good ? 0 : -EBADMSG);
        if (cases[i].good)
            assert_true(address_equal(&packet.place, &place));
    }
    packet_draft_init(&draft, PACKET_PING, 1, NULL, PACKET_OVERHEAD_BYTES);
    packet_draft_place(&draft, &place); /* no room */
    assert_true(address_equal(&draft.place, &none));
    packet_draft_init(&draft, PACKET_PING, 1, NULL, SWIM_PACKET_BYTES_MIN);
    packet_draft_place(&draft, &none);
    assert_int_equal(draft.room, SWIM_PACKET_BYTES_MIN - PACKET_OVERHEAD_BYTES);
}

/* Breaks if a ping over a stream does not come out as it went in, or one that is none is taken. */
static void test_stream_ping(void **state)
{
    (void)state;
    static const enum sync_kind kinds[] = {SYNC_PING, SYNC_ACK};
    struct sync_message message;
    for (size_t i = 0; i < 2; i++) {
        buffer_clear(&buffer);
        assert_int_equal(sync_write_ping(kinds[i], UINT32_MAX, &buffer), 0);
        for (size_t size = 0; size < buffer.size; size++)
            assert_int_equal(sync_read((struct bytes){buffer.bytes, size}, &message), -EBADMSG);
        assert_int_equal(sync_read(buffer_view(&buffer), &message), 0);
        assert_int_equal(message.kind, kinds[i]);
        assert_true(message.sequence == UINT32_MAX);
        assert_int_equal(buffer_append(&buffer, "", 1), 0);
        assert_int_equal(sync_read(buffer_view(&buffer), &message), -EBADMSG);
    }
    static const uint8_t three_fields[] = {0x93, SYNC_PING, 1, 1};
    assert_int_equal(sync_read((struct bytes){three_fields, sizeof(three_fields)}, &message),
                     -EBADMSG);
    buffer_clear(&buffer);
}

/* Breaks if a digest out of order or out of its range is accepted: comparing relies on both. */
static void test_digest_order(void **state)
{
    (void)state;
    struct id after = {{1}}, through = {{9}};
    struct digest_entry entries[2] = {{.id = {{2}}, .version = 5}, {.id = {{3}}, .accusers = 4}};
    struct digest_entry entry;
    struct sync_message message;

    assert_int_equal(sync_write_digest(true, &after, &through, entries, 2, &buffer), 0);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(sync_read((struct bytes){buffer.bytes, size}, &message), -EBADMSG);
    assert_int_equal(sync_read(buffer_view(&buffer), &message), 0);
    assert_true(message.flag);
    assert_int_equal(message.count, 2);
    assert_true(sync_next_entry(&message, &entry));
    assert_true(id_equal(&entry.id, &entries[0].id));
    assert_true(entry.version == 5);
    assert_true(sync_next_entry(&message, &entry));
    assert_int_equal(entry.accusers, 4);
    assert_false(sync_next_entry(&message, &entry));

    static const uint8_t bad[][2] = {{3, 2}, {2, 2}, {1, 2}, {2, 10}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        entries[0].id.bytes[0] = bad[i][0];
        entries[1].id.bytes[0] = bad[i][1];
        buffer_clear(&buffer);
        assert_int_equal(sync_write_digest(true, &after, &through, entries, 2, &buffer), 0);
        assert_int_equal(sync_read(buffer_view(&buffer), &message), -EBADMSG);
    }
}

/* Breaks if a delta does not come out as it went in, or if one that was cut off is accepted. */
static void test_delta(void **state)
{
    (void)state;
    struct sync_message message;
    struct fact_view view;
    assert_int_equal(sync_write_delta(true, facts, FACTS, &buffer), 0);
    assert_int_equal(sync_read(buffer_view(&buffer), &message), 0);
    assert_true(message.flag);
    for (size_t i = 0; i < FACTS; i++) {
        assert_true(sync_next_fact(&message, &view));
        assert_true(bytes_equal(view.raw, facts[i]->view.raw));
    }
    assert_false(sync_next_fact(&message, &view));
    for (size_t size = 0; size < buffer.size; size += 7)
        assert_int_equal(sync_read((struct bytes){buffer.bytes, size}, &message), -EBADMSG);
    assert_int_equal(buffer_append(&buffer, "", 1), 0);
    assert_int_equal(sync_read(buffer_view(&buffer), &message), -EBADMSG);
}

static struct sync_range range_of(uint8_t after, uint8_t through)
{
    return (struct sync_range){
        .after = {{after}}, .through = {{through}}, .hash = UINT64_C(0x1234567890abcdef) + after};
}

/* Breaks if a summary, or what is wanted, is not read as it was written, or ranges that make no
 * sense are taken. */
static void test_ranges(void **state)
{
    (void)state;
    struct sync_range ranges[] = {range_of(0, 5), range_of(5, 7), range_of(7, 200)}, range;
    struct sync_message message;
    for (int kind = SYNC_SUMMARY; kind <= SYNC_WANT; kind++) {
        cleanup_buffer struct buffer bytes = {0};
        int rc = kind == SYNC_SUMMARY ? sync_write_summary(77, ranges, 3, &bytes)
                                      : sync_write_want(ranges, 3, &bytes);
        assert_int_equal(rc, 0);
        for (size_t size = 0; size < bytes.size; size++)
            assert_int_equal(sync_read((struct bytes){bytes.bytes, size}, &message), -EBADMSG);
        assert_int_equal(sync_read(buffer_view(&bytes), &message), 0);
        assert_int_equal(message.kind, kind);
        assert_int_equal(message.salt, kind == SYNC_SUMMARY ? 77 : 0);
        for (size_t i = 0; i < 3; i++) {
            assert_true(sync_next_range(&message, &range));
            assert_true(id_equal(&range.after, &ranges[i].after));
            assert_true(id_equal(&range.through, &ranges[i].through));
            assert_true(range.hash == (kind == SYNC_SUMMARY ? ranges[i].hash : 0));
        }
        assert_false(sync_next_range(&message, &range));
    }
    struct sync_range bad[][2] = {{range_of(0, 5), range_of(4, 7)},
                                  {range_of(3, 3), range_of(4, 7)},
                                  {range_of(3, 2), range_of(4, 7)},
                                  {range_of(8, 9), range_of(1, 2)}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        cleanup_buffer struct buffer bytes = {0};
        assert_int_equal(sync_write_want(bad[i], 2, &bytes), 0);
        assert_int_equal(sync_read(buffer_view(&bytes), &message), -EBADMSG);
    }
    struct sync_range many[SWIM_SYNC_RANGES_MAX + 1];
    for (uint8_t i = 0; i <= SWIM_SYNC_RANGES_MAX; i++)
        many[i] = range_of(i, (uint8_t)(i + 1));
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(sync_write_summary(1, many, SWIM_SYNC_RANGES_MAX + 1, &bytes), 0);
    assert_int_equal(sync_read(buffer_view(&bytes), &message), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_packet_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ping_is_small, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_packet_asks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_packet_malformed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_place, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stream_ping, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_digest_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_delta, set_up, tear_down),
        cmocka_unit_test(test_ranges),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
