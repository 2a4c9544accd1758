#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/log_format.h"

static int parse(const char *text, struct log_entry *ret)
{
    return log_entry_parse(bytes_of_text(text), ret);
}

static void parses_entries(void **state)
{
    (void)state; /* would break: every log that an operator reads */
    struct log_entry entry;
    assert_int_equal(parse("1970-01-01T00:00:01.000000002+00:00 stdout F hello there", &entry), 0);
    assert_int_equal(entry.wall_ns, 1000000002);
    assert_false(entry.is_error);
    assert_false(entry.partial);
    assert_true(bytes_equal(entry.text, bytes_of_text("hello there")));
    assert_int_equal(parse("1970-01-01T02:00:01.5+02:00 stderr P ", &entry), 0);
    assert_int_equal(entry.wall_ns, 1500000000);
    assert_true(entry.is_error);
    assert_true(entry.partial);
    assert_int_equal(entry.text.size, 0);
    assert_int_equal(parse("1970-01-01T00:00:00Z stdout F:x y", &entry), 0);
}

static void refuses_what_is_none(void **state)
{
    (void)state; /* would break: reading a log that something else wrote into */
    static const char *const bad[] = {
        "",
        "hello",
        "1970-01-01T00:00:01+00:00",
        "1970-01-01T00:00:01+00:00 stdout",
        "1970-01-01T00:00:01+00:00 stdin F x",
        "1970-01-01T00:00:01+00:00 stdout X x",
        "1970-01-01 00:00:01+00:00 stdout F x",
        "1970-01-01T00:00:01 stdout F x",
        "99999-01-01T00:00:01+00:00 stdout F x",
        "1970-01-01T00:00:01.1234567890123456789012345678901234567890+00:00 stdout F x",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct log_entry entry = {.wall_ns = 7};
        assert_int_equal(parse(bad[i], &entry), -EBADMSG);
        assert_int_equal(entry.wall_ns, 7);
    }
}

static void finds_the_tail(void **state)
{
    (void)state; /* would break: `logs --tail`, also of logs larger than one piece */
    FILE *file = tmpfile();
    assert_non_null(file);
    for (int i = 0; i < 100000; i++)
        fprintf(file, "%05d\n", i);
    fflush(file);
    int64_t offset;
    static const int64_t lines[] = {0, 1, 10, 50000, 99999, 100000, 200000};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int64_t expected = lines[i] < 100000 ? 100000 - lines[i] : 0;
        assert_int_equal(log_find_tail(fileno(file), lines[i], &offset), 0);
        assert_int_equal(offset, 6 * expected);
    }
    fclose(file);
}

static void joins_the_last_lines(void **state)
{
    (void)state; /* would break: the last words of a container in its error */
    char path[] = "/tmp/consort-log-XXXXXX", text[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fprintf(file, "1970-01-01T00:00:01+00:00 stdout F old\n");
    fprintf(file, "1970-01-01T00:00:09+00:00 stderr F one\tx\n");
    fprintf(file, "1970-01-01T00:00:09+00:00 stdout F two\n");
    fclose(file);
    assert_int_equal(log_tail_text(path, 5, 5000, text, sizeof(text)), 11);
    assert_string_equal(text, "one x | two");
    assert_int_equal(log_tail_text(path, 1, 0, text, sizeof(text)), 3);
    assert_int_equal(log_tail_text(path, 5, 0, text, 8), 7);
    assert_int_equal(log_tail_text(path, 5, 100000, text, sizeof(text)), 0);
    remove(path);
    assert_int_equal(log_tail_text(path, 5, 0, text, sizeof(text)), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parses_entries),
        cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(finds_the_tail),
        cmocka_unit_test(joins_the_last_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
