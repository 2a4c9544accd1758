#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/text_list.h"
#include "node/cli/options.h"

enum { WORDS_MAX = 32 };

static char usage[512];

/* In place of main.c's, which prints. */
int cli_usage(const struct cli *cli, const char *format, ...)
{
    va_list arguments;
    (void)cli;
    va_start(arguments, format);
    vsnprintf(usage, sizeof(usage), format, arguments);
    va_end(arguments);
    return CLI_USAGE;
}

static const struct verb verb = {"test", "NAME", "Test", NULL};

struct given {
    struct cli cli;
    bool wait;
    const char *file;
    struct text_list labels;
    uint32_t count, cpus;
    uint64_t size;
    int64_t timeout;
    int argc;
    char **argv;
    char *words[WORDS_MAX];
};

static int parse(struct given *given, const char *const *words, bool ahead)
{
    struct option_row rows[] = {
        OPTION_ROW(0, "wait", NULL, "", OPTION_FLAG, &given->wait),
        OPTION_ROW('f', "file", "FILE", "", OPTION_TEXT, &given->file),
        OPTION_ROW('l', "label", "L", "", OPTION_LIST, &given->labels),
        OPTION_ROW(0, "count", "N", "", OPTION_COUNT, &given->count),
        OPTION_ROW(0, "cpus", "N", "", OPTION_CPUS, &given->cpus),
        OPTION_ROW(0, "size", "N", "", OPTION_SIZE, &given->size),
        OPTION_ROW(0, "timeout", "T", "", OPTION_DURATION, &given->timeout),
    };
    *given = (struct given){.cli = {.verb = &verb}, .argv = given->words};
    usage[0] = '\0';
    for (; words[given->argc]; given->argc++) /* getopt_long() sorts them, and so may not share */
        given->words[given->argc] = (char *)(uintptr_t)words[given->argc];
    return ahead ? options_parse_ahead(&given->cli, rows, array_count(rows), &given->argc,
                                       &given->argv)
                 : options_parse(&given->cli, rows, array_count(rows), &given->argc, &given->argv);
}

/* Breaks if an option is not what was typed, in whatever order it stands. */
static void test_taken(void **state)
{
    (void)state;
    struct given given;
    const char *words[] = {"test", "one",          "--wait",   "-f",     "a.yaml",        "-l",
                           "x",    "-ly",          "--count",  "3",      "--cpus=0.5",    "--size",
                           "2k",   "--timeout=1m", "--socket", "/run/s", "--format=json", "two",
                           NULL};
    assert_int_equal(parse(&given, words, false), OPTIONS_GO_ON);
    assert_true(given.wait);
    assert_string_equal(given.file, "a.yaml");
    assert_int_equal(given.labels.count, 2);
    assert_string_equal(given.labels.items[1], "y");
    assert_int_equal(given.count, 3);
    assert_int_equal(given.cpus, 500);
    assert_int_equal(given.size, 2048);
    assert_int_equal(given.timeout, 60000);
    assert_string_equal(given.cli.socket, "/run/s");
    assert_int_equal(given.cli.format, CLI_JSON);
    assert_int_equal(given.argc, 2);
    assert_string_equal(given.argv[0], "one");
    assert_string_equal(given.argv[1], "two");
    text_list_done(&given.labels);
}

/* Breaks if `consort exec` takes the options of the command that it is to run. */
static void test_ahead(void **state)
{
    (void)state;
    struct given given;
    const char *words[] = {"test", "--wait", "ls", "-f", "--size", NULL};
    assert_int_equal(parse(&given, words, true), OPTIONS_GO_ON);
    assert_true(given.wait);
    assert_int_equal(given.argc, 3);
    assert_string_equal(given.argv[0], "ls");
    assert_string_equal(given.argv[1], "-f");
    const char *dashes[] = {"test", "--", "--wait", NULL};
    assert_int_equal(parse(&given, dashes, false), OPTIONS_GO_ON);
    assert_false(given.wait);
    assert_int_equal(given.argc, 1);
}

/* Breaks if words that make no sense are taken, or it is not said what would. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *first, *second;
        const char *words;
    } cases[] = {
        {"--wat", NULL, "there is no option --wat"},
        {"-x", NULL, "there is no option -x"},
        {"--file", NULL, "--file wants a value"},
        {"--count", "-1", "--count -1: want a whole number such as 3"},
        {"--size", "5X", "--size 5X: want a size such as 512M or 2G"},
        {"--timeout", "10", "--timeout 10: want a time such as 10s, 5m or 1h"},
        {"--cpus", "all", "--cpus all: want a number of cores such as 0.5 or 2"},
        {"--format", "xml", "--format xml: want text or json"},
    };
    for (size_t i = 0; i < array_count(cases); i++) {
        struct given given;
        const char *words[] = {"test", cases[i].first, cases[i].second, NULL};
        assert_int_equal(parse(&given, words, false), CLI_USAGE);
        assert_string_equal(usage, cases[i].words);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
