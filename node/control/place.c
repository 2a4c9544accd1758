#include "node/control/place.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/constraint.h"

enum {
    PERMILLE = 1000,
};

static const uint64_t fnv_offset = 0xcbf29ce484222325, fnv_prime = 0x100000001b3;

static size_t peer_index(const struct placer *placer, const struct world_peer *peer)
{
    return (size_t)(peer - placer->world->peers);
}

static const struct view_capacity *capacity_of(const struct world_peer *peer)
{
    return peer->view && peer->view->has_capacity ? &peer->view->capacity : NULL;
}

/* Gives every peer the number of the first peer that has the same value of the preference. */
static void group(struct placer *placer, size_t preference, struct bytes *values)
{
    const struct world *world = placer->world;
    const char *key = placer->spec->spread.items[preference];
    for (size_t i = 0; i < world->peer_count; i++) {
        const struct world_peer *peer = &world->peers[i];
        values[i] = constraint_value(key, strlen(key), peer->intent, capacity_of(peer));
        size_t first = 0;
        while (first < i && (placer->seats[first].groups[preference] != first ||
                             !bytes_equal(values[first], values[i])))
            first++;
        placer->seats[i].groups[preference] = first;
    }
}

static int groups_init(struct placer *placer)
{
    size_t peer_count = placer->world->peer_count;
    placer->spread_count = placer->spec->spread.count;
    if (placer->spread_count > CONTROL_SPREADS_MAX)
        placer->spread_count = CONTROL_SPREADS_MAX;
    if (placer->spread_count == 0)
        return 0;
    struct bytes *values = calloc(peer_count + 1, sizeof(*values));
    if (!values)
        return -ENOMEM;
    int rc = 0;
    for (size_t i = 0; i < placer->spread_count && rc == 0; i++) {
        group(placer, i, values);
        placer->group_running[i] = calloc(peer_count + 1, sizeof(**placer->group_running));
        rc = placer->group_running[i] ? 0 : -ENOMEM;
    }
    free(values);
    return rc;
}

void placer_count(struct placer *placer, const struct world_peer *peer, int change)
{
    struct place_seat *seat = &placer->seats[peer_index(placer, peer)];
    seat->running += (uint32_t)change;
    for (size_t i = 0; i < placer->spread_count; i++)
        placer->group_running[i][seat->groups[i]] += (uint32_t)change;
}

/* Counts what runs, and what was planned to: additions are not among the world's replicas yet. */
static void count_all(struct placer *placer, const struct world_service *service)
{
    const struct world *world = placer->world;
    for (size_t i = 0; i < service->replica_count; i++)
        if (service->replicas[i].runs)
            placer_count(placer, service->replicas[i].peer, 1);
    for (size_t i = 0; i < world->change_count; i++) {
        const struct command_place_change *change = &world->changes[i];
        if (change->action == COMMAND_PLACE_ADD && strcmp(change->service, placer->service) == 0)
            placer_count(placer,
                         &world->peers[table_lower_bound(&world->intent->peers, &change->peer)], 1);
    }
}

int placer_init(struct placer *placer, const struct world *world,
                const struct world_service *service, const struct service_spec *spec)
{
    *placer = (struct placer){.world = world,
                              .spec = spec,
                              .service = service->intent->name,
                              .has_volumes = service_spec_has_volumes(spec)};
    placer->seats = calloc(world->peer_count + 1, sizeof(*placer->seats));
    if (!placer->seats) {
        placer_done(placer); /* or its spec would say that it is ready */
        return -ENOMEM;
    }
    for (size_t i = 0; i < world->peer_count; i++) {
        const struct world_peer *peer = &world->peers[i];
        placer->seats[i].meets_constraints =
            !constraint_unmet(&spec->constraints, peer->intent, capacity_of(peer));
    }
    if (groups_init(placer) < 0) {
        placer_done(placer);
        return -ENOMEM;
    }
    count_all(placer, service);
    return 0;
}

void placer_done(struct placer *placer)
{
    free(placer->seats);
    for (size_t i = 0; i < CONTROL_SPREADS_MAX; i++)
        free(placer->group_running[i]);
    *placer = (struct placer){0};
}

static const struct spec_resources *released(const struct world_peer *peer,
                                             const struct place_request *request)
{
    static const struct spec_resources none;
    bool here = request->replaced && request->replaced_is_gone && request->replaced->peer == peer;
    return here ? &request->replaced->spec->resources : &none;
}

static enum place_verdict check_resources(const struct placer *placer,
                                          const struct world_peer *peer,
                                          const struct place_request *request)
{
    const struct spec_resources *needs = &placer->spec->resources;
    const struct spec_resources *freed = released(peer, request);
    const struct view_capacity *capacity = &peer->view->capacity;
    uint64_t cpu_used = peer->cpu_reserved_millis - freed->cpu_reserved_millis;
    uint64_t memory_used = peer->memory_reserved_bytes - freed->memory_reserved_bytes;
    if (needs->cpu_reserved_millis > 0 &&
        (cpu_used > capacity->cpu_millis ||
         needs->cpu_reserved_millis > capacity->cpu_millis - cpu_used))
        return PLACE_CPU;
    if (needs->memory_reserved_bytes > 0 &&
        (memory_used > capacity->memory_bytes ||
         needs->memory_reserved_bytes > capacity->memory_bytes - memory_used))
        return PLACE_MEMORY;
    return PLACE_FITS;
}

enum place_verdict placer_check(const struct placer *placer, const struct world_peer *peer,
                                const struct place_request *request, const char **ret_unmet)
{
    const struct place_seat *seat = &placer->seats[peer_index(placer, peer)];
    const struct service_spec *spec = placer->spec;
    if (peer->intent->state != INTENT_ACTIVE)
        return PLACE_NOT_ACTIVE;
    if (!peer->view || peer->view->liveness != VIEW_ALIVE)
        return PLACE_UNREACHED;
    if (!peer->takes_replicas)
        return PLACE_UNKNOWN;
    if (!seat->meets_constraints) {
        if (ret_unmet)
            *ret_unmet = constraint_unmet(&spec->constraints, peer->intent, capacity_of(peer));
        return PLACE_CONSTRAINT;
    }
    bool frees_one = request->replaced && request->replaced_is_gone && request->replaced->runs &&
                     request->replaced->peer == peer;
    if (spec->max_replicas_per_node > 0 &&
        seat->running - (frees_one ? 1 : 0) >= spec->max_replicas_per_node)
        return PLACE_FULL;
    return check_resources(placer, peer, request);
}

static uint64_t hash_bytes(uint64_t hash, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * fnv_prime;
    return hash;
}

/* FNV-1a with a last mixing step: its high bits alone change too little with the last bytes. */
uint64_t place_hash(const char *service, uint32_t slot, const struct id *peer)
{
    uint8_t slot_bytes[] = {(uint8_t)slot, (uint8_t)(slot >> 8), (uint8_t)(slot >> 16),
                            (uint8_t)(slot >> 24)};
    uint64_t hash = hash_bytes(fnv_offset, service, strlen(service));
    hash = hash_bytes(hash, slot_bytes, sizeof(slot_bytes));
    hash = hash_bytes(hash, peer->bytes, ID_BYTES);
    hash = (hash ^ hash >> 33) * 0xff51afd7ed558ccd;
    return hash ^ hash >> 33;
}

static uint64_t permille(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : part > UINT64_MAX / PERMILLE ? UINT64_MAX : part * PERMILLE / whole;
}

/* How much of the scarcer resource is reserved. */
static uint64_t load_of(const struct world_peer *peer)
{
    uint64_t cpu = permille(peer->cpu_reserved_millis, peer->view->capacity.cpu_millis);
    uint64_t memory = permille(peer->memory_reserved_bytes, peer->view->capacity.memory_bytes);
    return cpu > memory ? cpu : memory;
}

static int compare(uint64_t a, uint64_t b)
{
    return a < b ? -1 : a > b;
}

/* How many of the service's replicas stay in the seat's group, or at the seat with `preference` ==
 * spread_count. */
static uint32_t staying(const struct placer *placer, const struct place_request *request,
                        const struct place_seat *seat, size_t preference)
{
    bool is_group = preference < placer->spread_count;
    uint32_t count =
        is_group ? placer->group_running[preference][seat->groups[preference]] : seat->running;
    if (!request->replaced || !request->replaced->runs)
        return count;
    const struct place_seat *old = &placer->seats[peer_index(placer, request->replaced->peer)];
    bool counted = is_group ? old->groups[preference] == seat->groups[preference] : old == seat;
    return count - counted;
}

/* Negative when `a` is the better place. */
static int compare_places(const struct placer *placer, const struct place_request *request,
                          const struct world_peer *a, const struct world_peer *b)
{
    const struct place_seat *seat_a = &placer->seats[peer_index(placer, a)];
    const struct place_seat *seat_b = &placer->seats[peer_index(placer, b)];
    int order = 0;
    for (size_t i = 0; order == 0 && i <= placer->spread_count; i++)
        order = compare(staying(placer, request, seat_a, i), staying(placer, request, seat_b, i));
    if (order == 0 && !placer->has_volumes)
        order = compare(load_of(a), load_of(b));
    if (order == 0 && !placer->has_volumes)
        order = compare((uint64_t)a->replica_count * b->view->capacity.cpu_millis,
                        (uint64_t)b->replica_count * a->view->capacity.cpu_millis);
    if (order == 0)
        order = compare(place_hash(placer->service, request->slot, &b->intent->id),
                        place_hash(placer->service, request->slot, &a->intent->id));
    return order;
}

struct world_peer *placer_choose(const struct placer *placer, const struct place_request *request)
{
    struct world_peer *best = NULL;
    for (size_t i = 0; i < placer->world->peer_count; i++) {
        struct world_peer *peer = &placer->world->peers[i];
        if (request->home && peer != request->home)
            continue;
        if (peer->intent->role != INTENT_PEER ||
            placer_check(placer, peer, request, NULL) != PLACE_FITS)
            continue;
        if (!best || compare_places(placer, request, peer, best) < 0)
            best = peer;
    }
    return best;
}
