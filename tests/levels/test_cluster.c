/* A cluster of mixed versions: machines that know one level less apply the same as the others,
 * until all know the newest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "consensus/level.h"
#include "tests/levels/next_level.h"
#include "tests/sim/scene.h"

enum {
    SEED = 21,
    OLD_LEVEL = NEXT_LEVEL - 1,
    SETTLE_MS = 60000,
    COMMAND_MS = 20000,
    LONG_MS = 60000,
};

static struct cluster *start_old(unsigned count, uint64_t seed)
{
    struct cluster *c = scene_new(count, seed);
    for (unsigned i = 0; i < count; i++)
        c->machines[i].level = OLD_LEVEL;
    scene_form(c);
    return c;
}

static void change_daemon(struct cluster *c, unsigned i, uint32_t level)
{
    struct machine *machine = &c->machines[i];
    if (machine->agent)
        machine_stop_daemon(machine);
    machine->level = level;
    machine_start_daemon(machine);
}

static void upgrade(struct cluster *c, unsigned i)
{
    change_daemon(c, i, NEXT_LEVEL);
}

static uint32_t level_at(const struct cluster *c, unsigned i)
{
    return agent_intent(c->machines[i].agent)->level.number;
}

static bool all_are_raised(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->machines[i].agent && level_at(c, i) != NEXT_LEVEL)
            return false;
    return true;
}

static bool any_is_raised(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        if (c->machines[i].agent && level_at(c, i) != OLD_LEVEL)
            return true;
    return false;
}

static bool last_is_outdated(struct cluster *c)
{
    const struct machine *last = &c->machines[c->count - 1];
    return last->is_outdated && !last->agent;
}

static void propose(struct cluster *c, unsigned via, struct command *command)
{
    cluster_propose(c, via, command);
    assert_true(cluster_wait(c, COMMAND_MS, cluster_is_answered));
}

static void make_note(struct cluster *c, unsigned via)
{
    struct command command = next_note("hello");
    propose(c, via, &command);
}

static void deploy(struct cluster *c, unsigned via, uint32_t replicas)
{
    cluster_deploy(c, via, &(struct sim_service){.name = "web", .replicas = replicas});
    assert_true(cluster_wait(c, COMMAND_MS, cluster_is_answered));
    assert_int_equal(c->last_error.code, 0);
}

/* A service without replicas, at an address of a network. */
static void deploy_addressed(struct cluster *c, unsigned via)
{
    struct spec_network network = {.name = (char *)"s_lan", .address_count = 1};
    network.addresses[0] = address_from_v4(0xac1c0005, 0);
    struct service_spec spec;
    service_spec_init(&spec);
    snprintf(spec.name, sizeof(spec.name), "dns");
    spec.image = (char *)"example/dns:1";
    spec.replicas = 0;
    spec.networks = &network;
    spec.network_count = 1;
    struct command command = {.head = {.type = COMMAND_DEPLOY},
                              .deploy = {.stack = "s", .services = &spec, .service_count = 1}};
    propose(c, via, &command);
}

static void revoke(struct cluster *c, unsigned via, unsigned i)
{
    struct command command = {
        .head = {.type = COMMAND_PEER_STATE},
        .peer_state = {.id = c->machines[i].identity.id, .state = INTENT_REVOKED}};
    c->machines[i].shall_be_member = false;
    propose(c, via, &command);
    assert_int_equal(c->last_error.code, 0);
}

/* All that run have the same intent, byte for byte. */
static void expect_same(struct cluster *c)
{
    cleanup_buffer struct buffer first = {0}, other = {0};
    for (unsigned i = 0; i < c->count; i++) {
        if (!c->machines[i].agent)
            continue;
        buffer_clear(&other);
        assert_int_equal(intent_write(agent_intent(c->machines[i].agent), &other), 0);
        if (first.size == 0)
            assert_int_equal(buffer_append(&first, other.bytes, other.size), 0);
        assert_true(bytes_equal(buffer_view(&first), buffer_view(&other)));
    }
}

/* Breaks if the level is raised before the last peer knows it, be it a voter or not; if peers of
 * two versions come to differ; or if what only the newer ones know is taken while the others are
 * there.
 */
static void test_upgraded_one_by_one(void **state)
{
    (void)state;
    struct cluster *c = start_old(7, SEED); /* five vote, two pull the feed */
    for (unsigned i = 0; i < c->count; i++) {
        scene_settle(c, SETTLE_MS);
        assert_false(any_is_raised(c));
        expect_same(c);
        make_note(c, (i + 3) % c->count);
        assert_int_equal(c->last_error.code, -EPROTONOSUPPORT);
        if (i > 0)
            deploy(c, i - 1, i);
        upgrade(c, i);
    }
    assert_true(cluster_wait(c, SETTLE_MS, all_are_raised));
    scene_settle(c, SETTLE_MS);
    make_note(c, 4);
    assert_int_equal(c->last_error.code, 0);
    deploy(c, 0, 7);
    scene_settle(c, SETTLE_MS);
    expect_same(c);
    scene_end(c);
}

/* Breaks if addresses are taken while a peer is there that knows none, or not after; or if those
 * that know them write the state otherwise. */
static void test_addresses_wait(void **state)
{
    (void)state;
    struct cluster *c = scene_new(5, SEED);
    for (unsigned i = 0; i < c->count; i++)
        c->machines[i].level = LEVEL_ADDRESSES - 1;
    scene_form(c);
    for (unsigned i = 0; i < c->count; i++) {
        scene_settle(c, SETTLE_MS);
        deploy_addressed(c, i);
        assert_int_equal(c->last_error.code, -EPROTONOSUPPORT);
        assert_non_null(strstr(c->last_error.message, "too old: m"));
        deploy(c, (i + 1) % c->count, i + 1);
        change_daemon(c, i, LEVEL_ADDRESSES);
    }
    scene_settle(c, SETTLE_MS);
    assert_int_equal(level_at(c, 0), LEVEL_ADDRESSES);
    deploy_addressed(c, 1);
    assert_int_equal(c->last_error.code, 0);
    scene_settle(c, SETTLE_MS);
    expect_same(c);
    scene_end(c);
}

/* Breaks if a refusal does not say which peers are too old, and what to do. */
static void test_refusal_names_them(void **state)
{
    (void)state;
    struct cluster *c = start_old(3, SEED);
    upgrade(c, 0);
    upgrade(c, 2);
    scene_settle(c, SETTLE_MS);
    make_note(c, 0);
    assert_int_equal(c->last_error.code, -EPROTONOSUPPORT);
    assert_non_null(strstr(c->last_error.message, "too old: m1"));
    assert_null(strstr(c->last_error.message, "m0"));
    assert_null(strstr(c->last_error.message, "m2"));
    assert_non_null(strstr(c->last_error.hint, "upgrade"));
    assert_non_null(strstr(c->last_error.hint, "consort peer revoke"));
    scene_end(c);
}

/* Breaks if a raise is lost, or done by halves, when the leader dies in the midst of it. */
static void test_leader_dies_in_mid_raise(void **state)
{
    enum { MOMENTS = 24, STEP_MS = 50 };
    (void)state;
    for (unsigned moment = 0; moment < MOMENTS; moment++) {
        struct cluster *c = start_old(5, SEED + moment);
        for (unsigned i = 0; i < c->count; i++)
            upgrade(c, i);
        cluster_wait(c, SETTLE_MS, cluster_has_leader);
        cluster_run(c, moment * STEP_MS);
        int leader = cluster_leader(c);
        if (leader < 0)
            leader = 0;
        cluster_kill(c, (unsigned)leader);
        assert_true(cluster_wait(c, SETTLE_MS, all_are_raised));
        cluster_restart(c, (unsigned)leader);
        scene_settle(c, SETTLE_MS);
        assert_true(all_are_raised(c));
        expect_same(c);
        scene_end(c);
    }
}

/* Breaks if a peer that does not answer is forgotten: it may come back as it was. */
static void test_absent_peer_counts(void **state)
{
    (void)state;
    for (unsigned cut = 0; cut < 2; cut++) {
        struct cluster *c = start_old(5, SEED);
        scene_settle(c, SETTLE_MS);
        if (cut)
            cluster_partition(c, 1u << 4);
        else
            cluster_kill(c, 4);
        for (unsigned i = 0; i < 4; i++)
            upgrade(c, i);
        cluster_run(c, LONG_MS);
        assert_false(any_is_raised(c));
        deploy(c, 1, 3);
        if (cut)
            cluster_heal_all(c);
        else
            cluster_restart(c, 4);
        scene_settle(c, SETTLE_MS);
        assert_false(any_is_raised(c));
        expect_same(c);
        upgrade(c, 4);
        assert_true(cluster_wait(c, SETTLE_MS, all_are_raised));
        scene_settle(c, SETTLE_MS);
        expect_same(c);
        scene_end(c);
    }
}

/* Breaks if a peer that was given up for good keeps the others from going on. */
static void test_revoked_peer_counts_no_more(void **state)
{
    (void)state;
    struct cluster *c = start_old(5, SEED);
    scene_settle(c, SETTLE_MS);
    cluster_kill(c, 4);
    for (unsigned i = 0; i < 4; i++)
        upgrade(c, i);
    cluster_run(c, LONG_MS);
    assert_false(any_is_raised(c));
    revoke(c, 1, 4);
    assert_true(cluster_wait(c, SETTLE_MS, all_are_raised));
    expect_same(c);
    scene_end(c);
}

/* Breaks if one that went back to the older version goes on with what it does not understand; or
 * can't come back once it is new again. The last of five votes, that of seven has the feed. */
static void test_old_one_stops(void **state)
{
    (void)state;
    for (unsigned count = 5; count <= 7; count += 2) {
        struct cluster *c = start_old(count, SEED);
        unsigned last = count - 1;
        for (unsigned i = 0; i < count; i++)
            upgrade(c, i);
        scene_settle(c, SETTLE_MS);
        assert_true(cluster_wait(c, SETTLE_MS, all_are_raised));
        change_daemon(c, last, OLD_LEVEL);
        assert_true(cluster_wait(c, SETTLE_MS, last_is_outdated));
        deploy(c, 0, 3);
        upgrade(c, last);
        scene_settle(c, SETTLE_MS);
        expect_same(c);
        scene_end(c);
    }
}

/* Breaks if one that goes back to the older version while it is cut off, and all count on what it
 * said before, comes to another state instead of stopping. */
static void test_goes_back_unseen(void **state)
{
    (void)state;
    struct cluster *c = start_old(5, SEED);
    for (unsigned i = 1; i < 5; i++)
        upgrade(c, i);
    scene_settle(c, SETTLE_MS);
    cluster_partition(c, 1u << 4);
    change_daemon(c, 4, OLD_LEVEL);
    upgrade(c, 0);
    cluster_run(c, LONG_MS);
    assert_int_equal(level_at(c, 0), NEXT_LEVEL);
    assert_int_equal(level_at(c, 4), OLD_LEVEL);
    cluster_heal_all(c);
    assert_true(cluster_wait(c, SETTLE_MS, last_is_outdated));
    upgrade(c, 4);
    scene_settle(c, SETTLE_MS);
    expect_same(c);
    scene_end(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgraded_one_by_one),
        cmocka_unit_test(test_addresses_wait),
        cmocka_unit_test(test_refusal_names_them),
        cmocka_unit_test(test_leader_dies_in_mid_raise),
        cmocka_unit_test(test_absent_peer_counts),
        cmocka_unit_test(test_revoked_peer_counts_no_more),
        cmocka_unit_test(test_old_one_stops),
        cmocka_unit_test(test_goes_back_unseen),
    };
    return cmocka_run_group_tests_name("levels-cluster", tests, scene_set_up, NULL);
}
