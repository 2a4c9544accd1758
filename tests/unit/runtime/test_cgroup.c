#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "runtime/cgroup.h"
#include "runtime/runtime.h"
#include "runtime/tree.h"

static int32_t permille(const char *text)
{
    struct container_pressure pressure = {.permille = -1};
    return cgroup_parse_pressure(text, &pressure) < 0 ? -1 : pressure.permille;
}

static void pressure_is_read(void **state)
{
    (void)state; /* would break: what a container waits for, by the kernel's own words */
    struct container_pressure pressure;
    assert_int_equal(
        cgroup_parse_pressure("some avg10=1.25 avg60=0.00 avg300=0.00 total=4500000123\n"
                              "full avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
                              &pressure),
        0);
    assert_int_equal(pressure.permille, 12);
    assert_int_equal(pressure.waited_usec, 4500000123);
    assert_int_equal(permille("some avg10=100.00 avg60=0.00 total=1"), 1000);
    assert_int_equal(permille("some avg10=0.09 total=0"), 0);
    assert_int_equal(permille(""), -1);
    assert_int_equal(permille("full avg10=1.00 total=1"), -1);
    assert_int_equal(permille("some avg10=999.00 total=1"), -1);
    assert_int_equal(permille("some avg10=1.00\nfull total=1"), -1);
    assert_int_equal(permille("some avg10=1.00 total=x"), -1);
}

static char root[64];

static int make_root(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/consort-cgroup-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    (void)state;
    return tree_remove_path(root);
}

static void put(const char *path, const char *text)
{
    char full[256];
    snprintf(full, sizeof(full), "%s/%s", root, path);
    for (char *slash = strchr(full + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(full, 0700);
        *slash = '/';
    }
    FILE *file = fopen(full, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void a_unified_tree_is_read(void **state)
{
    (void)state; /* would break: usage and pressure on a machine with cgroup v2, as most have */
    struct container_stats stats;
    put("p/c/memory.current", "1000000\n");
    put("p/c/memory.stat", "anon 5\ninactive_file 400000\nactive_file 1\n");
    put("p/c/memory.max", "67108864\n");
    put("p/c/cpu.max", "50000 100000\n");
    put("p/c/cpu.stat", "usage_usec 1234567\nuser_usec 1\n");
    put("p/c/pids.current", "3\n");
    put("p/c/cpu.pressure", "some avg10=12.34 avg60=0.00 avg300=0.00 total=99\n");
    put("p/c/io.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n");
    assert_int_equal(cgroup_read_stats_at(root, true, "p", "c", &stats), 0);
    assert_int_equal(stats.memory_bytes, 600000);
    assert_int_equal(stats.memory_limit_bytes, 64 << 20);
    assert_int_equal(stats.cpu_limit_millicores, 500);
    assert_int_equal(stats.cpu_usec, 1234567);
    assert_int_equal(stats.pids, 3);
    assert_int_equal(stats.cpu_pressure.permille, 123);
    assert_int_equal(stats.cpu_pressure.waited_usec, 99);
    assert_int_equal(stats.io_pressure.permille, 0);
    assert_int_equal(stats.memory_pressure.permille, -1); /* a kernel without it */
    assert_int_equal(cgroup_read_stats_at(root, true, "p", "other", &stats), -ENOENT);
    put("p/c/memory.max", "max\n");
    put("p/c/cpu.max", "max 100000\n");
    assert_int_equal(cgroup_read_stats_at(root, true, "p", "c", &stats), 0);
    assert_int_equal(stats.memory_limit_bytes, 0);
    assert_int_equal(stats.cpu_limit_millicores, 0);
}

static void hierarchies_of_v1_are_read(void **state)
{
    (void)state; /* would break: the same on v1, where only a hybrid machine tells the pressure */
    struct container_stats stats;
    put("memory/p/c/memory.usage_in_bytes", "5000\n");
    put("memory/p/c/memory.stat", "inactive_file 1\ntotal_inactive_file 1000\n");
    put("memory/p/c/memory.limit_in_bytes", "9223372036854771712\n");
    put("cpu/p/c/cpu.cfs_quota_us", "-1\n");
    put("cpuacct/p/c/cpuacct.usage", "7000\n");
    put("pids/p/c/pids.current", "2\n");
    assert_int_equal(cgroup_read_stats_at(root, false, "p", "c", &stats), 0);
    assert_int_equal(stats.memory_bytes, 4000);
    assert_int_equal(stats.memory_limit_bytes, 0);
    assert_int_equal(stats.cpu_limit_millicores, 0);
    assert_int_equal(stats.cpu_usec, 7);
    assert_int_equal(stats.pids, 2);
    assert_int_equal(stats.cpu_pressure.permille, -1);
    put("unified/p/c/cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=5\n");
    assert_int_equal(cgroup_read_stats_at(root, false, "p", "c", &stats), 0);
    assert_int_equal(stats.cpu_pressure.permille, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pressure_is_read),
        cmocka_unit_test_setup_teardown(a_unified_tree_is_read, make_root, remove_root),
        cmocka_unit_test_setup_teardown(hierarchies_of_v1_are_read, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
