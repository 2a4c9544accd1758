#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/cli/quantity.h"

/* Breaks if a size is taken for another: a service gets too little memory, or too much. */
static void test_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},           {"4096", 4096}, {"512M", 512ull << 20}, {"1.5GiB", 3ull << 29},
                {"2k", 2048},       {"7b", 7},      {"1tb", 1ull << 40},    {"0.5K", 512},
                {"0.125G", 1 << 27}};
    static const char *const bad[] = {"",   "x",   "-1",  "1.5",  "1.2345M",
                                      "5X", "5MM", "5 M", ".5M.", "1."};
    uint64_t bytes = 77;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(quantity_parse_size(good[i].text, &bytes), 0);
        assert_true(bytes == good[i].bytes);
    }
    bytes = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(quantity_parse_size(bad[i], &bytes), -EINVAL);
    assert_int_equal(quantity_parse_size("99999999999T", &bytes), -ERANGE);
    assert_int_equal(quantity_parse_size("99999999999999999999999", &bytes), -ERANGE);
    assert_int_equal(bytes, 77);
}

/* Breaks if a time is taken for another, or one without a unit is guessed. */
static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},       {"10s", 10000}, {"1h30m", 5400000},
                {"250ms", 250}, {"1.5s", 1500}, {"2d", 172800000}};
    static const char *const bad[] = {"", "10", "s", "1h30", "-1s", "1w", "1 s"};
    int64_t ms = 77;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(quantity_parse_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    ms = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(quantity_parse_duration(bad[i], &ms), -EINVAL);
    assert_int_equal(quantity_parse_duration("9999999999999999d", &ms), -ERANGE);
    assert_int_equal(ms, 77);
}

/* Breaks if a number is cut off, or a word taken for one. */
static void test_numbers(void **state)
{
    (void)state;
    uint32_t value = 77;
    assert_int_equal(quantity_parse_count("4294967295", &value), 0);
    assert_int_equal(value, UINT32_MAX);
    assert_int_equal(quantity_parse_cpus("0.25", &value), 0);
    assert_int_equal(value, 250);
    assert_int_equal(quantity_parse_cpus("2", &value), 0);
    assert_int_equal(value, 2000);
    assert_int_equal(quantity_parse_count("4294967296", &value), -ERANGE);
    assert_int_equal(quantity_parse_cpus("5000000", &value), -ERANGE);
    static const char *const bad[] = {"", "-1", "+1", "1x", " 1", "0x10"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(quantity_parse_count(bad[i], &value), -EINVAL);
        assert_int_equal(quantity_parse_cpus(bad[i], &value), -EINVAL);
    }
    assert_int_equal(value, 2000);
}

/* Breaks if a table shows another amount than there is. */
static void test_formats(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0B"},          {1023, "1023B"},      {1024, "1k"},
                 {1536, "1.5k"},     {3ull << 29, "1.5G"}, {100ull << 20, "100M"},
                 {UINT64_MAX, "15E"}};
    static const struct {
        int64_t ms;
        const char *text;
    } ages[] = {{-5, "0s"},     {999, "0s"},     {119000, "119s"},
                {120000, "2m"}, {7200000, "2h"}, {172800000, "2d"}};
    static const struct {
        uint64_t us;
        const char *text;
    } trips[] = {{1, "0.001"}, {213, "0.213"}, {9999, "9.999"}, {14240, "14.2"}, {1250000, "1250"}};
    char text[QUANTITY_TEXT_BYTES];
    for (size_t i = 0; i < sizeof(trips) / sizeof(trips[0]); i++) {
        quantity_format_rtt(trips[i].us, text);
        assert_string_equal(text, trips[i].text);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        quantity_format_size(sizes[i].bytes, text);
        assert_string_equal(text, sizes[i].text);
    }
    for (size_t i = 0; i < sizeof(ages) / sizeof(ages[0]); i++) {
        quantity_format_age(ages[i].ms, text);
        assert_string_equal(text, ages[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_formats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
