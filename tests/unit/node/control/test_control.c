#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/unit/node/control/control_fixture.h"

enum {
    SEEDS = 40,
    PEERS = 6,
    STEPS = 400,
    SERVICES = 4, /* a: plain, b: stop-first, c: global, d: exclusive */
    STEP_MS_MAX = 2000,
    GENERATIONS_MAX = 16384,
    LEASE_MS = CLUSTER_EXCLUSIVE_WAIT_MS / 2,
};

static void spec_of(struct service_spec *spec, unsigned service, uint32_t number)
{
    char name[] = {(char)('a' + service), '\0'};
    fixture_spec(spec, name);
    spec->stop_grace_ms = number;
    spec->replicas = service == 3 ? 1 : 5;
    spec->mode = service == 2 ? SPEC_GLOBAL : SPEC_REPLICATED;
    spec->exclusive = service == 3;
    spec->update.order = service == 1 ? SPEC_STOP_FIRST : SPEC_START_FIRST;
    spec->update.parallelism = 1 + service % 2;
}

static void deploy(struct cluster *c, uint32_t numbers[SERVICES])
{
    struct service_spec specs[SERVICES];
    for (unsigned i = 0; i < SERVICES; i++)
        spec_of(&specs[i], i, numbers[i]);
    assert_int_equal(fixture_deploy(&c->f, "s", specs, SERVICES), 0);
    for (unsigned i = 0; i < SERVICES; i++)
        service_spec_done(&specs[i]);
}

/* One thing that may happen to a cluster. At least two peers stay alive and active. */
static void happen(struct cluster *c, struct random *random, uint32_t numbers[SERVICES])
{
    unsigned peer = (unsigned)random_below(random, PEERS);
    struct id id = fixture_id(peer);
    bool may_harm = peer >= 2;
    switch (random_below(random, 10)) {
    case 0:
        if (may_harm && view_peer_find(&c->view, &id)->liveness != VIEW_DEAD)
            cluster_see(c, peer, VIEW_DEAD);
        break;
    case 1:
        if (view_peer_find(&c->view, &id)->liveness == VIEW_ALIVE && may_harm)
            cluster_see(c, peer, VIEW_SUSPECT);
        break;
    case 2:
    case 3:
        cluster_see(c, peer, VIEW_ALIVE);
        break;
    case 4:
        fixture_peer_state(&c->f, peer, may_harm ? INTENT_DRAINING : INTENT_ACTIVE);
        break;
    case 5:
        fixture_peer_state(&c->f, peer, INTENT_ACTIVE);
        break;
    case 6:
        if (random_chance(random, 1, 4)) {
            numbers[random_below(random, SERVICES)]++;
            deploy(c, numbers);
        }
        break;
    case 7:
        fixture_scale(&c->f, "s_a", (uint32_t)random_below(random, 9));
        break;
    case 8:
        if (c->view.replicas.count > 0) {
            const struct view_replica *seen =
                c->view.replicas.items[random_below(random, c->view.replicas.count)];
            if (intent_replica_find(c->f.intent, seen->generation))
                cluster_report(c, seen->generation,
                               random_chance(random, 1, 2) ? VIEW_REPLICA_STARTING
                                                           : VIEW_REPLICA_BACKOFF,
                               VIEW_HEALTH_NONE);
        }
        break;
    case 9:
        if (random_chance(random, 1, 8))
            cluster_new_leader(c);
        break;
    }
}

/* Everything that once ran runs well again, and every peer is back. */
static void recover(struct cluster *c)
{
    for (unsigned i = 0; i < PEERS; i++) {
        cluster_see(c, i, VIEW_ALIVE);
        fixture_peer_state(&c->f, i, INTENT_ACTIVE);
    }
    for (size_t i = 0; i < c->view.replicas.count; i++) {
        struct view_replica *seen = c->view.replicas.items[i];
        seen->state = VIEW_REPLICA_RUNNING;
        seen->restarts = 0;
    }
}

/* What the test knows of each generation beyond the view. */
struct container {
    bool is_exclusive;
    bool lease_ended; /* on a peer that was cut off for too long: it has stopped it */
};

static bool is_cut_off(const struct cluster *c, const struct view_replica *seen)
{
    return view_peer_find(&c->view, &seen->peer)->liveness == VIEW_DEAD;
}

/* Containers on a peer that is cut off run on, but exclusive ones only until their lease ends; a
 * peer that is back starts those that the intent still has. */
static void end_leases(const struct cluster *c, struct container *containers, bool obeyed)
{
    for (size_t i = 0; i < c->view.replicas.count; i++) {
        const struct view_replica *seen = c->view.replicas.items[i];
        struct container *container = &containers[seen->generation];
        int64_t since_ms = view_peer_find(&c->view, &seen->peer)->since_ms;
        if (is_cut_off(c, seen) && c->now_ms - since_ms >= LEASE_MS)
            container->lease_ended = true;
        else if (!is_cut_off(c, seen) && obeyed)
            container->lease_ended = false;
    }
}

static void check_exclusive(const struct cluster *c, const struct container *containers)
{
    size_t running = 0;
    for (size_t i = 0; i < c->view.replicas.count; i++) {
        const struct view_replica *seen = c->view.replicas.items[i];
        const struct container *container = &containers[seen->generation];
        running += container->is_exclusive && !container->lease_ended;
    }
    assert_in_range(running, 0, 1);
}

static void check_calm(const struct cluster *c)
{
    for (size_t i = 0; i < c->f.intent->services.count; i++) {
        const struct intent_service *service = c->f.intent->services.items[i];
        size_t wanted = strcmp(service->name, "s_c") == 0 ? PEERS : service->replicas;
        assert_int_equal(cluster_count(c, service->name), wanted);
        assert_int_equal(cluster_serving(c, service->name), wanted);
        for (uint32_t slot = 1; slot <= wanted; slot++)
            assert_non_null(cluster_replica(c, service->name, slot));
        if (service->rollout.state == INTENT_ROLLOUT_FAILED)
            continue; /* going back failed: it stands still between two revisions */
        assert_true(service->rollout.state == INTENT_ROLLOUT_DONE ||
                    service->rollout.state == INTENT_ROLLOUT_ROLLED_BACK);
        assert_int_equal(cluster_count_of(c, service->name, service->revision), wanted);
    }
    for (size_t i = 0; i < c->f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c->f.intent->replicas.items[i];
        assert_int_equal(replica->want, INTENT_RUN);
    }
}

static void note_exclusive(const struct cluster *c, struct container *containers)
{
    for (size_t i = 0; i < c->f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c->f.intent->replicas.items[i];
        assert_true(replica->generation < GENERATIONS_MAX);
        containers[replica->generation].is_exclusive = strcmp(replica->service, "s_d") == 0;
    }
}

static void run_seed(uint64_t seed)
{
    struct cluster c;
    struct random random;
    uint32_t numbers[SERVICES] = {0};
    struct container *containers = calloc(GENERATIONS_MAX, sizeof(*containers));
    assert_non_null(containers);
    random_init(&random, seed);
    cluster_init(&c, PEERS);
    deploy(&c, numbers);
    for (int step = 0; step < STEPS; step++) {
        happen(&c, &random, numbers);
        end_leases(&c, containers, false);
        cluster_step(&c);
        note_exclusive(&c, containers);
        bool obeyed = random_chance(&random, 3, 4);
        if (obeyed)
            cluster_obey(&c);
        end_leases(&c, containers, obeyed);
        check_exclusive(&c, containers);
        c.now_ms += (int64_t)random_below(&random, STEP_MS_MAX);
        end_leases(&c, containers, false);
    }
    recover(&c);
    cluster_calm(&c);
    check_calm(&c);
    free(containers);
    cluster_done(&c);
}

/* Breaks if, after any trouble, a slot stays empty or doubled, a rollout hangs, or at any time two
 * exclusive replicas run. */
static void test_random(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

static void assert_says(struct cluster *c, const char *service, const char *text)
{
    cleanup_buffer struct buffer words = {0};
    assert_int_equal(control_explain(c->f.intent, &c->view, service, &words), 0);
    char *said = buffer_take_text(&words);
    assert_non_null(said);
    if (!strstr(said, text))
        fail_msg("\"%s\" is not in: %s", text, said);
    free(said);
}

/* Breaks if `why` does not name what keeps a replica from its place, peer by peer. */
static void test_explain_places(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cleanup_buffer struct buffer words = {0};
    cluster_init(&c, 6);
    fixture_spec(&spec, "web");
    spec.replicas = 3;
    spec.max_replicas_per_node = 1;
    spec.resources.memory_reserved_bytes = cluster_memory_bytes;
    assert_int_equal(text_list_add(&spec.constraints, "node.labels.zone==a"), 0);
    cluster_labels(&c, 0, "zone=a");
    cluster_labels(&c, 1, "zone=a");
    cluster_labels(&c, 2, "zone=a");
    struct id id = fixture_id(2);
    view_peer_find(&c.view, &id)->capacity.memory_bytes /= 4;
    cluster_see(&c, 4, VIEW_DEAD);
    assert_int_equal(fixture_peer_state(&c.f, 5, INTENT_DRAINING), 0);
    cluster_deploy(&c, &spec);
    cluster_calm(&c);
    assert_says(&c, "s_web", "s_web: 2 of 3 serve, revision 1, rollout running");
    assert_says(&c, "s_web", "s_web.3 waits for a peer that may take it:\n");
    assert_says(&c, "s_web", "  a has 1 already, the most for one peer\n");
    assert_says(&c, "s_web", "  c needs 4096M of memory, 1024M are free\n");
    assert_says(&c, "s_web", "  d does not meet the constraint node.labels.zone==a\n");
    assert_says(&c, "s_web", "  e is dead\n");
    assert_says(&c, "s_web", "  f is draining\n");
    assert_int_equal(control_explain(c.f.intent, &c.view, "s_none", &words), -ENOENT);
    cluster_done(&c);
}

/* Breaks if `why` does not say what is wrong with a replica that is placed. */
static void test_explain_replicas(void **state)
{
    (void)state;
    struct cluster c;
    struct service_spec spec;
    cluster_init(&c, 1);
    fixture_spec(&spec, "web");
    spec.resources.cpu_reserved_millis = CLUSTER_CPU_MILLIS;
    cluster_deploy(&c, &spec);
    c.bad_revision = 1;
    cluster_calm(&c);
    assert_says(&c, "s_web", "rollout failed: s_web.1 on a crashes (2 restarts, exit code 1)");
    assert_says(&c, "s_web", "\ns_web.1 on a crashes (2 restarts, exit code 1): no such table\n");
    cluster_report(&c, 1, VIEW_REPLICA_RUNNING, VIEW_HEALTH_BAD);
    assert_says(&c, "s_web", "s_web.1 on a is unhealthy");
    cluster_report(&c, 1, VIEW_REPLICA_RUNNING, VIEW_HEALTH_STARTING);
    assert_says(&c, "s_web", "s_web.1 on a runs, its health is not known yet");
    cluster_report(&c, 1, VIEW_REPLICA_FAILED, VIEW_HEALTH_NONE);
    assert_says(&c, "s_web", "s_web.1 on a can't be started");
    cluster_report(&c, 1, VIEW_REPLICA_PENDING, VIEW_HEALTH_NONE);
    assert_says(&c, "s_web", "s_web.1 on a is being prepared");
    view_replica_remove(&c.view, 1);
    assert_says(&c, "s_web", "s_web.1 on a is not heard of yet");
    assert_int_equal(fixture_scale(&c.f, "s_web", 2), 0);
    assert_says(&c, "s_web", "  a needs 4000m of CPU, 0m are free\n");
    cluster_see(&c, 0, VIEW_SUSPECT);
    assert_says(&c, "s_web", "s_web.1: a does not answer\n");
    assert_int_equal(fixture_remove(&c.f, "s_web", false), 0);
    assert_says(&c, "s_web", "s_web is being removed\n");
    cluster_done(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_explain_places),
        cmocka_unit_test(test_explain_replicas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
