#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/writer.h"
#include "gossip/bounds.h"
#include "node/control/stand_in.h"
#include "node/control/view.h"
#include "tests/fuzz/seed.h"

/* Breaks if the view loses a peer or replica, or keeps one that went. */
static void test_tables(void **state)
{
    (void)state;
    struct view view;
    view_init(&view);
    struct id a = {{1}}, b = {{2}};
    struct view_peer *peer = view_peer_get(&view, &b);
    assert_non_null(peer);
    assert_non_null(view_peer_get(&view, &a));
    assert_ptr_equal(view_peer_get(&view, &b), peer);
    assert_int_equal(view.peers.count, 2);
    assert_ptr_equal(view.peers.items[1], peer);
    view_peer_remove(&view, &b);
    view_peer_remove(&view, &b);
    assert_null(view_peer_find(&view, &b));
    struct view_replica *replica = view_replica_get(&view, 7);
    assert_non_null(replica);
    assert_int_equal(replica->generation, 7);
    assert_ptr_equal(view_replica_get(&view, 7), replica);
    view_replica_remove(&view, 7);
    assert_null(view_replica_find(&view, 7));
    view_replica_remove(&view, 7);
    assert_non_null(view_replica_get(&view, 8));
    view_done(&view);
    view_done(NULL);
}

/* Breaks if requests go to a replica that is not up, or whose health is not known to be good. */
static void test_serves(void **state)
{
    (void)state;
    for (int s = VIEW_REPLICA_UNKNOWN; s <= VIEW_REPLICA_FAILED; s++) {
        for (int health = VIEW_HEALTH_NONE; health <= VIEW_HEALTH_BAD; health++) {
            struct view_replica replica = {.state = (uint8_t)s, .health = (uint8_t)health};
            assert_int_equal(view_replica_serves(&replica),
                             s == VIEW_REPLICA_RUNNING &&
                                 (health == VIEW_HEALTH_NONE || health == VIEW_HEALTH_GOOD));
        }
    }
}

/* Breaks if what a peer says of itself arrives as something else, or in part. */
static void test_capacity(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct view_capacity said = {.cpu_millis = 4000,
                                 .memory_bytes = (uint64_t)8 << 30,
                                 .version = "1.2.3",
                                 .labels = "disk=ssd,zone=a",
                                 .level = 3};
    struct view_capacity heard = {0};
    assert_int_equal(view_capacity_encode(&said, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(view_capacity_decode((struct bytes){bytes.bytes, size}, &heard), -EBADMSG);
    assert_int_equal(view_capacity_decode(buffer_view(&bytes), &heard), 0);
    seed_keep("view", buffer_view(&bytes));
    assert_int_equal(heard.cpu_millis, 4000);
    assert_int_equal(heard.memory_bytes, said.memory_bytes);
    assert_string_equal(heard.version, "1.2.3");
    assert_string_equal(heard.labels, "disk=ssd,zone=a");
    assert_int_equal(heard.level, 3);
}

/* Breaks if the room that a peer says it has arrives as another. */
static void test_disk(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct view_disk said = {.free_bytes = (uint64_t)3 << 40, .bytes = UINT64_MAX}, heard = {0};
    assert_int_equal(view_disk_encode(&said, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(view_disk_decode((struct bytes){bytes.bytes, size}, &heard), -EBADMSG);
    assert_int_equal(view_disk_decode(buffer_view(&bytes), &heard), 0);
    seed_keep("view", buffer_view(&bytes));
    assert_true(heard.free_bytes == said.free_bytes && heard.bytes == said.bytes);
}

/* Breaks if a replica's state is misread, or one that does not exist is accepted. */
static void test_replica(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0}, bad = {0};
    struct view_replica said = {.generation = 1234567890123,
                                .state = VIEW_REPLICA_BACKOFF,
                                .health = VIEW_HEALTH_BAD,
                                .restarts = 3,
                                .exit_code = -1,
                                .detail = "no such table"};
    struct view_replica heard = {0};
    struct intent_replica none;
    assert_int_equal(view_replica_encode(&said, NULL, &bytes), 0);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(view_replica_decode((struct bytes){bytes.bytes, size}, &heard, &none),
                         -EBADMSG);
    assert_int_equal(view_replica_decode(buffer_view(&bytes), &heard, &none), 0);
    seed_keep("view", buffer_view(&bytes));
    assert_int_equal(heard.generation, said.generation);
    assert_int_equal(heard.state, VIEW_REPLICA_BACKOFF);
    assert_int_equal(heard.health, VIEW_HEALTH_BAD);
    assert_int_equal(heard.restarts, 3);
    assert_int_equal(heard.exit_code, -1);
    assert_string_equal(heard.detail, "no such table");
    assert_true(id_is_none(&heard.peer));
    said.state = VIEW_REPLICA_FAILED + 1;
    assert_int_equal(view_replica_encode(&said, NULL, &bad), 0);
    assert_int_equal(view_replica_decode(buffer_view(&bad), &heard, &none), -EBADMSG);
}

/* Breaks if what a stand-in stands in for is misread, or missing in what is one by its number. */
static void test_stand_in(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0}, bad = {0};
    struct id peer = {.bytes = {0xab, 0xcd}};
    struct intent_replica said = {.generation = stand_in_number(1234567890123, &peer),
                                  .service = "hello_web",
                                  .slot = 2,
                                  .revision = 3,
                                  .since_wall_ms = 1700000000000},
                          heard = {0};
    struct view_replica replica = {.generation = said.generation, .state = VIEW_REPLICA_RUNNING};
    assert_int_equal(view_replica_encode(&replica, &said, &bytes), 0);
    assert_true(bytes.size <= SWIM_VALUE_BYTES_MAX - VIEW_DETAIL_BYTES_MAX -
                                  (INTENT_SERVICE_NAME_BYTES_MAX - strlen(said.service)));
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(view_replica_decode((struct bytes){bytes.bytes, size}, &replica, &heard),
                         -EBADMSG);
    assert_int_equal(view_replica_decode(buffer_view(&bytes), &replica, &heard), 0);
    seed_keep("view", buffer_view(&bytes));
    assert_int_equal(heard.generation, said.generation);
    assert_string_equal(heard.service, "hello_web");
    assert_int_equal(heard.slot, 2);
    assert_int_equal(heard.revision, 3);
    assert_int_equal(heard.since_wall_ms, 1700000000000);
    assert_int_equal(stand_in_original(heard.generation), 1234567890123);
    assert_int_equal(view_replica_encode(&replica, NULL, &bad), 0);
    assert_int_equal(view_replica_decode(buffer_view(&bad), &replica, &heard), -EBADMSG);
}

/* Breaks if two peers' stand-ins for one replica have one number, or if it can be taken for one
 * that was agreed on, or does not fit a signed number. */
static void test_stand_in_number(void **state)
{
    (void)state;
    struct id a = {.bytes = {1}}, b = {.bytes = {2}};
    uint64_t number = stand_in_number(7, &a);
    assert_true(stand_in_is(number));
    assert_true(number <= INT64_MAX);
    assert_int_equal(stand_in_original(number), 7);
    assert_true(number != stand_in_number(7, &b) && number != stand_in_number(8, &a));
    assert_false(stand_in_is(7));
    assert_false(stand_in_is(((uint64_t)1 << 48) - 1));
    assert_false(stand_in_is(UINT64_MAX));
    assert_int_equal(stand_in_number(0, &a), 0);
    assert_int_equal(stand_in_number((uint64_t)1 << 48, &a), 0);
}

/* Breaks if a newer peer can't add to what it says without being ignored by older ones. */
static void test_newer(void **state)
{
    (void)state;
    cleanup_buffer struct buffer bytes = {0};
    struct writer writer;
    struct view_capacity heard;
    writer_init(&writer, &bytes);
    writer_array(&writer, 6);
    writer_u64(&writer, 1000);
    writer_u64(&writer, 2000);
    writer_text(&writer, "9");
    writer_text(&writer, "");
    writer_u64(&writer, 7);
    writer_array(&writer, 1);
    writer_text(&writer, "gpu");
    assert_int_equal(view_capacity_decode(buffer_view(&bytes), &heard), 0);
    seed_keep("view", buffer_view(&bytes));
    assert_int_equal(heard.memory_bytes, 2000);
    assert_int_equal(heard.level, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),   cmocka_unit_test(test_serves),
        cmocka_unit_test(test_capacity), cmocka_unit_test(test_disk),
        cmocka_unit_test(test_replica),  cmocka_unit_test(test_newer),
        cmocka_unit_test(test_stand_in), cmocka_unit_test(test_stand_in_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
