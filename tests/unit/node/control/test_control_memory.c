#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/consensus/failing_memory.h"
#include "tests/unit/node/control/control_fixture.h"

/* Breaks if a leader that runs out of memory decides on half of what it knows, or can't go on. */
static void test_step(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 3);
    fixture_spec(&spec, "web");
    spec.replicas = 3;
    assert_int_equal(text_list_add(&spec.spread, "node.labels.zone"), 0);
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    cluster_see(&c, 0, VIEW_DEAD);
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        struct control_output output = {0};
        memory_fail_after(n);
        rc = control_step(c.control, c.f.intent, &c.view, c.now_ms, 0, &output);
        memory_fail_after(-1);
        assert_true(rc == -ENOMEM ? !output.commands : rc == 0);
        control_output_done(&output);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(cluster_step(&c), 2);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 3);
    cluster_done(&c);
}

/* Breaks if `why` leaks when there is no memory for it. */
static void test_explain(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 1);
    fixture_spec(&spec, "web");
    spec.mode = SPEC_GLOBAL;
    cluster_deploy(&c, &spec);
    int rc = -ENOMEM;
    for (int64_t n = 0; rc == -ENOMEM; n++) {
        cleanup_buffer struct buffer words = {0};
        memory_fail_after(n);
        rc = control_explain(c.f.intent, &c.view, "s_web", &words);
        memory_fail_after(-1);
    }
    assert_int_equal(rc, 0);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_explain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
