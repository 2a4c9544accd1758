#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/process_list.h"

static const char stat_text[] =
    "4242 (we) b (x) S 1 1 1 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 "
    "123456 10000000 300 18446744073709551615 1 1 0";
static const char status[] = "Name:\twe) b (x\nUmask:\t0022\nState:\tS (sleeping)\nPid:\t4242\n"
                             "Uid:\t1000\t1001\t1002\t1003\nGid:\t0\t0\t0\t0\nNSpid:\t4242\t17\t3\n"
                             "VmRSS:\t1200 kB\n";

static void reads_what_the_kernel_says(void **state)
{
    (void)state; /* would break: a process with parentheses in its name, nested namespaces */
    struct process_entry entry;
    assert_int_equal(process_entry_parse(stat_text, status, &entry), 0);
    assert_int_equal(entry.host_pid, 4242);
    assert_int_equal(entry.pid, 3);
    assert_int_equal(entry.uid, 1001);
    assert_int_equal(entry.state, 'S');
    assert_int_equal(entry.cpu_usec, 300 * (1000000 / sysconf(_SC_CLK_TCK)));
    assert_int_equal(entry.memory_bytes, 300 * sysconf(_SC_PAGESIZE));
    assert_string_equal(entry.command, "[we) b (x]");
}

static void shows_the_command(void **state)
{
    (void)state; /* would break: words in one line; a name that steers the operator's terminal */
    static const char words[] = "sh\0-c\0echo \033[2J\xff";
    char many[1000];
    struct process_entry entry = {.command = "[sh]"};
    process_entry_command("", 0, &entry);
    assert_string_equal(entry.command, "[sh]");
    process_entry_command(words, sizeof(words), &entry);
    assert_string_equal(entry.command, "sh -c echo ?[2J?");
    memset(many, 'x', sizeof(many));
    process_entry_command(many, sizeof(many), &entry);
    assert_int_equal(strlen(entry.command), PROCESS_COMMAND_BYTES - 1);
}

static void refuses(void **state)
{
    (void)state; /* would break: reading past what was cut off */
    struct process_entry entry;
    for (size_t i = 0; i < strlen(stat_text) - 40; i++) {
        char cut[sizeof(stat_text)];
        snprintf(cut, sizeof(cut), "%.*s", (int)i, stat_text);
        assert_int_equal(process_entry_parse(cut, status, &entry), -EINVAL);
    }
    assert_int_equal(process_entry_parse(stat_text, "", &entry), -EINVAL);
    assert_int_equal(process_entry_parse(stat_text, "Name:\tx\nUid:\t0", &entry), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_the_kernel_says),
        cmocka_unit_test(shows_the_command),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
