#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "base/writer.h"
#include "gossip/fact.h"
#include "gossip/identity.h"
#include "gossip/swim.h"
#include "gossip/swim_message.h"

static struct identity owner;
static struct fact_pool *pool;

static int set_up(void **state)
{
    (void)state;
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    identity_init(&owner, seed);
    return fact_pool_new(7, &pool);
}

static int tear_down(void **state)
{
    (void)state;
    fact_pool_free(pool); /* asserts that no fact is left */
    identity_done(&owner);
    return 0;
}

static const uint8_t long_bytes[SWIM_VALUE_BYTES_MAX + 1] = {0};

/* One fact of each kind, and the largest record. */
static size_t samples(struct fact_view *ret)
{
    ret[0] = (struct fact_view){
        .kind = FACT_PRESENCE,
        .version = UINT64_C(3) << 32 | 9,
        .presence = {.address = address_from_v4(0x7f000001, 7300), .left = true},
    };
    ret[1] = (struct fact_view){
        .kind = FACT_ACCUSATION,
        .version = 5,
        .accusation.accused = {{1, 2, 3}},
    };
    ret[2] = (struct fact_view){
        .kind = FACT_RECORD,
        .version = UINT64_MAX,
        .record = {.key = {SWIM_TABLE_COUNT - 1, {long_bytes, SWIM_KEY_BYTES_MAX}},
                   .value = {long_bytes, SWIM_VALUE_BYTES_MAX},
                   .floor = UINT64_MAX - UINT32_MAX + 1,
                   .sum = UINT64_MAX},
    };
    ret[3] = (struct fact_view){
        .kind = FACT_RECORD,
        .version = UINT64_C(1) << 32 | 2,
        .record = {.key = {SWIM_TABLE_META, bytes_of_text("name")},
                   .withdrawn = true,
                   .floor = UINT64_C(1) << 32 | 1},
    };
    return 4;
}

/* Breaks if a fact does not come out as it went in, or if the largest one fits no packet. */
static void test_round_trip(void **state)
{
    (void)state;
    struct fact_view views[4];
    struct packet_draft draft;
    size_t count = samples(views);
    for (size_t i = 0; i < count; i++) {
        struct fact *fact;
        assert_int_equal(fact_sign(pool, &owner, &views[i], &fact), 0);
        const struct fact_view *view = &fact->view;
        assert_true(id_equal(&view->signer, &owner.id));
        assert_int_equal(view->kind, views[i].kind);
        assert_true(view->version == views[i].version);
        if (view->kind == FACT_PRESENCE) {
            assert_true(view->presence.left);
            assert_true(address_equal(&view->presence.address, &views[i].presence.address));
        } else if (view->kind == FACT_ACCUSATION) {
            assert_true(id_equal(&view->accusation.accused, &views[i].accusation.accused));
        } else {
            assert_int_equal(record_key_compare(&view->record.key, &views[i].record.key), 0);
            assert_true(bytes_equal(view->record.value, views[i].record.value));
            assert_true(view->record.floor == views[i].record.floor);
            assert_true(view->record.sum == views[i].record.sum);
            assert_int_equal(view->record.withdrawn, views[i].record.withdrawn);
        }
        packet_draft_init(&draft, PACKET_GOSSIP, 0, NULL, SESSION_PAYLOAD_BYTES_MAX);
        assert_true(packet_draft_add(&draft, fact));
        fact_release(pool, fact);
    }
}

/* Breaks if a fact that was changed or cut on its way is believed. */
static void test_tampering(void **state)
{
    (void)state;
    struct fact_view views[4], parsed;
    size_t count = samples(views);
    for (size_t i = 0; i < count; i++) {
        struct fact *fact, *forged = NULL;
        uint8_t bytes[SWIM_FACT_BYTES_MAX];
        assert_int_equal(fact_sign(pool, &owner, &views[i], &fact), 0);
        size_t size = fact->view.raw.size;
        memcpy(bytes, fact->view.raw.data, size);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(fact_parse((struct bytes){bytes, cut}, &parsed), -EBADMSG);
        for (size_t k = 0; k < size; k += size / 50) {
            bytes[k] ^= 1;
            int rc = fact_parse((struct bytes){bytes, size}, &parsed);
            if (rc == 0)
                rc = fact_pool_admit(pool, &parsed, &forged);
            assert_int_equal(rc, -EBADMSG);
            bytes[k] ^= 1;
        }
        fact_release(pool, fact);
    }
}

static int parse_record(uint64_t version, uint64_t age, uint64_t table, size_t key_size,
                        size_t value_size)
{
    struct buffer buffer;
    struct writer writer;
    struct fact_view view;
    buffer_init(&buffer);
    writer_init(&writer, &buffer);
    writer_array(&writer, 8);
    writer_u64(&writer, FACT_RECORD);
    writer_binary(&writer, owner.id.bytes, ID_BYTES);
    writer_u64(&writer, version);
    writer_u64(&writer, age);
    writer_u64(&writer, 0);
    writer_u64(&writer, table);
    writer_binary(&writer, long_bytes, key_size);
    writer_binary(&writer, long_bytes, value_size);
    assert_int_equal(buffer_append(&buffer, long_bytes, SIGNATURE_BYTES), 0);
    int rc = fact_parse(buffer_view(&buffer), &view);
    buffer_done(&buffer);
    return rc;
}

/* Breaks if a record that is out of bounds is let in. */
static void test_bounds(void **state)
{
    (void)state;
    assert_int_equal(parse_record(9, 0, 0, 1, 0), 0);
    assert_int_equal(parse_record(9, 8, 0, 1, 0), 0);
    assert_int_equal(parse_record(9, 9, 0, 1, 0), -EBADMSG);
    assert_int_equal(parse_record(UINT64_C(1) << 32, 0, 0, 1, 0), -EBADMSG);
    assert_int_equal(parse_record(9, 0, SWIM_TABLE_COUNT, 1, 0), -EBADMSG);
    assert_int_equal(parse_record(9, 0, 0, 0, 0), -EBADMSG);
    assert_int_equal(parse_record(9, 0, 0, SWIM_KEY_BYTES_MAX, 0), 0);
    assert_int_equal(parse_record(9, 0, 0, SWIM_KEY_BYTES_MAX + 1, 0), -EBADMSG);
    assert_int_equal(parse_record(9, 0, 0, 1, SWIM_VALUE_BYTES_MAX), 0);
    assert_int_equal(parse_record(9, 0, 0, 1, SWIM_VALUE_BYTES_MAX + 1), -EBADMSG);
}

/* Breaks if the same fact is stored or checked twice, which a simulated fleet could not afford. */
static void test_pool(void **state)
{
    (void)state;
    struct fact *facts[500], *again;
    struct fact_view view = {.kind = FACT_ACCUSATION, .accusation.accused = {{9}}};
    for (size_t i = 0; i < 500; i++) {
        view.version = i;
        assert_int_equal(fact_sign(pool, &owner, &view, &facts[i]), 0);
    }
    for (size_t i = 0; i < 500; i++) {
        uint8_t bytes[SWIM_FACT_BYTES_MAX];
        struct fact_view parsed;
        size_t size = facts[i]->view.raw.size;
        memcpy(bytes, facts[i]->view.raw.data, size);
        assert_int_equal(fact_parse((struct bytes){bytes, size}, &parsed), 0);
        assert_int_equal(fact_pool_admit(pool, &parsed, &again), 0);
        assert_ptr_equal(again, facts[i]);
        fact_release(pool, again);
        fact_release(pool, facts[i]);
    }
    fact_release(pool, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_tampering, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounds, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pool, set_up, tear_down),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
