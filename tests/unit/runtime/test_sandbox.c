#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/sandbox.h"

static void ulimits_are_read(void **state)
{
    (void)state; /* would break: limits that are not those that were written */
    static const char *const bad[] = {"",
                                      "nofile",
                                      "nofile=",
                                      "nofile=a",
                                      "files=1",
                                      "nofile=2:1",
                                      "nofile=1:",
                                      "nofile=:1",
                                      "nofil=1",
                                      "nofile=-2",
                                      "nofile=1:x",
                                      "NOFILE=1",
                                      "nofile=99999999999999999999999"};
    struct sandbox_ulimit limit;
    assert_int_equal(sandbox_parse_ulimit("nofile=1024:4096", &limit), 0);
    assert_string_equal(limit.name, "RLIMIT_NOFILE");
    assert_int_equal(limit.soft, 1024);
    assert_int_equal(limit.hard, 4096);
    assert_int_equal(sandbox_parse_ulimit("memlock=-1", &limit), 0);
    assert_true(limit.soft == UINT64_MAX && limit.hard == UINT64_MAX);
    assert_int_equal(sandbox_parse_ulimit("core=0:unlimited", &limit), 0);
    assert_true(limit.soft == 0 && limit.hard == UINT64_MAX);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sandbox_parse_ulimit(bad[i], &limit), -EINVAL);
    assert_int_equal(sandbox_parse_ulimit("nofile=1:2", &limit), 0);
    assert_false(sandbox_ulimit_fit(&limit)); /* less than anybody has */
    assert_int_equal(sandbox_parse_ulimit("nofile=-1", &limit), 0);
    assert_true(sandbox_ulimit_fit(&limit)); /* more than fs.nr_open ever is */
    assert_true(limit.soft == limit.hard && limit.hard < UINT64_MAX);
}

static void devices_are_read(void **state)
{
    (void)state; /* would break: another device, or one where it should not be */
    static const char *const bad[] = {"",
                                      "fuse",
                                      "/dev/a:b",
                                      "/dev/a:/b:x",
                                      "/",
                                      "/dev/../etc/x",
                                      "/dev/a:/../",
                                      "/dev/a:/b/..",
                                      "/dev/a:/b:rwmr"};
    struct sandbox_device device;
    assert_int_equal(sandbox_parse_device("/dev/fuse", &device), 0);
    assert_string_equal(device.target, "/dev/fuse");
    assert_string_equal(device.access, "rwm");
    assert_int_equal(sandbox_parse_device("/dev/sda:/dev/xvda:r", &device), 0);
    assert_string_equal(device.source, "/dev/sda");
    assert_string_equal(device.target, "/dev/xvda");
    assert_string_equal(device.access, "r");
    assert_int_equal(sandbox_parse_device("/dev/sda:rw", &device), 0);
    assert_string_equal(device.target, "/dev/sda");
    assert_string_equal(device.access, "rw");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(sandbox_parse_device(bad[i], &device), -EINVAL);
}

static void only_own_settings(void **state)
{
    (void)state; /* would break: a container that changes the machine's settings */
    assert_true(sandbox_sysctl_is_safe("net.ipv4.ip_local_port_range=1024 65000"));
    assert_true(sandbox_sysctl_is_safe("kernel.shmmax=1"));
    assert_true(sandbox_sysctl_is_safe("fs.mqueue.msg_max=1"));
    static const char *const bad[] = {"kernel.panic=1",  "vm.overcommit_memory=1",
                                      "net.=1",          "net.ipv4.x",
                                      "net.ipv4.x=",     "net..x=1",
                                      "net.a/b=1",       "net.a=1\n2",
                                      "kernel.shmmaxx=1"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sandbox_sysctl_is_safe(bad[i]));
}

static void words_and_sets(void **state)
{
    (void)state; /* would break: lines of resolv.conf that say more than they should */
    assert_true(sandbox_word_is_valid("ndots:2"));
    assert_false(sandbox_word_is_valid(""));
    assert_false(sandbox_word_is_valid("a b"));
    assert_false(sandbox_word_is_valid("a\nnameserver"));
    assert_true(sandbox_cpuset_is_valid("0"));
    assert_true(sandbox_cpuset_is_valid("0-2,7"));
    assert_false(sandbox_cpuset_is_valid(""));
    assert_false(sandbox_cpuset_is_valid("-1"));
    assert_false(sandbox_cpuset_is_valid("1,"));
    assert_false(sandbox_cpuset_is_valid("a"));
}

/* What the control group lets pass for a sandbox with one device; "" if it was refused. */
static void devices_of(const char *text, bool privileged, size_t *ret_count, size_t *ret_rules)
{
    struct container_sandbox sandbox = {.privileged = privileged};
    struct error error = {0};
    json_t *allowed = json_array(), *devices = NULL;
    if (text)
        assert_int_equal(text_list_add(&sandbox.devices, text), 0);
    *ret_count = 0;
    if (sandbox_devices(&sandbox, allowed, &devices, &error) == 0)
        *ret_count = json_array_size(devices);
    else
        assert_non_null(strstr(error.message, "of this machine"));
    *ret_rules = json_array_size(allowed);
    json_decref(devices);
    json_decref(allowed);
    text_list_done(&sandbox.devices);
}

static void devices_of_the_machine(void **state)
{
    (void)state; /* would break: a container without its device, or with more than its own */
    size_t count, rules;
    devices_of(NULL, false, &count, &rules);
    assert_true(count == 0 && rules == 0);
    devices_of("/dev/null:/dev/sink:rw", false, &count, &rules);
    assert_true(count == 1 && rules == 1);
    devices_of("/dev/nothing-there", false, &count, &rules);
    assert_true(count == 0 && rules == 0);
    devices_of("/etc/passwd", false, &count, &rules);
    assert_true(count == 0 && rules == 0);
    devices_of(NULL, true, &count, &rules);
    assert_int_equal(rules, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ulimits_are_read),       cmocka_unit_test(devices_are_read),
        cmocka_unit_test(only_own_settings),      cmocka_unit_test(words_and_sets),
        cmocka_unit_test(devices_of_the_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
