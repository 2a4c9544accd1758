#include "node/control/world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_alive(const struct view_peer *peer)
{
    return peer && peer->liveness == VIEW_ALIVE;
}

/* Alive as far as is known: a suspect may still be heard of. */
static bool is_reachable(const struct view_peer *peer)
{
    return peer && (peer->liveness == VIEW_ALIVE || peer->liveness == VIEW_SUSPECT);
}

static int peers_init(struct world *world, const struct view *view)
{
    const struct table *peers = &world->intent->peers;
    world->peers = calloc(peers->count + 1, sizeof(*world->peers));
    if (!world->peers)
        return -ENOMEM;
    world->peer_count = peers->count;
    for (size_t i = 0; i < peers->count; i++) {
        struct world_peer *peer = &world->peers[i];
        peer->intent = peers->items[i];
        peer->view = view_peer_find(view, &peer->intent->id);
        peer->takes_replicas = peer->intent->role == INTENT_PEER &&
                               peer->intent->state == INTENT_ACTIVE && is_alive(peer->view) &&
                               peer->view->has_capacity;
    }
    return 0;
}

static int compare_replicas(const void *a, const void *b)
{
    const struct intent_replica *left = ((const struct world_replica *)a)->intent;
    const struct intent_replica *right = ((const struct world_replica *)b)->intent;
    int order = strcmp(left->service, right->service);
    if (order != 0)
        return order;
    if (left->slot != right->slot)
        return left->slot < right->slot ? -1 : 1;
    return left->generation < right->generation ? -1 : left->generation > right->generation;
}

/* What others say of this replica does not count: only its own peer knows. */
static const struct view_replica *find_report(const struct view *view,
                                              const struct intent_replica *replica)
{
    const struct view_replica *report = view_replica_find(view, replica->generation);
    return report && id_equal(&report->peer, &replica->peer) ? report : NULL;
}

static int replicas_init(struct world *world, const struct view *view)
{
    const struct table *replicas = &world->intent->replicas;
    world->replicas = calloc(replicas->count + 1, sizeof(*world->replicas));
    if (!world->replicas)
        return -ENOMEM;
    world->replica_count = replicas->count;
    for (size_t i = 0; i < replicas->count; i++) {
        struct world_replica *replica = &world->replicas[i];
        replica->intent = replicas->items[i];
        replica->view = find_report(view, replica->intent);
        replica->peer =
            &world->peers[table_lower_bound(&world->intent->peers, &replica->intent->peer)];
        replica->runs = replica->intent->want == INTENT_RUN;
        replica->serves = replica->view && view_replica_serves(replica->view) &&
                          is_alive(replica->peer->view) &&
                          intent_peer_is_member(replica->peer->intent);
        replica->slot_index = SIZE_MAX;
    }
    qsort(world->replicas, world->replica_count, sizeof(*world->replicas), compare_replicas);
    return 0;
}

void world_reserve(struct world_peer *peer, const struct service_spec *spec)
{
    peer->cpu_reserved_millis += spec->resources.cpu_reserved_millis;
    peer->memory_reserved_bytes += spec->resources.memory_reserved_bytes;
    peer->replica_count++;
}

/* Services and replicas are both in the order of the services' names. */
static int services_init(struct world *world)
{
    const struct table *services = &world->intent->services;
    world->services = calloc(services->count + 1, sizeof(*world->services));
    if (!world->services)
        return -ENOMEM;
    world->service_count = services->count;
    struct world_replica *replica = world->replicas, *end = replica + world->replica_count;
    for (size_t i = 0; i < services->count; i++) {
        struct world_service *service = &world->services[i];
        service->intent = services->items[i];
        service->spec = &intent_revision_find(service->intent, service->intent->revision)->spec;
        service->replicas = replica;
        for (; replica < end && strcmp(replica->intent->service, service->intent->name) == 0;
             replica++) {
            replica->spec = &intent_revision_find(service->intent, replica->intent->revision)->spec;
            world_reserve(replica->peer, replica->spec);
            service->replica_count++;
        }
    }
    return 0;
}

static void start_clock(int64_t *since_ms, bool runs, int64_t now_ms)
{
    if (!runs)
        *since_ms = MEMORY_NEVER;
    else if (*since_ms == MEMORY_NEVER)
        *since_ms = now_ms;
}

/* A peer that starts anew has not said yet what it holds: that it is silent about a replica then
 * does not mean that this is gone, whatever it said before. */
static void note_report(struct world_replica *replica)
{
    struct memory_replica *memory = replica->memory;
    uint32_t start = replica->peer->view ? replica->peer->view->start : 0;
    if (replica->view) {
        memory->was_reported = true;
        memory->reported_start = start;
    } else if (start != memory->reported_start) {
        memory->was_reported = false;
    }
}

static void remember(struct world_replica *replica, int64_t now_ms)
{
    struct memory_replica *memory = replica->memory;
    bool reachable =
        is_reachable(replica->peer->view) && intent_peer_is_member(replica->peer->intent);
    note_report(replica);
    start_clock(&memory->peer_away_since_ms, !reachable, now_ms);
    start_clock(&memory->absent_since_ms, reachable && !replica->view, now_ms);
    start_clock(&memory->serving_since_ms,
                reachable && replica->view && view_replica_serves(replica->view), now_ms);
}

static int memory_fill(struct world *world, struct memory *memory)
{
    for (size_t i = 0; i < world->replica_count; i++) {
        struct world_replica *replica = &world->replicas[i];
        replica->memory = memory_replica_get(memory, replica->intent->generation);
        if (!replica->memory)
            return -ENOMEM;
        remember(replica, world->now_ms);
    }
    return 0;
}

int world_init(struct world *world, const struct intent *intent, const struct view *view,
               struct memory *memory, int64_t now_ms)
{
    *world = (struct world){.intent = intent, .now_ms = now_ms, .deadline_ms = INT64_MAX};
    world->changes = calloc(COMMAND_PLACE_CHANGES_MAX, sizeof(*world->changes));
    int rc = world->changes ? peers_init(world, view) : -ENOMEM;
    if (rc == 0)
        rc = replicas_init(world, view);
    if (rc == 0)
        rc = services_init(world);
    if (rc == 0 && memory)
        rc = memory_fill(world, memory);
    if (rc < 0)
        world_done(world);
    return rc;
}

void world_done(struct world *world)
{
    free(world->peers);
    free(world->replicas);
    free(world->services);
    free(world->changes);
    *world = (struct world){0};
}

size_t world_room(const struct world *world)
{
    return COMMAND_PLACE_CHANGES_MAX - world->change_count;
}

void world_wake_at(struct world *world, int64_t at_ms)
{
    if (at_ms < world->deadline_ms)
        world->deadline_ms = at_ms;
}

/* The next change of the batch, zeroed; NULL when the batch is full, with the rest due at once. */
static struct command_place_change *change_new(struct world *world, const char *reason)
{
    if (world_room(world) == 0) {
        world_wake_at(world, world->now_ms);
        return NULL;
    }
    struct command_place_change *change = &world->changes[world->change_count++];
    snprintf(change->reason, sizeof(change->reason), "%s", reason);
    return change;
}

bool world_add(struct world *world, const struct world_service *service,
               const struct service_spec *spec, uint32_t slot, uint32_t revision,
               struct world_peer *peer, const char *reason)
{
    struct command_place_change *change = change_new(world, reason);
    if (!change)
        return false;
    change->action = COMMAND_PLACE_ADD;
    memcpy(change->service, service->intent->name, sizeof(change->service));
    change->slot = slot;
    change->revision = revision;
    change->peer = peer->intent->id;
    world_reserve(peer, spec);
    return true;
}

bool world_stop(struct world *world, struct world_replica *replica, const char *reason)
{
    struct command_place_change *change = change_new(world, reason);
    if (!change)
        return false;
    change->action = COMMAND_PLACE_STOP;
    change->generation = replica->intent->generation;
    replica->runs = false;
    return true;
}

bool world_delete(struct world *world, struct world_replica *replica, const char *reason)
{
    struct command_place_change *change = change_new(world, reason);
    if (!change)
        return false;
    change->action = COMMAND_PLACE_DELETE;
    change->generation = replica->intent->generation;
    replica->runs = false;
    replica->deleted = true;
    replica->peer->cpu_reserved_millis -= replica->spec->resources.cpu_reserved_millis;
    replica->peer->memory_reserved_bytes -= replica->spec->resources.memory_reserved_bytes;
    replica->peer->replica_count--;
    return true;
}
