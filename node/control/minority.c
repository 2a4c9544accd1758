#include "node/control/minority.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/holders.h"
#include "node/control/place.h"
#include "node/control/stand_in.h"

/* A stand-in that is there, or was chosen just now. */
struct taken {
    const char *service;
    uint32_t slot;
    struct world_peer *peer;
};

struct choice {
    const struct minority *minority;
    struct world world;
    struct taken *taken;
    size_t taken_count;
    void (*each)(void *context, const struct intent_replica *original);
    void *context;
};

static struct world_peer *world_peer_of(struct world *world, const struct id *id)
{
    if (!intent_peer_find(world->intent, id))
        return NULL;
    return &world->peers[table_lower_bound(&world->intent->peers, id)];
}

static void take(struct choice *choice, const struct intent_replica *replica,
                 const struct service_spec *spec, struct world_peer *peer)
{
    choice->taken[choice->taken_count++] = (struct taken){replica->service, replica->slot, peer};
    world_reserve(peer, spec);
}

/* One that is about to stop leaves its slot to the next. */
static bool stands_in(const struct minority *minority, const struct view_stand_in *stand_in)
{
    const struct view_replica *seen =
        view_replica_find(minority->view, stand_in->replica.generation);
    return stand_in->replica.want == INTENT_RUN && seen && seen->state != VIEW_REPLICA_STOPPING &&
           view_is_alive(minority->view, &stand_in->replica.peer) &&
           stand_in_is_allowed(minority->intent, &stand_in->replica);
}

static int take_those_there(struct choice *choice)
{
    const struct minority *minority = choice->minority;
    const struct table *there = &minority->view->stand_ins;
    choice->taken = calloc(there->count + choice->world.replica_count + 1, sizeof(*choice->taken));
    if (!choice->taken)
        return -ENOMEM;
    for (size_t i = 0; i < there->count; i++) {
        const struct view_stand_in *stand_in = there->items[i];
        struct world_peer *peer = world_peer_of(&choice->world, &stand_in->replica.peer);
        if (peer && stands_in(minority, stand_in))
            take(choice, &stand_in->replica, intent_spec_of(minority->intent, &stand_in->replica),
                 peer);
    }
    return 0;
}

static bool is_taken(const struct choice *choice, const struct intent_replica *replica)
{
    for (size_t i = 0; i < choice->taken_count; i++)
        if (choice->taken[i].slot == replica->slot &&
            strcmp(choice->taken[i].service, replica->service) == 0)
            return true;
    return false;
}

/* As a leader counts it, see repair.c. */
static int64_t gone_since(const struct minority *minority, const struct world_peer *peer)
{
    if (!intent_peer_is_member(peer->intent))
        return minority->start_ms;
    if (!peer->view)
        return minority->start_ms + CONTROL_UNKNOWN_PEER_MS;
    bool is_gone = peer->view->liveness == VIEW_DEAD || peer->view->liveness == VIEW_LEFT;
    return is_gone ? peer->view->since_ms : MINORITY_NEVER;
}

/* Of two that are lost in one slot, which a rollout replaced one by the other: the one that served,
 * else the one that was there first. */
static const struct world_replica *better(const struct world_replica *a,
                                          const struct world_replica *b)
{
    bool b_alone_served =
        b->view && view_replica_serves(b->view) && !(a && a->view && view_replica_serves(a->view));
    return !a || b_alone_served ? b : a;
}

/* What somebody shall stand in for, of the `count` replicas in one slot; NULL: nothing, since one
 * of them is reached, or it is too early. */
static const struct world_replica *to_fill(struct choice *choice,
                                           const struct world_service *service,
                                           const struct world_replica *replicas, size_t count)
{
    const struct world_replica *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!replicas[i].runs)
            continue;
        int64_t due_ms = gone_since(choice->minority, replicas[i].peer);
        if (due_ms == MINORITY_NEVER)
            return NULL;
        due_ms += service->spec->failover_after_ms;
        if (choice->minority->now_ms < due_ms) {
            world_wake_at(&choice->world, due_ms);
            return NULL;
        }
        best = better(best, &replicas[i]);
    }
    bool is_wanted = best && best->intent->slot <= service->intent->replicas &&
                     service_spec_is_duplicated(best->spec) && !service->spec->exclusive &&
                     !view_replica_has_completed(best->view, best->spec);
    return is_wanted && !is_taken(choice, best->intent) ? best : NULL;
}

static bool may_take(const struct placer *placer, const struct world_peer *peer, uint32_t slot)
{
    const struct place_request request = {.slot = slot};
    return peer->intent->role == INTENT_PEER &&
           placer_check(placer, peer, &request, NULL) == PLACE_FITS &&
           !holders_waits(placer->world->intent, &peer->intent->id, placer->spec, NULL, 0);
}

static struct world_peer *choose(const struct placer *placer, uint32_t slot)
{
    struct world_peer *best = NULL;
    uint64_t best_hash = 0;
    for (size_t i = 0; i < placer->world->peer_count; i++) {
        struct world_peer *peer = &placer->world->peers[i];
        uint64_t hash = place_hash(placer->service, slot, &peer->intent->id);
        if (!may_take(placer, peer, slot) || (best && hash <= best_hash))
            continue;
        best = peer;
        best_hash = hash;
    }
    return best;
}

static int fill(struct choice *choice, const struct world_service *service,
                const struct world_replica *original)
{
    struct placer placer;
    if (placer_init(&placer, &choice->world, service, original->spec) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < choice->taken_count; i++)
        if (strcmp(choice->taken[i].service, service->intent->name) == 0)
            placer_count(&placer, choice->taken[i].peer, 1);
    struct world_peer *peer = choose(&placer, original->intent->slot);
    placer_done(&placer);
    if (!peer)
        return 0;
    take(choice, original->intent, original->spec, peer);
    if (id_equal(&peer->intent->id, &choice->minority->self))
        choice->each(choice->context, original->intent);
    return 0;
}

/* A service's replicas stand in the order of their slots. */
static int fill_service(struct choice *choice, const struct world_service *service)
{
    int rc = 0;
    if (service->intent->removing || service->spec->mode == SPEC_GLOBAL)
        return 0;
    for (size_t i = 0, count; i < service->replica_count && rc == 0; i += count) {
        const struct world_replica *first = &service->replicas[i];
        for (count = 1; i + count < service->replica_count &&
                        first[count].intent->slot == first->intent->slot;)
            count++;
        const struct world_replica *original = to_fill(choice, service, first, count);
        if (original)
            rc = fill(choice, service, original);
    }
    return rc;
}

int minority_begin(const struct minority *minority,
                   void (*each)(void *context, const struct intent_replica *original),
                   void *context, int64_t *ret_deadline_ms)
{
    struct choice choice = {.minority = minority, .each = each, .context = context};
    *ret_deadline_ms = MINORITY_NEVER;
    if (minority->no_quorum_since_ms == MINORITY_NEVER)
        return 0;
    int64_t begin_ms = minority->no_quorum_since_ms + CONTROL_MINORITY_MS;
    if (minority->now_ms < begin_ms) {
        *ret_deadline_ms = begin_ms;
        return 0;
    }
    int rc = world_init(&choice.world, minority->intent, minority->view, NULL, minority->now_ms);
    if (rc < 0)
        return rc;
    rc = take_those_there(&choice);
    for (size_t i = 0; i < choice.world.service_count && rc == 0; i++)
        rc = fill_service(&choice, &choice.world.services[i]);
    *ret_deadline_ms = choice.world.deadline_ms;
    free(choice.taken);
    world_done(&choice.world);
    return rc;
}

static bool is_same_slot(const struct intent_replica *a, const struct intent_replica *b)
{
    return a->slot == b->slot && strcmp(a->service, b->service) == 0;
}

/* Whether it serves, or has done its work. */
static bool does_its_work(const struct minority *minority, const struct intent_replica *replica)
{
    const struct view_replica *seen = view_replica_find(minority->view, replica->generation);
    return replica->want == INTENT_RUN && seen && id_equal(&seen->peer, &replica->peer) &&
           view_is_alive(minority->view, &replica->peer) &&
           (view_replica_serves(seen) ||
            view_replica_has_completed(seen, intent_spec_of(minority->intent, replica)));
}

/* Whether an agreed replica does what the stand-in does, or a better stand-in. */
static bool is_covered(const struct minority *minority, const struct intent_replica *stand_in)
{
    const struct table *others = &minority->view->stand_ins;
    uint64_t hash = place_hash(stand_in->service, stand_in->slot, &stand_in->peer);
    for (size_t i = 0; i < minority->intent->replicas.count; i++) {
        const struct intent_replica *agreed = minority->intent->replicas.items[i];
        if (is_same_slot(agreed, stand_in) && does_its_work(minority, agreed))
            return true;
    }
    for (size_t i = 0; i < others->count; i++) {
        const struct intent_replica *other =
            &((const struct view_stand_in *)others->items[i])->replica;
        if (other != stand_in && is_same_slot(other, stand_in) &&
            stand_in_is_allowed(minority->intent, other) && does_its_work(minority, other) &&
            place_hash(other->service, other->slot, &other->peer) > hash)
            return true;
    }
    return false;
}

/* Whether the service, as it was agreed on meanwhile, leaves no place for it. */
static bool is_void(const struct intent *intent, const struct intent_replica *stand_in)
{
    const struct intent_service *service = intent_service_find(intent, stand_in->service);
    if (!service || service->removing || stand_in->slot > service->replicas ||
        !stand_in_is_allowed(intent, stand_in))
        return true;
    const struct service_spec *wanted = &intent_revision_find(service, service->revision)->spec;
    return wanted->exclusive || wanted->mode == SPEC_GLOBAL;
}

bool minority_is_over(const struct minority *minority, struct view_stand_in *stand_in)
{
    if (is_void(minority->intent, &stand_in->replica))
        return true;
    if (!is_covered(minority, &stand_in->replica))
        stand_in->covered_since_ms = 0;
    else if (stand_in->covered_since_ms == 0)
        stand_in->covered_since_ms = minority->now_ms;
    if (stand_in->covered_since_ms > 0 &&
        minority->now_ms >= stand_in->covered_since_ms + CONTROL_TRUST_MS)
        return true;
    return minority->quorum_since_ms != MINORITY_NEVER &&
           minority->now_ms >= minority->quorum_since_ms + CONTROL_GIVE_BACK_MS;
}
