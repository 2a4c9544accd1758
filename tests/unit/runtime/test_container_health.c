#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "container_fixture.h"

static bool has_health(struct fixture *fixture, enum health_state health)
{
    return fixture_status(fixture, "a").health == health;
}

static bool is_healthy(void *context)
{
    return has_health(context, HEALTH_HEALTHY);
}

static bool was_restarted(void *context)
{
    return fixture_status(context, "a").restarts > 0;
}

static void assert_error_has(struct fixture *fixture, const char *words)
{
    const char *error = fixture_status(fixture, "a").error;
    if (!strstr(error, words))
        fail_msg("the error is \"%s\", without \"%s\"", error, words);
}

static void unhealthy_is_restarted(void **state)
{
    (void)state; /* would break: health checks, and the repair of what fails them */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "touch /tmp/ok; sleep 1000", &spec);
    spec.restart.policy = RESTART_ON_FAILURE;
    text_list_add(&spec.health.command, "sh");
    text_list_add(&spec.health.command, "-c");
    text_list_add(&spec.health.command, "test -e /tmp/ok || { echo not ok; exit 1; }");
    spec.health.interval_ms = 100;
    spec.health.retries = 2;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    assert_true(fixture_wait(fixture, is_healthy, fixture));
    assert_int_equal(fixture_exec(fixture, "a", "rm /tmp/ok", NULL, 0), 0);
    assert_true(fixture_wait(fixture, was_restarted, fixture));
    assert_error_has(fixture, "unhealthy: not ok");
    assert_true(fixture_wait(fixture, is_healthy, fixture));
    fixture_free(fixture);
}

/* One whose /ok is asked for at port 8080, and that is healthy. */
static void start_probed(struct fixture *fixture, const char *script)
{
    struct container_spec spec;
    fixture_spec(fixture, "a", script, &spec);
    spec.restart.policy = RESTART_ON_FAILURE;
    spec.health.probe_port = 8080;
    spec.health.probe_path = strdup("/ok");
    spec.health.interval_ms = 100;
    spec.health.retries = 2;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait(fixture, is_healthy, fixture));
}

static void port_is_checked(void **state)
{
    (void)state; /* would break: a check by HTTP of a container without a client of its own */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    start_probed(fixture, "mkdir /www; echo fine >/www/ok; httpd -p 8080 -h /www; sleep 1000");
    assert_int_equal(fixture_exec(fixture, "a", "rm /www/ok", NULL, 0), 0);
    assert_true(fixture_wait(fixture, was_restarted, fixture));
    assert_error_has(fixture, "unhealthy: port 8080: status 404");
    fixture_free(fixture);
}

static void ipv6_alone_is_checked(void **state)
{
    (void)state; /* would break: a program that listens at IPv6 alone is never healthy */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    start_probed(fixture, "ip=$(ip -6 -o addr show dev eth0 scope global | "
                          "sed 's/.*inet6 //; s:/.*::'); mkdir /www; echo fine >/www/ok; "
                          "httpd -p [$ip]:8080 -h /www; sleep 1000");
    assert_int_not_equal(
        fixture_exec(fixture, "a", "wget -q -O - http://127.0.0.1:8080/ok", NULL, 0), 0);
    assert_int_equal(fixture_exec(fixture, "a", "rm /www/ok", NULL, 0), 0);
    assert_true(fixture_wait(fixture, was_restarted, fixture));
    assert_error_has(fixture, "unhealthy: port 8080: status 404");
    fixture_free(fixture);
}

static void slow_starter_is_healthy_soon(void **state)
{
    (void)state; /* would break: looking at what has just started more often than the interval says;
                  * a deploy and a failover would wait for the interval (hours, here) */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "sleep 0.5; touch /tmp/ok; sleep 1000", &spec);
    text_list_add(&spec.health.command, "test");
    text_list_add(&spec.health.command, "-e");
    text_list_add(&spec.health.command, "/tmp/ok");
    spec.health.interval_ms = 10 * 60 * 60 * 1000;
    spec.health.retries = 1; /* the early checks that fail don't count */
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    while (has_health(fixture, HEALTH_STARTING))
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_true(has_health(fixture, HEALTH_HEALTHY));
    fixture_free(fixture);
}

static void check_that_hangs(void **state)
{
    (void)state; /* would break: a check's timeout, leaving its process in the container */
    NEEDS_CONTAINERS();
    struct fixture *fixture = fixture_begin();
    struct container_spec spec;
    fixture_spec(fixture, "a", "sleep 1000", &spec);
    text_list_add(&spec.health.command, "sleep");
    text_list_add(&spec.health.command, "999");
    spec.health.interval_ms = 50;
    spec.health.timeout_ms = 300;
    spec.health.retries = 2;
    assert_int_equal(runtime_start(fixture->runtime, &spec, NULL), 0);
    container_spec_done(&spec);
    assert_true(fixture_wait_state(fixture, "a", CONTAINER_RUNNING));
    char text[256];
    while (!has_health(fixture, HEALTH_UNHEALTHY))
        uv_run(&fixture->loop, UV_RUN_ONCE);
    assert_string_equal(fixture_status(fixture, "a").error, "unhealthy: no answer within 300 ms");
    assert_int_equal(fixture_status(fixture, "a").state, CONTAINER_RUNNING);
    fixture_exec(fixture, "a", "ps | grep -c '[s]leep 999'", text, sizeof(text));
    assert_true(atoi(text) <= 1);
    fixture_free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unhealthy_is_restarted), cmocka_unit_test(port_is_checked),
        cmocka_unit_test(ipv6_alone_is_checked),  cmocka_unit_test(slow_starter_is_healthy_soon),
        cmocka_unit_test(check_that_hangs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
