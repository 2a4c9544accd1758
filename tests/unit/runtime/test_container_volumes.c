/* Real containers: what they mount, what outlives them, and the commands that are run in them after
 * their start and before their end. */
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

#include "container_fixture.h"

static struct container_mount *add_mount(struct container_spec *spec, enum mount_type type,
                                         const char *source, const char *target)
{
    struct container_mount *mount = container_spec_add_mount(spec);
    assert_non_null(mount);
    mount->type = type;
    mount->source = strdup(source);
    mount->target = strdup(target);
    return mount;
}

static struct container_hook *add_hook(struct container_hooks *hooks, const char *script)
{
    struct container_hook *hook = container_hooks_add(hooks);
    assert_non_null(hook);
    text_list_add(&hook->command, "sh");
    text_list_add(&hook->command, "-c");
    text_list_add(&hook->command, script);
    return hook;
}

/* Starts it, and ends the spec. Who does not say otherwise does not listen to SIGTERM. */
static void start(struct fixture *fixture, struct container_spec *spec)
{
    struct error error = {0};
    if (spec->stop_signal == 0)
        spec->stop_signal = SIGKILL;
    if (runtime_start(fixture->runtime, spec, &error) < 0)
        fail_msg("%s", error.message);
    container_spec_done(spec);
}

static void remove_it(struct fixture *fixture, const char *id)
{
    assert_int_equal(runtime_remove(fixture->runtime, id), 0);
    assert_true(fixture_wait_gone(fixture, id));
}

static bool has_no_volumes(void *context)
{
    const struct fixture *fixture = context;
    return fixture_shell("[ -z \"$(ls -A %s/data/anonymous)\" ]", fixture->directory) == 0;
}

static void anonymous_volume_waits_for_a_successor(void **state)
{
    (void)state; /* would break: a database loses its data at each update, or leaves it for ever */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char said[256];
    fixture->keeps_volumes = true;
    for (int round = 0; round < 2; round++) {
        const char *id = round == 0 ? "a" : "b";
        fixture_spec(fixture, id, "exec sleep 1000", &spec);
        add_mount(&spec, MOUNT_VOLUME, "s_db.1.00", "/data")->is_anonymous = true;
        start(fixture, &spec);
        assert_true(fixture_wait_state(fixture, id, CONTAINER_RUNNING));
        fixture_exec(fixture, id, "cat /data/kept; echo mine > /data/kept", said, sizeof(said));
        assert_int_equal(strcmp(said, "mine\n") == 0, round == 1);
        remove_it(fixture, id);
    }
    assert_false(has_no_volumes(fixture));
    fixture_close(fixture);
    fixture->keeps_volumes = false;
    fixture_open(fixture);
    assert_true(fixture_wait(fixture, has_no_volumes, fixture));
    fixture_free(fixture);
}

static void inner_mounts_come_later(void **state)
{
    (void)state; /* would break: a volume hides what is mounted below it */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    add_mount(&spec, MOUNT_VOLUME, "inner", "/data/inner");
    add_mount(&spec, MOUNT_VOLUME, "outer", "/data");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    char said[64];
    assert_int_equal(fixture_exec(fixture, "a", "touch /data/inner/file", said, sizeof(said)), 0);
    assert_int_equal(fixture_shell("[ -e %s/data/volumes/inner/file ]", fixture->directory), 0);
    fixture_free(fixture);
}

static void part_of_a_volume(void **state)
{
    (void)state; /* would break: a link in a volume shows a container the machine's own files */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char said[256];
    assert_int_equal(fixture_shell("v=%s/data/volumes/v; mkdir -p $v/part/deep && "
                                   "echo yes > $v/part/deep/file && ln -s /etc $v/away && "
                                   "ln -s ../../../../../etc $v/up && ln -s part $v/alias",
                                   fixture->directory),
                     0);
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    add_mount(&spec, MOUNT_VOLUME, "v", "/deep")->subpath = strdup("alias/deep");
    add_mount(&spec, MOUNT_VOLUME, "v", "/file")->subpath = strdup("part/deep/file");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(fixture_exec(fixture, "a", "cat /deep/file /file", said, sizeof(said)), 0);
    assert_string_equal(said, "yes\nyes\n");
    static const char *const bad[] = {"away", "up", "none", "part/../../../../../../etc"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char id[8];
        snprintf(id, sizeof(id), "bad-%zu", i);
        fixture_spec(fixture, id, "exec sleep 1000", &spec);
        add_mount(&spec, MOUNT_VOLUME, "v", "/part")->subpath = strdup(bad[i]);
        start(fixture, &spec);
        assert_true(fixture_wait_state(fixture, id, CONTAINER_FAILED));
        assert_non_null(strstr(fixture_status(fixture, id).error, bad[i]));
    }
    fixture_free(fixture);
}

/* Where a container's own mounts are, until it is removed. */
static bool has_no_mounts(void *context)
{
    const struct fixture *fixture = context;
    return fixture_shell("! grep -q '%s/run/containers/.*/mounts' /proc/self/mounts",
                         fixture->directory) == 0;
}

static void shows_an_image(void **state)
{
    (void)state; /* would break: what an image brings is written to, lost, or not the image's own */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    for (int round = 0; round < 2; round++) {
        struct container_spec spec;
        char said[256];
        fixture_spec(fixture, "a", "exec sleep 1000", &spec);
        if (round == 1)
            text_list_add(&spec.sandbox.options, "userns=auto");
        add_mount(&spec, MOUNT_IMAGE, fixture->image, "/all");
        add_mount(&spec, MOUNT_IMAGE, fixture->image, "/part")->subpath = strdup("etc");
        add_mount(&spec, MOUNT_IMAGE, fixture->image, "/file")->subpath = strdup("etc/group");
        start(fixture, &spec);
        if (!fixture_wait_state(fixture, "a", CONTAINER_RUNNING))
            fail_msg("%s", fixture_status(fixture, "a").error);
        fixture_exec(fixture, "a",
                     "stat -c %u /all/bin/busybox /all/data /part/passwd; tail -n 1 /file; "
                     "/all/bin/busybox echo runs; for f in /all/x /part/x /file /all/etc/group; do "
                     "touch $f 2>/dev/null && echo $f; done; echo end",
                     said, sizeof(said));
        assert_string_equal(said, "0\n1000\n0\nextra:x:2000:app\nruns\nend\n");
        remove_it(fixture, "a");
        assert_true(fixture_wait(fixture, has_no_mounts, fixture));
    }
    fixture_free(fixture);
}

static void no_way_out_of_an_image(void **state)
{
    (void)state; /* would break: an image that someone made shows the machine's own files */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    static const char *const bad[] = {"none", "../../../../../../../../proc/self/status"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct container_spec spec;
        char id[8];
        snprintf(id, sizeof(id), "bad-%zu", i);
        fixture_spec(fixture, id, "exec sleep 1000", &spec);
        add_mount(&spec, MOUNT_IMAGE, fixture->image, "/part")->subpath = strdup(bad[i]);
        start(fixture, &spec);
        assert_true(fixture_wait_state(fixture, id, CONTAINER_FAILED));
        assert_non_null(strstr(fixture_status(fixture, id).error, bad[i]));
    }
    fixture_free(fixture);
}

static void mounts_a_file_system(void **state)
{
    (void)state; /* would break: volumes with a type, a device and options are not what they say */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char said[256];
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    struct container_mount *mount = add_mount(&spec, MOUNT_DEVICE, "none", "/fs");
    mount->fs_type = strdup("tmpfs");
    mount->fs_options = strdup("size=1m,uid=7,mode=0700");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    fixture_exec(fixture, "a",
                 "stat -c '%u %a' /fs; df -k /fs | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2", said,
                 sizeof(said));
    assert_string_equal(said, "7 700\n1024\n");
    fixture_spec(fixture, "b", "exec sleep 1000", &spec);
    mount = add_mount(&spec, MOUNT_DEVICE, "/dev/none", "/fs");
    mount->fs_type = strdup("ext4");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "b", CONTAINER_FAILED));
    assert_non_null(strstr(fixture_status(fixture, "b").error, "/dev/none"));
    fixture_free(fixture);
}

static void hooks_run_in_order(void **state)
{
    (void)state; /* would break: what prepares a service, or puts it to rest, is not done, or as
                  * somebody else, or twice */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char said[256];
    fixture_spec(fixture, "a",
                 "trap 'echo term >> /v/log; exit 0' TERM; while :; do sleep 0.1; done", &spec);
    add_mount(&spec, MOUNT_VOLUME, "v", "/v");
    spec.stop_signal = SIGTERM;
    spec.stop_grace_ms = 60 * 1000; /* for its hooks, too, on a busy machine */
    struct container_hook *hook = add_hook(&spec.post_start, "echo $A $(id -u) $PWD >> log");
    text_list_add(&hook->environment, "A=one");
    hook->working_dir = strdup("/v");
    hook = add_hook(&spec.post_start, "grep -c 'CapEff:\t0*1ff' /proc/self/status >> /v/log");
    hook->privileged = true;
    add_hook(&spec.pre_stop, "exit 3");
    add_hook(&spec.pre_stop, "echo stop >> /v/log");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    fixture_exec(fixture, "a", "cat /v/log", said, sizeof(said));
    assert_string_equal(said, "one 0 /v\n1\n");
    fixture_close(fixture);
    fixture_open(fixture); /* another daemon runs none of them again */
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(runtime_stop(fixture->runtime, "a", 0), 0);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    assert_int_equal(fixture_shell("[ \"$(tr '\\n' , < %s/data/volumes/v/log)\" = "
                                   "'one 0 /v,1,stop,term,' ]",
                                   fixture->directory),
                     0);
    fixture_free(fixture);
}

static bool is_over(void *context)
{
    const struct container_status status = fixture_status(context, "a");
    return status.state == CONTAINER_FAILED || status.state == CONTAINER_EXITED;
}

static void failing_hook_stops_it(void **state)
{
    (void)state; /* would break: a service counts as running whose preparation failed */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    add_hook(&spec.post_start, "echo no room; exit 3");
    add_hook(&spec.pre_stop, "echo stop > /v/log");
    add_mount(&spec, MOUNT_VOLUME, "v", "/v");
    start(fixture, &spec);
    assert_true(fixture_wait(fixture, is_over, fixture));
    assert_non_null(strstr(fixture_status(fixture, "a").error, "exit code 3: no room"));
    assert_int_equal(fixture_shell("[ ! -e %s/data/volumes/v/log ]", fixture->directory), 0);
    fixture_free(fixture);
}

static void hook_goes_on_with_a_new_daemon(void **state)
{
    (void)state; /* would break: a daemon that dies in between leaves a service half prepared */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char seconds[16], hook[80]; /* a number that no other program here sleeps for */
    snprintf(seconds, sizeof(seconds), "1000%d", (int)getpid());
    snprintf(hook, sizeof(hook), "[ -e /v/go ] || exec sleep %s; echo second >> /v/log", seconds);
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    add_mount(&spec, MOUNT_VOLUME, "v", "/v");
    add_hook(&spec.post_start, "echo first >> /v/log");
    add_hook(&spec.post_start, hook);
    start(fixture, &spec);
    while (fixture_shell("[ -e %s/data/volumes/v/log ]", fixture->directory) != 0)
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_STARTING));
    while (fixture_count_processes("sleep", seconds, false) == 0) /* the second has begun */
        uv_run(&fixture->loop, UV_RUN_ONCE);
    fixture_close(fixture);
    assert_int_equal(fixture_shell("touch %s/data/volumes/v/go", fixture->directory), 0);
    fixture_open(fixture);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(fixture_shell("[ \"$(tr '\\n' , < %s/data/volumes/v/log)\" = first,second, ]",
                                   fixture->directory),
                     0);
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(anonymous_volume_waits_for_a_successor),
        cmocka_unit_test(inner_mounts_come_later),
        cmocka_unit_test(part_of_a_volume),
        cmocka_unit_test(shows_an_image),
        cmocka_unit_test(no_way_out_of_an_image),
        cmocka_unit_test(mounts_a_file_system),
        cmocka_unit_test(hooks_run_in_order),
        cmocka_unit_test(failing_hook_stops_it),
        cmocka_unit_test(hook_goes_on_with_a_new_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
