#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/constraint.h"
#include "tests/unit/node/control/control_fixture.h"

static void web(struct service_spec *spec, uint32_t replicas)
{
    fixture_spec(spec, "web");
    spec->replicas = replicas;
}

/* Breaks if replicas heap up on one peer while others are as free. */
static void test_even(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 5);
    web(&spec, 15);
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(cluster_count_at(&c, "s_web", i), 3);
    assert_int_equal(cluster_rollout_state(&c, "s_web"), INTENT_ROLLOUT_DONE);
    cluster_done(&c);
}

/* Breaks if a peer that is suspect, draining, dead or unknown gets replicas. */
static void test_unfit_peers(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 5);
    cluster_see(&c, 0, VIEW_SUSPECT);
    cluster_see(&c, 1, VIEW_DEAD);
    assert_int_equal(fixture_peer_state(&c.f, 2, INTENT_DRAINING), 0);
    struct id id = fixture_id(3);
    view_peer_find(&c.view, &id)->has_capacity = false;
    web(&spec, 4);
    cluster_deploy(&c, &spec);
    cluster_step(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 4), 4);
    cluster_done(&c);
}

/* Breaks if more is reserved on a peer than it has, or if what is stopped frees nothing. */
static void test_resources(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 2);
    web(&spec, 6);
    spec.resources.memory_reserved_bytes = cluster_memory_bytes / 2;
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 4);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 2);
    assert_int_equal(fixture_scale(&c.f, "s_web", 3), 0);
    cluster_calm(&c);
    fixture_spec(&spec, "db");
    spec.resources.cpu_reserved_millis = CLUSTER_CPU_MILLIS / 4;
    spec.resources.memory_reserved_bytes = cluster_memory_bytes / 2;
    spec.replicas = 2;
    assert_int_equal(fixture_deploy(&c.f, "t", &spec, 1), 0);
    service_spec_done(&spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "t_db"), 1);
    cluster_done(&c);
}

/* Breaks if CPU is counted out when it is not reserved, or not when it is. */
static void test_cpu(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 1);
    web(&spec, 5);
    spec.resources.cpu_reserved_millis = CLUSTER_CPU_MILLIS / 4;
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "s_web"), 4);
    fixture_spec(&spec, "free");
    assert_int_equal(fixture_deploy(&c.f, "t", &spec, 1), 0);
    service_spec_done(&spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count(&c, "t_free"), 1);
    cluster_done(&c);
}

/* Breaks if a replica goes where a constraint forbids it. */
static void test_constraints(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 4);
    cluster_labels(&c, 0, "disk=ssd,zone=a");
    cluster_labels(&c, 1, "disk=ssd,zone=b");
    cluster_labels(&c, 2, "zone=a");
    web(&spec, 4);
    assert_int_equal(text_list_add(&spec.constraints, "node.labels.disk == ssd"), 0);
    assert_int_equal(text_list_add(&spec.constraints, "node.name!=b"), 0);
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 4);
    cluster_done(&c);
}

/* Breaks if a constraint is read otherwise than it is written. */
static void test_constraint_words(void **state)
{
    (void)state;
    struct intent_peer peer = {.id = fixture_id(0), .name = "a"};
    struct view_capacity capacity = {.labels = "disk=ssd,empty=,zone=a"};
    static const struct {
        const char *text;
        bool is_met;
    } cases[] = {
        {"node.labels.zone==a", true},   {"node.labels.zone!=a", false},
        {"node.labels.zone==b", false},  {"node.labels.zone != b", true},
        {"node.labels.zon==a", false},   {"node.labels.nothing!=a", true},
        {"node.labels.empty==", false},  {"node.name==a", true},
        {"node.hostname == a", true},    {"node.name==ab", false},
        {"node.id==011d00000000", true}, {"node.id!=011d00000000", false},
        {"node.id==01", false},          {"node.role==manager", false},
        {"node.labels.zone=a", false},   {"", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (constraint_is_met(cases[i].text, &peer, &capacity) != cases[i].is_met)
            fail_msg("%s", cases[i].text);
    assert_false(constraint_is_met("node.labels.zone==a", &peer, NULL));
}

/* Breaks if max_replicas_per_node is passed. */
static void test_most_for_one_peer(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 2);
    web(&spec, 5);
    spec.max_replicas_per_node = 2;
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 0), 2);
    assert_int_equal(cluster_count_at(&c, "s_web", 1), 2);
    cluster_done(&c);
}

/* Breaks if a zone with more peers gets more replicas than another. */
static void test_spread(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 4);
    for (unsigned i = 0; i < 3; i++)
        cluster_labels(&c, i, "zone=a");
    cluster_labels(&c, 3, "zone=b");
    web(&spec, 6);
    assert_int_equal(text_list_add(&spec.spread, "node.labels.zone"), 0);
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "s_web", 3), 3);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(cluster_count_at(&c, "s_web", i), 1);
    cluster_done(&c);
}

/* Breaks if a small machine is given as much as a large one. */
static void test_by_size(void **state)
{
    (void)state;
    struct cluster c;
    cluster_init(&c, 2);
    struct id id = fixture_id(0);
    view_peer_find(&c.view, &id)->capacity.cpu_millis = 4 * CLUSTER_CPU_MILLIS;
    for (char name[] = "a"; name[0] < 'k'; name[0]++) {
        struct service_spec spec;
        fixture_spec(&spec, name);
        assert_int_equal(fixture_deploy(&c.f, name, &spec, 1), 0);
        service_spec_done(&spec);
    }
    cluster_calm(&c);
    size_t large = 0;
    for (char name[] = "a_a"; name[0] < 'k'; name[0]++, name[2]++)
        large += cluster_count_at(&c, name, 0);
    assert_int_equal(large, 8);
    cluster_done(&c);
}

/* Breaks if two leaders place the same replicas differently. */
static void test_alike(void **state)
{
    (void)state;
    struct cluster a, b;
    struct cluster *both[] = {&a, &b};
    for (size_t i = 0; i < 2; i++) {
        struct service_spec spec;
        cluster_init(both[i], 7);
        web(&spec, 20);
        cluster_deploy(both[i], &spec);
        cluster_calm(both[i]);
    }
    fixture_assert_same(a.f.intent, b.f.intent);
    cluster_done(&a);
    cluster_done(&b);
}

static void database(struct service_spec *spec, const char *image)
{
    fixture_spec(spec, "db");
    free(spec->image);
    spec->image = strdup(image);
    spec->update.order = SPEC_STOP_FIRST;
    spec->mounts = calloc(1, sizeof(*spec->mounts));
    spec->mounts[0].source = strdup("s_data");
    spec->mounts[0].target = strdup("/data");
    spec->mount_count = 1;
}

/* Breaks if an update moves a service away from the machine that has its volumes, where a peer with
 * less to do would be the better place. */
static void test_volumes(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    unsigned home = 0;
    cluster_init(&c, 3);
    database(&spec, "db:1");
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    while (home < 2 && cluster_count_at(&c, "s_db", home) == 0)
        home++;
    cluster_labels(&c, home, "busy=yes");
    fixture_spec(&spec, "web");
    spec.replicas = 4;
    assert_int_equal(text_list_add(&spec.constraints, "node.labels.busy==yes"), 0);
    assert_int_equal(fixture_deploy(&c.f, "t", &spec, 1), 0);
    service_spec_done(&spec);
    cluster_calm(&c);
    assert_int_equal(cluster_count_at(&c, "t_web", home), 4);
    database(&spec, "db:2");
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_int_equal(cluster_rollout_state(&c, "s_db"), INTENT_ROLLOUT_DONE);
    assert_int_equal(cluster_count_at(&c, "s_db", home), 1);
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_volumes),
        cmocka_unit_test(test_even),
        cmocka_unit_test(test_unfit_peers),
        cmocka_unit_test(test_resources),
        cmocka_unit_test(test_cpu),
        cmocka_unit_test(test_constraints),
        cmocka_unit_test(test_constraint_words),
        cmocka_unit_test(test_most_for_one_peer),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_by_size),
        cmocka_unit_test(test_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
