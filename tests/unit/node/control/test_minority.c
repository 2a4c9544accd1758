#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "node/control/minority.h"
#include "node/control/stand_in.h"
#include "tests/unit/node/control/control_fixture.h"

enum {
    PEERS = 5,
    BEGUN_MAX = 64,
    LATER_MS = 60 * 1000,
};

/* Who stands in for which slot, as one or more peers decided it. */
struct begun {
    unsigned peer;
    struct intent_replica original;
};

struct part {
    struct cluster c;
    int64_t no_quorum_since_ms, quorum_since_ms;
    struct begun begun[BEGUN_MAX];
    size_t begun_count;
    unsigned asked; /* the peer that decides */
    int64_t deadline_ms;
};

static void web(struct service_spec *spec, uint32_t replicas)
{
    fixture_spec(spec, "web");
    spec->replicas = replicas;
    spec->on_minority = SPEC_MINORITY_DUPLICATE;
}

/* Five peers run the service; then those from `first_lost` on die at once, and the quorum is lost
 * with them. */
static void part_init(struct part *p, struct service_spec *spec, unsigned first_lost)
{
    *p = (struct part){.quorum_since_ms = MINORITY_NEVER};
    cluster_init(&p->c, PEERS);
    cluster_deploy(&p->c, spec);
    cluster_calm(&p->c);
    p->no_quorum_since_ms = p->c.now_ms;
    for (unsigned i = first_lost; i < PEERS; i++)
        cluster_see(&p->c, i, VIEW_DEAD);
}

static struct minority minority_of(const struct part *p, unsigned peer)
{
    return (struct minority){.intent = p->c.f.intent,
                             .view = &p->c.view,
                             .self = fixture_id(peer),
                             .now_ms = p->c.now_ms,
                             .start_ms = 1,
                             .no_quorum_since_ms = p->no_quorum_since_ms,
                             .quorum_since_ms = p->quorum_since_ms};
}

static void note(void *context, const struct intent_replica *original)
{
    struct part *p = context;
    assert_true(p->begun_count < BEGUN_MAX);
    p->begun[p->begun_count++] = (struct begun){p->asked, *original};
}

/* Has the peers below `count` decide, each from the same view. */
static size_t ask(struct part *p, unsigned count)
{
    p->begun_count = 0;
    for (p->asked = 0; p->asked < count; p->asked++) {
        struct minority minority = minority_of(p, p->asked);
        assert_int_equal(minority_begin(&minority, note, p, &p->deadline_ms), 0);
    }
    return p->begun_count;
}

static size_t begun_at(const struct part *p, unsigned peer)
{
    size_t count = 0;
    for (size_t i = 0; i < p->begun_count; i++)
        count += p->begun[i].peer == peer;
    return count;
}

/* What was decided is told by gossip. */
static struct view_stand_in *tell(struct part *p, const struct begun *begun,
                                  enum view_replica_state state)
{
    struct id id = fixture_id(begun->peer);
    uint64_t number = stand_in_number(begun->original.generation, &id);
    struct view_replica *seen = view_replica_get(&p->c.view, number);
    struct view_stand_in *stand_in = view_stand_in_get(&p->c.view, number);
    assert_non_null(seen);
    assert_non_null(stand_in);
    seen->peer = id;
    seen->state = (uint8_t)state;
    stand_in->replica = begun->original;
    stand_in->replica.generation = number;
    stand_in->replica.peer = id;
    return stand_in;
}

static bool is_over(struct part *p, struct view_stand_in *stand_in, unsigned peer)
{
    struct minority minority = minority_of(p, peer);
    return minority_is_over(&minority, stand_in);
}

static size_t lost_count(const struct part *p, unsigned first_lost)
{
    size_t count = 0;
    for (unsigned i = first_lost; i < PEERS; i++)
        count += cluster_count_at(&p->c, "s_web", i);
    return count;
}

/* Breaks if two peers with one view choose both or neither for a slot, or if what already stands in
 * is doubled. */
static void test_all_decide_alike(void **state)
{
    (void)state;
    struct part p;
    struct service_spec spec;
    web(&spec, 20);
    part_init(&p, &spec, 2);
    p.c.now_ms += LATER_MS;
    assert_int_equal(ask(&p, 2), lost_count(&p, 2));
    assert_true(begun_at(&p, 0) > 0 && begun_at(&p, 1) > 0);
    for (size_t i = 0; i < p.begun_count; i++)
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(p.begun[i].original.slot, p.begun[j].original.slot);
    for (size_t i = 0; i < p.begun_count; i++)
        tell(&p, &p.begun[i], VIEW_REPLICA_PENDING);
    assert_int_equal(ask(&p, 2), 0);
    cluster_done(&p.c);
}

/* Breaks if an ordinary election makes anybody stand in, or a quorum does not hinder it. */
static void test_not_at_once(void **state)
{
    (void)state;
    struct part p;
    struct service_spec spec;
    web(&spec, 5);
    part_init(&p, &spec, 2);
    p.c.now_ms += CONTROL_MINORITY_MS - 1;
    assert_int_equal(ask(&p, 2), 0);
    assert_int_equal(p.deadline_ms, p.no_quorum_since_ms + CONTROL_MINORITY_MS);
    p.c.now_ms++;
    assert_int_equal(ask(&p, 2), 3);
    p.no_quorum_since_ms = MINORITY_NEVER;
    assert_int_equal(ask(&p, 2), 0);
    assert_true(p.deadline_ms == MINORITY_NEVER);
    cluster_done(&p.c);
}

/* Breaks if failover_after does not count from the death, or nobody looks again when it is over. */
static void test_failover_after(void **state)
{
    (void)state;
    struct part p;
    struct service_spec spec;
    web(&spec, 5);
    spec.failover_after_ms = LATER_MS;
    part_init(&p, &spec, 2);
    int64_t died_ms = p.c.now_ms;
    p.c.now_ms += LATER_MS - 1;
    assert_int_equal(ask(&p, 2), 0);
    assert_int_equal(p.deadline_ms, died_ms + LATER_MS);
    p.c.now_ms++;
    assert_int_equal(ask(&p, 2), 3);
    cluster_done(&p.c);
}

static void add_volume(struct service_spec *spec)
{
    spec->mounts = calloc(1, sizeof(*spec->mounts));
    assert_non_null(spec->mounts);
    spec->mount_count = 1;
    spec->mounts[0].source = strdup("data");
    spec->mounts[0].target = strdup("/data");
}

/* Breaks if a service is duplicated that shall not be. */
static void test_who_is_held(void **state)
{
    (void)state;
    enum { HOLD, VOLUME, EMPTY_VOLUME, GLOBAL, CASES };
    for (unsigned i = 0; i < CASES; i++) {
        struct part p;
        struct service_spec spec;
        web(&spec, 5);
        if (i == HOLD)
            spec.on_minority = SPEC_MINORITY_HOLD;
        if (i == EMPTY_VOLUME)
            spec.on_minority = SPEC_MINORITY_DUPLICATE_EMPTY;
        if (i == GLOBAL)
            spec.mode = SPEC_GLOBAL;
        if (i == VOLUME || i == EMPTY_VOLUME)
            add_volume(&spec);
        part_init(&p, &spec, 2);
        p.c.now_ms += LATER_MS;
        assert_int_equal(ask(&p, 2), i == EMPTY_VOLUME ? 3 : 0);
        cluster_done(&p.c);
    }
}

/* Breaks if a replica of an earlier revision is stood in for although its service was agreed to be
 * exclusive since. */
static void test_exclusive_since(void **state)
{
    (void)state;
    for (int exclusive = 0; exclusive < 2; exclusive++) {
        struct part p;
        struct service_spec spec;
        web(&spec, 1);
        part_init(&p, &spec, PEERS);
        unsigned holder = 0;
        while (cluster_count_at(&p.c, "s_web", holder) == 0)
            holder++;
        if (exclusive) {
            web(&spec, 1);
            spec.on_minority = SPEC_MINORITY_HOLD;
            spec.exclusive = true;
            cluster_deploy(&p.c, &spec);
        }
        for (unsigned i = 0; i < 3; i++)
            cluster_see(&p.c, (holder + i) % PEERS, VIEW_DEAD);
        p.c.now_ms += LATER_MS;
        assert_int_equal(ask(&p, PEERS), exclusive ? 0 : 1);
        cluster_done(&p.c);
    }
}

/* Breaks if a peer that is full, draining, or does not meet the constraints is chosen. */
static void test_who_may(void **state)
{
    (void)state;
    struct part p;
    struct service_spec spec;
    web(&spec, 5);
    spec.resources.memory_reserved_bytes =
        cluster_memory_bytes / 2; /* each has one, and room for one */
    part_init(&p, &spec, 2);
    p.c.now_ms += LATER_MS;
    assert_int_equal(ask(&p, 2), 2);
    assert_int_equal(begun_at(&p, 0), 1);
    assert_int_equal(begun_at(&p, 1), 1);
    cluster_done(&p.c);

    web(&spec, 5);
    assert_int_equal(text_list_add(&spec.constraints, "node.labels.disk!=tape"), 0);
    part_init(&p, &spec, 2);
    cluster_labels(&p.c, 0, "disk=tape");
    p.c.now_ms += LATER_MS;
    assert_int_equal(ask(&p, 2), 3);
    assert_int_equal(begun_at(&p, 1), 3);
    assert_int_equal(fixture_peer_state(&p.c.f, 1, INTENT_DRAINING), 0);
    assert_int_equal(ask(&p, 2), 0);
    cluster_done(&p.c);

    web(&spec, 5);
    spec.max_replicas_per_node = 2;
    part_init(&p, &spec, 2);
    p.c.now_ms += LATER_MS;
    assert_int_equal(ask(&p, 2), 2);
    cluster_done(&p.c);
}

/* Breaks if a suspect's replica is taken for lost, or a peer that nobody has heard of for found. */
static void test_who_is_lost(void **state)
{
    (void)state;
    struct part p;
    struct service_spec spec;
    web(&spec, 5);
    part_init(&p, &spec, 2);
    cluster_see(&p.c, 2, VIEW_SUSPECT);
    struct id unknown = fixture_id(3);
    view_peer_remove(&p.c.view, &unknown);
    p.c.now_ms += CONTROL_MINORITY_MS;
    struct minority minority = minority_of(&p, 0);
    minority.start_ms = p.c.now_ms;
    p.begun_count = 0;
    for (p.asked = 0; p.asked < 2; p.asked++) {
        minority.self = fixture_id(p.asked);
        assert_int_equal(minority_begin(&minority, note, &p, &p.deadline_ms), 0);
    }
    assert_int_equal(p.begun_count, 1);
    assert_int_equal(p.deadline_ms, minority.start_ms + CONTROL_UNKNOWN_PEER_MS);
    p.c.now_ms += CONTROL_UNKNOWN_PEER_MS;
    assert_int_equal(ask(&p, 2), 2);
    cluster_done(&p.c);
}

/* Breaks if a job that is done is done again. */
static void test_done(void **state)
{
    (void)state;
    struct part p;
    struct service_spec spec;
    web(&spec, 5);
    spec.restart.condition = SPEC_RESTART_ON_FAILURE;
    part_init(&p, &spec, 2);
    for (uint32_t slot = 1; slot <= 5; slot++)
        cluster_report(&p.c, cluster_replica(&p.c, "s_web", slot)->generation, VIEW_REPLICA_EXITED,
                       VIEW_HEALTH_NONE);
    p.c.now_ms += LATER_MS;
    assert_int_equal(ask(&p, 2), 0);
    cluster_done(&p.c);
}

/* Has one peer stand in for a slot of five, and returns that. */
static struct view_stand_in *one_stands_in(struct part *p, unsigned *ret_peer)
{
    struct service_spec spec;
    web(&spec, 5);
    part_init(p, &spec, 4);
    p->c.now_ms += LATER_MS;
    assert_int_equal(ask(p, 4), 1);
    *ret_peer = p->begun[0].peer;
    return tell(p, &p->begun[0], VIEW_REPLICA_RUNNING);
}

/* Breaks if a stand-in is stopped before the replica that it stands in for serves again, and goes
 * on serving for a moment; or is never stopped. */
static void test_given_back(void **state)
{
    (void)state;
    struct part p;
    unsigned peer;
    struct view_stand_in *stand_in = one_stands_in(&p, &peer);
    uint64_t original = stand_in_original(stand_in->replica.generation);
    assert_false(is_over(&p, stand_in, peer));
    cluster_report(&p.c, original, VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE);
    cluster_see(&p.c, 4, VIEW_ALIVE);
    p.c.now_ms += LATER_MS;
    assert_false(is_over(&p, stand_in, peer));
    cluster_report(&p.c, original, VIEW_REPLICA_RUNNING, VIEW_HEALTH_NONE);
    assert_false(is_over(&p, stand_in, peer));
    p.c.now_ms += CONTROL_TRUST_MS - 1;
    cluster_see(&p.c, 4, VIEW_SUSPECT);
    assert_false(is_over(&p, stand_in, peer));
    p.c.now_ms += 1;
    cluster_see(&p.c, 4, VIEW_ALIVE);
    assert_false(is_over(&p, stand_in, peer));
    p.c.now_ms += CONTROL_TRUST_MS;
    assert_true(is_over(&p, stand_in, peer));
    cluster_done(&p.c);
}

/* Breaks if a stand-in does not wait for what a leader placed instead, or waits for ever. */
static void test_quorum_is_back(void **state)
{
    (void)state;
    struct part p;
    unsigned peer;
    struct view_stand_in *stand_in = one_stands_in(&p, &peer);
    cluster_step(&p.c); /* a leader replaces the dead peer's replica */
    assert_null(intent_replica_find(p.c.f.intent, stand_in_original(stand_in->replica.generation)));
    p.quorum_since_ms = p.c.now_ms;
    p.no_quorum_since_ms = MINORITY_NEVER;
    assert_false(is_over(&p, stand_in, peer));
    p.c.now_ms += CONTROL_GIVE_BACK_MS - 1;
    assert_false(is_over(&p, stand_in, peer));
    p.c.now_ms++;
    assert_true(is_over(&p, stand_in, peer));
    p.c.now_ms -= LATER_MS;
    cluster_report(&p.c, cluster_replica(&p.c, "s_web", stand_in->replica.slot)->generation,
                   VIEW_REPLICA_RUNNING, VIEW_HEALTH_NONE);
    assert_false(is_over(&p, stand_in, peer));
    p.c.now_ms += CONTROL_TRUST_MS;
    assert_true(is_over(&p, stand_in, peer));
    cluster_done(&p.c);
}

/* Breaks if a stand-in outlives its service, its slot, or becoming exclusive. */
static void test_void(void **state)
{
    (void)state;
    struct part p;
    unsigned peer;
    struct service_spec spec;
    struct view_stand_in *stand_in = one_stands_in(&p, &peer);
    web(&spec, 1);
    spec.on_minority = SPEC_MINORITY_HOLD;
    cluster_deploy(&p.c, &spec);
    assert_int_equal(fixture_scale(&p.c.f, "s_web", 5), 0);
    assert_false(is_over(&p, stand_in, peer));
    assert_int_equal(fixture_scale(&p.c.f, "s_web", stand_in->replica.slot - 1), 0);
    assert_true(is_over(&p, stand_in, peer));
    assert_int_equal(fixture_scale(&p.c.f, "s_web", 5), 0);
    assert_false(is_over(&p, stand_in, peer));
    web(&spec, 1);
    spec.on_minority = SPEC_MINORITY_HOLD;
    spec.exclusive = true;
    cluster_deploy(&p.c, &spec);
    assert_true(is_over(&p, stand_in, peer));
    cluster_done(&p.c);
}

/* Breaks if two that began for one slot both go on, or both end, or the better one ends first. */
static void test_two_for_one(void **state)
{
    (void)state;
    struct part p;
    unsigned better;
    struct view_stand_in *first = one_stands_in(&p, &better);
    struct begun twin = p.begun[0];
    twin.peer = (better + 1) % 4;
    struct view_stand_in *second = tell(&p, &twin, VIEW_REPLICA_RUNNING);
    struct view_replica *seen = view_replica_find(&p.c.view, first->replica.generation);
    seen->state = VIEW_REPLICA_STARTING;
    assert_false(is_over(&p, second, twin.peer));
    seen->state = VIEW_REPLICA_RUNNING;
    assert_false(is_over(&p, second, twin.peer));
    assert_false(is_over(&p, first, better));
    p.c.now_ms += CONTROL_TRUST_MS;
    assert_true(is_over(&p, second, twin.peer));
    assert_false(is_over(&p, first, better));
    cluster_see(&p.c, better, VIEW_DEAD);
    assert_false(is_over(&p, second, twin.peer));
    cluster_done(&p.c);
}

/* Breaks if a peer can stand in for a service of which nobody said so, or under another's number.
 */
static void test_allowed(void **state)
{
    (void)state;
    struct part p;
    unsigned peer;
    struct intent_replica said = one_stands_in(&p, &peer)->replica;
    assert_true(stand_in_is_allowed(p.c.f.intent, &said));
    said.peer = fixture_id(peer + 1);
    assert_false(stand_in_is_allowed(p.c.f.intent, &said));
    said.peer = fixture_id(peer);
    said.revision = 9;
    assert_false(stand_in_is_allowed(p.c.f.intent, &said));
    said.revision = 1;
    snprintf(said.service, sizeof(said.service), "s_other");
    assert_false(stand_in_is_allowed(p.c.f.intent, &said));
    cluster_done(&p.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_decide_alike),
        cmocka_unit_test(test_not_at_once),
        cmocka_unit_test(test_failover_after),
        cmocka_unit_test(test_who_is_held),
        cmocka_unit_test(test_exclusive_since),
        cmocka_unit_test(test_who_may),
        cmocka_unit_test(test_who_is_lost),
        cmocka_unit_test(test_done),
        cmocka_unit_test(test_given_back),
        cmocka_unit_test(test_quorum_is_back),
        cmocka_unit_test(test_void),
        cmocka_unit_test(test_two_for_one),
        cmocka_unit_test(test_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
