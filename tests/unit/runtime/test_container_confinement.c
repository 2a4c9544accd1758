/* What a container may and sees by default, from inside: no more than under Podman, whose answers
 * to the same questions these are (tools/confinement asks both, and prints where they differ). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "container_fixture.h"

static void answers(struct fixture *fixture, const char *question, const char *expected)
{
    char said[1024] = "";
    fixture_exec(fixture, "a", question, said, sizeof(said));
    size_t length = strlen(said);
    while (length > 0 && said[length - 1] == '\n')
        said[--length] = '\0';
    if (strcmp(said, expected) != 0)
        fail_msg("%s\n  said: %s\n  not:  %s", question, said, expected);
}

static void confined_as_by_podman(void **state)
{
    (void)state; /* would break: what keeps a container that was broken into from its machine */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    struct error error = {0};
    fixture_spec(fixture, "a", "exec sleep 1000", &spec);
    struct container_mount *volume = container_spec_add_mount(&spec);
    volume->type = MOUNT_VOLUME;
    volume->source = strdup("kept");
    volume->target = strdup("/kept");
    assert_int_equal(runtime_start(fixture->runtime, &spec, &error), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    answers(fixture,
            "grep -E '^(CapBnd|CapEff|CapInh|NoNewPrivs|Seccomp):' /proc/1/status | tr -d '\\t'",
            "CapInh:0000000000000000\nCapEff:00000000800405fb\nCapBnd:00000000800405fb\n"
            "NoNewPrivs:1\nSeccomp:2");
    answers(fixture,
            "find /dev -type b -o -type c -not -path '/dev/pts/[0-9]*' | sort | tr '\\n' ' '",
            "/dev/full /dev/null /dev/pts/ptmx /dev/random /dev/tty /dev/urandom /dev/zero ");
    answers(fixture,
            "for m in /dev /dev/shm /proc /sys /kept; do awk -v m=$m '$2 == m {print $2, $4}' "
            "/proc/mounts | grep -oE '^[^ ]*|ro,|nosuid|nodev|noexec' | tr '\\n' ' '; done",
            "/dev nosuid noexec /dev/shm nosuid nodev noexec /proc nosuid nodev noexec "
            "/sys ro, nosuid nodev noexec /kept nosuid nodev ");
    answers(fixture,
            "c=/sys/fs/cgroup; [ -d $c/pids ] && c=$c/pids; " /* v1: the top is its own tmpfs */
            "for p in /proc/sysrq-trigger /proc/sys/kernel/core_pattern; do ( : >> $p ) "
            "2>/dev/null && echo $p; done; for d in $c /sys/kernel /proc/sys; do "
            "mkdir $d/x 2>/dev/null && echo $d; done",
            "");
    answers(fixture,
            "cat /proc/keys /proc/timer_list /proc/kcore /proc/sched_debug 2>/dev/null | wc -c; "
            "ls -A /proc/acpi /sys/firmware /sys/dev/block /proc/scsi 2>/dev/null | "
            "grep -v -e : -e '^$'",
            "0");
    answers(
        fixture,
        "for c in 'mount -t tmpfs x /tmp' 'unshare -m true' 'unshare -U true' 'mknod /tmp/b b 7 0'"
        " 'hostname x' dmesg 'swapoff -a' 'nice -n -5 true' 'ip link set lo down'; do "
        "$c >/dev/null 2>&1 && echo \"$c\"; done",
        "");
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(confined_as_by_podman)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
