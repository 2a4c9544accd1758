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
#include <unistd.h>

#include <cmocka.h>

#include "container_fixture.h"
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

/* ---- The disk ---- */

static bool is_waiting(void *context)
{
    struct fixture *fixture = context;
    return fixture_status(fixture, "a").state == CONTAINER_BACKOFF;
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
    hangs("[ $2 = start ] && exec sleep 1000", "start did not end within 2 s");
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
        cmocka_unit_test(disk_is_full),
        cmocka_unit_test(disk_is_read_only),
        cmocka_unit_test(runtime_dies),
        cmocka_unit_test(runtime_hangs_creating),
        cmocka_unit_test(runtime_hangs_starting),
        cmocka_unit_test(machine_reboots),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
