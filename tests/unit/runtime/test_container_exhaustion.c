#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "container_fixture.h"
#include "runtime/cgroup.h"
#include "runtime/file.h"
#include "runtime/process.h"
#include "runtime/process_watch.h"
#include "runtime/state.h"

/* Whatever runs out or breaks under a runtime: it says what, in words, and goes on when it can. */

/* ---- File descriptors ---- */

static unsigned watches_failing, watches_tried;

int __wrap_process_watch_new(struct runtime *runtime, const struct process *process,
                             void (*on_end)(void *context), void *context,
                             struct process_watch **ret);
int __real_process_watch_new(struct runtime *runtime, const struct process *process,
                             void (*on_end)(void *context), void *context,
                             struct process_watch **ret);

int __wrap_process_watch_new(struct runtime *runtime, const struct process *process,
                             void (*on_end)(void *context), void *context,
                             struct process_watch **ret)
{
    watches_tried++;
    if (watches_failing > 0) {
        watches_failing--;
        return -EMFILE;
    }
    return __real_process_watch_new(runtime, process, on_end, context, ret);
}

static bool is_watched(void *context)
{
    (void)context;
    return watches_failing == 0;
}

static void no_descriptor_to_watch_with(void **state)
{
    (void)state; /* would break: containers killed because the daemon has too many files open */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    watches_failing = 2;
    fixture_start(fixture, "a", "exec sleep 1000");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    pid_t pid = fixture_status(fixture, "a").pid;
    assert_true(fixture_wait(fixture, is_watched, NULL));
    assert_int_equal(fixture_status(fixture, "a").state, CONTAINER_RUNNING);
    assert_int_equal(fixture_status(fixture, "a").pid, pid);
    kill(pid, SIGKILL);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    assert_int_equal(watches_tried, 3);
    fixture_free(fixture);
}

static void no_descriptor_is_no_end(void **state)
{
    (void)state; /* would break: the same, deeper: who can't look doesn't know */
    struct process self;
    struct rlimit before, none;
    assert_int_equal(process_identify(getpid(), &self), 0);
    assert_int_equal(process_check(&self), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int result = process_check(&self);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(result, -EMFILE);
    struct process gone = self;
    gone.start_ticks++;
    assert_int_equal(process_check(&gone), -ESRCH);
}

/* ---- Words ---- */

static bool is_waiting(void *context)
{
    struct fixture *fixture = context;
    return fixture_status(fixture, "a").state == CONTAINER_BACKOFF;
}

static bool is_well(void *context)
{
    return fixture_status(context, "well").health == HEALTH_HEALTHY;
}

static void start_again_and_again(struct fixture *fixture)
{
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    spec.restart.policy = RESTART_ANY;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
}

/* ---- Processes ---- */

static unsigned execs_refused;

int __wrap_runtime_exec(struct runtime *runtime, const char *id, const struct exec_options *options,
                        const struct exec_callbacks *callbacks, struct runtime_exec **ret,
                        struct error *error);
int __real_runtime_exec(struct runtime *runtime, const char *id, const struct exec_options *options,
                        const struct exec_callbacks *callbacks, struct runtime_exec **ret,
                        struct error *error);

/* Counts what could not be run. */
int __wrap_runtime_exec(struct runtime *runtime, const char *id, const struct exec_options *options,
                        const struct exec_callbacks *callbacks, struct runtime_exec **ret,
                        struct error *error)
{
    int result = __real_runtime_exec(runtime, id, options, callbacks, ret, error);
    execs_refused += result < 0;
    return result;
}

/* A control group for this test itself, with room for `more` processes and threads than it has. */
static void leave_room_for(int more)
{
    const char *root = cgroup_is_unified() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
    assert_int_equal(fixture_shell("mkdir -p %s/consort-full && { [ -e %s/consort-full/pids.max ] "
                                   "|| echo +pids > %s/cgroup.subtree_control; } && "
                                   "echo %d > %s/consort-full/cgroup.procs && "
                                   "echo $(($(cat %s/consort-full/pids.current) + %d)) > "
                                   "%s/consort-full/pids.max",
                                   root, root, root, (int)getpid(), root, root, more, root),
                     0);
}

/* With all that is in it: what is tried again and again is started once there is room. */
static void leave_all_room(void)
{
    const char *root = cgroup_is_unified() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
    assert_int_equal(fixture_shell("for try in $(seq 1000); do "
                                   "for pid in $(cat %s/consort-full/cgroup.procs); do "
                                   "echo $pid > %s/cgroup.procs; done 2>/dev/null; "
                                   "rmdir %s/consort-full 2>/dev/null && exit 0; done; exit 1",
                                   root, root, root),
                     0);
}

static void raise_limit(void)
{
    const char *root = cgroup_is_unified() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/pids";
    char path[64];
    snprintf(path, sizeof(path), "%s/consort-full/pids.max", root);
    assert_int_equal(file_write_setting(path, "max"), 0);
}

static unsigned checks_seen;

static bool is_checked_again(void *context)
{
    (void)context;
    return execs_refused >= checks_seen + 5;
}

static void no_process_to_start_with(void **state)
{
    (void)state; /* would break: machines that ran out of processes once, and what ran well there */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, "well", "exec sleep 1000", &spec);
    text_list_add(&spec.health.command, "true");
    spec.health.interval_ms = 20;
    spec.health.retries = 1;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait(fixture, is_well, fixture));
    pid_t pid = fixture_status(fixture, "well").pid;
    leave_room_for(0);
    start_again_and_again(fixture);
    bool waits = fixture_wait(fixture, is_waiting, fixture);
    char said[STATE_ERROR_BYTES];
    snprintf(said, sizeof(said), "%s", fixture_status(fixture, "a").error);
    checks_seen = execs_refused;
    bool is_checked = fixture_wait(fixture, is_checked_again, NULL);
    raise_limit(); /* before anything is asserted: the rest of this test needs a shell */
    leave_all_room();
    assert_true(waits);
    if (!strstr(said, "Resource temporarily unavailable") || !strstr(said, "kernel.pid_max"))
        fail_msg("said: %s", said);
    assert_true(is_checked);
    assert_int_equal(fixture_status(fixture, "well").pid, pid);
    assert_int_equal(fixture_status(fixture, "well").restarts, 0);
    assert_int_equal(fixture_status(fixture, "well").health, HEALTH_HEALTHY);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    fixture_free(fixture);
}

static void container_is_full(void **state)
{
    (void)state; /* would break: the machine, by a container that forks without end */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, "a",
                 "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; echo made; wait",
                 &spec);
    spec.pids_max = 8;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    const char *said = fixture_status(fixture, "a").error;
    if (!strstr(said, "can't fork") && !strstr(said, "Resource temporarily unavailable"))
        fail_msg("said: %s", said);
    fixture_free(fixture);
}

/* ---- The wall clock ---- */

static int64_t wall_offset_s, wall_leap_s; /* the second at each look */

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret);
int __real_clock_gettime(clockid_t clock, struct timespec *ret);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ret)
{
    int result = __real_clock_gettime(clock, ret);
    if (clock == CLOCK_REALTIME) {
        wall_offset_s += wall_leap_s;
        ret->tv_sec += wall_offset_s;
    }
    return result;
}

enum {
    DAY_S = 24 * 3600,
};

static void clock_jumps(void **state)
{
    (void)
        state; /* would break: containers of a machine whose clock is set right, as after a boot */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, "well",
                 "echo before; while [ ! -e /tmp/go ]; do sleep 0.05; done; "
                 "echo after; exec sleep 1000",
                 &spec);
    text_list_add(&spec.health.command, "true");
    spec.health.interval_ms = 3600 * 1000;
    spec.restart.policy = RESTART_ANY;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    fixture_spec(fixture, "a", "exit 3", &spec);
    spec.restart = (struct container_restart){.policy = RESTART_ANY, .delay_ms = 3600 * 1000};
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait(fixture, is_well, fixture));
    assert_true(fixture_wait(fixture, is_waiting, fixture));
    pid_t pid = fixture_status(fixture, "well").pid;
    static const int64_t jumps[] = {3650 * (int64_t)DAY_S, -3650 * (int64_t)DAY_S, 0};
    for (size_t i = 0; i < 3; i++) {
        wall_offset_s = jumps[i];
        fixture_start(fixture, "other", "exec sleep 1000"); /* a while, and new ones start */
        assert_true(fixture_wait_state(fixture, "other", CONTAINER_RUNNING));
        assert_int_equal(fixture_exec(fixture, "other", "true", NULL, 0), 0);
        assert_int_equal(fixture_status(fixture, "well").pid, pid);
        assert_int_equal(fixture_status(fixture, "well").restarts, 0);
        assert_int_equal(fixture_status(fixture, "well").health, HEALTH_HEALTHY);
        assert_int_equal(fixture_status(fixture, "a").state, CONTAINER_BACKOFF);
        assert_int_equal(runtime_remove(fixture->runtime, "other"), 0);
        assert_true(fixture_wait_gone(fixture, "other"));
    }
    wall_offset_s = jumps[1];
    fixture_close(fixture); /* a daemon that starts then takes it for what it is */
    fixture_open(fixture);
    assert_int_equal(fixture_status(fixture, "well").pid, pid);
    wall_offset_s = 0;
    fixture_free(fixture);
}

static bool has_restarted_often(void *context)
{
    struct fixture *fixture = context;
    return fixture_status(fixture, "a").restarts >= 5 ||
           fixture_status(fixture, "a").state == CONTAINER_FAILED;
}

static void start_with_two_attempts(struct fixture *fixture, const char *script, int64_t window_ms)
{
    struct container_spec spec;
    fixture_spec(fixture, "a", script, &spec);
    spec.restart = (struct container_restart){
        .policy = RESTART_ANY, .delay_ms = 1, .attempts_max = 2, .window_ms = window_ms};
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
}

static void clock_runs_away(void **state)
{
    (void)state; /* would break: giving up on what crashes, and only on that, and saying why */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    wall_leap_s = DAY_S;
    start_with_two_attempts(fixture, "echo because; exit 3", 3600 * 1000);
    assert_true(fixture_wait(fixture, has_restarted_often, fixture));
    assert_int_equal(fixture_status(fixture, "a").state, CONTAINER_FAILED);
    assert_int_equal(fixture_status(fixture, "a").restarts, 2);
    assert_int_equal(runtime_remove(fixture->runtime, "a"), 0);
    assert_true(fixture_wait_gone(fixture, "a"));
    wall_leap_s = -DAY_S;
    start_with_two_attempts(fixture, "echo because; sleep 0.1; exit 3", 50);
    assert_true(fixture_wait(fixture, has_restarted_often, fixture));
    assert_int_not_equal(fixture_status(fixture, "a").state, CONTAINER_FAILED);
    assert_non_null(strstr(fixture_status(fixture, "a").error, "because"));
    wall_leap_s = wall_offset_s = 0;
    fixture_free(fixture);
}

static void clock_is_set_back_while_it_runs(void **state)
{
    (void)state; /* would break: what is said of an end: its last lines seem older than its start */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    wall_offset_s =
        DAY_S; /* conmon stamps the lines by the true clock, as if it had been set back */
    fixture_start(fixture, "a",
                  "while [ ! -e /tmp/go ]; do sleep 0.05; done; echo because; exit 3");
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    wall_offset_s = 0;
    assert_int_equal(fixture_exec(fixture, "a", "touch /tmp/go", NULL, 0), 0);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    assert_non_null(strstr(fixture_status(fixture, "a").error, "because"));
    fixture_free(fixture);
}

/* ---- The disk ---- */

static void fails_with(struct fixture *fixture, const char *words)
{
    assert_true(fixture_wait(fixture, is_waiting, fixture));
    const char *error = fixture_status(fixture, "a").error;
    if (!strstr(error, words))
        print_error("said: %s\n", error);
    assert_non_null(strstr(error, words));
}

static struct fixture *begin_on_small_disk(void)
{
    struct fixture *fixture = fixture_new();
    assert_int_equal(fixture_shell("mkdir %s/data && mount -t tmpfs -o size=512k small %s/data",
                                   fixture->directory, fixture->directory),
                     0);
    fixture_open(fixture);
    return fixture;
}

static void end_on_small_disk(struct fixture *fixture)
{
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(runtime_remove(fixture->runtime, "a"), 0);
    assert_true(fixture_wait_gone(fixture, "a"));
    char path[128];
    snprintf(path, sizeof(path), "%s/data", fixture->directory);
    assert_int_equal(umount2(path, MNT_DETACH), 0);
    fixture_free(fixture);
}

static void disk_is_full(void **state)
{
    (void)state; /* would break: machines whose disk was full once */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin_on_small_disk();
    fixture_shell("cat /dev/zero > %s/data/filler 2>/dev/null; for i in $(seq 2000); do "
                  "mkdir %s/data/f$i 2>/dev/null || break; done",
                  fixture->directory, fixture->directory);
    start_again_and_again(fixture);
    fails_with(fixture, "No space left on device");
    fixture_shell("rm -r %s/data/filler %s/data/f*", fixture->directory, fixture->directory);
    end_on_small_disk(fixture);
}

static void disk_is_read_only(void **state)
{
    (void)state; /* would break: file systems that the kernel remounted after an error */
    NEEDS_CONTAINERS();
    struct fixture *fixture = begin_on_small_disk();
    assert_int_equal(fixture_shell("mount -o remount,ro %s/data", fixture->directory), 0);
    start_again_and_again(fixture);
    fails_with(fixture, "Read-only file system");
    assert_int_equal(fixture_shell("mount -o remount,rw %s/data", fixture->directory), 0);
    end_on_small_disk(fixture);
}

/* ---- The OCI runtime ---- */

/* A runtime that does `line` at `verb`, as long as there is a file "broken". */
static void break_runtime(struct fixture *fixture, const char *line, char *path, size_t capacity)
{
    snprintf(path, capacity, "%s/runtime", fixture->directory);
    char broken[128];
    snprintf(broken, sizeof(broken), "%s/broken", fixture->directory);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nif [ -e %s ]; then %s; fi\nexec crun \"$@\"\n", broken, line);
    fclose(file);
    assert_int_equal(fixture_shell("chmod 755 %s; touch %s", path, broken), 0);
    fixture->oci_runtime = path;
}

static void heals(struct fixture *fixture)
{
    fixture_shell("rm %s/broken", fixture->directory);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(runtime_remove(fixture->runtime, "a"), 0);
    assert_true(fixture_wait_gone(fixture, "a"));
    fixture_free(fixture);
}

static void runtime_dies(void **state)
{
    (void)state; /* would break: an OCI runtime that is broken, or that crashes now and then */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    char path[128];
    break_runtime(fixture, "kill -SEGV $$", path, sizeof(path));
    fixture_open(fixture);
    start_again_and_again(fixture);
    fails_with(fixture, "ended without creating it");
    heals(fixture);
}

/* A runtime that does what `script` says and hangs; the container's error has `words`. */
static void hangs(const char *script, const char *words)
{
    struct fixture *fixture = fixture_new();
    char path[128];
    break_runtime(fixture, script, path, sizeof(path));
    fixture->launch_timeout_ms = 2000;
    fixture_open(fixture);
    start_again_and_again(fixture);
    fails_with(fixture, words);
    heals(fixture);
}

static void runtime_hangs_creating(void **state)
{
    (void)state; /* would break: all containers' starts, behind one that hangs */
    NEEDS_CONTAINERS();
    hangs("exec sleep 1000", "did not end within 2 s");
}

static void runtime_hangs_starting(void **state)
{
    (void)state; /* would break: as before, and a container that was made and never let go */
    NEEDS_CONTAINERS();
    /* crun start is run only where its FIFO is not there to write to */
    hangs("[ $2 = start ] && exec sleep 1000; "
          "[ $2 = create ] && { crun \"$@\"; rc=$?; rm -f ${1#--root=}/a/exec.fifo; exit $rc; }",
          "start did not end within 2 s");
}

/* ---- The machine ---- */

static bool has_a_process(void *context)
{
    struct container_status status = fixture_status(context, "a");
    return status.state == CONTAINER_RUNNING && status.restarts == 1;
}

static void machine_reboots(void **state)
{
    (void)state; /* would break: containers after a reboot, when pids mean strangers */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    start_again_and_again(fixture);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    fixture_close(fixture);
    /* As after a reboot: nothing runs, /run is empty; and the pid is somebody else's: ours. */
    char path[128];
    struct container_record record;
    snprintf(path, sizeof(path), "%s/data/containers/a/state", fixture->directory);
    assert_int_equal(container_record_load(path, &record), 0);
    assert_int_equal(fixture_shell("crun --root=%s/run/oci delete --force a && "
                                   "umount -l %s/run/netns/a %s/data/containers/a/rootfs && "
                                   "rm -r %s/run && nft flush ruleset && ip link delete ctest0",
                                   fixture->directory, fixture->directory, fixture->directory,
                                   fixture->directory),
                     0);
    assert_int_equal(process_identify(getpid(), &record.process), 0);
    record.process.boot_id[0] ^= 1;
    assert_int_equal(container_record_save(path, &record, true), 0);
    fixture_open(fixture);
    assert_true(fixture_wait(fixture, has_a_process, fixture));
    assert_int_not_equal(fixture_status(fixture, "a").pid, getpid());
    assert_int_equal(fixture_exec(fixture, "a", "ip route | grep -q default", NULL, 0), 0);
    fixture_free(fixture);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_descriptor_to_watch_with),
        cmocka_unit_test(no_descriptor_is_no_end),
        cmocka_unit_test(no_process_to_start_with),
        cmocka_unit_test(container_is_full),
        cmocka_unit_test(clock_jumps),
        cmocka_unit_test(clock_runs_away),
        cmocka_unit_test(clock_is_set_back_while_it_runs),
        cmocka_unit_test(disk_is_full),
        cmocka_unit_test(disk_is_read_only),
        cmocka_unit_test(runtime_dies),
        cmocka_unit_test(runtime_hangs_creating),
        cmocka_unit_test(runtime_hangs_starting),
        cmocka_unit_test(machine_reboots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
