#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "consensus/raft_message.h"
#include "tests/fuzz/seed.h"

static const struct raft_entry entries[] = {
    {.index = 8, .term = 3, .type = RAFT_ENTRY_COMMAND, .data = {(const uint8_t *)"one", 3}},
    {.index = 9, .term = 4, .type = RAFT_ENTRY_EMPTY},
    {.index = 10, .term = 4, .type = RAFT_ENTRY_CONFIGURATION, .data = {(const uint8_t *)"", 0}},
};

static const struct raft_snapshot snapshot = {
    .index = 12,
    .term = 4,
    .configuration = {.members = {{{{1}}, RAFT_VOTER}, {{{2}}, RAFT_LEARNER}}, .count = 2},
    .data = {NULL, 5},
    .hash = {1, 2, 3},
};

static const struct raft_snapshot too_large = {
    .index = 12, .term = 4, .data = {NULL, (size_t)RAFT_SNAPSHOT_BYTES_MAX + 1}};

static const uint8_t chunk[RAFT_CHUNK_BYTES_MAX + 1];

/* Breaks if a message does not arrive as it was sent, or any part of it is taken for the whole. */
static void check(struct raft_message message)
{
    cleanup_buffer struct buffer buffer, again;
    struct raft_message back;
    buffer_init(&buffer);
    buffer_init(&again);
    assert_int_equal(raft_message_encode(&message, &buffer), 0);
    assert_int_equal(raft_message_decode(buffer_view(&buffer), &back), 0);
    seed_keep("raft_message", buffer_view(&buffer));
    assert_int_equal(back.type, message.type);
    assert_int_equal(back.entry_count, message.entry_count);
    assert_int_equal(back.offset, message.offset);
    assert_true(bytes_equal(back.chunk, message.chunk));
    assert_int_equal(back.snapshot ? back.snapshot->data.size : 0,
                     message.snapshot ? message.snapshot->data.size : 0);
    for (size_t i = 0; i < back.entry_count; i++)
        assert_int_equal(back.entries[i].index, message.index + 1 + i);
    assert_int_equal(raft_message_encode(&back, &again), 0);
    assert_true(bytes_equal(buffer_view(&buffer), buffer_view(&again)));
    raft_message_done(&back);
    for (size_t size = 0; size < buffer.size; size++)
        assert_int_equal(raft_message_decode((struct bytes){buffer.bytes, size}, &back), -EBADMSG);
    assert_int_equal(buffer_append(&buffer, "", 1), 0);
    assert_int_equal(raft_message_decode(buffer_view(&buffer), &back), -EBADMSG);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int type = 0; type < RAFT_MESSAGE_TYPES; type++) {
        struct raft_message message = {
            .type = (enum raft_message_type)type,
            .reject = type % 2 == 0,
            .transfer = type % 3 == 0,
            .term = 5,
            .index = 7,
            .log_term = 3,
            .commit = UINT64_MAX,
            .hint_index = 6,
            .round = 77,
            .sent_ms = -1,
            .offset = 2,
        };
        if (type == RAFT_APPEND) {
            message.entries = entries;
            message.entry_count = array_count(entries);
        }
        if (type == RAFT_SNAPSHOT) {
            message.snapshot = &snapshot;
            message.chunk = bytes_of_text("ate");
        }
        check(message);
        assert_string_not_equal(raft_message_type_name(message.type), "unknown");
    }
    assert_string_equal(raft_message_type_name(RAFT_MESSAGE_TYPES), "unknown");
    raft_message_done(NULL);
}

/* Breaks if entries or a snapshot come where no peer puts them, or too many or too large. */
static void test_refused(void **state)
{
    (void)state;
    struct raft_message back;
    struct raft_entry *many = calloc(RAFT_MESSAGE_ENTRIES_MAX + 1, sizeof(*many));
    assert_non_null(many);
    const struct raft_message refused[] = {
        {.type = RAFT_MESSAGE_TYPES},
        {.type = RAFT_VOTE, .entries = entries, .entry_count = 1},
        {.type = RAFT_APPEND, .entries = many, .entry_count = RAFT_MESSAGE_ENTRIES_MAX + 1},
        {.type = RAFT_APPEND, .snapshot = &snapshot},
        {.type = RAFT_SNAPSHOT},
        {.type = RAFT_SNAPSHOT, .snapshot = &too_large},
        {.type = RAFT_SNAPSHOT, .snapshot = &snapshot, .chunk = {chunk, sizeof(chunk)}},
    };
    for (size_t i = 0; i < array_count(refused); i++) {
        cleanup_buffer struct buffer buffer;
        buffer_init(&buffer);
        assert_int_equal(raft_message_encode(&refused[i], &buffer), 0);
        assert_int_equal(raft_message_decode(buffer_view(&buffer), &back), -EBADMSG);
    }
    free(many);
}

/* Breaks if a heartbeat's short form loses a field, or takes what is no heartbeat. */
static void test_heartbeat(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        cleanup_buffer struct buffer buffer = {0};
        struct raft_message back;
        const struct raft_message message = {
            .type = i == 0 ? RAFT_HEARTBEAT : RAFT_HEARTBEAT_REPLY,
            .term = UINT64_MAX,
            .commit = 7,
            .round = 1000,
            .sent_ms = -5,
        };
        assert_int_equal(raft_heartbeat_encode(&message, &buffer), 0);
        assert_true(raft_heartbeat_is(buffer_view(&buffer)));
        assert_int_equal(raft_heartbeat_decode(buffer_view(&buffer), &back), 0);
        assert_memory_equal(&back, &message, sizeof(back));
        for (size_t size = 0; size < buffer.size; size++)
            assert_int_equal(raft_heartbeat_decode((struct bytes){buffer.bytes, size}, &back),
                             -EBADMSG);
        assert_int_equal(buffer_append(&buffer, "", 1), 0);
        assert_int_equal(raft_heartbeat_decode(buffer_view(&buffer), &back), -EBADMSG);
    }
    assert_false(raft_heartbeat_is((struct bytes){(const uint8_t *)"\x97", 1}));
    assert_false(raft_heartbeat_is((struct bytes){NULL, 0}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_heartbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
