#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/spec.h"
#include "node/bounds.h"
#include "node/mesh/stream_header.h"

/* Breaks if a peer does not understand for which port and protocol another opened a stream, or over
 * which networks. */
static void test_header(void **state)
{
    (void)state;
    struct mesh_header header = {.generation = 7, .port = 53, .protocol = SPEC_UDP};
    struct mesh_header read = {0};
    cleanup_buffer struct buffer bytes = {0}, without = {0};
    assert_int_equal(mesh_header_encode(&header, &without), 0);
    assert_int_equal(text_list_add(&header.networks, "s_back"), 0);
    assert_int_equal(text_list_add(&header.networks, "s_front"), 0);
    assert_int_equal(mesh_header_encode(&header, &bytes), 0);
    assert_int_equal(mesh_header_decode(buffer_view(&bytes), &read), 0);
    assert_int_equal(read.generation, 7);
    assert_int_equal(read.port, 53);
    assert_int_equal(read.protocol, SPEC_UDP);
    assert_int_equal(read.networks.count, 2);
    assert_string_equal(read.networks.items[0], "s_back");
    assert_string_equal(read.networks.items[1], "s_front");
    mesh_header_done(&read);
    for (size_t size = 0; size < bytes.size; size++)
        assert_int_equal(mesh_header_decode((struct bytes){bytes.bytes, size}, &read), -EBADMSG);

    assert_int_equal(mesh_header_decode(buffer_view(&without), &read), 0);
    assert_int_equal(read.networks.count, 0);
    without.bytes[without.size - 2]++; /* no protocol */
    assert_int_equal(mesh_header_decode(buffer_view(&without), &read), -EBADMSG);
    mesh_header_done(&header);
}

/* Breaks if a peer can make another keep more than it may. */
static void test_bounds(void **state)
{
    (void)state;
    char name[SPEC_NETWORK_NAME_MAX + 2] = "";
    memset(name, 'n', SPEC_NETWORK_NAME_MAX);
    for (size_t count = SPEC_NETWORKS_MAX; count <= SPEC_NETWORKS_MAX + 1; count++) {
        struct mesh_header header = {.generation = 1, .port = 1}, read = {0};
        cleanup_buffer struct buffer bytes = {0};
        for (size_t i = 0; i < count; i++)
            assert_int_equal(text_list_add(&header.networks, name), 0);
        assert_int_equal(mesh_header_encode(&header, &bytes), 0);
        assert_true(bytes.size <= MUX_HEADER_BYTES_MAX);
        assert_int_equal(mesh_header_decode(buffer_view(&bytes), &read),
                         count > SPEC_NETWORKS_MAX ? -EBADMSG : 0);
        mesh_header_done(&read);
        mesh_header_done(&header);
    }
    struct mesh_header header = {.generation = 1, .port = 1}, read = {0};
    cleanup_buffer struct buffer bytes = {0};
    name[SPEC_NETWORK_NAME_MAX] = 'n';
    assert_int_equal(text_list_add(&header.networks, name), 0);
    assert_int_equal(mesh_header_encode(&header, &bytes), 0);
    assert_int_equal(mesh_header_decode(buffer_view(&bytes), &read), -EBADMSG);
    mesh_header_done(&header);
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
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_frames),
        cmocka_unit_test(test_too_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
