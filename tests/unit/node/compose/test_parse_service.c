/* If this fails, a Compose file's service is not what its author wrote. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "node/compose/compose.h"
#include "tests/unit/node/compose/compose_bench.h"

/* Loads a file whose only service has those lines, indented by four; what compose_load() said. */
static int load(const char *lines, struct compose_result *ret, struct error *error)
{
    char path[] = "/tmp/consort-compose-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    fprintf(file, "services:\n  web:\n    image: hello:1\n%s", lines);
    fclose(file);
    int rc = bench_load_path(path, "shop", ret, error);
    unlink(path);
    return rc;
}

static void expect_hosts(const char *lines, const char *first, const char *second)
{
    struct compose_result result;
    struct error error = {0};
    assert_int_equal(load(lines, &result, &error), 0);
    const struct text_list *hosts = &result.services[0].extra_hosts;
    assert_int_equal(hosts->count, 2);
    assert_string_equal(hosts->items[0], first);
    assert_string_equal(hosts->items[1], second);
    compose_result_done(&result);
}

/* All of the forms that the Compose Specification has mean the same. */
static void test_extra_hosts(void **state)
{
    (void)state;
    expect_hosts("    extra_hosts: [\"db=192.0.2.1\", \"six=2001:db8::1\"]\n", "db=192.0.2.1",
                 "six=2001:db8::1");
    expect_hosts("    extra_hosts: [\"db:192.0.2.1\", \"six:2001:db8::1\"]\n", "db=192.0.2.1",
                 "six=2001:db8::1");
    expect_hosts("    extra_hosts:\n      - \"db:192.0.2.1\"\n      - \"six:[2001:db8::1]\"\n",
                 "db=192.0.2.1", "six=2001:db8::1");
    expect_hosts("    extra_hosts:\n      db: [192.0.2.1, \"2001:db8::1\"]\n", "db=192.0.2.1",
                 "db=2001:db8::1");
    expect_hosts("    extra_hosts:\n      db: 192.0.2.1\n      six: \"2001:db8::1\"\n",
                 "db=192.0.2.1", "six=2001:db8::1");
}

/* Breaks if a registry is not asked although the file says so, or asked although it does not. */
static void test_pull_policy(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        size_t pulled, warnings;
    } cases[] = {
        {"    pull_policy: always\n", 1, 0},         {"    pull_policy: missing\n", 0, 0},
        {"    pull_policy: if_not_present\n", 0, 0}, {"    pull_policy: never\n", 0, 1},
        {"    pull_policy: build\n", 0, 1},          {"", 0, 0},
        {"    pull_policy: daily\n", 1, 0},          {"    pull_policy: every_12h\n", 1, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct compose_result result;
        struct error error = {0};
        assert_int_equal(load(cases[i].line, &result, &error), 0);
        assert_int_equal(result.pulled.count, cases[i].pulled);
        assert_int_equal(result.warnings.count, cases[i].warnings);
        if (cases[i].pulled)
            assert_string_equal(result.pulled.items[0], "web");
        compose_result_done(&result);
    }
    struct compose_result result;
    struct error error = {0};
    assert_int_equal(load("    pull_policy: sometimes\n", &result, &error), -EINVAL);
    assert_non_null(strstr(error.message, ":4: services.web.pull_policy"));
    bench_refuse_service("    pull_policy: every_day\n",
                         ":4: services.web.pull_policy: day is no duration; write as in 10s or "
                         "1m30s");
}

static void test_extra_hosts_refused(void **state)
{
    static const char *const bad[] = {"db", "=192.0.2.1", "db=", "db:somewhere", "db=192.0.2.1:80"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char lines[128];
        struct compose_result result;
        struct error error = {0};
        snprintf(lines, sizeof(lines), "    extra_hosts: [\"%s\"]\n", bad[i]);
        assert_int_equal(load(lines, &result, &error), -EINVAL);
        assert_non_null(strstr(error.message, ":4: services.web.extra_hosts: "));
    }
}

/* Breaks if what could never start is deployed, or the message does not say what would be right. */
static void test_refused(void **state)
{
    static const struct {
        const char *lines, *words;
    } cases[] = {
        {"    imag: a\n", ":4: services.web.imag: unknown key; did you mean image?"},
        {"    working_dir: srv\n",
         ":4: services.web.working_dir: the path in the container must be absolute"},
        {"    hostname: a b\n", ":4: services.web.hostname: a host's name has 1 to 63 characters"},
        {"    stop_signal: SIGFOO\n",
         ":4: services.web.stop_signal: SIGFOO is no signal; write as in SIGTERM"},
        {"    cap_add: [NET]\n",
         ":4: services.web.cap_add: NET is no capability; write as in NET_ADMIN"},
        {"    restart: sometimes\n",
         ":4: services.web.restart: sometimes is not one of no, always, "
         "on-failure, unless-stopped"},
        {"    restart: on-failure:x\n",
         ":4: services.web.restart: on-failure:x: on-failure or on-failure:TIMES is expected"},
        {"    environment: ['=x']\n", ":4: services.web.environment: =x has no name before the ="},
        {"    command: \"a 'b\"\n", ":4: services.web.command: a quote is not closed"},
        {"    depends_on: {db: {conditon: x}}\n",
         ":4: services.web.depends_on.db.conditon: unknown key; did you mean condition?"},
        {"    x-consort:\n      on_minority: duplicate\n      exclusive: true\n",
         ":5: services.web.x-consort.on_minority: a service that is exclusive can't be duplicated: "
         "one of them must go"},
        {"    x-consort: {exclusiv: true}\n",
         ":4: services.web.x-consort.exclusiv: unknown key; did you mean exclusive?"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        bench_refuse_service(cases[i].lines, cases[i].words);
    bench_refuse("services:\n  web: {command: a}\n",
                 ":2: services.web: no image; name one: image: NAME");
    bench_refuse("services:\n  web: {build: .}\n",
                 ":2: services.web: no image, and Consort builds none; add image: shop-web, then: "
                 "docker compose build && docker save shop-web | consort image import -");
    bench_warn_service(
        "    mac_address: x\n",
        ":4: services.web.mac_address: ignored: each peer gives its containers their own");
    bench_warn_service(
        "    depends_on: {db: {restart: true}}\n  db: {image: a}\n",
        ":4: services.web.depends_on.db.restart: ignored: a service is not restarted with those it "
        "depends on; it finds the new ones under the same name");
    bench_warn_service(
        "    x-consort:\n      on_minority: duplicate\n"
        "    volumes: [\"data:/d\"]\nvolumes: {data: {}}\n",
        ":5: services.web.x-consort.on_minority: as hold, since its volumes stay with "
        "their peer; if replicas may begin with empty ones: duplicate_empty");
    bench_warn_service("    deploy: {mode: global}\n    x-consort: {on_minority: duplicate}\n",
                       ":5: services.web.x-consort.on_minority: ignored: a global service runs on "
                       "every peer already");
}

/* Breaks if a service that restarts a few times only restarts without end. */
static void test_restart_times(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    restart: on-failure:5\n", &result);
    assert_int_equal(result.services[0].restart.condition, SPEC_RESTART_ON_FAILURE);
    assert_int_equal(result.services[0].restart.max_attempts, 5);
    compose_result_done(&result);
}

/* Breaks if a variable that nobody set refuses a file that Compose takes, or is taken for a name.
 */
static void test_empty(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    restart: ''\n    hostname: '${UNSET:-}'\n    user: ''\n"
                       "    working_dir: ''\n    network_mode: ''\n    platform: ${UNSET:-}\n"
                       "    stop_signal: \"\"\n    container_name: ''\n    runtime: ''\n",
                       &result);
    assert_int_equal(result.services[0].restart.condition, SPEC_RESTART_ANY);
    assert_null(result.services[0].hostname);
    assert_null(result.services[0].user);
    compose_result_done(&result);
    bench_refuse_service("    mem_limit: ''\n",
                         ":4: services.web.mem_limit:  is no size; write as in 512M or 1.5G");
}

/* Breaks if a flag is refused because of how it is written, or means the other one. */
static void test_flags(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    tty: True\n    read_only: on\n    init: Y\n    stdin_open: OFF\n",
                       &result);
    const struct service_spec *spec = &result.services[0];
    assert_true(spec->sandbox.tty && spec->read_only && spec->init);
    assert_false(spec->sandbox.stdin_open);
    compose_result_done(&result);
    bench_refuse_service("    tty: maybe\n",
                         ":4: services.web.tty: maybe is neither true nor false");
}

/* Breaks if an amount means another one than with Compose. */
static void test_amounts(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint32_t ms;
    } durations[] = {{"'0'", 0},    {"1d", 86400000},   {"1w1s", 604801000},  {"1500000ns", 1},
                     {"3000us", 3}, {"5000\u00b5s", 5}, {"1h0m0.5s", 3600500}};
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        struct compose_result result;
        char line[64];
        snprintf(line, sizeof(line), "    stop_grace_period: %s\n", durations[i].text);
        bench_load_service(line, &result);
        assert_int_equal(result.services[0].stop_grace_ms, durations[i].ms);
        compose_result_done(&result);
    }
    struct compose_result result;
    bench_load_service("    mem_limit: 512 MB\n", &result);
    assert_int_equal(result.services[0].resources.memory_limit_bytes, 512 << 20);
    compose_result_done(&result);
    bench_refuse_service("    mem_limit: '512 '\n",
                         ":4: services.web.mem_limit: 512  is no size; write as in 512M or 1.5G");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extra_hosts),
        cmocka_unit_test(test_pull_policy),
        cmocka_unit_test(test_extra_hosts_refused),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_restart_times),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_amounts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
