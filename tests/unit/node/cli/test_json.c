#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/writer.h"
#include "node/cli/json.h"

static void expect_json(const struct buffer *packed, const char *expected)
{
    json_t *value = NULL;
    assert_int_equal(json_from_packed(buffer_view(packed), &value), 0);
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_ENSURE_ASCII);
    assert_string_equal(text, expected);
    free(text);
    json_decref(value);
}

/* Breaks if what a peer answers is shown to a script as something else. */
static void test_from_packed(void **state)
{
    (void)state;
    cleanup_buffer struct buffer packed = {0};
    struct writer writer;
    writer_init(&writer, &packed);
    writer_map(&writer, 7);
    writer_text(&writer, "n");
    writer_i64(&writer, -5);
    writer_text(&writer, "big");
    writer_u64(&writer, UINT64_MAX);
    writer_text(&writer, "list");
    writer_array(&writer, 2);
    writer_array(&writer, 0);
    writer_map(&writer, 1);
    writer_text(&writer, "deep");
    writer_nil(&writer);
    writer_text(&writer, "yes");
    writer_bool(&writer, true);
    writer_text(&writer, "half");
    writer_double(&writer, 0.5);
    writer_text(&writer, "text");
    writer_text(&writer, "\xc3\xbc");
    writer_text(&writer, "bytes");
    writer_binary(&writer, "a\xff", 2);
    expect_json(&packed, "{\"n\":-5,\"big\":1.8446744073709552e19,\"list\":[[],{\"deep\":null}],"
                         "\"yes\":true,\"half\":0.5,\"text\":\"\\u00FC\",\"bytes\":\"a\\uFFFD\"}");
}

/* Breaks if an answer that is cut off, or that JSON cannot say, is taken. */
static void test_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        {"", 0},
        {"\x92\x01", 2},             /* cut off */
        {"\x01\x01", 2},             /* something behind it */
        {"\x81\x01\x01", 3},         /* a key that is no text */
        {"\x81\xa1\xff\x01", 4},     /* a key that is no UTF-8 */
        {"\x81\xa2\x61\x00\x01", 5}, /* a key with a NUL */
        {"\xca\x7f\xc0\x00\x00", 5}, /* not a number */
        {"\xd4\x01\x01", 3},         /* an extension */
        {"\x91\x91\x91\x91\x91\x91\x91\x91\x91\x01", 10},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        json_t *value = NULL;
        struct bytes bytes = {(const uint8_t *)cases[i].bytes, cases[i].size};
        assert_int_equal(json_from_packed(bytes, &value), -EBADMSG);
        assert_null(value);
    }
}

/* Breaks if what is asked for reaches the peer as something else, or without end. */
static void test_to_packed(void **state)
{
    (void)state;
    cleanup_buffer struct buffer packed = {0}, deep = {0};
    json_t *value =
        json_pack("{s:s, s:i, s:[b, n, f]}", "service", "web", "replicas", 3, "more", 1, 0.5);
    assert_non_null(value);
    assert_int_equal(json_to_packed(value, &packed), 0);
    expect_json(&packed, "{\"service\":\"web\",\"replicas\":3,\"more\":[true,null,0.5]}");
    assert_string_equal(json_text(value, "service"), "web");
    assert_string_equal(json_text(value, "nothing"), "");
    assert_int_equal(json_number(value, "replicas"), 3);
    assert_int_equal(json_number(value, "service"), 0);
    assert_false(json_flag(value, "replicas"));
    json_decref(value);
    value = json_pack("[[[[[[i]]]]]]", 1);
    assert_int_equal(json_to_packed(value, &deep), -EINVAL);
    json_decref(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_from_packed),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_to_packed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
