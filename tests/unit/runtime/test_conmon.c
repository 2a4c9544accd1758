/* What is done for containers beside conmon, with a process of the test's own in their place. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "runtime/conmon.h"
#include "tests/unit/runtime/fixture.h"

enum {
    WAIT_BOUND_S = 60,
};

/* Waits at the FIFO as the OCI runtime's first process does: an end of file lets nobody through. */
static void wait_at(const char *path, int ready_fd)
{
    char byte;
    alarm(WAIT_BOUND_S);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || unlink(path) < 0 || write(ready_fd, "", 1) != 1)
        _exit(1);
    _exit(read(fd, &byte, 1) == 1 ? 0 : 1);
}

/* A process that waits at that FIFO, whose name is gone. */
static pid_t start(const char *path)
{
    int ready[2];
    char byte;
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        wait_at(path, ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

/* Breaks if a container that was let run by a daemon that died over it waits for ever, while it is
 * said to run; or if something is written to a FIFO that only has such a name. */
static void test_start_again(void **state)
{
    (void)state;
    static const char *const names[] = {"oci/a/exec.fifo", "oci/b/exec.fifo", "oci/a/other"};
    char scratch[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES + 32];
    struct runtime_settings settings = {.run_dir = scratch};
    scratch_make(scratch);
    static const char *const folders[] = {"oci", "oci/a", "oci/b"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof(path), "%s/%s", scratch, folders[i]);
        assert_int_equal(mkdir(path, 0700), 0);
    }
    for (size_t i = 0; i < 3; i++) {
        int status = -1;
        snprintf(path, sizeof(path), "%s/%s", scratch, names[i]);
        pid_t pid = start(path);
        conmon_start_again(&settings, "a", pid);
        if (i > 0)
            kill(pid, SIGKILL); /* it waits on, else it has ended well by then or later */
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(i == 0 ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
                         1);
    }
    scratch_remove(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_start_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
