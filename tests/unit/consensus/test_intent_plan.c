/* If this fails, `consort deploy --check` promises something else than a deploy does. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "consensus/intent_plan.h"
#include "tests/unit/consensus/intent_fixture.h"

static struct command_deploy deploy_of(struct service_spec *specs, size_t count)
{
    return (struct command_deploy){.stack = "hello", .services = specs, .service_count = count};
}

static void assert_plan(const struct fixture *f, struct service_spec *spec,
                        enum intent_plan_change change, uint32_t parts)
{
    struct command_deploy deploy = deploy_of(spec, 1);
    struct intent_plan_service plan;
    assert_int_equal(intent_plan_service(f->intent, &deploy, 0, &plan), 0);
    assert_int_equal(plan.change, change);
    assert_int_equal(plan.parts, parts);
}

/* Plans and then deploys: the plan is what comes to pass. */
static void assert_comes_true(struct fixture *f, struct service_spec *spec,
                              enum intent_plan_change change, uint32_t parts)
{
    const struct intent_service *service = intent_service_find(f->intent, "hello_web");
    uint32_t revision = service ? service->revision : 0;
    assert_plan(f, spec, change, parts);
    assert_int_equal(fixture_deploy(f, "hello", spec, 1), 0);
    service = fixture_service(f, "hello_web");
    assert_int_equal(f->result.unchanged, change == INTENT_PLAN_UNCHANGED);
    assert_int_equal(service->revision > revision,
                     change != INTENT_PLAN_UNCHANGED && change != INTENT_PLAN_SCALE);
    assert_int_equal(service->rollout.state,
                     change == INTENT_PLAN_NEW || change == INTENT_PLAN_UPDATE
                         ? INTENT_ROLLOUT_RUNNING
                         : INTENT_ROLLOUT_DONE);
    fixture_rollout(f, "hello_web", INTENT_ROLLOUT_DONE, service->revision, "");
}

/* Breaks if a change is called another one, or the parts that differ are not named. */
static void test_changes(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    assert_comes_true(&f, &spec, INTENT_PLAN_NEW, 0);
    assert_comes_true(&f, &spec, INTENT_PLAN_UNCHANGED, 0);
    spec.replicas = 4;
    assert_comes_true(&f, &spec, INTENT_PLAN_SCALE, 0);
    spec.resources.memory_limit_bytes = 1 << 20;
    assert_comes_true(&f, &spec, INTENT_PLAN_LIMITS, 1 << INTENT_PLAN_RESOURCES);
    fixture_publish(&spec, 8080);
    assert_int_equal(text_list_add(&spec.environment, "A=b"), 0);
    spec.init = true;
    assert_comes_true(&f, &spec, INTENT_PLAN_UPDATE,
                      1 << INTENT_PLAN_ENVIRONMENT | 1 << INTENT_PLAN_PORTS |
                          1 << INTENT_PLAN_OTHER);
    assert_comes_true(&f, &spec, INTENT_PLAN_UNCHANGED, 0);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if another content of a config, which makes a revision, is called no change. */
static void test_config(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec spec;
    struct intent_blob blob = {.name = "hello_conf", .kind = SPEC_FILE_CONFIG};
    fixture_init(&f, 1);
    fixture_spec(&spec, "web");
    fixture_show_config(&spec, "hello_conf");
    assert_int_equal(buffer_append_text(&blob.content, "one"), 0);
    struct command command = fixture_command(&f, COMMAND_DEPLOY);
    command.deploy = (struct command_deploy){"hello", &spec, 1, &blob, 1};
    assert_int_equal(fixture_apply(&f, &command), 0);
    struct command_deploy deploy = command.deploy;
    struct intent_plan_service plan;
    assert_int_equal(intent_plan_service(f.intent, &deploy, 0, &plan), 0);
    assert_int_equal(plan.change, INTENT_PLAN_UNCHANGED);
    spec.files[0].version = 0; /* as in a command that comes anew */
    assert_int_equal(buffer_append_text(&blob.content, " two"), 0);
    assert_int_equal(intent_plan_service(f.intent, &deploy, 0, &plan), 0);
    assert_int_equal(plan.change, INTENT_PLAN_UPDATE);
    assert_int_equal(plan.parts, 1 << INTENT_PLAN_FILES);
    buffer_done(&blob.content);
    service_spec_done(&spec);
    fixture_done(&f);
}

/* Breaks if what a deploy is refused for is passed, or services that would go are not known. */
static void test_checks(void **state)
{
    (void)state;
    struct fixture f;
    struct service_spec specs[2];
    struct error error = {0};
    fixture_init(&f, 1);
    fixture_spec(&specs[0], "web");
    fixture_spec(&specs[1], "db");
    fixture_publish(&specs[0], 80);
    assert_int_equal(fixture_deploy(&f, "other", specs, 2), 0);
    struct command_deploy deploy = deploy_of(specs, 1);
    assert_int_equal(intent_plan_check_alone(&deploy, &error), 0);
    assert_int_equal(intent_plan_check(f.intent, &deploy, &error), -EADDRINUSE);
    assert_string_equal(error.message, "hello_web: port 80/tcp is published by other_web already");
    fixture_publish(&specs[1], 80);
    deploy.service_count = 2;
    assert_int_equal(intent_plan_check_alone(&deploy, &error), -EADDRINUSE);
    assert_string_equal(error.message, "web and db both publish port 80/tcp");
    assert_string_equal(error.hint,
                        "every peer answers at all of its addresses: publish another port");
    snprintf(deploy.stack, sizeof(deploy.stack), "other");
    deploy.service_count = 1;
    assert_int_equal(intent_plan_check(f.intent, &deploy, &error), 0);
    assert_true(intent_plan_removes(&deploy, fixture_service(&f, "other_db")));
    assert_false(intent_plan_removes(&deploy, fixture_service(&f, "other_web")));
    specs[0].networks = calloc(1, sizeof(*specs[0].networks));
    specs[0].networks[0].name = strdup("lan");
    specs[0].networks[0].addresses[0] = address_from_v4(0xac1c0005, 0);
    specs[0].networks[0].address_count = specs[0].network_count = 1;
    assert_int_equal(intent_plan_check(f.intent, &deploy, &error), -EPROTONOSUPPORT);
    assert_int_equal(fixture_raise(&f), 0);
    assert_int_equal(intent_plan_check(f.intent, &deploy, &error), 0);
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_checks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
