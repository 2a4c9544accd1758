#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/spec.h"
#include "node/mesh/stream_header.h"

/* Breaks if a peer does not understand for which port and protocol another opened a stream. */
static void test_header(void **state)
{
    (void)state;
    const struct mesh_header header = {.generation = 7, .port = 53, .protocol = SPEC_UDP};
    struct mesh_header read = {0};
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(mesh_header_encode(&header, &bytes), 0);
    assert_int_equal(mesh_header_decode(buffer_view(&bytes), &read), 0);
    assert_int_equal(read.generation, 7);
    assert_int_equal(read.port, 53);
    assert_int_equal(read.protocol, SPEC_UDP);
    bytes.bytes[bytes.size - 1]++; /* no protocol */
    assert_int_equal(mesh_header_decode(buffer_view(&bytes), &read), -EBADMSG);
}

static void collect(void *context, struct bytes datagram)
{
    struct buffer *seen = context;
    assert_int_equal(buffer_append_text(seen, "<"), 0);
    assert_int_equal(buffer_append(seen, datagram.data, datagram.size), 0);
    assert_int_equal(buffer_append_text(seen, ">"), 0);
}

/* Breaks if datagrams run together or are lost, however the stream cuts them. */
static void test_frames(void **state)
{
    (void)state;
    static const uint8_t stream[] = "\0\3abc\0\0\0\1d\0\2ef";
    for (size_t step = 1; step <= sizeof(stream) - 1; step++) {
        cleanup_buffer struct buffer partial = {0}, seen = {0};
        for (size_t at = 0; at < sizeof(stream) - 1; at += step) {
            size_t left = sizeof(stream) - 1 - at;
            const struct bytes piece = {stream + at, left < step ? left : step};
            assert_int_equal(mesh_frames_take(&partial, piece, collect, &seen), 0);
        }
        assert_int_equal(partial.size, 0);
        assert_int_equal(seen.size, strlen("<abc><><d><ef>"));
        assert_memory_equal(seen.bytes, "<abc><><d><ef>", seen.size);
    }
}

/* Breaks if a size that no datagram has is waited for. */
static void test_too_long(void **state)
{
    (void)state;
    static const uint8_t head[] = {0xff, 0xff};
    cleanup_buffer struct buffer partial = {0}, seen = {0};
    assert_int_equal(mesh_frames_take(&partial, (struct bytes){head, 2}, collect, &seen), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
