/* Containers with user namespaces: who they are to the machine, to each other, and to those without
 * one that share a volume. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "container_fixture.h"

static void spec_with_userns(struct fixture *fixture, const char *id, const char *script,
                             struct container_spec *ret)
{
    fixture_spec(fixture, id, script, ret);
    assert_int_equal(text_list_add(&ret->sandbox.options, "userns=auto"), 0);
}

static void add_volume(struct container_spec *spec, const char *name, const char *target)
{
    struct container_mount *mount = container_spec_add_mount(spec);
    mount->type = MOUNT_VOLUME;
    mount->source = strdup(name);
    mount->target = strdup(target);
}

static void start(struct fixture *fixture, struct container_spec *spec)
{
    struct error error = {0};
    if (runtime_start(fixture->runtime, spec, &error) < 0)
        fail_msg("%s", error.message);
    container_spec_done(spec);
}

static void start_with_userns(struct fixture *fixture, const char *id)
{
    struct container_spec spec;
    spec_with_userns(fixture, id, "exec sleep 1000", &spec);
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, id, CONTAINER_RUNNING));
}

/* Each line in the container's shell must succeed. */
static void expect(struct fixture *fixture, const char *id, const char *const *checks)
{
    char text[1024];
    for (; *checks; checks++)
        if (fixture_exec(fixture, id, *checks, text, sizeof(text)) != 0)
            fail_msg("in %s: %s\n  said: %s", id, *checks, text);
}

/* The first of the ids that its first process has. */
static unsigned first_id(struct fixture *fixture, const char *id)
{
    char path[64];
    unsigned first = 0;
    snprintf(path, sizeof(path), "/proc/%d/uid_map", (int)fixture_status(fixture, id).pid);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*u %u", &first), 1); /* NOLINT(cert-err34-c): the kernel's */
    fclose(file);
    return first;
}

static void root_inside_is_nobody_outside(void **state)
{
    (void)state; /* would break: a program that expects to be root, or that it is root elsewhere */
    NEEDS_CONTAINERS();
    static const char *const checks[] = {
        "test \"$(tr -s ' ' < /proc/1/uid_map)\" = \" 0 1879048192 65536\"",
        "test \"$(tr -s ' ' < /proc/1/gid_map)\" = \" 0 1879048192 65536\"",
        /* what the image, the runtime and the kernel made has its owners */
        "test \"$(stat -c %u:%g / /bin/busybox /data /etc/hosts /etc/resolv.conf | tr '\\n' ' ')\" "
        "= '0:0 0:0 1000:1000 0:0 0:0 '",
        "test \"$(stat -c %u:%g:%a /config /secret /scratch /dev/shm | tr '\\n' ' ')\" = "
        "'0:0:444 1000:1000:400 0:0:1777 0:0:1777 '",
        "test \"$(cat /config)\" = told",
        /* and can be changed as usual */
        "touch /new && chown 1000:1000 /new && test $(stat -c %u /new) = 1000",
        "echo more >> /etc/passwd && chown 4242 /bin/busybox && test $(stat -c %u /bin/sh) = 0",
        "touch /scratch/x /dev/shm/x /tmp/x && echo '10.0.0.1 x' >> /etc/hosts",
        "echo x > /dev/null && head -c 4 /dev/urandom > /tmp/r",
        /* the network is its own, with what the service was granted */
        "ip link set lo down && ip link set lo up",
        "test $(cat /proc/sys/net/core/somaxconn) = 777",
        "test $(cat /proc/sys/kernel/shmmax) = 1048576",
        /* as confined as without */
        "! mount -t tmpfs x /tmp 2>/dev/null", "! unshare -U true 2>/dev/null",
        "! mknod /tmp/d c 1 3 2>/dev/null", "! ( : >> /proc/sys/kernel/panic ) 2>/dev/null",
        "! chmod 0600 /dev/null 2>/dev/null", NULL};
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    spec_with_userns(fixture, "a", "echo by name > /dev/stdout; echo 2 > /dev/stderr; sleep 1000",
                     &spec);
    text_list_add(&spec.capability_add, "CAP_NET_ADMIN");
    text_list_add(&spec.sandbox.sysctls, "net.core.somaxconn=777");
    text_list_add(&spec.sandbox.sysctls, "kernel.shmmax=1048576");
    struct container_mount *config = container_spec_add_mount(&spec);
    config->type = MOUNT_FILE;
    config->target = strdup("/config");
    assert_int_equal(buffer_append_text(&config->content, "told"), 0);
    struct container_mount *secret = container_spec_add_mount(&spec);
    secret->type = MOUNT_FILE;
    secret->target = strdup("/secret");
    secret->secret = strdup("s");
    secret->mode = 0400;
    secret->uid = secret->gid = 1000;
    struct container_mount *scratch = container_spec_add_mount(&spec);
    scratch->type = MOUNT_TMPFS;
    scratch->target = strdup("/scratch");
    fixture->secret = "hush";
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    expect(fixture, "a", checks);
    char text[256];
    fixture_logs(fixture, "a", -1, text, sizeof(text));
    assert_string_equal(text, "by name\n2\n");
    struct stat null;
    assert_int_equal(stat("/dev/null", &null), 0);
    assert_int_equal(null.st_uid, 0); /* the machine's, which OCI runtimes like to give away */
    assert_int_equal(fixture_shell("test $(stat -c %%u /proc/%d) = 1879048192 && "
                                   "test $(stat -c %%u %s/data/containers/a/upper/new) = 1000",
                                   (int)fixture_status(fixture, "a").pid, fixture->directory),
                     0);
    fixture_free(fixture);
}

static void volumes_are_shared_with_all(void **state)
{
    (void)state; /* would break: a volume that only one of its containers can read */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    static const char *const ids[] = {"a", "b", "plain"};
    for (size_t i = 0; i < 3; i++) {
        if (i < 2)
            spec_with_userns(fixture, ids[i], "exec sleep 1000", &spec);
        else
            fixture_spec(fixture, ids[i], "exec sleep 1000", &spec);
        add_volume(&spec, "kept", "/data"); /* of which the image has an owner */
        start(fixture, &spec);
        assert_true(fixture_wait_state(fixture, ids[i], CONTAINER_RUNNING));
    }
    assert_int_not_equal(first_id(fixture, "a"), first_id(fixture, "b"));
    for (size_t i = 0; i < 3; i++) {
        static const char *const writes[] = {
            "test $(stat -c %u:%g /data) = 1000:1000",
            "touch /data/root-$(hostname) && touch /data/app-$(hostname) && "
            "chown 1000:1000 /data/app-$(hostname)",
            NULL};
        expect(fixture, ids[i], writes);
    }
    for (size_t i = 0; i < 3; i++) {
        static const char *const reads[] = {"test \"$(stat -c %u /data/root-* /data/app-* | tr "
                                            "'\\n' ' ')\" = '0 0 0 1000 1000 1000 '",
                                            NULL};
        expect(fixture, ids[i], reads);
    }
    fixture_free(fixture);
}

static void other_users_too(void **state)
{
    (void)state; /* would break: a service with a user, a terminal; commands run in it as another */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    char text[256];
    spec_with_userns(fixture, "a", "echo $(id -u) > /dev/stdout; exec sleep 1000", &spec);
    spec.user = strdup("app");
    start(fixture, &spec);
    spec_with_userns(fixture, "tty", "tty; echo by name > /dev/tty; exec sleep 1000", &spec);
    spec.sandbox.tty = spec.sandbox.stdin_open = true;
    spec.init = true;
    start(fixture, &spec);
    spec_with_userns(fixture, "high", "true", &spec);
    spec.user = strdup("65536");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "tty", CONTAINER_RUNNING));
    assert_true(fixture_wait_state(fixture, "high", CONTAINER_FAILED));
    assert_non_null(
        strstr(fixture_status(fixture, "high").error, "user or group 65536 is none of the 65536"));
    assert_int_equal(fixture_exec(fixture, "a", "id -u; id -G", text, sizeof(text)), 0);
    assert_string_equal(text, "1000\n1000 2000\n");
    fixture_logs(fixture, "a", -1, text, sizeof(text));
    assert_string_equal(text, "1000\n");
    assert_int_equal(fixture_exec(fixture, "tty", "ls -ln /dev/pts/0", text, sizeof(text)), 0);
    assert_non_null(strstr(text, " 0 "));
    fixture_free(fixture);
}

static void survives_restarts(void **state)
{
    (void)state; /* would break: what it wrote, or its ids, after a crash of it or of the daemon */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    spec_with_userns(fixture, "a", "test -e /mark && exec sleep 1000; touch /mark; exit 1", &spec);
    spec.restart.policy = RESTART_ANY;
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    static const char *const checks[] = {"test $(stat -c %u /mark) = 0", "ip route | grep default",
                                         NULL};
    struct container_status status;
    do { /* the second run is meant */
        uv_run(&fixture->loop, UV_RUN_ONCE);
        status = fixture_status(fixture, "a");
    } while (status.restarts == 0 || status.state != CONTAINER_RUNNING);
    expect(fixture, "a", checks);
    unsigned first = first_id(fixture, "a");
    pid_t pid = fixture_status(fixture, "a").pid;
    fixture_close(fixture);
    fixture_open(fixture);
    assert_int_equal(fixture_status(fixture, "a").pid, pid);
    expect(fixture, "a", checks);
    start_with_userns(fixture, "b");
    assert_int_not_equal(first_id(fixture, "b"), first);
    /* stopped and started again it is as it was */
    assert_int_equal(runtime_stop(fixture->runtime, "a", 1), 0);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_EXITED));
    spec_with_userns(fixture, "a", "", &spec);
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_int_equal(first_id(fixture, "a"), first);
    expect(fixture, "a", checks);
    fixture_free(fixture);
}

static void assert_refused(struct fixture *fixture, const char *id, const char *words)
{
    struct container_spec spec;
    spec_with_userns(fixture, id, "true", &spec);
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, id, CONTAINER_FAILED));
    if (!strstr(fixture_status(fixture, id).error, words))
        fail_msg("said: %s\n  not: %s", fixture_status(fixture, id).error, words);
    assert_int_equal(runtime_remove(fixture->runtime, id), 0);
    assert_true(fixture_wait_gone(fixture, id));
}

static void never_runs_without(void **state)
{
    (void)state; /* would break: a service that shall be nobody is root, for want of something */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_new();
    struct container_spec spec;
    struct error error = {0};
    fixture->userns = (struct userns_pool){.first = 3000000, .range_count = 1};
    fixture_open(fixture);
    start_with_userns(fixture, "a");
    assert_int_equal(first_id(fixture, "a"), 3000000);
    assert_refused(fixture, "b", "all 1 ranges of ids for user namespaces are taken");
    assert_int_equal(runtime_remove(fixture->runtime, "a"), 0);
    assert_true(fixture_wait_gone(fixture, "a"));
    start_with_userns(fixture, "b"); /* the range is free again */
    assert_int_equal(runtime_remove(fixture->runtime, "b"), 0);
    assert_true(fixture_wait_gone(fixture, "b"));

    assert_int_equal(fixture_shell("chmod 0700 %s/run", fixture->directory), 0);
    assert_refused(fixture, "a", "others can't pass through");
    assert_int_equal(fixture_shell("chmod 0711 %s/run", fixture->directory), 0);
    /* a file system that maps no owners */
    assert_int_equal(fixture_shell("mount -t ramfs none %s/data/containers", fixture->directory),
                     0);
    assert_refused(fixture, "a",
                   "overlayfs with mapped owners: Invalid argument; a user namespace "
                   "needs Linux 5.19 and a data directory on a file system with "
                   "idmapped mounts");
    assert_int_equal(
        fixture_shell("umount %s/data/containers && mount -t ramfs none %s/data/volumes",
                      fixture->directory, fixture->directory),
        0);
    spec_with_userns(fixture, "a", "true", &spec);
    add_volume(&spec, "kept", "/kept");
    start(fixture, &spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_FAILED));
    assert_non_null(strstr(fixture_status(fixture, "a").error,
                           "Invalid argument; in a user namespace a volume must be on a file "
                           "system with idmapped mounts"));
    assert_int_equal(runtime_remove(fixture->runtime, "a"), 0);
    assert_true(fixture_wait_gone(fixture, "a"));
    assert_int_equal(fixture_shell("umount %s/data/volumes", fixture->directory), 0);

    spec_with_userns(fixture, "a", "true", &spec);
    spec.sandbox.privileged = true;
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), -EINVAL);
    assert_string_equal(error.message, "container a: no user namespace goes with privileged");
    container_spec_done(&spec);
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(root_inside_is_nobody_outside),
        cmocka_unit_test(volumes_are_shared_with_all),
        cmocka_unit_test(other_users_too),
        cmocka_unit_test(survives_restarts),
        cmocka_unit_test(never_runs_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
