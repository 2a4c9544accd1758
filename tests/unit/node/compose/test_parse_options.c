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

/* Breaks if what a file says of the kernel does not reach the runtime in its words. */
static void test_options(void **state)
{
    (void)state;
    static const char *const expected[] = {"pid=host",
                                           "ipc=host",
                                           "uts=host",
                                           "cgroup=host",
                                           "domainname=example.org",
                                           "swappiness=10",
                                           "device=c 1:3 mr",
                                           "device=a *:* rwm",
                                           "annotation=a.b=c=d",
                                           "apparmor=mine",
                                           "blkio_weight=300",
                                           "blkio_weight_device=/dev/sda=400",
                                           "blkio_read_bps=/dev/sda=12582912",
                                           "blkio_write_iops=/dev/sda=30"};
    struct compose_result result;
    bench_load_service("    pid: host\n    ipc: host\n    uts: host\n    cgroup: host\n"
                       "    domainname: example.org\n    mem_swappiness: 10\n"
                       "    device_cgroup_rules: ['c 1:3 mr', 'a *:* rwm']\n"
                       "    annotations: {a.b: c=d}\n"
                       "    security_opt: ['apparmor:mine']\n"
                       "    blkio_config:\n      weight: 300\n"
                       "      weight_device: [{path: /dev/sda, weight: 400}]\n"
                       "      device_read_bps: [{path: /dev/sda, rate: 12mb}]\n"
                       "      device_write_iops: [{path: /dev/sda, rate: 30}]\n",
                       &result);
    const struct text_list *options = &result.services[0].sandbox.options;
    assert_int_equal(options->count, sizeof(expected) / sizeof(expected[0]));
    for (size_t i = 0; i < options->count; i++)
        assert_string_equal(options->items[i], expected[i]);
    compose_result_done(&result);
    bench_load_service("    ipc: shareable\n    cgroup: private\n    userns_mode: host\n", &result);
    assert_int_equal(result.services[0].sandbox.options.count, 0);
    compose_result_done(&result);
    bench_load_service("    userns_mode: auto\n", &result);
    assert_int_equal(result.services[0].sandbox.options.count, 1);
    assert_string_equal(result.services[0].sandbox.options.items[0], "userns=auto");
    compose_result_done(&result);
}

/* Breaks if what the runtime would refuse on some machine later is not refused where it is written.
 */
static void test_refused(void **state)
{
    (void)state;
    bench_refuse_service("    mem_swappiness: 101\n",
                         ":4: services.web.mem_swappiness: 101 makes no sense here");
    bench_refuse_service("    device_cgroup_rules: ['c 1 r']\n",
                         ":4: services.web.device_cgroup_rules: c 1 r makes no sense here");
    bench_refuse_service("    blkio_config: {weight: 5}\n",
                         ":4: services.web.blkio_config.weight: 5 makes no sense here");
    bench_refuse_service(
        "    blkio_config: {device_read_bps: [{path: /dev/sda}]}\n",
        ":4: services.web.blkio_config.device_read_bps: path and rate are expected");
    bench_refuse_service("    annotations:\n      a: b\n      run.oci.seccomp_bpf_file: /x\n",
                         ":6: services.web.annotations.run.oci.seccomp_bpf_file: "
                         "run.oci.seccomp_bpf_file is an order to the OCI runtime, not for "
                         "services to give");
    bench_refuse_service("    annotations:\n      - run.oci.hooks.stdout=/x\n",
                         ":5: services.web.annotations: run.oci.hooks.stdout=/x is an order to the "
                         "OCI runtime, not for services to give");
    bench_refuse_service("    security_opt: ['apparmor=']\n",
                         ":4: services.web.security_opt: apparmor: the name of a profile, or "
                         "unconfined, is expected");
    bench_refuse_service("    userns_mode: keep-id\n",
                         ":4: services.web.userns_mode: auto (a user namespace of its own) or host "
                         "(none) is expected");
    bench_refuse_service("    pid: host\n    userns_mode: auto\n",
                         ":5: services.web.userns_mode: auto can't go with pid: host, by which it "
                         "shares what is the machine's");
    bench_refuse_service("    privileged: true\n    userns_mode: auto\n",
                         ":5: services.web.userns_mode: auto can't go with privileged, by which it "
                         "shares what is the machine's");
    bench_warn_service(
        "    pid: 'service:db'\n",
        ":4: services.web.pid: ignored: replicas are placed one by one, maybe on different "
        "machines, so none shares another's; run both programs in one container, or say host for "
        "the machine's");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
