#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sodium.h>

#include "gossip/swim_internal.h"
#include "tests/unit/gossip/fake_network.h"

enum {
    OWNER = 0,
    LIAR = 1,
    VICTIM = 2,
    SECOND_MS = 1000,
    FEW_RECORDS = 64, /* records_per_owner_max in these tests */
};

static struct fake_network net;

static int set_up(void **state)
{
    (void)state;
    fake_init(&net, 3, 77);
    for (size_t i = 0; i < net.count; i++)
        fake_stop(&net, i);
    net.config.records_per_owner_max = FEW_RECORDS;
    net.config.tombstone_ms = 2 * SECOND_MS;
    for (size_t i = 0; i < net.count; i++)
        fake_start(&net, i);
    return fake_wait(&net, 10 * SECOND_MS, fake_all_alive) < 0 ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    fake_done(&net);
    return 0;
}

static struct member *owner_at(size_t observer)
{
    return member_find(net.peers[observer].swim, fake_id(&net, OWNER));
}

/* Gives the victim a delta that holds nothing but this record, in the liar's name. */
static void deliver(const struct fact *fact)
{
    struct fact *copy = (struct fact *)fact;
    struct buffer buffer;
    buffer_init(&buffer);
    assert_int_equal(sync_write_delta(false, &copy, 1, &buffer), 0);
    assert_int_equal(fake_inject(&net, VICTIM, LIAR, SWIM_STREAM, buffer_view(&buffer)), 0);
    buffer_done(&buffer);
}

/* The owner's key signs a record that its swim never made. */
static struct fact *forge(const char *key, const char *value, uint64_t version, uint64_t floor)
{
    struct fact *fact;
    struct fact_view view = {
        .kind = FACT_RECORD,
        .version = version,
        .record = {.key = {SWIM_TABLE_META, bytes_of_text(key)},
                   .value = bytes_of_text(value),
                   .floor = floor},
    };
    assert_int_equal(fact_sign(net.pool, &net.peers[OWNER].identity, &view, &fact), 0);
    return fact;
}

/* Breaks if a relayer can hide a record by passing on a newer one only. */
static void test_hidden_record(void **state)
{
    (void)state;
    net.peers[VICTIM].group = 1;
    for (int i = 0; i < 5; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, key, "value"), 0);
    }
    const struct swim *owner = net.peers[OWNER].swim;
    const struct fact *newest = NULL;
    for (size_t i = 0; i < records_count(owner->self); i++) {
        const struct fact *fact = owner->self->records->facts[i];
        if (fact->view.version == owner->record_version)
            newest = fact;
    }
    assert_non_null(newest);
    deliver(newest);
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_META, "k4", "value"));
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_META, "k0", NULL));
    assert_false(swim_member_is_complete(net.peers[VICTIM].swim, fake_id(&net, OWNER)));
    net.peers[VICTIM].group = 0;
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_equal) >= 0);
    assert_true(swim_member_is_complete(net.peers[VICTIM].swim, fake_id(&net, OWNER)));
}

/* Breaks if a record that was replaced, withdrawn or voided can be brought back by replaying it. */
static void test_replay(void **state)
{
    (void)state;
    struct swim_record record;
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, "name", "old"), 0);
    assert_int_equal(swim_record_find(net.peers[OWNER].swim, fake_id(&net, OWNER), SWIM_TABLE_META,
                                      bytes_of_text("name"), &record),
                     0);
    struct fact *old = forge("name", "old", record.version, record.version);
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, "name", "new"), 0);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    deliver(old);
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_META, "name", "new"));

    assert_int_equal(
        swim_withdraw(net.peers[OWNER].swim, net.now_ms, SWIM_TABLE_META, bytes_of_text("name")),
        0);
    fake_tick(&net, OWNER);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    deliver(old);
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_META, "name", NULL));

    /* Now the tombstone goes, too: the floor has passed it. */
    fake_run(&net, 5 * SECOND_MS);
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, "other", "value"), 0);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    assert_int_equal(records_count(owner_at(VICTIM)), 1);
    deliver(old);
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_META, "name", NULL));
    assert_int_equal(records_count(owner_at(VICTIM)), 1);
    fact_release(net.pool, old);
}

/* Breaks if peers in one process that hold the same records hold them more than once, or if a
 * change that one of them hears of shows at others that have not. */
static void test_shared_sets(void **state)
{
    (void)state;
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, "name", "old"), 0);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    const struct record_set *shared = owner_at(OWNER)->records;
    for (size_t i = 0; i < net.count; i++)
        assert_ptr_equal(owner_at(i)->records, shared);
    assert_int_equal(shared->references, net.count);

    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, "name", "new"), 0);
    assert_ptr_not_equal(owner_at(OWNER)->records, owner_at(VICTIM)->records);
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_META, "name", "old"));
    assert_true(fake_has(&net, OWNER, OWNER, SWIM_TABLE_META, "name", "new"));
    fake_tick(&net, OWNER);
    assert_true(fake_wait(&net, 5 * SECOND_MS, fake_all_equal) >= 0);
    for (size_t i = 0; i < net.count; i++)
        assert_ptr_equal(owner_at(i)->records, owner_at(OWNER)->records);
}

/* Breaks if tombstones pile up while keys come and go beside a record that never changes. */
static void test_churn(void **state)
{
    (void)state;
    char key[16];
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_META, "name", "stays"), 0);
    for (int i = 0; i < 1000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, key, "value"), 0);
        assert_int_equal(swim_withdraw(net.peers[OWNER].swim, net.now_ms, SWIM_TABLE_REPLICA,
                                       bytes_of_text(key)),
                         0);
        fake_run(&net, 50);
    }
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_equal) >= 0);
    fake_run(&net, 10 * SECOND_MS);
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, "last", "value"), 0);
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, "last", "value 2"), 0);
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_equal) >= 0);
    for (size_t i = 0; i < net.count; i++) {
        assert_int_equal(records_count(owner_at(i)), 2);
        assert_true(fake_has(&net, i, OWNER, SWIM_TABLE_META, "name", "stays"));
    }
}

/* Breaks if one peer can publish more than its share, or if withdrawing makes no room at once. */
static void test_full(void **state)
{
    (void)state;
    char key[16];
    for (int i = 0; i < FEW_RECORDS; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, key, "value"), 0);
    }
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, "more", "value"), -ENOSPC);
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, "k9", "changed"), 0);
    assert_int_equal(
        swim_withdraw(net.peers[OWNER].swim, net.now_ms, SWIM_TABLE_REPLICA, bytes_of_text("k30")),
        0);
    assert_int_equal(fake_publish(&net, OWNER, SWIM_TABLE_REPLICA, "more", "value"), 0);
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_equal) >= 0);
    assert_true(fake_has(&net, VICTIM, OWNER, SWIM_TABLE_REPLICA, "more", "value"));

    /* An owner that takes no notice of its limit is not listened to beyond it. */
    uint64_t version = net.peers[OWNER].swim->record_version;
    for (uint64_t i = 1; i <= 10; i++) {
        snprintf(key, sizeof(key), "forged%u", (unsigned)i);
        struct fact *fact = forge(key, "value", version + i, records_floor(owner_at(VICTIM)));
        deliver(fact);
        fact_release(net.pool, fact);
    }
    assert_int_equal(records_count(owner_at(VICTIM)), FEW_RECORDS);
}

/* Breaks if walks are not in the order of owners and keys, or show what is withdrawn. */
static void test_cursors(void **state)
{
    (void)state;
    static const char *const keys[] = {"b", "a", "c", "ab"};
    for (size_t i = 0; i < net.count; i++) {
        for (size_t k = 0; k < 4; k++)
            assert_int_equal(fake_publish(&net, i, SWIM_TABLE_IMAGE, keys[k], "value"), 0);
        assert_int_equal(fake_publish(&net, i, SWIM_TABLE_FEED, "x", "y"), 0);
        assert_int_equal(
            swim_withdraw(net.peers[i].swim, net.now_ms, SWIM_TABLE_IMAGE, bytes_of_text("b")), 0);
    }
    assert_true(fake_wait(&net, 10 * SECOND_MS, fake_all_equal) >= 0);

    static const char *const sorted[] = {"a", "ab", "c"};
    const struct swim *swim = net.peers[VICTIM].swim;
    struct swim_record record;
    struct swim_cursor cursor = swim_cursor_all(SWIM_TABLE_IMAGE);
    for (size_t i = 0; i < net.count; i++) {
        for (size_t k = 0; k < 3; k++) {
            assert_true(swim_cursor_next(swim, &cursor, &record));
            const struct swim_member owner = swim_member_at(swim, i);
            assert_true(id_equal(&record.owner, &owner.id));
            assert_true(bytes_equal(record.key, bytes_of_text(sorted[k])));
            assert_int_equal(record.table, SWIM_TABLE_IMAGE);
        }
    }
    assert_false(swim_cursor_next(swim, &cursor, &record));
    cursor = swim_cursor_of(fake_id(&net, OWNER), SWIM_TABLE_FEED);
    assert_true(swim_cursor_next(swim, &cursor, &record));
    assert_false(swim_cursor_next(swim, &cursor, &record));
    cursor = swim_cursor_of(&ID_NONE, SWIM_TABLE_FEED);
    assert_false(swim_cursor_next(swim, &cursor, &record));
}

/* Breaks if what can't be published is, or if publishing the same again makes noise. */
static void test_publish_rules(void **state)
{
    (void)state;
    static const uint8_t bytes[SWIM_VALUE_BYTES_MAX + 1] = {0};
    struct swim *swim = net.peers[OWNER].swim;
    struct bytes key = {bytes, SWIM_KEY_BYTES_MAX}, value = {bytes, SWIM_VALUE_BYTES_MAX};
    struct bytes none = {bytes, 0};
    struct bytes long_key = {bytes, SWIM_KEY_BYTES_MAX + 1};
    struct bytes long_value = {bytes, SWIM_VALUE_BYTES_MAX + 1};

    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_META, none, value), -EINVAL);
    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_META, long_key, value), -EINVAL);
    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_META, key, long_value), -EINVAL);
    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_COUNT, key, value), -EINVAL);
    assert_int_equal(swim_withdraw(swim, net.now_ms, SWIM_TABLE_META, key), -ENOENT);
    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_META, key, value), 0);
    uint64_t version = swim->record_version;
    assert_int_equal(swim_publish(swim, net.now_ms, SWIM_TABLE_META, key, value), 0);
    assert_true(swim->record_version == version);
    fake_tick(&net, OWNER);
    assert_true(fake_wait(&net, 2 * SECOND_MS, fake_all_equal) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_hidden_record, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_replay, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_shared_sets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_churn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cursors, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_publish_rules, set_up, tear_down),
    };
    if (sodium_init() < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
