#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/api/frame.h"

static const uint8_t empty_map[] = {0x80};
static const struct bytes empty = {empty_map, sizeof(empty_map)};

/* Takes the only frame in `buffer`, which it must be whole. */
static struct frame take_only(const struct buffer *buffer)
{
    struct bytes bytes;
    struct frame frame;
    assert_int_equal(frame_next(buffer, &bytes), 1);
    assert_int_equal(bytes.size + FRAME_HEAD_BYTES, buffer->size);
    assert_int_equal(frame_decode(bytes, &frame), 0);
    return frame;
}

/* Breaks if a request, answer or note does not survive the wire. */
static void test_round_trip(void **state)
{
    (void)state;
    cleanup_buffer struct buffer request = {0}, answer = {0}, note = {0};
    assert_int_equal(frame_request(&request, UINT64_MAX, "peer.ls", empty), 0);
    struct frame frame = take_only(&request);
    assert_int_equal(frame.type, FRAME_REQUEST);
    assert_true(frame.id == UINT64_MAX);
    assert_string_equal(frame.name, "peer.ls");
    assert_true(bytes_equal(frame.body, empty));

    assert_int_equal(frame_answer(&answer, 7, empty), 0);
    frame = take_only(&answer);
    assert_int_equal(frame.type, FRAME_ANSWER);
    assert_int_equal(frame.error.code, 0);
    assert_true(bytes_equal(frame.body, empty));

    assert_int_equal(frame_note(&note, 7, "cancel", (struct bytes){0}), 0);
    frame = take_only(&note);
    assert_int_equal(frame.type, FRAME_NOTE);
    assert_string_equal(frame.name, "cancel");
    assert_int_equal(frame.body.size, 1); /* nil */
}

/* Breaks if an operator is not told what went wrong, or a failure reads as a success. */
static void test_failure(void **state)
{
    (void)state;
    cleanup_buffer struct buffer told = {0}, codeless = {0};
    const struct error error = {-ENOENT, "there is no service web", "consort service ls"};
    assert_int_equal(frame_failure(&told, 3, &error), 0);
    struct frame frame = take_only(&told);
    assert_int_equal(frame.error.code, -ENOENT);
    assert_string_equal(frame.error.message, error.message);
    assert_string_equal(frame.error.hint, error.hint);

    assert_int_equal(frame_failure(&codeless, 3, &(struct error){.message = "odd"}), 0);
    frame = take_only(&codeless);
    assert_true(frame.error.code < 0);
}

/* Breaks if frames are lost or torn when bytes arrive one at a time. */
static void test_incremental(void **state)
{
    (void)state;
    cleanup_buffer struct buffer sent = {0}, input = {0};
    struct bytes bytes;
    struct frame frame;
    uint64_t expected = 1;
    for (uint64_t id = 1; id <= 3; id++)
        assert_int_equal(frame_request(&sent, id, "status", empty), 0);
    for (size_t i = 0; i < sent.size; i++) {
        assert_int_equal(buffer_append(&input, sent.bytes + i, 1), 0);
        if (frame_next(&input, &bytes) == 0)
            continue;
        assert_int_equal(frame_decode(bytes, &frame), 0);
        assert_true(frame.id == expected++);
        buffer_consume(&input, FRAME_HEAD_BYTES + bytes.size);
    }
    assert_true(expected == 4);
    assert_int_equal(input.size, 0);
}

/* Breaks if a stranger's length makes this side wait for, and hold, more than a frame may have. */
static void test_too_large(void **state)
{
    (void)state;
    struct bytes bytes;
    uint8_t head[] = {0x00, 0x10, 0x00, 0x00}; /* FRAME_BYTES_MAX */
    const struct buffer input = {head, sizeof(head), sizeof(head)};
    assert_int_equal(frame_next(&input, &bytes), 0);
    head[3] = 1;
    assert_int_equal(frame_next(&input, &bytes), -EMSGSIZE);
}

/* Breaks if what does not fit leaves half a frame in the output, behind whole ones. */
static void test_does_not_fit(void **state)
{
    (void)state;
    cleanup_buffer struct buffer output = {0};
    uint8_t *large = calloc(1, FRAME_BYTES_MAX); /* that many packed zeroes */
    assert_non_null(large);
    assert_int_equal(frame_request(&output, 1, "status", empty), 0);
    size_t before = output.size;
    assert_int_equal(frame_answer(&output, 1, (struct bytes){large, FRAME_BYTES_MAX}), -EMSGSIZE);
    assert_int_equal(output.size, before);
    take_only(&output);
    free(large);
}

/* Breaks if a malformed frame is taken for a good one, or changes the result. */
static void test_malformed(void **state)
{
    (void)state;
    static const struct bytes bad[] = {
        {(const uint8_t *)"", 0},
        {(const uint8_t *)"\x80", 1},                      /* a map */
        {(const uint8_t *)"\x93\x00\x01\xa1m", 5},         /* three values */
        {(const uint8_t *)"\x94\x03\x01\xa1m\x80", 6},     /* an unknown type */
        {(const uint8_t *)"\x94\x00\xff\xa1m\x80", 6},     /* a negative id */
        {(const uint8_t *)"\x94\x00\x01\x01\x80", 5},      /* a method that is no text */
        {(const uint8_t *)"\x94\x00\x01\xa2m\x00\x80", 7}, /* a NUL in the method */
        {(const uint8_t *)"\x94\x00\x01\xa1m", 5},         /* no params */
        {(const uint8_t *)"\x94\x00\x01\xa1m\x80\x80", 7}, /* a value too many */
        {(const uint8_t *)"\x94\x00\x01\xa1m\xdd\x7f\xff\xff\xff", 10}, /* a count that lies */
        {(const uint8_t *)"\x94\x01\x01\x93\x00\xa1m\xa1h\xc0", 10},    /* a failure with code 0 */
        {(const uint8_t *)"\x94\x01\x01\x93\x05\xa1m\xa1h\xc0", 10},    /* with a positive code */
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct frame frame = {.id = 99};
        assert_int_equal(frame_decode(bad[i], &frame), -EBADMSG);
        assert_true(frame.id == 99);
    }
}

/* Breaks if a parameter is read from the wrong place, or one of another type is believed. */
static void test_params(void **state)
{
    (void)state;
    cleanup_buffer struct buffer params = {0};
    struct writer writer;
    struct reader reader;
    char name[4] = "old";
    uint64_t count = 5;
    writer_init(&writer, &params);
    writer_map(&writer, 5);
    writer_text(&writer, "unknown");
    writer_array(&writer, 1);
    writer_map(&writer, 0);
    writer_text(&writer, "name");
    writer_text(&writer, "web");
    writer_text(&writer, "count");
    writer_u64(&writer, 12);
    writer_text(&writer, "follow");
    writer_bool(&writer, true);
    writer_text(&writer, "nothing");
    writer_nil(&writer);
    assert_int_equal(writer_check(&writer), 0);
    struct bytes map = buffer_view(&params);

    assert_true(frame_text(map, "name", name, sizeof(name)));
    assert_string_equal(name, "web");
    assert_false(frame_text(map, "name", name, sizeof(name) - 1)); /* does not fit */
    assert_false(frame_text(map, "count", name, sizeof(name)));
    assert_string_equal(name, "web");
    assert_true(frame_u64(map, "count", &count));
    assert_true(count == 12);
    assert_false(frame_u64(map, "name", &count));
    assert_true(count == 12);
    assert_true(frame_flag(map, "follow"));
    assert_false(frame_flag(map, "count"));
    assert_false(frame_find(map, "nothing", &reader)); /* nil is as good as missing */
    assert_false(frame_find(map, "absent", &reader));
    assert_false(frame_find((struct bytes){(const uint8_t *)"\xc0", 1}, "name", &reader));
    assert_false(frame_find((struct bytes){0}, "name", &reader));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_failure),
        cmocka_unit_test(test_incremental),  cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_does_not_fit), cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_params),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
