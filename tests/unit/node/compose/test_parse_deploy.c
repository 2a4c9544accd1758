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

/* Breaks if deploy and healthcheck do not arrive as they were written. */
static void test_all(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service(
        "    deploy:\n      mode: global\n      replicas: 4\n      labels: {a: b}\n"
        "      resources:\n        limits: {cpus: '0.5', memory: 1.5G, pids: 9}\n"
        "        reservations: {cpus: 1, memory: 512k}\n"
        "      restart_policy: {condition: on-failure, delay: 1m30s, max_attempts: 3, window: 2h}\n"
        "      update_config: {parallelism: 2, delay: 1s, monitor: 250ms, failure_action: pause,\n"
        "        max_failure_ratio: 0.25, order: stop-first}\n"
        "      rollback_config: {parallelism: 0, failure_action: continue}\n"
        "      placement: {constraints: [node.labels.zone==a], max_replicas_per_node: 1,\n"
        "        preferences: [{spread: node.labels.zone}]}\n"
        "    healthcheck: {test: [CMD, a, b], interval: 5s, timeout: 2s, start_period: 1s,\n"
        "      start_interval: 100ms, retries: 7}\n",
        &result);
    const struct service_spec *spec = &result.services[0];
    assert_int_equal(spec->mode, SPEC_GLOBAL);
    assert_int_equal(spec->replicas, 4);
    assert_string_equal(spec->labels.items[0], "a=b");
    assert_int_equal(spec->resources.cpu_limit_millis, 500);
    assert_int_equal(spec->resources.memory_limit_bytes, 3ull << 29);
    assert_int_equal(spec->resources.pids_limit, 9);
    assert_int_equal(spec->resources.cpu_reserved_millis, 1000);
    assert_int_equal(spec->resources.memory_reserved_bytes, 512 * 1024);
    assert_int_equal(spec->restart.condition, SPEC_RESTART_ON_FAILURE);
    assert_int_equal(spec->restart.delay_ms, 90000);
    assert_int_equal(spec->restart.max_attempts, 3);
    assert_int_equal(spec->restart.window_ms, 7200000);
    assert_int_equal(spec->update.parallelism, 2);
    assert_int_equal(spec->update.delay_ms, 1000);
    assert_int_equal(spec->update.monitor_ms, 250);
    assert_int_equal(spec->update.failure_action, SPEC_ON_FAILURE_PAUSE);
    assert_int_equal(spec->update.max_failure_permille, 250);
    assert_int_equal(spec->update.order, SPEC_STOP_FIRST);
    assert_int_equal(spec->rollback.parallelism, 0);
    assert_int_equal(spec->rollback.failure_action, SPEC_ON_FAILURE_CONTINUE);
    assert_string_equal(spec->constraints.items[0], "node.labels.zone==a");
    assert_string_equal(spec->spread.items[0], "node.labels.zone");
    assert_int_equal(spec->max_replicas_per_node, 1);
    assert_int_equal(spec->health.test.count, 2);
    assert_int_equal(spec->health.interval_ms, 5000);
    assert_int_equal(spec->health.timeout_ms, 2000);
    assert_int_equal(spec->health.start_period_ms, 1000);
    assert_int_equal(spec->health.start_interval_ms, 100);
    assert_int_equal(spec->health.retries, 7);
    compose_result_done(&result);
}

/* Breaks if a check from outside asks elsewhere. */
static void test_probes(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    healthcheck: {x-http: 8080/healthz?full, interval: 5s}\n", &result);
    assert_int_equal(result.services[0].health.probe_port, 8080);
    assert_string_equal(result.services[0].health.probe_path, "/healthz?full");
    compose_result_done(&result);
    bench_load_service("    healthcheck: {x-http: 80}\n", &result);
    assert_string_equal(result.services[0].health.probe_path, "/");
    compose_result_done(&result);
    bench_load_service("    healthcheck: {x-tcp: 5432}\n", &result);
    assert_int_equal(result.services[0].health.probe_port, 5432);
    assert_null(result.services[0].health.probe_path);
    compose_result_done(&result);
}

/* Breaks if a check is run otherwise than Docker runs it. */
static void test_checks(void **state)
{
    (void)state;
    static const struct {
        const char *lines;
        bool disabled;
        size_t words;
    } cases[] = {
        {"    healthcheck: {test: [CMD-SHELL, 'a b']}\n", false, 3},
        {"    healthcheck: {test: a b}\n", false, 3},
        {"    healthcheck: {test: [NONE]}\n", true, 0},
        {"    healthcheck: {disable: true}\n", true, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct compose_result result;
        bench_load_service(cases[i].lines, &result);
        const struct spec_health *health = &result.services[0].health;
        assert_true(health->is_set);
        assert_int_equal(health->disabled, cases[i].disabled);
        assert_int_equal(health->test.count, cases[i].words);
        if (cases[i].words > 0)
            assert_string_equal(health->test.items[2], "a b");
        compose_result_done(&result);
    }
}

/* Breaks if a health check that Docker runs is refused, or the words that `restart` has. */
static void test_as_docker(void **state)
{
    (void)state;
    bench_warn_service(
        "    healthcheck: {test: [CMD-SHELL, pg_isready, -U, me]}\n",
        ":4: services.web.healthcheck.test: the shell runs \"pg_isready\" alone: what "
        "follows are its $0, $1, …; write all as one line, or CMD for CMD-SHELL");
    static const char *const words[] = {"any", "always", "unless-stopped"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct compose_result result;
        char line[96];
        snprintf(line, sizeof(line), "    deploy: {restart_policy: {condition: %s}}\n", words[i]);
        bench_load_service(line, &result);
        assert_int_equal(result.services[0].restart.condition, SPEC_RESTART_ANY);
        compose_result_done(&result);
    }
}

/* Breaks if a mistake is taken, or its message does not say where it is and what would be right. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *lines, *words;
    } cases[] = {
        {"    deploy: {replica: 3}\n",
         ":4: services.web.deploy.replica: unknown key; did you mean replicas?"},
        {"    deploy: {mode: all}\n", ":4: services.web.deploy.mode: all is not one of replicated, "
                                      "global, replicated-job, global-job"},
        {"    deploy: {replicas: -1}\n",
         ":4: services.web.deploy.replicas: -1 is no whole number up to 4294967295"},
        {"    deploy:\n      resources: {limits: {memory: 5X}}\n",
         ":5: services.web.deploy.resources.limits.memory: 5X is no size; write as in 512M or "
         "1.5G"},
        {"    deploy:\n      resources: {limits: {cpus: many}}\n",
         ":5: services.web.deploy.resources.limits.cpus: many is no number of CPUs; write as in "
         "0.5 or 2"},
        {"    deploy: {restart_policy: {delay: 10}}\n",
         ":4: services.web.deploy.restart_policy.delay: 10 is no duration; write as in 10s or "
         "1m30s"},
        {"    deploy: {restart_policy: {delay: 600h}}\n",
         ":4: services.web.deploy.restart_policy.delay: 600h is no duration up to 24 days"},
        {"    deploy: {update_config: {max_failure_ratio: 2}}\n",
         ":4: services.web.deploy.update_config.max_failure_ratio: a ratio from 0 to 1 is "
         "expected"},
        {"    deploy: {placement: {constraints: [node.name=a]}}\n",
         ":4: services.web.deploy.placement.constraints: node.name=a: KEY==VALUE or KEY!=VALUE is "
         "expected"},
        {"    deploy: {placement: {preferences: [zone]}}\n",
         ":4: services.web.deploy.placement.preferences: spread: node.labels.KEY is expected"},
        {"    deploy: {placement: {preferences: [{spread: a, weight: 3}]}}\n",
         ":4: services.web.deploy.placement.preferences.weight: unknown key"},
        {"    healthcheck: {test: [CMD]}\n",
         ":4: services.web.healthcheck.test: [\"CMD\", …], [\"CMD-SHELL\", line] or [\"NONE\"] is "
         "expected"},
        {"    healthcheck: {x-tcp: 0}\n",
         ":4: services.web.healthcheck.x-tcp: a port from 1 to 65535 is expected"},
        {"    healthcheck: {x-http: \"http://web/\"}\n",
         ":4: services.web.healthcheck.x-http: a port and a path are expected, as 8080/healthz"},
        {"    healthcheck: {x-http: \"80/a b\"}\n",
         ":4: services.web.healthcheck.x-http: a port and a path are expected, as 8080/healthz"},
        {"    healthcheck: {test: a, x-tcp: 80}\n",
         ":4: services.web.healthcheck: only one of test, x-tcp and x-http can be the check"},
        {"    healthcheck: {disable: maybe}\n",
         ":4: services.web.healthcheck.disable: maybe is neither true nor false"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
    bench_warn_service("    deploy: {endpoint_mode: dnsrr}\n",
                       ":4: services.web.deploy.endpoint_mode: ignored: a service has one address, "
                       "at which the mesh takes a healthy replica");
    struct compose_result result;
    bench_load_service("    deploy: {endpoint_mode: vip, resources: {limits: {memory: 512Mi}}}\n",
                       &result);
    assert_int_equal(result.services[0].resources.memory_limit_bytes, 512 << 20);
    compose_result_done(&result);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_docker), cmocka_unit_test(test_all),
        cmocka_unit_test(test_probes),    cmocka_unit_test(test_checks),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
