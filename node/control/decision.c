#include "node/control/decision.h"

#include <errno.h>
#include <stdio.h>

#include "node/control/repair.h"
#include "node/control/rollout.h"

bool decision_is_exclusive(const struct decision *decision)
{
    return decision->service->spec->exclusive;
}

bool decision_home_is_alive(const struct slot *slot)
{
    return !slot->home || (slot->home->view && slot->home->view->liveness == VIEW_ALIVE);
}

bool decision_is_completed(const struct world_replica *replica)
{
    return view_replica_has_completed(replica->view, replica->spec);
}

bool decision_trusts(const struct decision *decision, const struct world_replica *replica)
{
    if (decision_is_completed(replica))
        return true;
    if (!replica->serves)
        return false;
    if (replica->view->health == VIEW_HEALTH_GOOD || replica->memory->settled)
        return true;
    int64_t trust_ms = decision->policy->monitor_ms < CONTROL_TRUST_MS
                           ? decision->policy->monitor_ms
                           : CONTROL_TRUST_MS;
    int64_t trusted_at_ms = replica->memory->serving_since_ms + trust_ms;
    if (decision->world->now_ms >= trusted_at_ms)
        return true;
    world_wake_at(decision->world, trusted_at_ms);
    return false;
}

/* Makes the placer ready for the revision; NULL when out of memory. */
static struct placer *placer_for(struct decision *decision, uint32_t revision)
{
    const struct service_spec *spec =
        &intent_revision_find(decision->service->intent, revision)->spec;
    struct placer *placer = &decision->placer;
    if (placer->spec == spec)
        return placer;
    placer_done(placer);
    if (placer_init(placer, decision->world, decision->service, spec) < 0) {
        decision->no_memory = true;
        return NULL;
    }
    return placer;
}

bool decision_delete(struct decision *decision, struct world_replica *replica, const char *reason)
{
    bool ran = replica->runs;
    if (!world_delete(decision->world, replica, reason))
        return false;
    if (decision->placer.spec && ran)
        placer_count(&decision->placer, replica->peer, -1);
    return true;
}

bool decision_delete_lost(struct decision *decision, struct world_replica *lost)
{
    char reason[DESCRIBE_BYTES_MAX + 1];
    describe_peer(lost->peer, reason);
    return decision_delete(decision, lost, reason);
}

bool decision_stop(struct decision *decision, struct world_replica *replica, const char *reason)
{
    if (!world_stop(decision->world, replica, reason))
        return false;
    if (decision->placer.spec)
        placer_count(&decision->placer, replica->peer, -1);
    return true;
}

/* Deletes what the slot lost, or only counts it. */
static size_t end_lost(struct decision *decision, const struct slot *slot, bool only_count)
{
    size_t count = 0;
    for (size_t i = 0; slot->lost && i < decision->service->replica_count; i++) {
        struct world_replica *replica = &decision->service->replicas[i];
        if (!replica->lost || replica->deleted ||
            replica->slot_index != (size_t)(slot - decision->slots.items))
            continue;
        count++;
        if (!only_count)
            decision_delete_lost(decision, replica);
    }
    return count;
}

bool decision_place(struct decision *decision, const struct slot *slot, uint32_t revision,
                    const struct place_request *request, const char *reason)
{
    struct world *world = decision->world;
    if (world_room(world) < 1 + end_lost(decision, slot, true)) {
        world_wake_at(world, world->now_ms);
        return false;
    }
    struct placer *placer = placer_for(decision, revision);
    struct world_peer *peer = placer ? placer_choose(placer, request) : NULL;
    if (!peer ||
        !world_add(world, decision->service, placer->spec, slot->number, revision, peer, reason))
        return false;
    placer_count(placer, peer, 1);
    end_lost(decision, slot, false);
    return true;
}

bool decision_could_place(struct decision *decision, const struct slot *slot)
{
    struct placer *placer = placer_for(decision, decision->service->intent->revision);
    struct place_request request = {
        .slot = slot->number,
        .home = slot->home,
        .replaced = slot->stale,
        .replaced_is_gone = true,
    };
    return placer && placer_choose(placer, &request);
}

static void decide(struct decision *decision)
{
    rollout_watch(decision);
    if (decision->has_rollout)
        return; /* another revision will be wanted once that is applied */
    repair_surplus(decision);
    repair_finish(decision);
    repair_fill(decision);
    rollout_advance(decision);
}

int decision_make(struct decision *decision, struct world *world, struct world_service *service,
                  struct memory *memory)
{
    const struct intent_service *intent = service->intent;
    *decision = (struct decision){
        .world = world,
        .service = service,
        .policy = intent->rollout.state == INTENT_ROLLOUT_ROLLING_BACK ? &service->spec->rollback
                                                                       : &service->spec->update,
        .memory = memory_service_get(memory, intent->name, intent->rollout.id),
        .change_count_before = world->change_count,
    };
    if (!decision->memory)
        return -ENOMEM;
    repair_losses(decision);
    if (intent->removing) {
        repair_retire(decision);
        return 0;
    }
    if (slots_init(&decision->slots, world, service) < 0)
        return -ENOMEM;
    decide(decision);
    slots_done(&decision->slots);
    placer_done(&decision->placer);
    return decision->no_memory ? -ENOMEM : 0;
}
