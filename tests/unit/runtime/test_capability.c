#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/capability.h"
#include "runtime/seccomp_profile.h"

static uint64_t resolve(const char *add, const char *drop)
{
    struct text_list added = {0}, dropped = {0};
    uint64_t set = 0;
    if (add)
        text_list_add(&added, add);
    if (drop)
        text_list_add(&dropped, drop);
    assert_int_equal(capability_resolve(&added, &dropped, &set, NULL), 0);
    text_list_done(&added);
    text_list_done(&dropped);
    return set;
}

static void adds_and_drops(void **state)
{
    (void)state; /* would break: containers with more rights than they were given */
    assert_int_equal(__builtin_popcountll(capability_defaults()), 11);
    assert_false(capability_has(capability_defaults(), "CAP_SYS_ADMIN"));
    assert_false(capability_has(capability_defaults(), "CAP_NET_RAW"));
    assert_true(capability_has(resolve("net_admin", NULL), "CAP_NET_ADMIN"));
    assert_false(capability_has(resolve(NULL, "CAP_CHOWN"), "CAP_CHOWN"));
    assert_int_equal(resolve(NULL, "ALL"), 0);
    assert_int_equal(resolve("CHOWN", "ALL"), 1);
    assert_true(capability_has(resolve("ALL", "NET_RAW"), "CAP_SYS_ADMIN"));
    assert_false(capability_has(resolve("ALL", "NET_RAW"), "CAP_NET_RAW"));
}

static void refuses_unknown_names(void **state)
{
    (void)state; /* would break: a typo that silently drops nothing */
    struct text_list drop = {0}, none = {0};
    struct error error;
    uint64_t set = 42;
    text_list_add(&drop, "CAP_CHWON");
    assert_int_equal(capability_resolve(&none, &drop, &set, &error), -EINVAL);
    assert_non_null(strstr(error.message, "CAP_CHWON"));
    assert_int_equal(set, 42);
    text_list_done(&drop);
}

static const char *action_of(json_t *profile, const char *call)
{
    const char *action = NULL;
    const json_t *rules = json_object_get(profile, "syscalls");
    for (size_t i = 0; i < json_array_size(rules); i++) {
        const json_t *rule = json_array_get(rules, i), *names = json_object_get(rule, "names");
        for (size_t j = 0; j < json_array_size(names); j++)
            if (strcmp(json_string_value(json_array_get(names, j)), call) == 0)
                action = json_string_value(json_object_get(rule, "action"));
    }
    return action;
}

static void filters_calls_by_capability(void **state)
{
    (void)state; /* would break: kernel bugs behind calls that no container needs */
    json_t *profile = seccomp_profile(capability_defaults());
    assert_string_equal(action_of(profile, "read"), "SCMP_ACT_ALLOW");
    assert_string_equal(action_of(profile, "clone"), "SCMP_ACT_ALLOW");
    assert_string_equal(action_of(profile, "mount"), "SCMP_ACT_ERRNO");
    assert_string_equal(action_of(profile, "keyctl"), "SCMP_ACT_ERRNO");
    assert_null(action_of(profile, "clone3"));
    assert_null(action_of(profile, "io_uring_setup"));
    json_decref(profile);
    profile = seccomp_profile(resolve("SYS_ADMIN", NULL));
    assert_string_equal(action_of(profile, "mount"), "SCMP_ACT_ALLOW");
    assert_string_equal(action_of(profile, "clone3"), "SCMP_ACT_ALLOW");
    assert_string_equal(action_of(profile, "init_module"), "SCMP_ACT_ERRNO");
    json_decref(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_and_drops),
        cmocka_unit_test(refuses_unknown_names),
        cmocka_unit_test(filters_calls_by_capability),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
