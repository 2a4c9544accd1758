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

static void runs_and_logs(void **state)
{
    (void)state; /* would break: everything */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
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
    struct fixture *fixture = fixture_begin();
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
    assert_string_equal(text, "nameserver 10.88.0.1\nsearch .\na\n");
    fixture_free(fixture);
}

/* A container whose sandbox says something of everything. */
static void sandbox_is_carried_out(void **state)
{
    (void)state; /* would break: limits, groups, devices and settings that a Compose file names */
    NEEDS_CONTAINERS();
    static const char *const checks[] = {
        "grep -q 'Max open files *1234 *2345' /proc/1/limits",
        "grep -q 'Max core file size *0 *unlimited' /proc/1/limits",
        "test $(cat /proc/sys/net/core/somaxconn) = 77",
        "test $(cat /proc/sys/kernel/shmmax) = 1048576",
        "grep -q 'Groups:.*4242' /proc/1/status",
        "df -k /dev/shm | grep -qw 2048",
        "test $(cat /proc/1/oom_score_adj) = 500",
        "grep -q '^Cpus_allowed_list:.0$' /proc/1/status",
        "echo x > /dev/sink",
        "stat -c %t:%T /dev/sink | grep -qx 1:3",
        "grep -qx 'search a.example b.example' /etc/resolv.conf",
        "grep -qx 'options ndots:2' /etc/resolv.conf",
        "grep -q 'Seccomp:.0' /proc/1/status",
        "grep -q 'NoNewPrivs:.0' /proc/1/status",
        /* and the same for what is run in it later */
        "test \"$(id -u) $(id -g)\" = '1000 1001'",
        "id -G | grep -qw 4242",
        "test $(pwd) = /tmp",
        "test $(ulimit -n) = 1234",
        "grep -q 'Seccomp:.0' /proc/self/status",
    };
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char text[1024];
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    struct container_sandbox *sandbox = &spec.sandbox;
    text_list_add(&sandbox->ulimits, "nofile=1234:2345");
    text_list_add(&sandbox->ulimits, "core=0:-1");
    text_list_add(&sandbox->sysctls, "net.core.somaxconn=77");
    text_list_add(&sandbox->sysctls, "kernel.shmmax=1048576");
    text_list_add(&sandbox->groups, "4242");
    text_list_add(&sandbox->devices, "/dev/null:/dev/sink:rw");
    text_list_add(&sandbox->dns_search, "a.example");
    text_list_add(&sandbox->dns_search, "b.example");
    text_list_add(&sandbox->dns_options, "ndots:2");
    sandbox->cpuset = strdup("0");
    sandbox->shm_bytes = 2048 * 1024;
    sandbox->oom_score_adj = 500;
    sandbox->cpu_shares = 512;
    sandbox->seccomp_off = spec.privileged_escalation = true;
    spec.user = strdup("1000:1001");
    spec.working_dir = strdup("/tmp");
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++)
        if (fixture_exec(fixture, "a", checks[i], text, sizeof(text)) != 0)
            fail_msg("%s: %s", checks[i], text);
    fixture_free(fixture);
}

static void privileged_is_as_root(void **state)
{
    (void)state; /* would break: what is privileged by an admin's will, and can't do its work */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char text[1024];
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    spec.sandbox.privileged = true;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    if (fixture_exec(fixture, "a",
                     "mount -t tmpfs x /tmp && mknod /tmp/d b 1 1 && grep -q 'Seccomp:.0' "
                     "/proc/1/status && grep -q 'CapEff:.0*1f' /proc/1/status",
                     text, sizeof(text)) != 0)
        fail_msg("%s", text);
    fixture_free(fixture);
}

static void restarts_with_backoff(void **state)
{
    (void)state; /* would break: repair of crashed containers, and giving up */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
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

static void wait_for_log(struct fixture *fixture, const char *id, const char *wanted)
{
    char text[256] = "";
    while (strcmp(text, wanted) != 0)
        fixture_logs(fixture, id, -1, text, sizeof(text));
}

static void stops_and_starts(void **state)
{
    (void)state; /* would break: stop, its grace, and starting a stopped one again */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    /* polite the first time only */
    fixture_spec(fixture, "polite",
                 "trap 'exit 7' TERM; [ -e /tmp/again ] && trap '' TERM; touch /tmp/again; echo up;"
                 "while :; do sleep 0.1; done",
                 &spec);
    spec.restart.policy = RESTART_ANY;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    fixture_start(fixture, "deaf", "trap '' TERM; echo up; sleep 1000");
    assert_true(fixture_wait_state(fixture, "polite", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "deaf", CONTAINER_RUNNING));
    wait_for_log(fixture, "polite", "up\n"); /* the trap must be set before the signal comes */
    wait_for_log(fixture, "deaf", "up\n");
    runtime_stop(fixture->runtime, "polite", 30000);
    runtime_stop(fixture->runtime, "deaf", 100);
    assert_true(fixture_wait_state(fixture, "polite", CONTAINER_EXITED));
    assert_true(fixture_wait_state(fixture, "deaf", CONTAINER_EXITED));
    assert_int_equal(fixture_status(fixture, "polite").exit_code, 7);
    assert_int_equal(fixture_status(fixture, "deaf").exit_code, 128 + SIGKILL);
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    assert_true(fixture_wait_state(fixture, "polite", CONTAINER_RUNNING));
    wait_for_log(fixture, "polite", "up\nup\n");
    container_spec_done(&spec);
    fixture_free(fixture); /* with the grace of the spec: that of an earlier stop is over */
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
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    spec.memory_bytes = 64 << 20;
    spec.cpu_millicores = 500;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    pid_t pid = fixture_status(fixture, "a").pid;
    struct container_stats stats = fixture_stats(fixture, "a");
    assert_int_equal(stats.memory_limit_bytes, 64 << 20);
    assert_int_equal(stats.cpu_limit_millicores, 500);
    assert_true(stats.memory_bytes > 0);
    assert_true(stats.pids >= 1);
    if (fixture_shell("[ -d /sys/fs/cgroup/unified -a -e /proc/pressure/cpu ]") == 0)
        assert_true(stats.cpu_pressure.permille >= 0);
    static const uint64_t memories[] = {128 << 20, 32 << 20, 0};
    for (size_t i = 0; i < 3; i++) {
        struct limits_result result = {0};
        assert_int_equal(
            runtime_update_limits(fixture->runtime, "a", 1500, memories[i], on_limits, &result), 0);
        assert_true(fixture_wait(fixture, limits_done, &result));
        assert_int_equal(result.code, 0);
        stats = fixture_stats(fixture, "a");
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
    struct fixture *fixture = fixture_begin();
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
    struct fixture *fixture = fixture_begin();
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

static bool stands_below(const struct fixture *fixture, const char *text, const char *folder)
{
    return fixture_shell("find %s/%s -xdev -type f -exec grep -lF '%s' {} + | grep -q .",
                         fixture->directory, folder, text) == 0;
}

static bool is_restarted(void *context)
{
    struct container_status status = fixture_status(context, "a");
    return status.restarts == 1 && status.state == CONTAINER_RUNNING;
}

static void secrets_are_on_no_disk(void **state)
{
    (void)
        state; /* would break: who finds a disk reads its secrets; or they are gone after a crash */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char text[64];
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    spec.restart.policy = RESTART_ON_FAILURE;
    spec.restart.attempts_max = 1; /* not used up by waiting for the secret */
    struct container_mount *mount = container_spec_add_mount(&spec);
    mount->type = MOUNT_FILE;
    mount->target = strdup("/run/secrets/key");
    mount->secret = strdup("s_key");
    mount->secret_version = 7;
    mount->mode = 0400;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_BACKOFF));
    assert_string_equal(fixture_status(fixture, "a").error, "version 7 of s_key is not known yet");
    fixture->secret = "quicksilver-4711";
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));

    fixture_close(fixture);
    fixture_open(fixture);
    for (int run = 0; run < 2; run++) {
        assert_int_equal(fixture_exec(fixture, "a", "cat /run/secrets/key", text, sizeof(text)), 0);
        assert_string_equal(text, fixture->secret);
        assert_false(stands_below(fixture, fixture->secret, "data"));
        assert_false(stands_below(fixture, fixture->secret, "run"));
        assert_true(stands_below(fixture, "s_key", "data")); /* it does find what is there */
        assert_int_equal(fixture_shell("cat %s/run/containers/a/secrets/file-0 | grep -qx %s",
                                       fixture->directory, fixture->secret),
                         0);
        if (run == 0)
            kill(fixture_status(fixture, "a").pid, SIGKILL);
        assert_true(fixture_wait(fixture, is_restarted, fixture));
    }
    fixture_free(fixture);
}

static void errors_say_why(void **state)
{
    (void)state; /* would break: what an operator reads when a container cannot start */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
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

struct follower {
    unsigned lines;
    long last;
    bool in_order;
    bool ended;
};

static void follow_line(void *context, int64_t wall_ns, bool is_error, struct bytes line)
{
    struct follower *follower = context;
    (void)wall_ns;
    (void)is_error;
    long number = strtol((const char *)line.data, NULL, 10);
    if (number <= follower->last)
        follower->in_order = false;
    follower->last = number;
    follower->lines++;
}

static void follow_end(void *context, int status)
{
    assert_int_equal(status, 0);
    ((struct follower *)context)->ended = true;
}

static bool follow_over(void *context)
{
    return ((struct follower *)context)->ended;
}

static bool follow_is_at_200(void *context)
{
    return ((struct follower *)context)->last == 200;
}

static void logs_are_followed_and_capped(void **state)
{
    (void)state; /* would break: `logs --follow`, across conmon's rotation; disks full of logs */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a",
                 "for i in $(seq 100); do echo $i; done; sleep 0.6; "
                 "for i in $(seq 101 199); do echo $i; done; sleep 0.6; echo 200; sleep 1000",
                 &spec);
    spec.log_bytes_max = 4096; /* some 90 lines */
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    struct follower follower = {.in_order = true};
    struct logs_options options = {.tail = -1, .follow = true};
    struct logs_callbacks callbacks = {
        .context = &follower, .on_line = follow_line, .on_end = follow_end};
    struct runtime_logs *logs;
    assert_int_equal(runtime_logs_open(fixture->runtime, "a", &options, &callbacks, &logs), 0);
    assert_true(fixture_wait(fixture, follow_is_at_200, &follower));
    assert_true(follower.in_order);
    char text[16384];
    fixture_logs(fixture, "a", -1, text, sizeof(text));
    assert_true(strlen(text) < 4096);
    runtime_remove(fixture->runtime, "a");
    assert_true(fixture_wait(fixture, follow_over, &follower));
    runtime_logs_close(logs);
    fixture_free(fixture);
}

static void removed_while_it_starts(void **state)
{
    (void)state; /* would break: commands that come while a step is under way */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
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
        cmocka_unit_test(runs_and_logs),           cmocka_unit_test(is_confined),
        cmocka_unit_test(sandbox_is_carried_out),  cmocka_unit_test(privileged_is_as_root),
        cmocka_unit_test(restarts_with_backoff),   cmocka_unit_test(stops_and_starts),
        cmocka_unit_test(limits_change_live),      cmocka_unit_test(memory_hog_is_told_apart),
        cmocka_unit_test(mounts_of_every_kind),    cmocka_unit_test(secrets_are_on_no_disk),
        cmocka_unit_test(errors_say_why),          cmocka_unit_test(logs_are_followed_and_capped),
        cmocka_unit_test(removed_while_it_starts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
