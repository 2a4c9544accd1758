#include "node/control/rollout.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    PERMILLE = 1000,
};

static const struct intent_rollout *rollout_of(const struct decision *decision)
{
    return &decision->service->intent->rollout;
}

static bool is_under_way(const struct decision *decision)
{
    uint8_t state = rollout_of(decision)->state;
    return state == INTENT_ROLLOUT_RUNNING || state == INTENT_ROLLOUT_ROLLING_BACK;
}

static void propose(struct decision *decision, enum intent_rollout_state state, uint32_t revision,
                    const char *reason)
{
    struct command_rollout *rollout = &decision->rollout;
    *rollout = (struct command_rollout){
        .rollout = rollout_of(decision)->id,
        .state = (uint8_t)state,
        .revision = revision,
    };
    memcpy(rollout->service, decision->service->intent->name, sizeof(rollout->service));
    snprintf(rollout->reason, sizeof(rollout->reason), "%s", reason);
    decision->has_rollout = true;
}

static bool is_failing(const struct world_replica *replica)
{
    const struct view_replica *report = replica->view;
    if (!report)
        return false;
    switch ((enum view_replica_state)report->state) {
    case VIEW_REPLICA_FAILED:
        return true;
    case VIEW_REPLICA_EXITED:
        return !decision_is_completed(replica);
    case VIEW_REPLICA_BACKOFF:
        return report->restarts >= CONTROL_CRASHES_MAX;
    case VIEW_REPLICA_RUNNING:
        return report->health == VIEW_HEALTH_BAD;
    case VIEW_REPLICA_UNKNOWN:
    case VIEW_REPLICA_PENDING:
    case VIEW_REPLICA_STARTING:
    case VIEW_REPLICA_STOPPING:
        break;
    }
    return false;
}

/* Notes how a replica of the wanted revision does while it is watched. */
static void watch(struct decision *decision, const struct world_replica *replica)
{
    struct memory_replica *memory = replica->memory;
    if (memory->settled)
        return;
    if (is_failing(replica)) {
        memory->failed = true;
        return;
    }
    if (decision_is_completed(replica)) {
        memory->settled = true;
        return;
    }
    if (memory->serving_since_ms == MEMORY_NEVER)
        return;
    int64_t settled_at_ms = memory->serving_since_ms + decision->policy->monitor_ms;
    if (decision->world->now_ms >= settled_at_ms)
        memory->settled = true;
    else
        world_wake_at(decision->world, settled_at_ms);
}

static bool is_watched(const struct decision *decision, const struct world_replica *replica)
{
    return replica->runs && !replica->lost && replica->slot_index != SIZE_MAX &&
           replica->intent->revision == decision->service->intent->revision;
}

static void take_course(struct decision *decision, const char *reason)
{
    const struct intent_service *service = decision->service->intent;
    const struct intent_rollout *rollout = &service->rollout;
    bool can_return = rollout->state == INTENT_ROLLOUT_RUNNING && rollout->from != 0 &&
                      rollout->from != service->revision &&
                      intent_revision_find(service, rollout->from);
    if (decision->policy->failure_action == SPEC_ON_FAILURE_CONTINUE)
        return;
    if (!can_return)
        propose(decision, INTENT_ROLLOUT_FAILED, service->revision, reason);
    else if (decision->policy->failure_action == SPEC_ON_FAILURE_PAUSE)
        propose(decision, INTENT_ROLLOUT_PAUSED, service->revision, reason);
    else
        propose(decision, INTENT_ROLLOUT_ROLLING_BACK, rollout->from, reason);
}

void rollout_watch(struct decision *decision)
{
    const struct world_replica *failed = NULL;
    uint64_t failed_count = 0;
    for (size_t i = 0; i < decision->service->replica_count; i++) {
        const struct world_replica *replica = &decision->service->replicas[i];
        if (!is_watched(decision, replica))
            continue;
        watch(decision, replica);
        if (!replica->memory->failed || replica->memory->settled)
            continue;
        failed_count++;
        if (!failed || is_failing(replica))
            failed = replica;
    }
    if (!is_under_way(decision) || failed_count == 0 ||
        failed_count * PERMILLE <=
            (uint64_t)decision->policy->max_failure_permille * decision->slots.count)
        return;
    char reason[DESCRIBE_BYTES_MAX + 1];
    describe_replica(failed, reason);
    take_course(decision, reason);
}

static bool slot_serves(const struct slot *slot)
{
    return (slot->good && slot->good->serves) || (slot->stale && slot->stale->serves);
}

/* Whether the slot's replica is between old and new. One that has failed, where that is tolerated,
 * holds up nobody. */
static bool is_in_flight(const struct decision *decision, const struct slot *slot)
{
    if (slot->is_placed)
        return true;
    if (slot->good && slot->stale)
        return !slot->good->memory->failed;
    if (slot->good)
        return !slot->good->memory->failed && !decision_trusts(decision, slot->good);
    return !slot->stale && slot->is_ending;
}

/* What the next batch may do. */
struct budget {
    uint32_t slots;         /* to begin */
    int64_t serving;        /* slots that serve now */
    int64_t serving_needed; /* at least so many must go on */
};

static struct budget budget_of(const struct decision *decision)
{
    uint32_t parallelism = decision->policy->parallelism;
    struct budget budget = {.slots = parallelism ? parallelism : UINT32_MAX};
    for (size_t i = 0; i < decision->slots.count; i++) {
        const struct slot *slot = &decision->slots.items[i];
        budget.serving += slot_serves(slot);
        budget.serving_needed += !slot->is_unplaced && decision_home_is_alive(slot);
    }
    budget.serving_needed -= budget.slots;
    return budget;
}

/* Places the new replica beside the old one. */
static bool begin_start_first(struct decision *decision, struct slot *slot)
{
    struct place_request request = {
        .slot = slot->number, .home = slot->home, .replaced = slot->stale};
    uint32_t revision = decision->service->intent->revision;
    char reason[INTENT_PLACE_REASON_BYTES_MAX + 1];
    snprintf(reason, sizeof(reason), "update to revision %" PRIu32, revision);
    return decision_place(decision, slot, revision, &request, reason);
}

/* Stops the old replica; the slot is filled again once it is gone. */
static bool begin_stop_first(struct decision *decision, struct slot *slot, struct budget *budget)
{
    bool serves = slot->stale->serves;
    if (serves && budget->serving - 1 < budget->serving_needed)
        return false;
    if (!decision_could_place(decision, slot))
        return false; /* it would only make room for nothing */
    char reason[INTENT_PLACE_REASON_BYTES_MAX + 1];
    snprintf(reason, sizeof(reason), "makes room for revision %" PRIu32,
             decision->service->intent->revision);
    if (!decision_stop(decision, slot->stale, reason))
        return false;
    budget->serving -= serves;
    return true;
}

static void begin(struct decision *decision, struct slot *slot, struct budget *budget)
{
    bool start_first = !service_spec_stops_first(decision->service->spec, decision->policy) &&
                       !decision_is_exclusive(decision) && !slot->stale->spec->exclusive;
    if (!(start_first && begin_start_first(decision, slot)) &&
        !begin_stop_first(decision, slot, budget))
        return;
    budget->slots--;
    decision->memory->batch_is_open = true;
}

/* Slots whose old replica does not serve come first: they have nothing to lose. */
static void begin_batch(struct decision *decision)
{
    struct budget budget = budget_of(decision);
    for (int serving = 0; serving <= 1; serving++) {
        for (size_t i = 0; i < decision->slots.count && budget.slots > 0; i++) {
            struct slot *slot = &decision->slots.items[i];
            if (!slot->good && slot->stale && slot->stale->runs &&
                slot->stale->serves == (serving == 1) &&
                slot->stale->peer->intent->state == INTENT_ACTIVE && decision_home_is_alive(slot))
                begin(decision, slot, &budget);
        }
    }
}

/* Whether the last batch is over, and its delay after it. */
static bool batch_may_begin(struct decision *decision)
{
    struct memory_service *memory = decision->memory;
    for (size_t i = 0; i < decision->slots.count; i++)
        if (is_in_flight(decision, &decision->slots.items[i]))
            return false;
    if (memory->batch_is_open) {
        memory->batch_is_open = false;
        memory->batch_ended_ms = decision->world->now_ms;
    }
    if (memory->batch_ended_ms == MEMORY_NEVER)
        return true;
    int64_t at_ms = memory->batch_ended_ms + decision->policy->delay_ms;
    if (decision->world->now_ms >= at_ms)
        return true;
    world_wake_at(decision->world, at_ms);
    return false;
}

/* A slot on a peer that can't be reached holds up nobody: it follows when its peer is back. */
static bool slot_is_done(const struct decision *decision, const struct slot *slot)
{
    if (!decision_home_is_alive(slot))
        return true;
    return slot->good && slot->good->memory->settled && !slot->stale &&
           slot->good->intent->revision == decision->service->intent->revision &&
           (slot->good->serves || decision_is_completed(slot->good));
}

static bool all_done(const struct decision *decision)
{
    if (decision->world->change_count != decision->change_count_before)
        return false;
    for (size_t i = 0; i < decision->slots.count; i++)
        if (!slot_is_done(decision, &decision->slots.items[i]))
            return false;
    return true;
}

void rollout_advance(struct decision *decision)
{
    const struct intent_service *service = decision->service->intent;
    /* also when it is over: a peer that was away may come back with an older revision */
    if (!decision->slots.frozen && batch_may_begin(decision))
        begin_batch(decision);
    bool failed = rollout_of(decision)->state == INTENT_ROLLOUT_FAILED;
    if ((!is_under_way(decision) && !failed) || !all_done(decision))
        return;
    bool is_new = service->revision == rollout_of(decision)->to;
    propose(decision, is_new ? INTENT_ROLLOUT_DONE : INTENT_ROLLOUT_ROLLED_BACK, service->revision,
            failed ? "all replicas are well after all" : "");
}
