/* Keeps a service as it shall be: every slot has one replica, on a peer that lives and stays. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/plan.h"

static bool is_global(const struct plan *plan)
{
    return plan->service->spec->mode == SPEC_GLOBAL;
}

/* The slot number that a peer's replica of a global service has, or the lowest free one. */
static uint32_t global_slot(const struct plan *plan, const struct world_peer *peer)
{
    for (size_t i = 0; i < plan->service->replica_count; i++)
        if (plan->service->replicas[i].peer == peer)
            return plan->service->replicas[i].intent->slot;
    for (uint32_t number = 1;; number++) {
        bool is_free = true;
        for (size_t i = 0; i < plan->service->replica_count && is_free; i++)
            is_free = plan->service->replicas[i].intent->slot != number;
        for (size_t i = 0; i < plan->slot_count && is_free; i++)
            is_free = plan->slots[i].number != number;
        if (is_free)
            return number;
    }
}

static bool has_replica(const struct plan *plan, const struct world_peer *peer)
{
    for (size_t i = 0; i < plan->service->replica_count; i++)
        if (plan->service->replicas[i].peer == peer && plan->service->replicas[i].runs)
            return true;
    return false;
}

int plan_slots(struct plan *plan)
{
    size_t wanted = plan->service->intent->removing ? 0
                    : is_global(plan)               ? plan->world->peer_count
                                                    : plan->service->intent->replicas;
    plan->slots = calloc(wanted + 1, sizeof(*plan->slots));
    if (!plan->slots)
        return -ENOMEM;
    for (size_t i = 0; i < wanted; i++) {
        struct plan_slot slot = {.number = (uint32_t)i + 1};
        if (is_global(plan)) {
            const struct world_peer *peer = &plan->world->peers[i];
            struct place_request request = {.home = peer};
            if (peer->intent->role != INTENT_PEER || peer->intent->state != INTENT_ACTIVE ||
                (!has_replica(plan, peer) &&
                 placer_check(&plan->placer, peer, &request, NULL) != PLACE_FITS))
                continue;
            slot = (struct plan_slot){global_slot(plan, peer), peer};
        }
        plan->slots[plan->slot_count++] = slot;
    }
    return 0;
}

static const struct plan_slot *slot_of(const struct plan *plan,
                                       const struct world_replica *replica)
{
    for (size_t i = 0; i < plan->slot_count; i++)
        if (plan->slots[i].number == replica->intent->slot)
            return &plan->slots[i];
    return NULL;
}

/* A stopped replica goes from the intent once it is gone from its peer, or the peer itself is gone: a
 * peer that comes back removes whatever it does not find in the intent. */
static void delete_stopped(struct plan *plan, struct world_replica *replica)
{
    int64_t absent_ms = replica->memory->absent_since_ms;
    if (plan_is_lost(plan, replica)) {
        world_delete(plan->world, replica, "its peer is gone");
    } else if (absent_ms != MEMORY_NEVER) {
        if (plan->world->now_ms - absent_ms >= CONTROL_ABSENT_MS)
            world_delete(plan->world, replica, "stopped");
        else
            world_wake_at(plan->world, absent_ms + CONTROL_ABSENT_MS);
    }
}

static void stop(struct plan *plan, struct world_replica *replica, const char *reason)
{
    if (plan_is_lost(plan, replica) ? world_delete(plan->world, replica, reason)
                                    : world_stop(plan->world, replica, reason))
        placer_count(&plan->placer, replica->peer, -1);
}

/* Ends what is in no slot. */
static void end_surplus(struct plan *plan)
{
    for (size_t i = 0; i < plan->service->replica_count; i++) {
        struct world_replica *replica = &plan->service->replicas[i];
        if (!replica->runs)
            delete_stopped(plan, replica);
        else if (!slot_of(plan, replica))
            stop(plan, replica,
                 plan->service->intent->removing ? "the service is removed" : "scaled down");
    }
}

static const char *loss_reason(const struct world_replica *lost, char *text, size_t capacity)
{
    const char *name = lost->peer->intent->name;
    if (!intent_peer_is_member(lost->peer->intent))
        snprintf(text, capacity, "peer %s left the cluster", name);
    else
        snprintf(text, capacity, "peer %s is dead", name);
    return text;
}

/* Gives an empty slot a replica; the lost ones that it had go in the same batch, and stay if there is
 * no place: their peer may come back. */
static void fill(struct plan *plan, const struct plan_slot *slot)
{
    struct world_service *service = plan->service;
    struct place_request request = {.slot = slot->number, .home = slot->home};
    char text[INTENT_REASON_BYTES_MAX + 1];
    const char *reason = "first placement";
    for (size_t i = 0; i < service->replica_count; i++) {
        struct world_replica *replica = &service->replicas[i];
        if (replica->intent->slot != slot->number || replica->deleted)
            continue;
        if (replica->spec->exclusive && !replica->runs)
            return; /* the old one may still be running: after it is deleted */
        if (replica->runs) {
            request.replaced = replica;
            request.replaced_is_gone = true;
            reason = loss_reason(replica, text, sizeof(text));
        }
    }
    struct world_peer *peer = placer_choose(&plan->placer, &request);
    if (!peer)
        return;
    for (size_t i = 0; i < service->replica_count; i++) {
        struct world_replica *replica = &service->replicas[i];
        if (replica->intent->slot == slot->number && replica->runs)
            stop(plan, replica, reason);
    }
    if (world_add(plan->world, service, service->spec, slot->number, service->intent->revision,
                  peer, reason))
        placer_count(&plan->placer, peer, 1);
}

/* The kept replica is on a peer that drains: another one first, unless only one may ever run. */
static void drain(struct plan *plan, const struct plan_slot *slot, struct world_replica *keeper)
{
    struct place_request request = {.slot = slot->number, .replaced = keeper};
    char reason[INTENT_REASON_BYTES_MAX + 1];
    snprintf(reason, sizeof(reason), "peer %s is draining", keeper->peer->intent->name);
    if (slot->home || keeper->spec->exclusive) {
        stop(plan, keeper, reason);
        return;
    }
    struct world_peer *peer = placer_choose(&plan->placer, &request);
    if (peer && world_add(plan->world, plan->service, keeper->spec, slot->number,
                          keeper->intent->revision, peer, reason))
        placer_count(&plan->placer, peer, 1);
}

/* Ends the slot's other replicas once the kept one is trusted, or when they serve nobody. */
static void end_others(struct plan *plan, struct world_replica *keeper)
{
    bool is_wanted = keeper->intent->revision == plan->service->intent->revision;
    bool is_trusted = plan_is_trusted(plan, keeper);
    for (size_t i = 0; i < plan->service->replica_count; i++) {
        struct world_replica *other = &plan->service->replicas[i];
        if (other == keeper || !other->runs || other->intent->slot != keeper->intent->slot)
            continue;
        if (plan_is_lost(plan, other))
            stop(plan, other, "replaced: its peer is gone");
        else if (is_trusted || (is_wanted && !other->serves))
            stop(plan, other,
                 other->peer->intent->state == INTENT_ACTIVE ? "replaced by a newer one"
                                                             : "moved: its peer is draining");
    }
}

static bool has_successor(const struct plan *plan, const struct world_replica *keeper)
{
    for (size_t i = 0; i < plan->service->replica_count; i++) {
        const struct world_replica *other = &plan->service->replicas[i];
        if (other != keeper && other->runs && other->intent->slot == keeper->intent->slot &&
            other->peer->intent->state == INTENT_ACTIVE && !plan_is_lost(plan, other))
            return true;
    }
    return false;
}

void plan_repair(struct plan *plan)
{
    end_surplus(plan);
    for (size_t i = 0; i < plan->slot_count && !world_is_full(plan->world); i++) {
        struct world_replica *keeper = plan_keeper(plan, &plan->slots[i]);
        if (!keeper) {
            fill(plan, &plan->slots[i]);
            continue;
        }
        if (keeper->peer->intent->state != INTENT_ACTIVE && !has_successor(plan, keeper))
            drain(plan, &plan->slots[i], keeper);
        else
            end_others(plan, keeper);
    }
}
