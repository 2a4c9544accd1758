#include "tests/unit/node/control/control_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    CLUSTER_START_MS = 100000,
    CLUSTER_ROUNDS_MAX =
        10000, /* of deciding and obeying: more means that it never comes to rest */
    CLUSTER_CALM_MS = 3600 * 1000,
};

void cluster_init(struct cluster *c, unsigned peer_count)
{
    *c = (struct cluster){.now_ms = CLUSTER_START_MS};
    fixture_init(&c->f, peer_count);
    view_init(&c->view);
    cluster_new_leader(c);
    for (unsigned i = 0; i < peer_count; i++) {
        cluster_see(c, i, VIEW_ALIVE);
        cluster_labels(c, i, "");
    }
}

void cluster_done(struct cluster *c)
{
    control_free(c->control);
    view_done(&c->view);
    fixture_done(&c->f);
}

void cluster_new_leader(struct cluster *c)
{
    control_free(c->control);
    c->control =
        control_new(&(struct control_config){.exclusive_wait_ms = CLUSTER_EXCLUSIVE_WAIT_MS});
    assert_non_null(c->control);
}

void cluster_see(struct cluster *c, unsigned peer, enum view_liveness liveness)
{
    struct id id = fixture_id(peer);
    struct view_peer *seen = view_peer_get(&c->view, &id);
    assert_non_null(seen);
    seen->liveness = (uint8_t)liveness;
    seen->since_ms = c->now_ms;
}

void cluster_labels(struct cluster *c, unsigned peer, const char *labels)
{
    struct id id = fixture_id(peer);
    struct view_peer *seen = view_peer_get(&c->view, &id);
    assert_non_null(seen);
    seen->has_capacity = true;
    seen->capacity.cpu_millis = CLUSTER_CPU_MILLIS;
    seen->capacity.memory_bytes = cluster_memory_bytes;
    snprintf(seen->capacity.labels, sizeof(seen->capacity.labels), "%s", labels);
}

void cluster_deploy(struct cluster *c, struct service_spec *spec)
{
    assert_int_equal(fixture_deploy(&c->f, "s", spec, 1), 0);
    service_spec_done(spec);
}

size_t cluster_step(struct cluster *c)
{
    struct control_output output;
    size_t change_count = 0;
    assert_int_equal(
        control_step(c->control, c->f.intent, &c->view, c->now_ms, c->f.wall_ms, &output), 0);
    for (size_t i = 0; i < output.command_count; i++) {
        const struct command *command = &output.commands[i];
        assert_string_equal(command->head.actor, "consort");
        bool is_place = command->head.type == COMMAND_PLACE;
        if (is_place)
            assert_in_range(command->place.change_count, 1, COMMAND_PLACE_CHANGES_MAX);
        change_count += is_place ? command->place.change_count : 1;
        if (fixture_apply(&c->f, command) != 0)
            fail_msg("refused: %s", c->f.result.error.message);
    }
    c->deadline_ms = output.next_deadline_ms;
    control_output_done(&output);
    return change_count;
}

static bool is_alive(const struct cluster *c, const struct id *id)
{
    const struct view_peer *peer = view_peer_find(&c->view, id);
    return peer && (peer->liveness == VIEW_ALIVE || peer->liveness == VIEW_SUSPECT);
}

void cluster_report(struct cluster *c, uint64_t generation, enum view_replica_state state,
                    enum view_health health)
{
    const struct intent_replica *replica = intent_replica_find(c->f.intent, generation);
    struct view_replica *seen = view_replica_get(&c->view, generation);
    assert_non_null(replica);
    assert_non_null(seen);
    seen->peer = replica->peer;
    seen->state = (uint8_t)state;
    seen->health = (uint8_t)health;
    seen->exit_code = state == VIEW_REPLICA_BACKOFF || state == VIEW_REPLICA_FAILED;
    seen->restarts = state == VIEW_REPLICA_BACKOFF ? CONTROL_CRASHES_MAX : 0;
    snprintf(seen->detail, sizeof(seen->detail), "%s",
             state == VIEW_REPLICA_BACKOFF ? "no such table" : "");
}

void cluster_obey(struct cluster *c)
{
    for (size_t i = c->view.replicas.count; i-- > 0;) {
        const struct view_replica *seen = c->view.replicas.items[i];
        const struct intent_replica *replica = intent_replica_find(c->f.intent, seen->generation);
        if (is_alive(c, &seen->peer) && (!replica || replica->want == INTENT_STOP))
            view_replica_remove(&c->view, seen->generation);
    }
    for (size_t i = 0; i < c->f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c->f.intent->replicas.items[i];
        if (replica->want == INTENT_STOP || !is_alive(c, &replica->peer) ||
            view_replica_find(&c->view, replica->generation))
            continue;
        bool is_bad = c->bad_revision != 0 && replica->revision == c->bad_revision;
        cluster_report(c, replica->generation, is_bad ? VIEW_REPLICA_BACKOFF : VIEW_REPLICA_RUNNING,
                       c->health);
    }
}

void cluster_run(struct cluster *c, int64_t limit_ms)
{
    int64_t end_ms = c->now_ms + limit_ms;
    for (int round = 0; round < CLUSTER_ROUNDS_MAX; round++) {
        cluster_obey(c);
        if (cluster_step(c) > 0)
            continue;
        if (c->deadline_ms > end_ms) {
            if (end_ms < c->now_ms + CLUSTER_CALM_MS)
                c->now_ms = end_ms;
            return;
        }
        assert_true(c->deadline_ms > c->now_ms);
        c->now_ms = c->deadline_ms;
    }
    fail_msg("control does not come to rest");
}

void cluster_calm(struct cluster *c)
{
    cluster_run(c, CLUSTER_CALM_MS);
}

/* Counts what shall run and meets all conditions; peer -1 and revision 0: any. */
static size_t count(const struct cluster *c, const char *service, int peer, uint32_t revision,
                    bool only_serving)
{
    size_t found = 0;
    for (size_t i = 0; i < c->f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c->f.intent->replicas.items[i];
        const struct view_replica *seen = view_replica_find(&c->view, replica->generation);
        struct id id = fixture_id(peer < 0 ? 0 : (unsigned)peer);
        bool serves = seen && view_replica_serves(seen) && is_alive(c, &replica->peer);
        found += strcmp(replica->service, service) == 0 && replica->want == INTENT_RUN &&
                 (peer < 0 || id_equal(&replica->peer, &id)) &&
                 (revision == 0 || replica->revision == revision) && (!only_serving || serves);
    }
    return found;
}

size_t cluster_count(const struct cluster *c, const char *service)
{
    return count(c, service, -1, 0, false);
}

size_t cluster_count_at(const struct cluster *c, const char *service, unsigned peer)
{
    return count(c, service, (int)peer, 0, false);
}

size_t cluster_count_of(const struct cluster *c, const char *service, uint32_t revision)
{
    return count(c, service, -1, revision, false);
}

size_t cluster_serving(const struct cluster *c, const char *service)
{
    return count(c, service, -1, 0, true);
}

const struct intent_replica *cluster_replica(const struct cluster *c, const char *service,
                                             uint32_t slot)
{
    const struct intent_replica *found = NULL;
    for (size_t i = 0; i < c->f.intent->replicas.count; i++) {
        const struct intent_replica *replica = c->f.intent->replicas.items[i];
        if (strcmp(replica->service, service) != 0 || replica->slot != slot ||
            replica->want != INTENT_RUN)
            continue;
        assert_null(found);
        found = replica;
    }
    assert_non_null(found);
    return found;
}

uint8_t cluster_rollout_state(const struct cluster *c, const char *service)
{
    return fixture_service(&c->f, service)->rollout.state;
}
