#include "node/control/repair.h"

#include <inttypes.h>
#include <stdio.h>

/* Either revision may say so: the old one still has its lease. */
static bool is_exclusive(const struct decision *decision, const struct world_replica *replica)
{
    return decision_is_exclusive(decision) || replica->spec->exclusive;
}

static bool is_due(struct world *world, int64_t at_ms)
{
    if (world->now_ms >= at_ms)
        return true;
    world_wake_at(world, at_ms);
    return false;
}

/* When the peer counts as dead; INT64_MAX while it does not. One that nobody has heard of gets some
 * time first: a leader that has just started knows nobody yet. */
static int64_t dead_since(const struct world_replica *replica)
{
    const struct world_peer *peer = replica->peer;
    if (!intent_peer_is_member(peer->intent))
        return 0;
    if (!peer->view)
        return replica->memory->peer_away_since_ms + CONTROL_UNKNOWN_PEER_MS;
    bool dead = peer->view->liveness == VIEW_DEAD || peer->view->liveness == VIEW_LEFT;
    return dead ? peer->view->since_ms : INT64_MAX;
}

/* When an exclusive replica that its peer says nothing of has ended for sure: the last lease that
 * the peer may have has run out, and then the time that its container may take to stop. */
static int64_t lease_end(const struct decision *decision, const struct world_replica *replica,
                         int64_t since_ms)
{
    if (!is_exclusive(decision, replica))
        return 0;
    return since_ms + decision->world->exclusive_wait_ms + replica->spec->stop_grace_ms;
}

static bool is_lost(struct decision *decision, const struct world_replica *replica)
{
    bool is_member = intent_peer_is_member(replica->peer->intent);
    if (is_member && decision->service->spec->mode == SPEC_GLOBAL)
        return false; /* it goes on when its peer comes back: no other could take its place */
    int64_t due_ms = dead_since(replica);
    if (due_ms == INT64_MAX)
        return false;
    if (is_member)
        due_ms += decision->service->spec->failover_after_ms;
    int64_t free_ms = lease_end(decision, replica, replica->memory->peer_away_since_ms);
    return is_due(decision->world, due_ms > free_ms ? due_ms : free_ms);
}

/* Whether a stopped replica no longer runs anywhere. */
static bool is_gone(struct decision *decision, const struct world_replica *replica)
{
    const struct memory_replica *memory = replica->memory;
    int64_t dead_ms = dead_since(replica);
    if (dead_ms != INT64_MAX) {
        int64_t free_ms = lease_end(decision, replica, memory->peer_away_since_ms);
        return is_due(decision->world, dead_ms > free_ms ? dead_ms : free_ms);
    }
    if (replica->view)
        return false;
    if (memory->was_reported)
        return true;
    int64_t free_ms = lease_end(decision, replica, memory->absent_since_ms);
    int64_t due_ms = memory->absent_since_ms + CONTROL_ABSENT_MS;
    return is_due(decision->world, due_ms > free_ms ? due_ms : free_ms);
}

void repair_losses(struct decision *decision)
{
    bool is_removing = decision->service->intent->removing;
    for (size_t i = 0; i < decision->service->replica_count; i++) {
        struct world_replica *replica = &decision->service->replicas[i];
        char reason[DESCRIBE_BYTES_MAX + 1];
        describe_peer(replica->peer, reason);
        if (!replica->runs) {
            if (is_gone(decision, replica))
                decision_delete(decision, replica, reason);
            continue;
        }
        replica->lost = is_lost(decision, replica);
        if (replica->lost && (is_removing || !intent_peer_is_member(replica->peer->intent)))
            decision_delete(decision, replica, reason);
    }
}

void repair_retire(struct decision *decision)
{
    for (size_t i = 0; i < decision->service->replica_count; i++)
        if (decision->service->replicas[i].runs)
            decision_stop(decision, &decision->service->replicas[i], "the service is removed");
}

void repair_surplus(struct decision *decision)
{
    bool is_global = decision->service->spec->mode == SPEC_GLOBAL;
    for (size_t i = 0; i < decision->service->replica_count; i++) {
        struct world_replica *replica = &decision->service->replicas[i];
        if (!replica->runs || replica->slot_index != SIZE_MAX)
            continue;
        char reason[INTENT_PLACE_REASON_BYTES_MAX + 1];
        if (is_global)
            snprintf(reason, sizeof(reason), "the service shall not run on %s",
                     replica->peer->intent->name);
        else
            snprintf(reason, sizeof(reason), "scaled to %" PRIu32,
                     decision->service->intent->replicas);
        if (replica->lost)
            decision_delete(decision, replica, reason);
        else
            decision_stop(decision, replica, reason);
    }
}

/* Known not to serve; what is not known may well serve. */
static bool is_down(const struct world_replica *replica)
{
    const struct world_peer *peer = replica->peer;
    if (peer->view && peer->view->liveness != VIEW_ALIVE)
        return true;
    return replica->view && !view_replica_serves(replica->view);
}

/* A stale replica goes once the good one has taken over, or when it does no good itself. An
 * exclusive one goes before there is another. */
static bool stale_may_go(const struct decision *decision, const struct slot *slot,
                         const struct world_replica *stale)
{
    if (!slot->good)
        return is_exclusive(decision, stale) && stale->peer->intent->state != INTENT_ACTIVE;
    return is_down(stale) || decision_trusts(decision, slot->good);
}

static void finish_stale(struct decision *decision, struct world_replica *stale)
{
    struct slot *slot = &decision->slots.items[stale->slot_index];
    if (!stale_may_go(decision, slot, stale))
        return;
    char reason[DESCRIBE_BYTES_MAX + 1];
    if (stale->peer->intent->state != INTENT_ACTIVE)
        describe_peer(stale->peer, reason);
    else
        snprintf(reason, sizeof(reason), "replaced by revision %" PRIu32,
                 slot->good->intent->revision);
    if (!decision_stop(decision, stale, reason))
        return;
    slot->is_ending = true;
    if (slot->stale == stale)
        slot->stale = NULL;
}

void repair_finish(struct decision *decision)
{
    for (size_t i = 0; i < decision->service->replica_count; i++) {
        struct world_replica *replica = &decision->service->replicas[i];
        if (!replica->runs || replica->slot_index == SIZE_MAX)
            continue;
        const struct slot *slot = &decision->slots.items[replica->slot_index];
        if (replica->lost && slot->good)
            decision_delete_lost(decision, replica);
        else if (replica->lost)
            continue; /* its peer may come back before another one can take its place */
        else if (!slots_replica_is_good(&decision->slots, decision->service, replica))
            finish_stale(decision, replica);
        else if (replica != slot->good)
            decision_stop(decision, replica, "another one fills its slot");
    }
}

/* The revision for an empty slot: while a rollout is paused, the one that it began from. */
static uint32_t fill_revision(const struct decision *decision)
{
    const struct intent_service *service = decision->service->intent;
    if (service->rollout.state == INTENT_ROLLOUT_PAUSED &&
        intent_revision_find(service, service->rollout.from))
        return service->rollout.from;
    return service->revision;
}

/* Whether what was stopped must be gone before the slot is filled again. */
static bool must_wait(const struct decision *decision, const struct slot *slot)
{
    if (service_spec_stops_first(decision->service->spec, decision->policy) && slot->is_ending)
        return true;
    if (!decision_is_exclusive(decision))
        return false;
    for (size_t i = 0; i < decision->service->replica_count; i++)
        if (!decision->service->replicas[i].deleted && !decision->service->replicas[i].lost)
            return true;
    return false;
}

static void fill_empty(struct decision *decision, struct slot *slot)
{
    if (!decision_home_is_alive(slot) || must_wait(decision, slot))
        return;
    struct place_request request = {.slot = slot->number, .home = slot->home};
    char why[DESCRIBE_BYTES_MAX + 1], reason[INTENT_PLACE_REASON_BYTES_MAX + 1] = "wanted";
    if (slot->lost) {
        describe_peer(slot->lost->peer, why);
        snprintf(reason, sizeof(reason), "%.*s", (int)sizeof(reason) - 1, why);
        request.replaced = slot->lost->deleted ? NULL : slot->lost;
        request.replaced_is_gone = request.replaced != NULL;
    }
    slot->is_placed = decision_place(decision, slot, fill_revision(decision), &request, reason);
    slot->is_unplaced = !slot->is_placed;
}

static void move(struct decision *decision, struct slot *slot)
{
    struct place_request request = {.slot = slot->number, .replaced = slot->stale};
    uint32_t revision = decision->slots.frozen ? slot->stale->intent->revision
                                               : decision->service->intent->revision;
    char why[DESCRIBE_BYTES_MAX + 1], reason[INTENT_PLACE_REASON_BYTES_MAX + 1];
    describe_peer(slot->stale->peer, why);
    snprintf(reason, sizeof(reason), "%.*s", (int)sizeof(reason) - 1, why);
    slot->is_placed = decision_place(decision, slot, revision, &request, reason);
}

void repair_fill(struct decision *decision)
{
    for (size_t i = 0; i < decision->slots.count; i++) {
        struct slot *slot = &decision->slots.items[i];
        if (world_room(decision->world) == 0) {
            world_wake_at(decision->world, decision->world->now_ms);
            return;
        }
        if (slot->good)
            continue;
        if (!slot->stale)
            fill_empty(decision, slot);
        else if (slot->stale->peer->intent->state != INTENT_ACTIVE &&
                 !is_exclusive(decision, slot->stale))
            move(decision, slot);
    }
}
