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

/* Breaks if another command is run after a start or before an end, or as somebody else. */
static void test_hooks(void **state)
{
    (void)state;
    struct compose_result result;
    bench_load_service("    post_start:\n"
                       "      - command: ./migrate.sh --all 'two words'\n"
                       "        user: root\n"
                       "        privileged: true\n"
                       "        working_dir: /srv\n"
                       "        environment: [A=1]\n"
                       "      - command: [chown, '-R', '1:1', /data]\n"
                       "    pre_stop: [{command: flush, environment: {B: 2}}]\n",
                       &result);
    const struct service_spec *spec = &result.services[0];
    assert_int_equal(spec->post_start_count, 2);
    const struct spec_hook *hook = &spec->post_start[0];
    assert_int_equal(hook->command.count, 3);
    assert_string_equal(hook->command.items[2], "two words");
    assert_string_equal(hook->user, "root");
    assert_string_equal(hook->working_dir, "/srv");
    assert_string_equal(hook->environment.items[0], "A=1");
    assert_true(hook->privileged);
    assert_string_equal(spec->post_start[1].command.items[0], "chown");
    assert_false(spec->post_start[1].privileged);
    assert_int_equal(spec->pre_stop_count, 1);
    assert_string_equal(spec->pre_stop[0].environment.items[0], "B=2");
    compose_result_done(&result);
}

/* Breaks if a mistake is taken, or its message does not say what would be right. */
static void test_refused(void **state)
{
    (void)state;
    bench_refuse_service("    post_start: ./run\n",
                         ":4: services.web.post_start: a list is expected");
    bench_refuse_service("    pre_stop: [{user: root}]\n",
                         ":4: services.web.pre_stop: a command is needed");
    bench_refuse_service("    pre_stop: [{commands: a}]\n",
                         ":4: services.web.pre_stop.commands: unknown key; did you mean command?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
