/* If this fails, containers start before what they need is there, or never. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/dependency.h"
#include "tests/unit/consensus/intent_fixture.h"

struct here {
    struct fixture f;
    struct view view;
};

/* A stack "s" of "db", of which one replica is placed, and "web", which waits for it. */
static void setup(struct here *here, enum spec_dependency_condition condition,
                  enum spec_restart_condition restart)
{
    struct service_spec specs[2];
    fixture_init(&here->f, 1);
    view_init(&here->view);
    fixture_spec(&specs[0], "db");
    fixture_spec(&specs[1], "web");
    specs[0].restart.condition = (uint8_t)restart;
    specs[1].dependencies = calloc(1, sizeof(*specs[1].dependencies));
    specs[1].dependencies[0] = (struct spec_dependency){"db", (uint8_t)condition};
    specs[1].dependency_count = 1;
    assert_int_equal(fixture_deploy(&here->f, "s", specs, 2), 0);
    assert_int_equal(fixture_add(&here->f, "s_db", 1, 1, 0), 0);
    service_spec_done(&specs[0]);
    service_spec_done(&specs[1]);
}

static void teardown(struct here *here)
{
    view_done(&here->view);
    fixture_done(&here->f);
}

static void tell(struct here *here, enum view_replica_state state, enum view_health health,
                 int exit_code)
{
    struct view_replica *told = view_replica_get(&here->view, 1);
    told->state = (uint8_t)state;
    told->health = (uint8_t)health;
    told->exit_code = exit_code;
}

/* What "web" waits for; "" if for nothing. */
static const char *waits(struct here *here)
{
    static char words[DEPENDENCY_WORDS_BYTES];
    const struct intent_service *web = fixture_service(&here->f, "s_web");
    const struct intent_revision *revision = intent_revision_find(web, web->revision);
    words[0] = '\0';
    bool is_waiting = dependency_waits(here->f.intent, &here->view, "s", &revision->spec, words);
    assert_int_equal(is_waiting, words[0] != '\0');
    return words;
}

/* Breaks if a container starts before what it depends on has. */
static void test_started(void **state)
{
    (void)state;
    struct here here;
    setup(&here, SPEC_DEPENDS_STARTED, SPEC_RESTART_ANY);
    assert_string_equal(waits(&here), "waits for s_db to start");
    tell(&here, VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE, 0);
    assert_string_equal(waits(&here), "waits for s_db to start");
    tell(&here, VIEW_REPLICA_RUNNING, VIEW_HEALTH_STARTING, 0);
    assert_string_equal(waits(&here), "");
    tell(&here, VIEW_REPLICA_BACKOFF, VIEW_HEALTH_NONE, 1);
    assert_string_equal(waits(&here), "waits for s_db to start");
    teardown(&here);
}

/* Breaks if a database that still starts up counts as healthy. */
static void test_healthy(void **state)
{
    (void)state;
    struct here here;
    setup(&here, SPEC_DEPENDS_HEALTHY, SPEC_RESTART_ANY);
    tell(&here, VIEW_REPLICA_RUNNING, VIEW_HEALTH_STARTING, 0);
    assert_string_equal(waits(&here), "waits for s_db to be healthy");
    tell(&here, VIEW_REPLICA_RUNNING, VIEW_HEALTH_BAD, 0);
    assert_string_equal(waits(&here), "waits for s_db to be healthy");
    tell(&here, VIEW_REPLICA_RUNNING, VIEW_HEALTH_GOOD, 0);
    assert_string_equal(waits(&here), "");
    teardown(&here);
}

/* Breaks if a step that failed, or still runs, counts as done. */
static void test_completed(void **state)
{
    (void)state;
    struct here here;
    setup(&here, SPEC_DEPENDS_COMPLETED, SPEC_RESTART_ON_FAILURE);
    tell(&here, VIEW_REPLICA_RUNNING, VIEW_HEALTH_GOOD, 0);
    assert_string_equal(waits(&here), "waits for s_db to complete");
    tell(&here, VIEW_REPLICA_EXITED, VIEW_HEALTH_NONE, 1);
    assert_string_equal(waits(&here), "waits for s_db to complete");
    tell(&here, VIEW_REPLICA_EXITED, VIEW_HEALTH_NONE, 0);
    assert_string_equal(waits(&here), "");
    teardown(&here);
    setup(&here, SPEC_DEPENDS_STARTED, SPEC_RESTART_NONE);
    tell(&here, VIEW_REPLICA_EXITED, VIEW_HEALTH_NONE, 0); /* it was started, and is done */
    assert_string_equal(waits(&here), "");
    teardown(&here);
}

/* Breaks if a service that was removed is waited for, and so for ever. */
static void test_removed(void **state)
{
    (void)state;
    struct here here;
    setup(&here, SPEC_DEPENDS_HEALTHY, SPEC_RESTART_ANY);
    assert_int_equal(fixture_remove(&here.f, "s_db", false), 0);
    assert_string_equal(waits(&here), "");
    teardown(&here);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_started),
        cmocka_unit_test(test_healthy),
        cmocka_unit_test(test_completed),
        cmocka_unit_test(test_removed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
