#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/oci_spec.h"
#include "runtime/plan.h"
#include "runtime/sandbox_options.h"
#include "runtime/seccomp_filter.h"
#include "runtime/user.h"

static void only_what_is_known(void **state)
{
    (void)state; /* would break: texts that come from a peer and mean nothing, or too much */
    static const char *const bad[] = {"",
                                      "pid",
                                      "pid=",
                                      "pid=1",
                                      "net=host",
                                      "swappiness=101",
                                      "device=",
                                      "device=c",
                                      "device=c 1:3",
                                      "device=x 1:3 r",
                                      "device=c 1 r",
                                      "device=c 1:3 x",
                                      "annotation=",
                                      "annotation==x",
                                      "annotation=k",
                                      "annotation=run.oci.hooks.stdout=/tmp/x",
                                      "annotation=org.systemd.property.Delegate=true",
                                      "apparmor=",
                                      "apparmor=a b",
                                      "userns=",
                                      "userns=host",
                                      "userns=auto:size=1",
                                      "domainname=",
                                      "domainname=a b",
                                      "blkio_weight=9",
                                      "blkio_read_bps=/dev/sda",
                                      "blkio_read_bps=/etc/x=1",
                                      "blkio_read_bps=/dev/../x=1",
                                      "blkio_weight_device=/dev/sda=1001"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(sandbox_option_is_valid(bad[i]));
}

static void are_applied(void **state)
{
    (void)state; /* would break: options that are taken and do nothing */
    static const char *const given[] = {"pid=host", "uts=host", "device=c 10:* rw",
                                        "annotation=a=b=c", "domainname=example.org"};
    struct text_list options = {0};
    struct error error = {0};
    for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++) {
        assert_true(sandbox_option_is_valid(given[i]));
        assert_int_equal(text_list_add(&options, given[i]), 0);
    }
    json_t *document = json_pack("{s:s, s:{s:[{s:s}, {s:s}, {s:s}], s:{s:[]}}}", "hostname", "h",
                                 "linux", "namespaces", "type", "pid", "type", "mount", "type",
                                 "uts", "resources", "devices");
    json_t *expected =
        json_pack("{s:{s:s}, s:s, s:{s:[{s:s}], s:{s:[{s:b, s:s, s:i, s:s}]}}}", "annotations", "a",
                  "b=c", "domainname", "example.org", "linux", "namespaces", "type", "mount",
                  "resources", "devices", "allow", 1, "type", "c", "major", 10, "access", "rw");
    assert_int_equal(sandbox_options_apply(&options, document, &error), 0);
    assert_true(json_equal(document, expected));
    assert_true(sandbox_options_share(&options, "pid"));
    assert_false(sandbox_options_share(&options, "ipc"));
    assert_true(sandbox_options_reach_machine(&options));
    text_list_done(&options);
    assert_int_equal(text_list_add(&options, "blkio_read_bps=/dev/null=1"), 0);
    assert_false(sandbox_options_reach_machine(&options));
    assert_int_equal(sandbox_options_apply(&options, document, &error), -ENODEV);
    assert_string_equal(error.message, "/dev/null is no block device of this machine");
    text_list_done(&options);
    json_decref(document);
    json_decref(expected);
}

static void bars_what_a_userns_lacks(void **state)
{
    (void)
        state; /* would break: root of the container is refused by the kernel later, unexplained */
    struct text_list options = {0};
    assert_int_equal(text_list_add(&options, "apparmor=unconfined"), 0);
    assert_null(sandbox_options_bar_userns(&options, true, true));
    assert_int_equal(text_list_add(&options, "userns=auto"), 0);
    assert_null(sandbox_options_bar_userns(&options, false, false));
    assert_string_equal(sandbox_options_bar_userns(&options, true, false), "privileged");
    assert_string_equal(sandbox_options_bar_userns(&options, false, true), "network_mode: host");
    assert_int_equal(text_list_add(&options, "cgroup=host"), 0);
    assert_string_equal(sandbox_options_bar_userns(&options, false, false), "cgroup: host");
    assert_true(sandbox_option_is_valid("apparmor=unconfined"));
    assert_true(sandbox_option_is_valid("userns=auto"));
    text_list_done(&options);
}

/* What the OCI runtime is told under `key` in a container's annotations. */
static void assert_annotation(const struct container_spec *spec, const char *filters_dir,
                              const char *key, const char *expected)
{
    struct container_plan plan = {.working_dir = (char *)"/"};
    const struct user user = {.home = "/"};
    const struct oci_input input = {.spec = spec,
                                    .plan = &plan,
                                    .user = &user,
                                    .hostname = "h",
                                    .rootfs = "/r",
                                    .cgroup_path = "/p/c",
                                    .files_dir = "/f",
                                    .secrets_dir = "/s",
                                    .volumes_dir = "/v",
                                    .filters_dir = filters_dir};
    char *config = NULL, *process = NULL;
    struct error error = {0};
    assert_int_equal(text_list_add(&plan.argv, "/bin/true"), 0);
    if (oci_spec_write(&input, &config, &process, &error) < 0)
        fail_msg("%s", error.message);
    json_t *document = json_loads(config, 0, NULL);
    const char *value =
        json_string_value(json_object_get(json_object_get(document, "annotations"), key));
    if (expected)
        assert_string_equal(value ? value : "(none)", expected);
    else
        assert_true(!value || strcmp(value, "mine") != 0);
    json_decref(document);
    free(config);
    free(process);
    text_list_done(&plan.argv);
}

static void annotations_stand_beside_the_filter(void **state)
{
    (void)state; /* would break: an operator's annotations, or the filter that is one of them */
    struct container_spec spec;
    container_spec_init(&spec);
    assert_int_equal(text_list_add(&spec.sandbox.options, "annotation=a.b=c"), 0);
    assert_int_equal(
        text_list_add(&spec.sandbox.options, "annotation=" SECCOMP_FILTER_ANNOTATION "=mine"), 0);
    const char *const directories[] = {"/proc/no/such", NULL};
    for (size_t i = 0; i < 2; i++) {
        assert_annotation(&spec, directories[i], "a.b", "c");
        assert_annotation(&spec, directories[i], SECCOMP_FILTER_ANNOTATION, NULL);
    }
    container_spec_done(&spec);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annotations_stand_beside_the_filter),
        cmocka_unit_test(bars_what_a_userns_lacks),
        cmocka_unit_test(only_what_is_known),
        cmocka_unit_test(are_applied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
