#include "sweep.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

enum {
    SLEEP_BASE_S = 1000 * 1000,
    MEMORY_BYTES = 64 * 1024 * 1024,
    MILLICORES = 500,
};

static const char the_id[] = "a";

/* ---- Words of the operations ---- */

bool in_userns;

static void make_spec(struct fixture *fixture, struct container_spec *ret)
{
    char script[64];
    snprintf(script, sizeof(script), "exec sleep %d", SLEEP_BASE_S + (int)getppid());
    fixture_spec(fixture, the_id, script, ret);
    ret->restart.policy = RESTART_ANY;
    ret->stop_signal = SIGKILL;
    struct container_mount *volume = container_spec_add_mount(ret);
    volume->type = MOUNT_VOLUME;
    volume->source = strdup("kept");
    volume->target = strdup("/kept");
    struct container_mount *anonymous = container_spec_add_mount(ret);
    anonymous->type = MOUNT_VOLUME;
    anonymous->is_anonymous = true;
    anonymous->source = strdup("s_a.1.data");
    anonymous->target = strdup("/data");
    struct container_mount *part = container_spec_add_mount(ret);
    part->type = MOUNT_DEVICE;
    part->source = strdup("none");
    part->fs_type = strdup("tmpfs");
    part->target = strdup("/part");
    struct container_mount *image = container_spec_add_mount(ret);
    image->type = MOUNT_IMAGE;
    image->source = strdup(fixture->image);
    image->target = strdup("/image");
    image->subpath = strdup("etc");
    struct container_mount *file = container_spec_add_mount(ret);
    file->type = MOUNT_FILE;
    file->target = strdup("/secret");
    file->secret = strdup("password");
    file->secret_version = 1;
    if (in_userns)
        text_list_add(&ret->sandbox.options, "userns=auto");
}

static void start(struct fixture *fixture)
{
    struct container_spec spec;
    struct error error = {0};
    make_spec(fixture, &spec);
    CHECK(runtime_start(fixture->runtime, &spec, &error) == 0, "start: %s", error.message);
    container_spec_done(&spec);
    CHECK(fixture_wait_state(fixture, the_id, CONTAINER_RUNNING), "it does not run");
}

/* A job that ends by itself, to be run once, and notes in its volume that it ran. */
static void start_job(struct fixture *fixture)
{
    struct container_spec spec;
    struct error error = {0};
    make_spec(fixture, &spec);
    text_list_done(&spec.command);
    text_list_add(&spec.command, "sh");
    text_list_add(&spec.command, "-c");
    text_list_add(&spec.command, "echo ran >> /kept/runs");
    spec.restart.policy = RESTART_ON_FAILURE;
    CHECK(runtime_start(fixture->runtime, &spec, &error) == 0, "start: %s", error.message);
    container_spec_done(&spec);
}

static void run_job(struct fixture *fixture)
{
    start_job(fixture);
    CHECK(fixture_wait_state(fixture, the_id, CONTAINER_EXITED), "it does not end");
}

/* A peer starts what the runtime does not know, and nothing else. */
static void run_job_if_unknown(struct fixture *fixture)
{
    struct container_status status;
    if (runtime_status(fixture->runtime, the_id, &status) == -ENOENT)
        start_job(fixture);
    CHECK(fixture_wait_state(fixture, the_id, CONTAINER_EXITED), "it does not end");
}

static void check_job(struct fixture *fixture)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/data/volumes/kept/runs", fixture->directory);
    CHECK(fixture_shell("[ $(wc -l < %s) = 1 ]", path) == 0, "it did not run once");
    CHECK(fixture_status(fixture, the_id).exit_code == 0, "its exit code is %d",
          fixture_status(fixture, the_id).exit_code);
    unlink(path);
}

static void stop(struct fixture *fixture)
{
    runtime_stop(fixture->runtime, the_id, 0);
    CHECK(fixture_wait_state(fixture, the_id, CONTAINER_EXITED), "it does not stop");
}

static void act_stop(struct fixture *fixture)
{
    stop(fixture);
    notes->said_stopped = true;
}

static void start_and_stop(struct fixture *fixture)
{
    start(fixture);
    stop(fixture);
}

static void start_stop_and_note(struct fixture *fixture)
{
    start_and_stop(fixture);
    notes->was_stopped = true;
}

static void remove_it(struct fixture *fixture)
{
    if (runtime_remove(fixture->runtime, the_id) == 0)
        CHECK(fixture_wait_gone(fixture, the_id), "it is not removed");
}

static void act_remove(struct fixture *fixture)
{
    remove_it(fixture);
    notes->said_removed = true;
}

static void start_to_stay(struct fixture *fixture)
{
    start(fixture);
    notes->pid = fixture_status(fixture, the_id).pid;
    notes->stays = true;
}

static bool has_no_volumes(void *context)
{
    const struct fixture *fixture = context;
    return fixture_shell("[ -z \"$(ls -A %s/data/anonymous)\" ]", fixture->directory) == 0;
}

static void await_no_volumes(struct fixture *fixture)
{
    CHECK(fixture_wait(fixture, has_no_volumes, fixture), "an anonymous volume stays");
}

/* What it has written to its anonymous volume waits for a successor. */
static void start_remove_and_close(struct fixture *fixture)
{
    fixture->keeps_volumes = true;
    start(fixture);
    CHECK(fixture_shell("touch %s/data/anonymous/s_a.1.data/file", fixture->directory) == 0,
          "there is no anonymous volume");
    remove_it(fixture);
    CHECK(!has_no_volumes(fixture), "it went with its container");
    fixture_close(fixture);
    fixture->keeps_volumes = false;
}

static void open_until_no_volumes(struct fixture *fixture)
{
    fixture_open(fixture);
    await_no_volumes(fixture);
}

static void on_limits(void *context, const struct error *error)
{
    bool *done = context;
    CHECK(!error, "limits: %s", error ? error->message : "");
    *done = true;
}

static bool is_true(void *context)
{
    return *(bool *)context;
}

static void update(struct fixture *fixture)
{
    bool done = false;
    CHECK(runtime_update_limits(fixture->runtime, the_id, MILLICORES, MEMORY_BYTES, on_limits,
                                &done) == 0,
          "limits refused");
    CHECK(fixture_wait(fixture, is_true, &done), "limits: no answer");
}

static void check_limits(struct fixture *fixture)
{
    struct container_stats stats = fixture_stats(fixture, the_id);
    CHECK(stats.memory_limit_bytes == MEMORY_BYTES, "memory limit %ju",
          (uintmax_t)stats.memory_limit_bytes);
    CHECK(stats.cpu_limit_millicores == MILLICORES, "CPU limit %u", stats.cpu_limit_millicores);
}

static bool has_restarted(void *context)
{
    struct fixture *fixture = context;
    struct container_status status = fixture_status(fixture, the_id);
    return status.state == CONTAINER_RUNNING && status.restarts == 1;
}

static void crash(struct fixture *fixture)
{
    kill(fixture_status(fixture, the_id).pid, SIGKILL);
    CHECK(fixture_wait(fixture, has_restarted, fixture), "it is not started again");
}

static void start_and_close(struct fixture *fixture)
{
    start_to_stay(fixture);
    fixture_close(fixture);
}

/* Ends while the daemon is away. */
static void start_close_and_kill(struct fixture *fixture)
{
    start(fixture);
    pid_t pid = fixture_status(fixture, the_id).pid;
    fixture_close(fixture);
    kill(pid, SIGKILL);
    while (kill(pid, 0) == 0) /* or it is, rightly, taken back for a moment */
        usleep(1000);
}

static void open_until_running(struct fixture *fixture)
{
    fixture_open(fixture);
    CHECK(fixture_wait_state(fixture, the_id, CONTAINER_RUNNING), "it is not taken back");
}

/* ---- The operations ---- */

const struct operation operations[] = {
    {.name = "open", .act = fixture_open, .again = start, .runs = true, .closed = true},
    {.name = "create", .act = start, .again = start, .runs = true},
    {.name = "stop", .before = start, .act = act_stop, .again = stop},
    {.name = "start", .before = start_and_stop, .act = start, .again = start, .runs = true},
    {.name = "update",
     .before = start_to_stay,
     .act = update,
     .again = update,
     .runs = true,
     .check = check_limits},
    {.name = "crash", .before = start, .act = crash, .again = start, .runs = true},
    {.name = "job", .act = run_job, .again = run_job_if_unknown, .check = check_job, .known = true},
    {.name = "adopt",
     .before = start_and_close,
     .act = open_until_running,
     .again = start,
     .runs = true,
     .closed = true},
    {.name = "revive",
     .before = start_close_and_kill,
     .act = open_until_running,
     .again = start,
     .runs = true,
     .closed = true},
    {.name = "remove", .before = start, .act = act_remove, .again = remove_it},
    {.name = "clear", .before = start_stop_and_note, .act = act_remove, .again = remove_it},
    {.name = "volumes",
     .before = start_remove_and_close,
     .act = open_until_no_volumes,
     .again = remove_it,
     .closed = true},
    {.name = "import", .act = import_image, .again = import_again, .image = true},
    {.name = "collect",
     .before = import_image,
     .act = remove_image,
     .again = remove_image,
     .image = true},
    {.name = "pull", .act = pull_image, .again = pull_again, .image = true},
    {.name = "pull-worker",
     .before = make_store,
     .act = pull_as_child,
     .again = sweep_child_and_pull_again,
     .image = true},
};

const size_t operation_count = array_count(operations);

/* ---- What must hold afterwards ---- */

static unsigned count_running(void)
{
    char seconds[32];
    snprintf(seconds, sizeof(seconds), "%d", SLEEP_BASE_S + (int)getppid());
    /* not conmon's and crun's, which do not have the container's command in theirs */
    return fixture_count_processes("sleep", seconds, false);
}

/* It is told to be running once the OCI runtime has let it go, which is before it is itself. */
static bool does_run(void *context)
{
    struct fixture *fixture = context;
    uv_run(&fixture->loop, UV_RUN_NOWAIT); /* has it ended meanwhile? */
    return fixture_status(fixture, the_id).state == CONTAINER_RUNNING && count_running() > 0;
}

static void check_running(struct fixture *fixture)
{
    CHECK(fixture_wait(fixture, does_run, fixture), "it does not run, though it is said to");
    struct container_status status = fixture_status(fixture, the_id);
    CHECK(!notes->stays || status.pid == notes->pid, "it was started again: pid %d, not %d",
          (int)status.pid, (int)notes->pid);
    CHECK(fixture_count_processes("conmon", fixture->directory, false) == 1, "%u conmons",
          fixture_count_processes("conmon", fixture->directory, true));
    char text[256];
    CHECK(fixture_exec(fixture, the_id, "ip route | grep -q default && [ $(cat /secret) = hush ]",
                       text, sizeof(text)) == 0,
          "inside it is not whole: %s", text);
    const uint8_t *ip = status.addresses[0].ip + 12;
    CHECK(fixture_shell("busybox ping -c 1 -W 5 %u.%u.%u.%u >/dev/null", ip[0], ip[1], ip[2],
                        ip[3]) == 0,
          "it is not on the network");
    CHECK(count_running() == 1, "%u of it run", count_running());
}

static void remove_one(void *context, const struct container_status *status)
{
    struct fixture *fixture = context;
    runtime_remove(fixture->runtime, status->id);
}

static void count_debris(struct fixture *fixture)
{
    CHECK(fixture_count_debris(fixture) == 0, "something is left");
    CHECK(count_running() == 0, "it still runs");
    CHECK(fixture_shell("cd %s && left=$(find run data -path run/seccomp -prune -o -not -type d "
                        "-print) && [ -z \"$left\" ] || { echo \"$left\" >&2; exit 1; }",
                        fixture->directory) == 0,
          "files are left");
    CHECK(fixture_shell("[ $(find %s/run/seccomp -type f 2>/dev/null | wc -l) -le 1 ]",
                        fixture->directory) == 0,
          "more is left than the filter for the next container");
    CHECK(fixture_shell("nft list ruleset > %s/rules.now && cmp %s/rules %s/rules.now",
                        fixture->directory, fixture->directory, fixture->directory) == 0,
          "the rules are not as they were");
}

/* What was said by the daemon before its end must be true, before anybody asks again. */
static void check_promises(struct fixture *fixture)
{
    struct container_status status;
    if (notes->said_removed)
        CHECK(runtime_status(fixture->runtime, the_id, &status) == -ENOENT, "it came back");
    bool was_stopped = notes->said_stopped;
    if (notes->was_stopped && runtime_status(fixture->runtime, the_id, &status) == 0)
        was_stopped = true;
    if (was_stopped)
        CHECK(count_running() == 0 && fixture_status(fixture, the_id).state == CONTAINER_EXITED,
              "it was stopped, and is started");
}

void restart_and_check(struct fixture *fixture, const struct operation *operation)
{
    if (operation->image) {
        operation->again(fixture);
        remove_image(fixture);
        CHECK(count_image_files(fixture) == 0, "files are left");
        return;
    }
    fixture_open(fixture);
    check_promises(fixture);
    struct container_status status;
    /* A container that is being removed on disk must not be seen to run again. */
    if (operation->runs || operation->known ||
        runtime_status(fixture->runtime, the_id, &status) == 0)
        operation->again(fixture);
    if (operation->runs)
        check_running(fixture);
    else
        CHECK(count_running() == 0, "it runs");
    if (operation->check)
        operation->check(fixture);
    runtime_list(fixture->runtime, remove_one, fixture);
    if (runtime_status(fixture->runtime, the_id, &status) == 0)
        CHECK(fixture_wait_gone(fixture, the_id), "it is not removed");
    await_no_volumes(fixture);
    fixture_close(fixture);
    count_debris(fixture);
}
