/* If this fails, a service runs with other limits, devices or settings than its author wrote. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/node/compose/compose_bench.h"

static void expect_list(const struct text_list *list, const char *first, const char *second)
{
    assert_int_equal(list->count, second ? 2 : 1);
    assert_string_equal(list->items[0], first);
    if (second)
        assert_string_equal(list->items[1], second);
}

/* Breaks if a key is read into another field, or in another unit. */
static void test_all(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service(
        "    group_add: [video, 44]\n    dns_search: a.example\n"
        "    dns_opt: [\"ndots:2\", rotate]\n    shm_size: 1m\n    cpuset: 0-2,7\n"
        "    cpu_shares: 512\n    memswap_limit: 2g\n    oom_score_adj: -500\n"
        "    cpu_quota: 25000\n    cpu_period: 50000\n    expose: [\"80\"]\n"
        "    sysctls: {net.core.somaxconn: 1024}\n    privileged: true\n    tty: true\n"
        "    ulimits: {nproc: 65535, nofile: {soft: 20000, hard: 40000}}\n"
        "    devices: [/dev/fuse, {source: /dev/kvm, target: /dev/k, permissions: r}]\n"
        "    security_opt: [\"no-new-privileges:false\", seccomp=unconfined]\n"
        "    logging: {driver: json-file, options: {max-size: 10m, max-file: \"3\"}}\n",
        &result);
    const struct service_spec *web = &result.services[0];
    const struct spec_sandbox *sandbox = &web->sandbox;
    expect_list(&sandbox->groups, "video", "44");
    expect_list(&sandbox->dns_search, "a.example", NULL);
    expect_list(&sandbox->dns_options, "ndots:2", "rotate");
    expect_list(&sandbox->sysctls, "net.core.somaxconn=1024", NULL);
    expect_list(&sandbox->ulimits, "nproc=65535:65535", "nofile=20000:40000");
    expect_list(&sandbox->devices, "/dev/fuse", "/dev/kvm:/dev/k:r");
    assert_string_equal(sandbox->cpuset, "0-2,7");
    assert_int_equal(sandbox->shm_bytes, 1 << 20);
    assert_int_equal(sandbox->swap_bytes, UINT64_C(2) << 30);
    assert_int_equal(sandbox->cpu_shares, 512);
    assert_int_equal(sandbox->oom_score_adj, -500);
    assert_true(sandbox->privileged);
    assert_true(sandbox->tty);
    assert_false(sandbox->stdin_open);
    assert_true(sandbox->seccomp_off);
    assert_true(sandbox->may_gain_privileges);
    assert_int_equal(web->resources.cpu_limit_millis, 500);
    assert_int_equal(web->log_bytes_max, 30 << 20);
    compose_result_done(&result);
    bench_load_service("    memswap_limit: -1\n    security_opt: [no-new-privileges]\n"
                       "    stdin_open: true\n",
                       &result);
    assert_true(result.services[0].sandbox.swap_bytes == UINT64_MAX);
    assert_false(result.services[0].sandbox.may_gain_privileges);
    assert_true(result.services[0].sandbox.stdin_open);
    compose_result_done(&result);
}

/* Breaks if what a container could not be started with is deployed. */
static void test_refused(void **state)
{
    static const struct {
        const char *lines, *words;
    } cases[] = {
        {"    sysctls: [kernel.panic=1]\n",
         ":4: services.web.sysctls: kernel.panic=1 is the machine's, not the container's own; "
         "net.*, fs.mqueue.* and kernel.{msg,sem,shm}* are"},
        {"    ulimits: {nofil: 1}\n",
         ":4: services.web.ulimits.nofil: nofil=1:1 is no limit; write "
         "as in nofile: {soft: 1024, hard: 4096}"},
        {"    ulimits: {nofile: {soft: 2, hard: 1}}\n",
         ":4: services.web.ulimits.nofile: nofile=2:1 is no limit; write as in nofile: {soft: "
         "1024, hard: 4096}"},
        {"    devices: [\"/dev/fuse:/dev/fuse:x\"]\n",
         ":4: services.web.devices: /dev/fuse:/dev/fuse:x is no device; write as in "
         "/dev/fuse:/dev/fuse:rwm"},
        {"    devices: [{target: /dev/x}]\n",
         ":4: services.web.devices: :/dev/x:rwm is no device; write as in /dev/fuse:/dev/fuse:rwm"},
        {"    cpuset: 0-\n", ":4: services.web.cpuset: 0- is no set of CPUs; write as in 0-2,7"},
        {"    dns_search: [\"a b\"]\n",
         ":4: services.web.dns_search: \"a b\" can't stand in resolv.conf"},
        {"    oom_score_adj: 1001\n",
         ":4: services.web.oom_score_adj: a number from -1000 to 1000 is expected"},
        {"    cpu_quota: 1\n    cpu_period: 1\n",
         ":4: services.web.cpu_quota: a period is 1000 to 1000000 µs"},
        {"    security_opt: [\"no-new-privileges:maybe\"]\n",
         ":4: services.web.security_opt: no-new-privileges:maybe: true or false is expected"},
        {"    logging: {options: {max-size: 2000g}}\n",
         ":4: services.web.logging: logs of more than 1 TiB"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
}

/* Breaks if what is not carried out is passed over in silence. */
static void test_warnings(void **state)
{
    (void)state;
    bench_warn_service("    security_opt: [\"label:disable\"]\n",
                       ":4: services.web.security_opt: label:disable is not supported by Consort: "
                       "ignored");
    bench_warn_service("    devices: [nvidia.com/gpu=all]\n",
                       ":4: services.web.devices: nvidia.com/gpu=all is ignored: CDI names mean "
                       "nothing to Consort; name the device files, as in /dev/nvidia0");
    bench_warn_service("    logging: {driver: syslog, options: {syslog-address: x}}\n",
                       ":4: services.web.logging.driver: not supported by Consort: its peers keep "
                       "the logs, see consort logs");
}

/* Breaks if the numbers by which people write "no limit", or half a CPU, are refused. */
static void test_numbers(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    pids_limit: -1\n    cpu_quota: 0\n    cpu_period: 0\n"
                       "    deploy: {resources: {limits: {pids: -1}, reservations: {cpus: .25}}}\n",
                       &result);
    assert_int_equal(result.services[0].resources.pids_limit, 0);
    assert_int_equal(result.services[0].resources.cpu_limit_millis, 0);
    assert_int_equal(result.services[0].resources.cpu_reserved_millis, 250);
    compose_result_done(&result);
    bench_refuse_service("    cpus: .\n", ":4: services.web.cpus: . is no number of CPUs; write as "
                                          "in 0.5 or 2");
    bench_refuse_service("    pids_limit: -2\n", ":4: services.web.pids_limit: -2 is no whole "
                                                 "number up to 4294967295");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_warnings),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
