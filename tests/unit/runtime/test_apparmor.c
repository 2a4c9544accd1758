#include <errno.h>
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "runtime/apparmor.h"
#include "runtime/file.h"
#include "runtime/oci_spec.h"
#include "runtime/process.h"

static char loaded[] = "/tmp/consort-apparmor-XXXXXX"; /* stands for the kernel's list */

static int begin(void **state)
{
    static const char list[] = "consort-default-1 (enforce)\nmine (complain)\nmine-too (enforce)\n";
    (void)state;
    int fd = mkstemp(loaded);
    if (fd < 0)
        return -1;
    close(fd);
    return file_write(loaded, 0600, list, strlen(list));
}

static int end(void **state)
{
    (void)state;
    return unlink(loaded);
}

/* What the OCI runtime is told, on such a machine, of a service with that option (NULL: none). */
static char *profile_for(const struct apparmor *apparmor, const char *option, bool is_privileged)
{
    struct container_spec spec;
    struct container_plan plan = {.working_dir = (char *)"/"};
    const struct user user = {.home = "/"};
    struct error error = {0};
    char *config = NULL, *process = NULL;
    container_spec_init(&spec);
    spec.sandbox.privileged = is_privileged;
    if (option)
        assert_int_equal(text_list_add(&spec.sandbox.options, option), 0);
    struct oci_input input = {.spec = &spec,
                              .plan = &plan,
                              .user = &user,
                              .hostname = "h",
                              .rootfs = "/r",
                              .cgroup_path = "/p/c",
                              .files_dir = "/f",
                              .secrets_dir = "/s",
                              .volumes_dir = "/v"};
    assert_int_equal(text_list_add(&plan.argv, "/bin/true"), 0);
    assert_int_equal(apparmor_choose(apparmor, &spec.sandbox, &input.apparmor_profile, &error), 0);
    assert_int_equal(oci_spec_write(&input, &config, &process, &error), 0);
    json_t *document = json_loads(config, 0, NULL), *again = json_loads(process, 0, NULL);
    /* What is run in the container later is confined as its first process is. */
    assert_true(json_equal(json_object_get(document, "process"), again));
    const char *profile = json_string_value(json_object_get(again, "apparmorProfile"));
    char *copy = profile ? strdup(profile) : NULL;
    json_decref(document);
    json_decref(again);
    free(config);
    free(process);
    text_list_done(&plan.argv);
    container_spec_done(&spec);
    return copy;
}

static void expect(const struct apparmor *apparmor, const char *option, bool is_privileged,
                   const char *expected)
{
    cleanup_free char *profile = profile_for(apparmor, option, is_privileged);
    if (expected)
        assert_string_equal(profile ? profile : "(none)", expected);
    else
        assert_null(profile);
}

static void confines_where_it_is(void **state)
{
    (void)state; /* would break: containers run unconfined on machines that have AppArmor */
    const struct apparmor on = {
        .is_on = true, .loaded = loaded, .default_profile = apparmor_profile_name};
    const struct apparmor bare = {.is_on = true, .loaded = loaded};
    const struct apparmor off = {.loaded = loaded};
    expect(&on, NULL, false, "consort-default-1");
    expect(&on, "apparmor=mine", false, "mine");
    expect(&on, "apparmor=mine", true, "mine");
    expect(&on, "apparmor=unconfined", false, NULL);
    expect(&on, NULL, true, NULL);
    expect(&bare, NULL, false, NULL);
    expect(&off, NULL, false, NULL);
    expect(&off, "apparmor=unconfined", false, NULL);
}

static int refused(const struct apparmor *apparmor, const char *option, struct error *error)
{
    struct container_sandbox sandbox = {0};
    const char *profile = NULL;
    assert_int_equal(text_list_add(&sandbox.options, option), 0);
    int result = apparmor_choose(apparmor, &sandbox, &profile, error);
    text_list_done(&sandbox.options);
    assert_null(profile);
    return result;
}

static void refuses_what_is_not_there(void **state)
{
    (void)state; /* would break: a service that names a profile runs without it */
    const struct apparmor on = {.is_on = true, .loaded = loaded};
    const struct apparmor off = {.loaded = "/nowhere"};
    struct error error = {0};
    assert_int_equal(refused(&on, "apparmor=other", &error), -ENOENT);
    assert_string_equal(error.message, "AppArmor's profile other is not loaded on this machine");
    assert_int_equal(refused(&on, "apparmor=min", &error), -ENOENT);
    assert_int_equal(refused(&off, "apparmor=mine", &error), -ENOTSUP);
    assert_string_equal(error.message, "it shall be confined by AppArmor's profile mine, and this "
                                       "machine has no AppArmor");
}

static void is_a_profile(void **state)
{
    (void)state; /* would break: apparmor_parser does not take our profile */
    char path[] = "/tmp/consort-profile-XXXXXX", name[64];
    cleanup_buffer struct buffer output = {0};
    snprintf(name, sizeof(name), "profile %s ", apparmor_profile_name);
    assert_non_null(strstr(apparmor_profile_text, name));
    if (access("/usr/sbin/apparmor_parser", X_OK) < 0)
        skip();
    close(mkstemp(path));
    assert_int_equal(file_write(path, 0600, apparmor_profile_text, strlen(apparmor_profile_text)),
                     0);
    const char *const argv[] = {"/usr/sbin/apparmor_parser", "--skip-kernel-load", "--skip-cache",
                                path, NULL};
    int result = process_run(argv, 60 * 1000, &output);
    unlink(path);
    if (result != 0)
        fail_msg("%.*s", (int)output.size, (const char *)output.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(confines_where_it_is),
        cmocka_unit_test(refuses_what_is_not_there),
        cmocka_unit_test(is_a_profile),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
