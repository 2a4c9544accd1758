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

#define NEEDS_CONTAINERS()                                                                         \
    do {                                                                                           \
        if (!fixture_possible())                                                                   \
            skip();                                                                                \
    } while (0)

static struct fixture *begin(void)
{
    struct fixture *fixture = fixture_new();
    fixture_open(fixture);
    return fixture;
}

static void runs_and_logs(void **state)
{
    (void)state; /* would break: everything */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    fixture_start(fixture, "a",
                  "echo hello; sleep 0.2; echo oops >&2; sleep 0.2; echo $FROM_IMAGE; exit 3");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    struct container_status status = fixture_status(fixture, "a");
    assert_int_equal(status.exit_code, 3);
    assert_string_equal(status.error, "exit code 3; last log lines: hello | oops | yes");
    char text[256];
    fixture_logs(fixture, "a", -1, text, sizeof(text));
    assert_string_equal(text, "hello\noops\nyes\n");
    fixture_logs(fixture, "a", 1, text, sizeof(text));
    assert_string_equal(text, "yes\n");
    fixture_free(fixture);
}

static void is_confined(void **state)
{
    (void)state; /* would break: a container that can do what it must not, or cannot do what it must
                  */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    char text[4096];
    assert_int_equal(fixture_exec(fixture, "a", "grep -E 'Cap|Seccomp:|NoNew' /proc/1/status", text,
                                  sizeof(text)),
                     0);
    assert_non_null(strstr(text, "CapBnd:\t00000000800405fb"));
    assert_non_null(strstr(text, "Seccomp:\t2"));
    assert_non_null(strstr(text, "NoNewPrivs:\t1"));
    assert_int_not_equal(fixture_exec(fixture, "a", "mount -t tmpfs x /tmp", text, 100), 0);
    assert_int_not_equal(fixture_exec(fixture, "a", "unshare -U true", text, 100), 0);
    assert_int_not_equal(fixture_exec(fixture, "a", "echo 1 > /proc/sys/kernel/panic", text, 100),
                         0);
    assert_int_not_equal(fixture_exec(fixture, "a", "mknod /tmp/d b 1 1", text, 100), 0);
    assert_int_equal(fixture_exec(fixture, "a",
                                  "echo x > /dev/null && head -c 4 /dev/urandom > /tmp/r && "
                                  "test $(ls /proc | grep -c '^[0-9]') -le 9 && "
                                  "cat /etc/resolv.conf && hostname",
                                  text, sizeof(text)),
                     0);
    assert_string_equal(text, "nameserver 10.88.0.1\na\n");
    fixture_free(fixture);
}

static void containers_reach_each_other(void **state)
{
    (void)state; /* would break: the bridge, addresses, or the redirect of virtual addresses */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    fixture_start(fixture, "a", "sleep 1000");
    fixture_start(fixture, "b", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "b", CONTAINER_RUNNING));
    char ip[ADDRESS_TEXT_BYTES], script[256], text[512];
    struct address address = fixture_status(fixture, "b").address;
    snprintf(ip, sizeof(ip), "%u.%u.%u.%u", address.ip[12], address.ip[13], address.ip[14],
             address.ip[15]);
    snprintf(script, sizeof(script), "nc -l -p 80 -e echo answer & sleep 1000");
    fixture_start(fixture, "c", script);
    assert_true(fixture_wait_state(fixture, "c", CONTAINER_RUNNING));
    address = fixture_status(fixture, "c").address;
    snprintf(script, sizeof(script),
             "for i in 1 2 3 4 5; do nc -w 2 %u.%u.%u.%u 80 && break; sleep 1; done",
             address.ip[12], address.ip[13], address.ip[14], address.ip[15]);
    assert_int_equal(fixture_exec(fixture, "a", script, text, sizeof(text)), 0);
    assert_string_equal(text, "answer\n");
    fixture_free(fixture);
}

static void restarts_with_backoff(void **state)
{
    (void)state; /* would break: repair of crashed containers, and giving up */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "echo run; exit 1", &spec);
    spec.restart.policy = RESTART_ON_FAILURE;
    spec.restart.attempts_max = 2;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_FAILED));
    assert_int_equal(fixture_status(fixture, "a").restarts, 2);
    char text[256];
    fixture_logs(fixture, "a", -1, text, sizeof(text));
    assert_string_equal(text, "run\nrun\nrun\n");
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    assert_int_not_equal(fixture_status(fixture, "a").state, CONTAINER_FAILED);
    container_spec_done(&spec);
    fixture_free(fixture);
}

static void stops_and_starts(void **state)
{
    (void)state; /* would break: stop, its grace, and starting a stopped one again */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "polite", "trap 'exit 7' TERM; echo up; while :; do sleep 0.1; done",
                 &spec);
    spec.restart.policy = RESTART_ANY;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    fixture_start(fixture, "deaf", "trap '' TERM; sleep 1000");
    assert_true(fixture_wait_state(fixture, "polite", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "deaf", CONTAINER_RUNNING));
    /* the trap must be set before the signal comes */
    char text[256] = "";
    while (!strstr(text, "up"))
        fixture_logs(fixture, "polite", -1, text, sizeof(text));
    runtime_stop(fixture->runtime, "polite", 30000);
    runtime_stop(fixture->runtime, "deaf", 100);
    assert_true(fixture_wait_state(fixture, "polite", CONTAINER_EXITED));
    assert_true(fixture_wait_state(fixture, "deaf", CONTAINER_EXITED));
    assert_int_equal(fixture_status(fixture, "polite").exit_code, 7);
    assert_int_equal(fixture_status(fixture, "deaf").exit_code, 128 + SIGKILL);
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    assert_true(fixture_wait_state(fixture, "polite", CONTAINER_RUNNING));
    container_spec_done(&spec);
    fixture_free(fixture);
}

static bool has_health(struct fixture *fixture, enum health_state health)
{
    return fixture_status(fixture, "a").health == health;
}

static bool is_healthy(void *context)
{
    return has_health(context, HEALTH_HEALTHY);
}

static bool was_restarted(void *context)
{
    return fixture_status(context, "a").restarts > 0;
}

static void unhealthy_is_restarted(void **state)
{
    (void)state; /* would break: health checks, and the repair of what fails them */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "touch /tmp/ok; sleep 1000", &spec);
    spec.restart.policy = RESTART_ON_FAILURE;
    text_list_add(&spec.health.command, "sh");
    text_list_add(&spec.health.command, "-c");
    text_list_add(&spec.health.command, "test -e /tmp/ok || { echo not ok; exit 1; }");
    spec.health.interval_ms = 100;
    spec.health.retries = 2;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_true(fixture_wait(fixture, is_healthy, fixture));
    assert_int_equal(fixture_exec(fixture, "a", "rm /tmp/ok", NULL, 0), 0);
    assert_true(fixture_wait(fixture, was_restarted, fixture));
    assert_non_null(strstr(fixture_status(fixture, "a").error, "unhealthy: not ok"));
    assert_true(fixture_wait(fixture, is_healthy, fixture));
    fixture_free(fixture);
}

static void check_that_hangs(void **state)
{
    (void)state; /* would break: a check's timeout, leaving its process in the container */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    text_list_add(&spec.health.command, "sleep");
    text_list_add(&spec.health.command, "999");
    spec.health.interval_ms = 50;
    spec.health.timeout_ms = 300;
    spec.health.retries = 2;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    char text[256];
    while (!has_health(fixture, HEALTH_UNHEALTHY))
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_string_equal(fixture_status(fixture, "a").error, "unhealthy: no answer within 300 ms");
    assert_int_equal(fixture_status(fixture, "a").state, CONTAINER_RUNNING);
    fixture_exec(fixture, "a", "ps | grep -c '[s]leep 999'", text, sizeof(text));
    assert_true(atoi(text) <= 1);
    fixture_free(fixture);
}

struct limits_result {
    bool done;
    int code;
};

static void on_limits(void *context, const struct error *error)
{
    struct limits_result *result = context;
    result->done = true;
    result->code = error ? error->code : 0;
}

static bool limits_done(void *context)
{
    return ((struct limits_result *)context)->done;
}

static void limits_change_live(void **state)
{
    (void)state; /* would break: scaling up without a restart, and statistics */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    spec.memory_bytes = 64 << 20;
    spec.cpu_millicores = 500;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    pid_t pid = fixture_status(fixture, "a").pid;
    struct container_stats stats;
    assert_int_equal(runtime_stats(fixture->runtime, "a", &stats), 0);
    assert_int_equal(stats.memory_limit_bytes, 64 << 20);
    assert_int_equal(stats.cpu_limit_millicores, 500);
    assert_true(stats.memory_bytes > 0);
    assert_true(stats.pids >= 1);
    static const uint64_t memories[] = {128 << 20, 32 << 20, 0};
    for (size_t i = 0; i < 3; i++) {
        struct limits_result result = {0};
        assert_int_equal(
            runtime_update_limits(fixture->runtime, "a", 1500, memories[i], on_limits, &result), 0);
        assert_true(fixture_wait(fixture, limits_done, &result));
        assert_int_equal(result.code, 0);
        assert_int_equal(runtime_stats(fixture->runtime, "a", &stats), 0);
        assert_int_equal(stats.memory_limit_bytes, memories[i]);
        assert_int_equal(stats.cpu_limit_millicores, 1500);
    }
    assert_int_equal(fixture_status(fixture, "a").pid, pid);
    assert_int_equal(fixture_status(fixture, "a").spec->cpu_millicores, 1500);
    fixture_free(fixture);
}

static void memory_hog_is_told_apart(void **state)
{
    (void)state; /* would break: telling an operator that a container ran out of memory */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "exec tail -c 100000000 /dev/zero", &spec);
    spec.memory_bytes = 16 << 20;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    assert_true(fixture_status(fixture, "a").oom_killed);
    fixture_free(fixture);
}

static void mounts_of_every_kind(void **state)
{
    (void)state; /* would break: volumes, secrets, tmpfs, users, read-only root */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a",
                 "id -u; id -G; cat /run/secrets/key; stat -c '%a %u' /run/secrets/key; "
                 "echo kept >> /data/file && cat /data/file; touch /scratch/x && echo scratch; "
                 "touch /x 2>/dev/null || echo read-only; pwd; echo $HOME",
                 &spec);
    spec.user = strdup("app");
    spec.working_dir = strdup("/made/for/me");
    spec.read_only = true;
    struct container_mount *mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_VOLUME;
    mount->source = strdup("vol");
    mount->target = strdup("/data");
    mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_FILE;
    mount->target = strdup("/run/secrets/key");
    mount->mode = 0400;
    mount->uid = 1000;
    buffer_append_text(&mount->content, "s3cret\n");
    mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_TMPFS;
    mount->target = strdup("/scratch");
    mount->size_bytes = 1 << 20;
    char text[512];
    for (int run = 1; run <= 2; run++) {
        assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
        assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
        fixture_logs(fixture, "a", -1, text, sizeof(text));
        assert_string_equal(text, run == 1 ? "1000\n1000 2000\ns3cret\n400 1000\nkept\nscratch\n"
                                             "read-only\n/made/for/me\n/home/app\n"
                                           : "1000\n1000 2000\ns3cret\n400 1000\nkept\nkept\n"
                                             "scratch\nread-only\n/made/for/me\n/home/app\n");
        runtime_remove(fixture->runtime, "a");
        assert_true(fixture_wait_gone(fixture, "a"));
    }
    container_spec_done(&spec);
    fixture_free(fixture);
}

static void errors_say_why(void **state)
{
    (void)state; /* would break: what an operator reads when a container cannot start */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "", &spec);
    text_list_done(&spec.command);
    text_list_add(&spec.command, "/not/there");
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_FAILED));
    assert_non_null(strstr(fixture_status(fixture, "a").error, "/not/there"));
    container_spec_done(&spec);

    fixture_spec(fixture, "b", "true", &spec);
    spec.user = strdup("nobody-here");
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    assert_true(fixture_wait_state(fixture, "b", CONTAINER_FAILED));
    assert_non_null(strstr(fixture_status(fixture, "b").error, "nobody-here"));
    container_spec_done(&spec);

    fixture_spec(fixture, "../c", "true", &spec);
    struct error error;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), -EINVAL);
    container_spec_done(&spec);
    fixture_free(fixture);
}

struct terminal {
    char text[4096];
    size_t size;
    bool done;
    int code;
};

static void on_terminal(void *context, bool is_error, struct bytes output)
{
    struct terminal *terminal = context;
    assert_false(is_error);
    for (size_t i = 0; i < output.size && terminal->size + 1 < sizeof(terminal->text); i++)
        terminal->text[terminal->size++] = (char)output.data[i];
}

static void on_terminal_exit(void *context, int exit_code)
{
    struct terminal *terminal = context;
    terminal->done = true;
    terminal->code = exit_code;
}

static bool terminal_done(void *context)
{
    return ((struct terminal *)context)->done;
}

static bool terminal_ready(void *context)
{
    return strstr(((struct terminal *)context)->text, "ready") != NULL;
}

static void exec_on_a_terminal(void **state)
{
    (void)state; /* would break: an operator's shell in a container */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    const char *const argv[] = {"sh", "-c", "echo rea''dy; read x; stty size; tty; exit $x", NULL};
    struct exec_options options = {.argv = argv, .tty = true, .rows = 31, .columns = 97};
    struct terminal terminal = {0};
    struct exec_callbacks callbacks = {
        .context = &terminal, .on_output = on_terminal, .on_exit = on_terminal_exit};
    struct runtime_exec *exec;
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec), 0);
    assert_true(fixture_wait(fixture, terminal_ready, &terminal));
    runtime_exec_resize(exec, 42, 111);
    usleep(200 * 1000);
    runtime_exec_write(exec, bytes_of_text("5\n"));
    assert_true(fixture_wait(fixture, terminal_done, &terminal));
    print_message("%s", terminal.text);
    assert_int_equal(terminal.code, 5);
    assert_non_null(strstr(terminal.text, "42 111"));
    assert_non_null(strstr(terminal.text, "/dev/pts/"));
    runtime_exec_close(exec);
    fixture_free(fixture);
}

static void exec_with_input(void **state)
{
    (void)state; /* would break: piping into a command, its exit code, and killing it */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    fixture_start(fixture, "a", "sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    const char *const argv[] = {"sh", "-c", "wc -c; exit 9", NULL};
    struct exec_options options = {.argv = argv};
    struct terminal terminal = {0};
    struct exec_callbacks callbacks = {
        .context = &terminal, .on_output = on_terminal, .on_exit = on_terminal_exit};
    struct runtime_exec *exec;
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec), 0);
    static const uint8_t block[100000];
    assert_int_equal(runtime_exec_write(exec, (struct bytes){block, sizeof(block)}), 0);
    runtime_exec_end_input(exec);
    assert_int_equal(runtime_exec_write(exec, bytes_of_text("x")), -EPIPE);
    assert_true(fixture_wait(fixture, terminal_done, &terminal));
    runtime_exec_close(exec);
    assert_int_equal(terminal.code, 9);
    assert_int_equal(atoi(terminal.text), 100000);

    const char *const missing[] = {"/not/there", NULL};
    options.argv = missing;
    callbacks.on_output = on_terminal;
    char text[256];
    assert_int_equal(fixture_exec(fixture, "a", "exec /not/there 2>/dev/null", NULL, 0), 127);

    const char *const sleeper[] = {"sleep", "888", NULL};
    options.argv = sleeper;
    assert_int_equal(runtime_exec(fixture->runtime, "a", &options, &callbacks, &exec), 0);
    do {
        fixture_exec(fixture, "a", "ps | grep -c '[s]leep 888'", text, sizeof(text));
    } while (atoi(text) == 0);
    runtime_exec_close(exec);
    do {
        fixture_exec(fixture, "a", "ps | grep -c '[s]leep 888'", text, sizeof(text));
    } while (atoi(text) != 0);
    fixture_free(fixture);
}

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
    struct fixture *fixture = begin();
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

static void removed_while_it_starts(void **state)
{
    (void)state; /* would break: commands that come while a step is under way */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin();
    for (int i = 0; i < 6; i++) {
        fixture_start(fixture, "a", "sleep 1000");
        for (int turn = 0; turn < i; turn++)
            uv_run(&fixture->loop, UV_RUN_ONCE);
        runtime_stop(fixture->runtime, "a", 10);
        runtime_remove(fixture->runtime, "a");
        assert_true(fixture_wait_gone(fixture, "a"));
        assert_string_equal(fixture->removed, "a");
        fixture->removed[0] = '\0';
    }
    fixture_free(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_and_logs),
        cmocka_unit_test(is_confined),
        cmocka_unit_test(containers_reach_each_other),
        cmocka_unit_test(restarts_with_backoff),
        cmocka_unit_test(stops_and_starts),
        cmocka_unit_test(unhealthy_is_restarted),
        cmocka_unit_test(check_that_hangs),
        cmocka_unit_test(limits_change_live),
        cmocka_unit_test(memory_hog_is_told_apart),
        cmocka_unit_test(mounts_of_every_kind),
        cmocka_unit_test(errors_say_why),
        cmocka_unit_test(exec_on_a_terminal),
        cmocka_unit_test(exec_with_input),
        cmocka_unit_test(survives_the_daemon),
        cmocka_unit_test(monitor_dies_too),
        cmocka_unit_test(debris_is_swept),
        cmocka_unit_test(removed_while_it_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
