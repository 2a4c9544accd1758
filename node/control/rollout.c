/* Rollouts: replaces replicas of older revisions batch by batch, watches the new ones, and goes back
 * when they fail.
 *
 * A batch is over when each of its new replicas is trusted with requests; the rollout is, when each
 * has been well for the monitor time. Start-first, the default, adds the new replica before the old
 * one ends; stop-first never stops one that serves while too few others do.
 */
#include <stdio.h>
#include <string.h>

#include "node/control/plan.h"

enum {
    PERMILLE = 1000,
};

static const struct spec_update *update_of(const struct plan *plan)
{
    bool goes_back = plan->service->intent->rollout.state == INTENT_ROLLOUT_ROLLING_BACK;
    return goes_back ? &plan->service->spec->rollback : &plan->service->spec->update;
}

static bool is_under_way(const struct plan *plan)
{
    uint8_t state = plan->service->intent->rollout.state;
    return state == INTENT_ROLLOUT_RUNNING || state == INTENT_ROLLOUT_ROLLING_BACK;
}

/* --- Judging --- */

/* Whether a new replica has failed, as far as its peer says. */
static bool has_failed(const struct world_replica *replica)
{
    const struct view_replica *seen = replica->view;
    if (!seen)
        return false;
    if (seen->health == VIEW_HEALTH_BAD)
        return true;
    switch (seen->state) {
    case VIEW_REPLICA_FAILED:
        return true;
    case VIEW_REPLICA_EXITED: /* a task that ends well is done */
        return replica->spec->restart.condition == SPEC_RESTART_ANY || seen->exit_code != 0;
    default:
        return seen->restarts >= CONTROL_CRASHES_MAX;
    }
}

/* Watches one new replica: settled after the monitor time, or failed within it. */
static void watch(struct plan *plan, struct world_replica *replica)
{
    struct memory_replica *memory = replica->memory;
    if (memory->settled)
        return;
    memory->failed = has_failed(replica);
    if (memory->failed || memory->serving_since_ms == MEMORY_NEVER)
        return;
    int64_t settled_at_ms = memory->serving_since_ms + update_of(plan)->monitor_ms;
    memory->settled = plan->world->now_ms >= settled_at_ms;
    if (!memory->settled)
        world_wake_at(plan->world, settled_at_ms);
}

static void describe_failure(const struct world_replica *replica, char *ret, size_t capacity)
{
    const struct view_replica *seen = replica->view;
    const char *what = seen->health == VIEW_HEALTH_BAD      ? "is unhealthy"
                       : seen->state == VIEW_REPLICA_FAILED ? "can't run"
                                                            : "keeps exiting";
    snprintf(ret, capacity, "replica %s.%u at peer %s %s%s%s", replica->intent->service,
             replica->intent->slot, replica->peer->intent->name, what,
             seen->detail[0] ? ": " : "", seen->detail);
}

static void decide(const struct plan *plan, uint8_t state, uint32_t revision,
                   struct plan_verdict *ret)
{
    const struct intent_service *service = plan->service->intent;
    ret->changes = true;
    memcpy(ret->rollout.service, service->name, sizeof(ret->rollout.service));
    ret->rollout.rollout = service->rollout.id;
    ret->rollout.state = state;
    ret->rollout.revision = revision;
}

/* What follows from too many failures. A first deploy has nothing to go back to, and going back can
 * fail but once. */
static void decide_failed(const struct plan *plan, struct plan_verdict *ret)
{
    const struct intent_rollout *rollout = &plan->service->intent->rollout;
    uint32_t revision = plan->service->intent->revision;
    uint8_t action = update_of(plan)->failure_action;
    if (rollout->state == INTENT_ROLLOUT_ROLLING_BACK || rollout->from == 0)
        decide(plan, INTENT_ROLLOUT_FAILED, revision, ret);
    else if (action == SPEC_ON_FAILURE_ROLLBACK &&
             intent_revision_find(plan->service->intent, rollout->from))
        decide(plan, INTENT_ROLLOUT_ROLLING_BACK, rollout->from, ret);
    else
        decide(plan, INTENT_ROLLOUT_PAUSED, revision, ret);
}

void plan_judge(struct plan *plan, struct plan_verdict *ret)
{
    const struct intent_service *service = plan->service->intent;
    size_t settled = 0, failed = 0;
    const struct world_replica *first_failed = NULL;
    if (!is_under_way(plan) || service->removing)
        return;
    for (size_t i = 0; i < plan->slot_count; i++) {
        struct world_replica *keeper = plan_keeper(plan, &plan->slots[i]);
        if (!keeper || keeper->intent->revision != service->revision)
            continue;
        watch(plan, keeper);
        settled += keeper->memory->settled;
        failed += keeper->memory->failed;
        if (keeper->memory->failed && !first_failed)
            first_failed = keeper;
    }
    const struct spec_update *update = update_of(plan);
    bool goes_on = update->failure_action == SPEC_ON_FAILURE_CONTINUE &&
                   service->rollout.state == INTENT_ROLLOUT_RUNNING;
    if (failed * PERMILLE > plan->slot_count * update->max_failure_permille && !goes_on) {
        decide_failed(plan, ret);
        describe_failure(first_failed, ret->rollout.reason, sizeof(ret->rollout.reason));
    } else if (settled + (goes_on ? failed : 0) == plan->slot_count) {
        decide(plan,
               service->rollout.state == INTENT_ROLLOUT_ROLLING_BACK ? INTENT_ROLLOUT_ROLLED_BACK
                                                                      : INTENT_ROLLOUT_DONE,
               service->revision, ret);
    }
}

/* --- Moving on --- */

static void count_progress(struct plan *plan)
{
    for (size_t i = 0; i < plan->service->replica_count; i++) {
        const struct world_replica *replica = &plan->service->replicas[i];
        plan->serving += replica->runs && replica->serves;
    }
    for (size_t i = 0; i < plan->slot_count; i++) {
        struct world_replica *keeper = plan_keeper(plan, &plan->slots[i]);
        bool is_new = keeper && keeper->intent->revision == plan->service->intent->revision;
        if (!keeper || (is_new && !plan_is_trusted(plan, keeper)))
            plan->moving++;
    }
}

/* How many slots may begin now: none before the last batch is over and its delay has passed. */
static size_t moves_allowed(struct plan *plan)
{
    const struct spec_update *update = update_of(plan);
    size_t parallelism = update->parallelism > 0 ? update->parallelism : plan->slot_count;
    if (plan->moving > 0) {
        plan->memory->batch_is_open = true;
        return 0;
    }
    if (plan->memory->batch_is_open) {
        plan->memory->batch_is_open = false;
        plan->memory->batch_ended_ms = plan->world->now_ms;
    }
    int64_t next_ms = plan->memory->batch_ended_ms + update->delay_ms;
    if (plan->memory->batch_ended_ms != MEMORY_NEVER && plan->world->now_ms < next_ms) {
        world_wake_at(plan->world, next_ms);
        return 0;
    }
    return parallelism;
}

/* Replaces one slot's replica of an older revision. */
static void move(struct plan *plan, const struct plan_slot *slot, struct world_replica *old)
{
    const struct intent_service *service = plan->service->intent;
    bool stops_first = plan->service->spec->exclusive || old->spec->exclusive ||
                       update_of(plan)->order == SPEC_STOP_FIRST;
    size_t parallelism = update_of(plan)->parallelism;
    struct place_request request = {.slot = slot->number,
                                    .home = slot->home,
                                    .replaced = old,
                                    .replaced_is_gone = stops_first};
    char reason[64];
    snprintf(reason, sizeof(reason), "revision %u replaces %u", service->revision,
             old->intent->revision);
    if (stops_first && old->serves && parallelism > 0 &&
        plan->serving + parallelism <= plan->slot_count && plan->slot_count > 1)
        return; /* too few others serve at the moment */
    struct world_peer *peer = placer_choose(&plan->placer, &request);
    if (!peer && !stops_first) { /* no room for both at once: one after the other */
        stops_first = request.replaced_is_gone = true;
        peer = placer_choose(&plan->placer, &request);
    }
    if (!peer)
        return;
    if (stops_first) {
        if (!world_stop(plan->world, old, reason))
            return;
        placer_count(&plan->placer, old->peer, -1);
        plan->serving -= old->serves;
    }
    plan->moves_left--;
    if (old->spec->exclusive)
        return; /* the new one comes when the old one is gone: see fill() */
    if (world_add(plan->world, plan->service, plan->service->spec, slot->number,
                  service->revision, peer, reason))
        placer_count(&plan->placer, peer, 1);
}

void plan_roll(struct plan *plan)
{
    const struct intent_service *service = plan->service->intent;
    if (service->removing || service->rollout.state == INTENT_ROLLOUT_PAUSED ||
        service->rollout.state == INTENT_ROLLOUT_FAILED)
        return;
    count_progress(plan);
    plan->moves_left = moves_allowed(plan);
    for (size_t i = 0; i < plan->slot_count && plan->moves_left > 0; i++) {
        struct world_replica *keeper = plan_keeper(plan, &plan->slots[i]);
        if (keeper && keeper->intent->revision != service->revision &&
            keeper->peer->intent->state == INTENT_ACTIVE)
            move(plan, &plan->slots[i], keeper);
    }
}
