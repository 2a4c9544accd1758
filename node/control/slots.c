#include "node/control/slots.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "node/control/constraint.h"

static bool is_draining(const struct world_replica *replica)
{
    return replica->peer->intent->state != INTENT_ACTIVE;
}

bool slots_replica_is_good(const struct slots *slots, const struct world_service *service,
                           const struct world_replica *replica)
{
    return replica->runs && !replica->lost && !is_draining(replica) &&
           (slots->frozen || replica->intent->revision == service->intent->revision);
}

static bool has_replica(const struct world_service *service, const struct world_peer *peer)
{
    for (size_t i = 0; i < service->replica_count; i++)
        if (service->replicas[i].peer == peer && service->replicas[i].runs)
            return true;
    return false;
}

/* Whether a global service shall run on the peer. What is there stays while the peer's labels are
 * not known. */
static bool is_home(const struct world_service *service, const struct world_peer *peer)
{
    if (peer->intent->role != INTENT_PEER || peer->intent->state != INTENT_ACTIVE)
        return false;
    if (!peer->view || !peer->view->has_capacity)
        return has_replica(service, peer);
    return !constraint_unmet(&service->spec->constraints, peer->intent, &peer->view->capacity);
}

static int replicated_init(struct slots *slots, const struct world_service *service)
{
    uint32_t count = service->intent->replicas;
    slots->items = calloc((size_t)count + 1, sizeof(*slots->items));
    if (!slots->items)
        return -ENOMEM;
    slots->count = count;
    for (uint32_t i = 0; i < count; i++)
        slots->items[i].number = i + 1;
    return 0;
}

static struct slot *slot_at_home(struct slots *slots, const struct world_peer *peer)
{
    for (size_t i = 0; i < slots->count; i++)
        if (slots->items[i].home == peer)
            return &slots->items[i];
    return NULL;
}

/* Numbers the slots: as their replicas are, where no two homes claim one number, else the lowest
 * that is free. */
static int number_slots(struct slots *slots, const struct world_service *service)
{
    size_t number_count = slots->count + service->replica_count + 1;
    cleanup_free bool *taken = calloc(number_count + 1, sizeof(*taken));
    if (!taken)
        return -ENOMEM;
    for (size_t i = 0; i < service->replica_count; i++) {
        const struct world_replica *replica = &service->replicas[i];
        uint32_t number = replica->intent->slot;
        struct slot *slot = slot_at_home(slots, replica->peer);
        if (number > number_count || taken[number] || replica->deleted)
            continue;
        taken[number] = true;
        if (slot && slot->number == 0)
            slot->number = number;
    }
    uint32_t next = 1;
    for (size_t i = 0; i < slots->count; i++) {
        if (slots->items[i].number != 0)
            continue;
        while (taken[next])
            next++;
        taken[next] = true;
        slots->items[i].number = next;
    }
    return 0;
}

static int global_init(struct slots *slots, const struct world *world,
                       const struct world_service *service)
{
    slots->items = calloc(world->peer_count + 1, sizeof(*slots->items));
    if (!slots->items)
        return -ENOMEM;
    for (size_t i = 0; i < world->peer_count; i++)
        if (is_home(service, &world->peers[i]))
            slots->items[slots->count++].home = &world->peers[i];
    return number_slots(slots, service);
}

/* The better of two that fill one slot: the one that serves, then the one that is there longer. */
static struct world_replica *better(struct world_replica *a, struct world_replica *b)
{
    if (!a || !b)
        return a ? a : b;
    if (a->serves != b->serves)
        return a->serves ? a : b;
    return a->intent->generation < b->intent->generation ? a : b;
}

static void sort_in(struct slots *slots, const struct world_service *service,
                    struct world_replica *replica)
{
    bool is_global = service->spec->mode == SPEC_GLOBAL;
    struct slot *slot = NULL;
    if (is_global)
        slot = slot_at_home(slots, replica->peer);
    else if (replica->intent->slot <= slots->count)
        slot = &slots->items[replica->intent->slot - 1];
    replica->slot_index = slot ? (size_t)(slot - slots->items) : SIZE_MAX;
    if (!slot)
        return;
    if (replica->lost)
        slot->lost = replica;
    else if (slots_replica_is_good(slots, service, replica))
        slot->good = better(slot->good, replica);
    else if (replica->runs)
        slot->stale = better(slot->stale, replica);
    else if (!replica->deleted)
        slot->is_ending = true;
}

int slots_init(struct slots *slots, const struct world *world, struct world_service *service)
{
    uint8_t state = service->intent->rollout.state;
    *slots = (struct slots){
        .frozen = state == INTENT_ROLLOUT_PAUSED || state == INTENT_ROLLOUT_FAILED,
    };
    int rc = service->spec->mode == SPEC_GLOBAL ? global_init(slots, world, service)
                                                : replicated_init(slots, service);
    if (rc < 0) {
        slots_done(slots);
        return rc;
    }
    for (size_t i = 0; i < service->replica_count; i++)
        sort_in(slots, service, &service->replicas[i]);
    return 0;
}

void slots_done(struct slots *slots)
{
    free(slots->items);
    *slots = (struct slots){0};
}
