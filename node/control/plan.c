#include "node/control/plan.h"

#include <stdlib.h>

#include "consensus/intent.h"

int plan_service(struct world *world, struct world_service *service,
                 struct memory_service *memory, struct plan_verdict *ret)
{
    struct plan plan = {.world = world, .service = service, .memory = memory};
    int rc = placer_init(&plan.placer, world, service, service->spec);
    if (rc == 0)
        rc = plan_slots(&plan);
    if (rc == 0) {
        plan_judge(&plan, ret);
        plan_repair(&plan);
        if (!ret->changes)
            plan_roll(&plan);
    }
    free(plan.slots);
    placer_done(&plan.placer);
    return rc;
}

/* How long a peer must have been away before its replicas are given up. An exclusive one's lease
 * must have run out as well. */
static int64_t patience_ms(const struct plan *plan, const struct world_replica *replica)
{
    int64_t patience = replica->spec->failover_after_ms;
    if (!replica->peer->view && patience < CONTROL_UNKNOWN_PEER_MS)
        patience = CONTROL_UNKNOWN_PEER_MS;
    if (replica->spec->exclusive && patience < (int64_t)plan->world->exclusive_wait_ms)
        patience = plan->world->exclusive_wait_ms;
    return patience;
}

bool plan_is_lost(const struct plan *plan, const struct world_replica *replica)
{
    int64_t since_ms = replica->memory->peer_away_since_ms;
    bool is_exclusive = replica->spec->exclusive;
    if (!intent_peer_is_member(replica->peer->intent) && !is_exclusive)
        return true;
    if (since_ms == MEMORY_NEVER)
        return false;
    int64_t lost_at_ms = since_ms + patience_ms(plan, replica);
    if (plan->world->now_ms >= lost_at_ms)
        return true;
    world_wake_at(plan->world, lost_at_ms);
    return false;
}

bool plan_is_trusted(struct plan *plan, const struct world_replica *replica)
{
    if (!replica->serves || replica->memory->serving_since_ms == MEMORY_NEVER)
        return false;
    if (replica->view->health != VIEW_HEALTH_NONE)
        return true;
    int64_t trusted_at_ms = replica->memory->serving_since_ms + CONTROL_TRUST_MS;
    if (plan->world->now_ms >= trusted_at_ms)
        return true;
    world_wake_at(plan->world, trusted_at_ms);
    return false;
}

struct world_replica *plan_keeper(const struct plan *plan, const struct plan_slot *slot)
{
    struct world_replica *keeper = NULL;
    for (size_t i = 0; i < plan->service->replica_count; i++) {
        struct world_replica *replica = &plan->service->replicas[i];
        if (!replica->runs || replica->intent->slot != slot->number ||
            plan_is_lost(plan, replica))
            continue;
        bool is_wanted = replica->intent->revision == plan->service->intent->revision;
        bool keeper_is_wanted =
            keeper && keeper->intent->revision == plan->service->intent->revision;
        bool leaves = replica->peer->intent->state != INTENT_ACTIVE;
        bool keeper_leaves = keeper && keeper->peer->intent->state != INTENT_ACTIVE;
        if (!keeper || (is_wanted && !keeper_is_wanted) ||
            (is_wanted == keeper_is_wanted && keeper_leaves && !leaves) ||
            (is_wanted == keeper_is_wanted && keeper_leaves == leaves && replica->serves &&
             !keeper->serves))
            keeper = replica;
    }
    return keeper;
}
