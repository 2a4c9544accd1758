#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/reader.h"
#include "base/writer.h"

/* Breaks if the reader and msgpack-c disagree on what a value is. */
static void test_round_trip(void **state)
{
    (void)state;
    static const int64_t integers[] = {
        0,         1,  127, 128, 255,  256,  65535,  65536,  4294967295, 4294967296,
        INT64_MAX, -1, -32, -33, -128, -129, -32768, -32769, INT32_MIN,  INT64_MIN};
    cleanup_buffer struct buffer buffer = {0};
    struct writer writer;
    writer_init(&writer, &buffer);
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++)
        writer_i64(&writer, integers[i]);
    writer_map(&writer, 2);
    writer_text(&writer, "name");
    writer_text(&writer, "web");
    writer_text(&writer, "list");
    writer_array(&writer, 3);
    writer_bool(&writer, true);
    writer_nil(&writer);
    writer_double(&writer, 0.5);
    writer_u64(&writer, UINT64_MAX);
    assert_int_equal(writer_check(&writer), 0);

    struct reader reader;
    reader_init(&reader, buffer.bytes, buffer.size);
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        int64_t value = 77;
        assert_int_equal(reader_i64(&reader, &value), 0);
        assert_true(value == integers[i]);
    }
    struct reader again = reader;
    uint32_t count;
    char text[8];
    bool flag;
    double real;
    uint64_t most;
    assert_int_equal(reader_map(&reader, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(reader_copy_text(&reader, text, sizeof(text)), 0);
    assert_string_equal(text, "name");
    assert_int_equal(reader_copy_text(&reader, text, sizeof(text)), 0);
    assert_int_equal(reader_copy_text(&reader, text, sizeof(text)), 0);
    assert_int_equal(reader_array_exact(&reader, 3), 0);
    assert_int_equal(reader_bool(&reader, &flag), 0);
    assert_int_equal(reader_nil(&reader), 0);
    assert_int_equal(reader_double(&reader, &real), 0);
    assert_int_equal(reader_u64(&reader, &most), 0);
    assert_true(most == UINT64_MAX && real == 0.5 && flag);
    assert_int_equal(reader_end(&reader), 0);

    assert_int_equal(reader_skip(&again), 0);
    assert_int_equal(reader_u64(&again, &most), 0);
    assert_int_equal(reader_end(&again), 0);
}

/* Breaks if five bytes from the network can claim two billion values or a deep nesting. */
static void test_hostile(void **state)
{
    (void)state;
    uint32_t count = 99;
    struct reader reader;
    reader_init(&reader, "\xdd\x7f\xff\xff\xff", 5);
    assert_int_equal(reader_array(&reader, &count), -EBADMSG);
    reader_init(&reader, "\xdf\xff\xff\xff\xff\xc0", 6);
    assert_int_equal(reader_map(&reader, &count), -EBADMSG);
    assert_int_equal(count, 99);
    reader_init(&reader, "\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0", 10);
    assert_int_equal(reader_skip(&reader), -EBADMSG);
    reader_init(&reader, "\xc6\xff\xff\xff\xff", 5);
    assert_int_equal(reader_skip(&reader), -EBADMSG);
    reader_init(&reader,
                "\xa3"
                "a\0b",
                4);
    char text[8] = "kept";
    assert_int_equal(reader_copy_text(&reader, text, sizeof(text)), -EBADMSG);
    assert_string_equal(text, "kept");
}

/* Breaks if a failed reader gives values again. */
static void test_failure_sticks(void **state)
{
    (void)state;
    uint64_t value = 5;
    bool flag;
    struct reader reader;
    reader_init(&reader, "\x01\x02", 2);
    assert_int_equal(reader_bool(&reader, &flag), -EBADMSG);
    assert_int_equal(reader_u64(&reader, &value), -EBADMSG);
    assert_int_equal(value, 5);
    assert_int_equal(reader_end(&reader), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_round_trip),
                                       cmocka_unit_test(test_hostile),
                                       cmocka_unit_test(test_failure_sticks)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
