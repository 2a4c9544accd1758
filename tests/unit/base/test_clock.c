#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif

enum {
    SLEPT_SECONDS = 100000,
    CANNOT_TRY = 77,
};

static int64_t monotonic_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* In a time namespace in which the boot is long ago by one clock and not by the other, as after a
 * suspension. 0 if clock_boot_ms() counts that time. */
static int child_of_a_sleeper(int64_t before_ms)
{
    static const char offsets[] = "boottime 100000 0\n";
    if (unshare(CLONE_NEWTIME) < 0)
        return CANNOT_TRY;
    int file = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
    if (file < 0)
        return CANNOT_TRY;
    ssize_t size = write(file, offsets, strlen(offsets));
    close(file);
    if (size != (ssize_t)strlen(offsets))
        return CANNOT_TRY;
    pid_t pid = fork(); /* only children are in the new namespace */
    if (pid == 0)
        _exit(clock_boot_ms() - before_ms >= SLEPT_SECONDS * INT64_C(1000) ? 0 : 1);
    int status = 1;
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* Breaks if the time that a machine was suspended is left out. */
static void test_sleep_counts(void **state)
{
    (void)state;
    int status = 1;
    int64_t before_ms = clock_boot_ms();
    pid_t pid = fork();
    if (pid == 0)
        _exit(child_of_a_sleeper(before_ms));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT_TRY) {
        print_message("no time namespaces here: not tried\n");
        skip();
    }
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Breaks if the clock goes back, or does not go at the pace of timers. */
static void test_pace(void **state)
{
    (void)state;
    int64_t start_ms = clock_boot_ms(), other_ms = monotonic_ms(), last_ms = start_ms;
    while (clock_boot_ms() - start_ms < 50) {
        int64_t now_ms = clock_boot_ms();
        assert_true(now_ms >= last_ms);
        last_ms = now_ms;
    }
    int64_t difference_ms = (clock_boot_ms() - start_ms) - (monotonic_ms() - other_ms);
    assert_in_range(difference_ms + 5, 0, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sleep_counts),
        cmocka_unit_test(test_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
