#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "container_fixture.h"
#include "runtime/process.h"

/* Runs a "daemon" in a child, which starts containers and is then killed without warning. */
static void run_doomed_daemon(struct fixture *fixture)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    image_store_free(fixture->images);
    fixture->images = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        fixture_open(fixture);
        struct container_spec spec;
        fixture_start(fixture, "stays", "while :; do sleep 0.2; date +%N; done");
        fixture_start(fixture, "ends", "sleep 0.5; exit 4");
        fixture_start(fixture, "stopped", "sleep 1000");
        fixture_spec(fixture, "again", "sleep 1000", &spec);
        spec.restart.policy = RESTART_ANY;
        runtime_start(fixture->runtime, &spec, NULL);
        bool fine = fixture_wait_state(fixture, "stays", CONTAINER_RUNNING) &&
                    fixture_wait_state(fixture, "ends", CONTAINER_RUNNING) &&
                    fixture_wait_state(fixture, "again", CONTAINER_RUNNING) &&
                    fixture_wait_state(fixture, "stopped", CONTAINER_RUNNING);
        runtime_stop(fixture->runtime, "stopped", 100);
        fine = fine && fixture_wait_state(fixture, "stopped", CONTAINER_EXITED);
        uv_run(&fixture->loop, UV_RUN_ONCE);
        fixture_start(fixture, "half", "sleep 1000");
        for (int i = 0; i < 3; i++)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        if (write(ends[1], fine ? "y" : "n", 1) == 1)
            pause();
        _exit(1);
    }
    char fine = 'n';
    close(ends[1]);
    assert_int_equal(read(ends[0], &fine, 1), 1);
    close(ends[0]);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    assert_int_equal(fine, 'y');
}

static void survives_the_daemon(void **state)
{
    (void)state; /* would break: restarting or upgrading the daemon */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    run_doomed_daemon(fixture);
    usleep(800 * 1000); /* "ends" ends meanwhile */
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "stays", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "ends", CONTAINER_EXITED));
    assert_int_equal(fixture_status(fixture, "ends").exit_code, 4);
    assert_true(fixture_wait_state(fixture, "stopped", CONTAINER_EXITED));
    assert_true(fixture_wait_state(fixture, "half", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "again", CONTAINER_RUNNING));
    assert_int_equal(fixture_status(fixture, "again").restarts, 0);
    char text[512];
    assert_int_equal(fixture_exec(fixture, "stays", "echo inside", text, sizeof(text)), 0);
    assert_string_equal(text, "inside\n");

    /* once more, orderly; then what is killed meanwhile is found and started again */
    pid_t pid = fixture_status(fixture, "again").pid;
    fixture_close(fixture);
    kill(pid, SIGKILL);
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "again", CONTAINER_BACKOFF) ||
                fixture_wait_state(fixture, "again", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "again", CONTAINER_RUNNING));
    assert_int_not_equal(fixture_status(fixture, "again").pid, pid);
    assert_int_equal(fixture_status(fixture, "again").restarts, 1);
    fixture_free(fixture);
}

static void monitor_dies_too(void **state)
{
    (void)state; /* would break: an end that conmon did not live to write down */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    char path[128];
    snprintf(path, sizeof(path), "%s/run/containers/a/conmon.pid", fixture->directory);
    FILE *file = fopen(path, "re");
    int conmon = 0;
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &conmon), 1);
    fclose(file);
    kill(conmon, SIGKILL);
    kill(fixture_status(fixture, "a").pid, SIGKILL);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    assert_int_equal(fixture_status(fixture, "a").exit_code, -1);
    fixture_free(fixture);
}

static void debris_is_swept(void **state)
{
    (void)state; /* would break: machines that fill up with what crashes left */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    run_doomed_daemon(fixture);
    /* the records are lost: all that ran belongs to nobody any more */
    char command[256];
    snprintf(command, sizeof(command), "rm -f %s/data/containers/*/spec", fixture->directory);
    const char *argv[] = {"/bin/sh", "-c", command, NULL};
    assert_int_equal(process_run(argv, 10000, NULL), 0);
    fixture_open(fixture);
    assert_int_equal(fixture_count_debris(fixture), 0);
    fixture_free(fixture);
}

/* A monitor that does not come to its work as fast as a daemon is started again. */
static void make_slow_monitor(const struct fixture *fixture, char *ret, size_t capacity)
{
    snprintf(ret, capacity, "%s/slow-monitor", fixture->directory);
    assert_int_equal(fixture_shell("printf '#!/bin/sh\nsleep 1\nexec conmon \"$@\"\n' > %s && "
                                   "chmod 755 %s",
                                   ret, ret),
                     0);
}

static bool monitor_waits(void *context)
{
    return fixture_count_processes(((struct fixture *)context)->conmon, "", false) > 0;
}

static void dies_while_the_monitor_starts(void **state)
{
    (void)state; /* would break: a monitor on its way that starts what was started meanwhile */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    char monitor[128];
    make_slow_monitor(fixture, monitor, sizeof(monitor));
    image_store_free(fixture->images);
    fixture->images = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        fixture->conmon = monitor;
        fixture_open(fixture);
        fixture_start(fixture, "a", "exec sleep 1000");
        bool fine = fixture_wait(fixture, monitor_waits, fixture);
        _exit(fine ? 0 : 1); /* as if it was killed: without a word to anybody */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    fixture_open(fixture);
    fixture->conmon = monitor;
    assert_false(monitor_waits(fixture));
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(fixture_count_processes("conmon", fixture->directory, false), 1);
    fixture_free(fixture);
}

static void dies_before_the_container_is_let_go(void **state)
{
    (void)state; /* would break: a container that was created but never runs */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    char runtime[128];
    snprintf(runtime, sizeof(runtime), "%s/stuck-runtime", fixture->directory);
    assert_int_equal(fixture_shell("printf '#!/bin/sh\n[ \"$2\" = start ] && exec sleep 1000\n"
                                   "exec crun \"$@\"\n' > %s && chmod 755 %s",
                                   runtime, runtime),
                     0);
    image_store_free(fixture->images);
    fixture->images = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        fixture->oci_runtime = runtime;
        fixture_open(fixture);
        fixture_start(fixture, "a", "echo let go; exec sleep 1000");
        fixture_wait_state(fixture, "a", CONTAINER_RUNNING);
        _exit(1);
    }
    char record[128];
    snprintf(record, sizeof(record), "%s/run/oci/a/exec.fifo", fixture->directory);
    for (int i = 0; i < 1000 && access(record, F_OK) < 0; i++)
        usleep(20 * 1000);
    usleep(100 * 1000);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    char text[64] = "";
    for (int i = 0; i < 1000 && !*text; i++) {
        fixture_logs(fixture, "a", -1, text, sizeof(text));
        usleep(20 * 1000);
    }
    assert_string_equal(text, "let go\n");
    fixture_free(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_the_daemon),
        cmocka_unit_test(dies_while_the_monitor_starts),
        cmocka_unit_test(dies_before_the_container_is_let_go),
        cmocka_unit_test(monitor_dies_too),
        cmocka_unit_test(debris_is_swept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
