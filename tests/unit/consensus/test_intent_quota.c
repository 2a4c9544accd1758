/* Quotas: what a stack's services may have together. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "tests/unit/consensus/intent_fixture.h"

enum { MIB = 1 << 20 };

static int set(struct fixture *f, uint32_t replicas, uint64_t cpu_millis, uint64_t memory_bytes)
{
    struct command command = fixture_command(f, COMMAND_QUOTA);
    command.quota = (struct command_quota){.stack = "shop",
                                           .has_replicas = true,
                                           .has_cpu = true,
                                           .has_memory = true,
                                           .replicas = replicas,
                                           .cpu_millis = cpu_millis,
                                           .memory_bytes = memory_bytes};
    return fixture_apply(f, &command);
}

static void spec_of(struct service_spec *spec, const char *name, uint32_t replicas,
                    uint32_t cpu_millis, uint64_t memory_bytes)
{
    fixture_spec(spec, name);
    spec->replicas = replicas;
    spec->resources.cpu_limit_millis = cpu_millis;
    spec->resources.memory_limit_bytes = memory_bytes;
}

static int update(struct fixture *f, const char *service, const struct service_spec *spec)
{
    struct command command = fixture_command(f, COMMAND_UPDATE);
    snprintf(command.update.service, sizeof(command.update.service), "%s", service);
    command.update.spec = *spec;
    return fixture_apply(f, &command);
}

/* Breaks if a stack gets more replicas than it may have, by whatever way, or is not told why not.
 */
static void test_replicas(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec specs[2];
    fixture_init(&f, 1);
    spec_of(&specs[0], "web", 3, 0, 0);
    spec_of(&specs[1], "db", 1, 0, 0);
    assert_int_equal(set(&f, 4, 0, 0), 0);
    assert_string_equal(fixture_last_event(&f)->kind, "quota");
    assert_int_equal(fixture_deploy(&f, "shop", specs, 2), 0);
    assert_int_equal(intent_usage_of(f.intent, "shop").replicas, 4);
    assert_int_equal(fixture_scale(&f, "shop_web", 4), -EDQUOT);
    assert_string_equal(f.result.error.message, "the stack shop may have 4 replicas by its quota; "
                                                "it has 4, and would have 5");
    assert_int_equal(fixture_service(&f, "shop_web")->replicas, 3);
    specs[1].replicas = 2;
    assert_int_equal(update(&f, "shop_db", &specs[1]), -EDQUOT);
    assert_int_equal(fixture_deploy(&f, "shop", specs, 2), -EDQUOT);
    specs[0].replicas = 2; /* as many in all */
    assert_int_equal(fixture_deploy(&f, "shop", specs, 2), 0);
    specs[0].replicas = 4; /* the other one goes */
    assert_int_equal(fixture_deploy(&f, "shop", specs, 1), 0);
    specs[0].replicas = 9;
    assert_int_equal(fixture_deploy(&f, "other", specs, 1), 0); /* another stack */
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);
    fixture_done(&f);
}

/* Breaks if what replicas may take is not counted each, or a rollback goes around the quota. */
static void test_resources(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    spec_of(&spec, "web", 2, 500, 64 * MIB);
    assert_int_equal(set(&f, 0, 1000, 256 * MIB), 0);
    assert_int_equal(fixture_deploy(&f, "shop", &spec, 1), 0);
    assert_int_equal(intent_usage_of(f.intent, "shop").cpu_millis, 1000);
    assert_int_equal(intent_usage_of(f.intent, "shop").memory_bytes, 128 * MIB);
    assert_int_equal(fixture_scale(&f, "shop_web", 3), -EDQUOT);
    assert_non_null(strstr(f.result.error.message, "may have 1 cpus by its quota; it has 1, and "
                                                   "would have 1.5"));
    spec.resources.memory_limit_bytes = 129 * MIB;
    assert_int_equal(update(&f, "shop_web", &spec), -EDQUOT);
    assert_non_null(strstr(f.result.error.message, "256 MiB of memory by its quota; it has 128, "
                                                   "and would have 258"));
    spec.resources.memory_limit_bytes = 0;
    assert_int_equal(update(&f, "shop_web", &spec), -EDQUOT);
    assert_non_null(strstr(f.result.error.message, "has no limit of memory"));
    spec.resources.memory_reserved_bytes = 32 * MIB;
    assert_int_equal(update(&f, "shop_web", &spec), 0);
    assert_int_equal(intent_usage_of(f.intent, "shop").memory_bytes, 64 * MIB);

    assert_int_equal(set(&f, 0, 0, 100 * MIB), 0);
    struct command command = fixture_command(&f, COMMAND_ROLLBACK);
    command.rollback = (struct command_rollback){"shop_web", 1};
    assert_int_equal(fixture_apply(&f, &command), -EDQUOT);
    spec.resources.memory_reserved_bytes = UINT64_MAX; /* times two is no small number */
    assert_int_equal(update(&f, "shop_web", &spec), -EDQUOT);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a stack that is over its quota already can't be made smaller. */
static void test_lowered(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    spec_of(&spec, "web", 5, 0, 0);
    assert_int_equal(fixture_deploy(&f, "shop", &spec, 1), 0);
    assert_int_equal(set(&f, 2, 0, 64 * MIB), 0);
    assert_int_equal(fixture_scale(&f, "shop_web", 6), -EDQUOT);
    assert_int_equal(fixture_scale(&f, "shop_web", 4), 0);
    assert_int_equal(fixture_remove(&f, "shop", true), 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if a global service counts as one replica. */
static void test_global(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 3);
    fixture_spec(&spec, "agent");
    spec.mode = SPEC_GLOBAL;
    assert_int_equal(set(&f, 2, 0, 0), 0);
    assert_int_equal(fixture_deploy(&f, "shop", &spec, 1), -EDQUOT);
    assert_int_equal(fixture_peer_state(&f, 2, INTENT_LEFT), 0);
    assert_int_equal(fixture_deploy(&f, "shop", &spec, 1), 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if setting one limit drops another, or none that is left stays as an empty quota. */
static void test_set(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 1);
    assert_int_equal(set(&f, 1, 2, 3), 0);
    assert_int_equal(set(&f, 1, 2, 3), 0);
    assert_true(f.result.unchanged);
    struct command command = fixture_command(&f, COMMAND_QUOTA);
    command.quota = (struct command_quota){.stack = "shop", .has_cpu = true, .cpu_millis = 9};
    assert_int_equal(fixture_apply(&f, &command), 0);
    const struct intent_quota *quota = intent_quota_find(f.intent, "shop");
    assert_int_equal(quota->replicas, 1);
    assert_int_equal(quota->cpu_millis, 9);
    assert_int_equal(quota->memory_bytes, 3);
    assert_string_equal(quota->actor, "ann");

    struct intent *read = NULL;
    cleanup_buffer struct buffer bytes = {0};
    assert_int_equal(intent_write(f.intent, &bytes), 0);
    assert_int_equal(intent_read(buffer_view(&bytes), &read), 0);
    fixture_assert_same(f.intent, read);
    assert_int_equal(intent_quota_find(read, "shop")->memory_bytes, 3);
    intent_free(read);

    assert_int_equal(set(&f, 0, 0, 0), 0);
    assert_null(intent_quota_find(f.intent, "shop"));
    strcpy(command.quota.stack, "a b");
    assert_int_equal(fixture_apply(&f, &command), -EINVAL);
    for (int i = 0; i < INTENT_QUOTAS_MAX; i++) {
        snprintf(command.quota.stack, sizeof(command.quota.stack), "s%d", i);
        assert_int_equal(fixture_apply(&f, &command), 0);
    }
    assert_int_equal(set(&f, 1, 0, 0), -ENOSPC);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_replicas), cmocka_unit_test(test_resources),
        cmocka_unit_test(test_lowered),  cmocka_unit_test(test_global),
        cmocka_unit_test(test_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
