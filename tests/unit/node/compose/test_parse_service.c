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
    int rc = compose_load(path, "shop", ret, error);
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
    expect_hosts("    extra_hosts:\n      db: 192.0.2.1\n      six: \"2001:db8::1\"\n",
                 "db=192.0.2.1", "six=2001:db8::1");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extra_hosts),
        cmocka_unit_test(test_extra_hosts_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
