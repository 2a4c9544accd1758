#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <signal.h>

#include "runtime/plan.h"

static struct image_config image(void)
{
    struct image_config image = {0};
    text_list_add(&image.entrypoint, "/entry");
    text_list_add(&image.command, "default");
    text_list_add(&image.environment, "PATH=/image");
    text_list_add(&image.environment, "A=image");
    text_list_add(&image.health.test, "CMD-SHELL");
    text_list_add(&image.health.test, "check it");
    image.health.interval_ms = 7000;
    image.working_dir = strdup("/work");
    image.stop_signal = strdup("SIGQUIT");
    return image;
}

static struct container_plan make(const struct container_spec *spec)
{
    struct image_config config = image();
    struct container_plan plan;
    assert_int_equal(container_plan_make(spec, &config, &plan, NULL), 0);
    image_config_done(&config);
    return plan;
}

static void image_alone(void **state)
{
    (void)state; /* would break: services that say nothing but their image */
    struct container_spec spec = {0};
    struct container_plan plan = make(&spec);
    assert_int_equal(plan.argv.count, 2);
    assert_string_equal(plan.argv.items[0], "/entry");
    assert_string_equal(plan.argv.items[1], "default");
    assert_string_equal(plan.environment.items[0], "PATH=/image");
    assert_string_equal(plan.working_dir, "/work");
    assert_string_equal(plan.user, "");
    assert_int_equal(plan.stop_signal, SIGQUIT);
    assert_int_equal(plan.health.command.count, 3);
    assert_string_equal(plan.health.command.items[2], "check it");
    assert_int_equal(plan.health.interval_ms, 7000);
    assert_int_equal(plan.health.retries, RUNTIME_HEALTH_RETRIES_DEFAULT);
    container_plan_done(&plan);
}

static void spec_over_image(void **state)
{
    (void)state; /* would break: what a service says of its own */
    struct container_spec spec = {.stop_signal = SIGINT};
    spec.health.disabled = true;
    text_list_add(&spec.command, "mine");
    text_list_add(&spec.environment, "A=mine");
    struct container_plan plan = make(&spec);
    assert_string_equal(plan.argv.items[0], "/entry");
    assert_string_equal(plan.argv.items[1], "mine");
    assert_string_equal(plan.environment.items[1], "A=mine");
    assert_int_equal(plan.environment.count, 2);
    assert_int_equal(plan.stop_signal, SIGINT);
    assert_int_equal(plan.health.command.count, 0);
    container_plan_done(&plan);
    text_list_done(&spec.command);
    text_list_add(&spec.entrypoint, "/own"); /* makes the image's command void */
    plan = make(&spec);
    assert_int_equal(plan.argv.count, 1);
    container_plan_done(&plan);
    container_spec_done(&spec);
}

static void nothing_to_run(void **state)
{
    (void)state; /* would break: the message for an image without a command */
    struct container_spec spec = {0};
    struct image_config config = {0};
    struct container_plan plan;
    struct error error;
    assert_int_equal(container_plan_make(&spec, &config, &plan, &error), -EINVAL);
    assert_non_null(strstr(error.message, "what to run"));
}

static void parses_signals(void **state)
{
    (void)state; /* would break: stop_signal */
    int signal;
    assert_int_equal(signal_parse("TERM", &signal), 0);
    assert_int_equal(signal, SIGTERM);
    assert_int_equal(signal_parse("sigusr1", &signal), 0);
    assert_int_equal(signal, SIGUSR1);
    assert_int_equal(signal_parse("SIGRTMIN+3", &signal), 0);
    assert_int_equal(signal, SIGRTMIN + 3);
    assert_int_equal(signal_parse("9", &signal), 0);
    assert_int_equal(signal, 9);
    static const char *const bad[] = {"",        "0",  "65",     "-1",       "SIG",
                                      "SIGNOPE", "9x", "RTMIN+", "RTMIN+2x", "RTMIN+99"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(signal_parse(bad[i], &signal), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(image_alone),
        cmocka_unit_test(spec_over_image),
        cmocka_unit_test(nothing_to_run),
        cmocka_unit_test(parses_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
