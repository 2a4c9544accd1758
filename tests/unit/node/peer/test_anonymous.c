#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/peer/anonymous.h"
#include "tests/unit/consensus/intent_fixture.h"

struct bench {
    struct fixture f;
    struct view view;
    struct id self;
    char name[ANONYMOUS_NAME_BYTES]; /* of the volume of slot 1 */
};

/* A service of two replicas with a volume at /data, whose first deploy is over. */
static void begin(struct bench *bench)
{
    struct service_spec spec;
    fixture_init(&bench->f, 2);
    view_init(&bench->view);
    bench->self = fixture_id(0);
    fixture_spec(&spec, "db");
    spec.replicas = 2;
    struct spec_mount *mount = service_spec_add_mount(&spec);
    assert_non_null(mount);
    mount->target = strdup("/data");
    assert_int_equal(fixture_deploy(&bench->f, "s", &spec, 1), 0);
    service_spec_done(&spec);
    assert_int_equal(fixture_rollout(&bench->f, "s_db", INTENT_ROLLOUT_DONE, 1, ""), 0);
    anonymous_name("s_db", 1, "/data", bench->name);
}

static void end(struct bench *bench)
{
    view_done(&bench->view);
    fixture_done(&bench->f);
}

static bool is_needed(const struct bench *bench, const char *name)
{
    return anonymous_is_needed(bench->f.intent, &bench->view, &bench->self, name);
}

static void say_runs(struct bench *bench, uint64_t generation)
{
    struct view_replica *replica = view_replica_get(&bench->view, generation);
    assert_non_null(replica);
    replica->state = VIEW_REPLICA_RUNNING;
}

/* Breaks if a successor does not find what its predecessor left, or if another slot, service or
 * place gets it. */
static void test_names(void **state)
{
    (void)state;
    char a[ANONYMOUS_NAME_BYTES], b[ANONYMOUS_NAME_BYTES];
    anonymous_name("s_db", 1, "/data", a);
    anonymous_name("s_db", 1, "/data", b);
    assert_string_equal(a, b);
    assert_int_equal(strncmp(a, "s_db.1.", 7), 0);
    anonymous_name("s_db", 1, "/other", b);
    assert_string_not_equal(a, b);
    anonymous_name("s_db", 2, "/data", b);
    assert_string_not_equal(a, b);
}

/* Breaks if a volume goes while its slot may come back to it, or stays once that can't be. */
static void test_needed(void **state)
{
    (void)state;
    struct bench bench;
    char other[ANONYMOUS_NAME_BYTES];
    begin(&bench);
    assert_true(is_needed(&bench, bench.name)); /* the slot is empty: it may be placed here */
    assert_int_equal(fixture_add(&bench.f, "s_db", 1, 1, 1), 0);
    assert_true(is_needed(&bench, bench.name)); /* placed elsewhere, but does it run there? */
    say_runs(&bench, 1);
    assert_false(is_needed(&bench, bench.name));
    assert_int_equal(fixture_end(&bench.f, COMMAND_PLACE_DELETE, 1), 0);
    assert_int_equal(fixture_add(&bench.f, "s_db", 1, 1, 0), 0);
    assert_true(is_needed(&bench, bench.name)); /* placed here */
    anonymous_name("s_db", 1, "/elsewhere", other);
    assert_false(is_needed(&bench, other)); /* no revision has it */
    anonymous_name("s_db", 3, "/data", other);
    assert_false(is_needed(&bench, other)); /* no such slot */
    anonymous_name("s_web", 1, "/data", other);
    assert_false(is_needed(&bench, other));
    assert_int_equal(fixture_remove(&bench.f, "s", true), 0);
    assert_false(is_needed(&bench, bench.name));
    end(&bench);
}

/* Breaks if an update that fails elsewhere has nothing to come back to. */
static void test_update(void **state)
{
    (void)state;
    struct bench bench;
    begin(&bench);
    struct service_spec spec;
    fixture_spec(&spec, "db");
    spec.replicas = 2;
    assert_int_equal(fixture_deploy(&bench.f, "s", &spec, 1), 0);
    service_spec_done(&spec);
    assert_int_equal(fixture_add(&bench.f, "s_db", 1, 2, 1), 0);
    say_runs(&bench, 1);
    assert_true(is_needed(&bench, bench.name)); /* the first revision has it */
    assert_int_equal(fixture_rollout(&bench.f, "s_db", INTENT_ROLLOUT_DONE, 2, ""), 0);
    assert_false(is_needed(&bench, bench.name));
    end(&bench);
}

/* Breaks if a name that nobody here has made does harm. */
static void test_strange_names(void **state)
{
    (void)state;
    static const char *const names[] = {
        "", ".", "..", "a", "a.1", "a.b.c", "s_db.1", "s_db..x", "s_db.1.", "s_db.99999999999.00"};
    struct bench bench;
    begin(&bench);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_false(is_needed(&bench, names[i]));
    end(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_needed),
        cmocka_unit_test(test_update),
        cmocka_unit_test(test_strange_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
