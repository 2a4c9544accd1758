#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/transport/mux_frame.h"

static struct bytes text(const char *words)
{
    return bytes_of_text(words);
}

/* Breaks if a frame does not survive the wire. */
static void test_round_trip(void **state)
{
    (void)state;
    const struct mux_frame frames[] = {
        {.type = MUX_FRAME_OPEN, .stream = 7, .kind = 3, .body = text("header")},
        {.type = MUX_FRAME_OPEN, .stream = UINT32_MAX, .kind = 255},
        {.type = MUX_FRAME_DATA, .stream = 2, .body = text("d")},
        {.type = MUX_FRAME_WINDOW, .stream = 1, .number = MUX_WINDOW_BYTES},
        {.type = MUX_FRAME_END, .stream = 1},
        {.type = MUX_FRAME_RESET, .stream = 1, .number = ECONNREFUSED},
        {.type = MUX_FRAME_PING, .number = UINT64_MAX},
        {.type = MUX_FRAME_PONG, .number = 1},
        {.type = MUX_FRAME_GOODBYE},
    };
    for (size_t i = 0; i < sizeof(frames) / sizeof(frames[0]); i++) {
        uint8_t bytes[MUX_FRAME_BYTES_MAX];
        struct mux_frame read;
        size_t size = mux_frame_encode(&frames[i], bytes);
        assert_int_equal(mux_frame_decode(bytes, size, &read), 0);
        assert_int_equal(read.type, frames[i].type);
        assert_int_equal(read.stream, frames[i].stream);
        assert_int_equal(read.kind, frames[i].kind);
        assert_int_equal(read.number, frames[i].number);
        assert_true(bytes_equal(read.body, frames[i].body));
        for (size_t cut = 0; cut < MUX_FRAME_HEAD_BYTES; cut++)
            assert_int_equal(mux_frame_decode(bytes, cut, &read), -EBADMSG);
    }
}

/* Breaks if a malformed frame is taken for a good one. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[16];
        size_t size;
    } bad[] = {
        {{0, 0, 0, 0, 1}, 5},                          /* no such type */
        {{9, 0, 0, 0, 0}, 5},                          /* no such type yet */
        {{1, 0, 0, 0, 1}, 5},                          /* OPEN without a kind */
        {{1, 0, 0, 0, 0, 3}, 6},                       /* OPEN of stream 0 */
        {{2, 0, 0, 0, 1}, 5},                          /* DATA without data */
        {{3, 0, 0, 0, 1, 0, 0, 0, 0}, 9},              /* WINDOW of nothing */
        {{3, 0, 0, 0, 1, 0, 4, 0, 1}, 9},              /* WINDOW of more than a window */
        {{3, 0, 0, 0, 1, 0, 0, 1}, 8},                 /* WINDOW cut short */
        {{4, 0, 0, 0, 1, 0}, 6},                       /* END with something */
        {{5, 0, 0, 0, 1, 0, 0}, 7},                    /* RESET without a reason */
        {{5, 0, 0, 0, 1, 16, 0}, 7},                   /* RESET with no errno */
        {{6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 13}, /* PING on a stream */
        {{8, 0, 0, 0, 2}, 5},                          /* GOODBYE on a stream */
    };
    struct mux_frame frame = {.stream = 99};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(mux_frame_decode(bad[i].bytes, bad[i].size, &frame), -EBADMSG);
    static uint8_t large[MUX_FRAME_BYTES_MAX + 1] = {MUX_FRAME_DATA, 0, 0, 0, 1};
    assert_int_equal(mux_frame_decode(large, sizeof(large), &frame), -EBADMSG);
    large[0] = MUX_FRAME_OPEN;
    assert_int_equal(mux_frame_decode(large, 6 + MUX_HEADER_BYTES_MAX + 1, &frame), -EBADMSG);
    assert_int_equal(frame.stream, 99); /* untouched */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
