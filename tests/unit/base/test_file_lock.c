#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file_lock.h"

enum {
    GENEROUS_MS = 60 * 1000,
};

static char path[] = "/tmp/consort-lock-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static int open_file(void)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void one_has_it(void **state)
{
    (void)state; /* would break: two daemons on one data directory */
    int first = open_file(), second = open_file();
    assert_int_equal(file_lock(first, 0), 0);
    assert_int_equal(file_lock(second, 0), -EWOULDBLOCK);
    assert_int_equal(file_lock(second, 30), -EWOULDBLOCK);
    close(first);
    assert_int_equal(file_lock(second, 0), 0);
    close(second);
}

static void child_of_a_killed_one_is_awaited(void **state)
{
    /* would break: a daemon that does not start, for the one before it was killed while it forked
     */
    (void)state;
    int fd = open_file();
    assert_int_equal(file_lock(fd, 0), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        usleep(50 * 1000);
        _exit(0);
    }
    close(fd);
    int next = open_file();
    assert_int_equal(file_lock(next, GENEROUS_MS), 0);
    close(next);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_has_it),
        cmocka_unit_test(child_of_a_killed_one_is_awaited),
    };
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
