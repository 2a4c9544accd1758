/* The leader's placements: a batch of additions and ends, taken as a set, whole or not at all.
 *
 * A batch is made from the state as the leader knew it. When an operator's command came in between,
 * it may no longer fit; it is refused then, and the leader decides anew.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"

/* The batch in two orders: what it adds by place, what it ends by generation. */
struct batch {
    struct table adds; /* of const struct command_place_change, by service, slot and revision */
    struct table ends; /* of const struct command_place_change, by generation */
};

static int compare_place(const char *service_a, uint32_t slot_a, uint32_t revision_a,
                         const char *service_b, uint32_t slot_b, uint32_t revision_b)
{
    int order = strcmp(service_a, service_b);
    if (order != 0)
        return order;
    if (slot_a != slot_b)
        return slot_a < slot_b ? -1 : 1;
    return revision_a < revision_b ? -1 : revision_a > revision_b;
}

static int add_compare(const void *item, const void *key)
{
    const struct command_place_change *a = item, *b = key;
    return compare_place(a->service, a->slot, a->revision, b->service, b->slot, b->revision);
}

static int end_compare(const void *item, const void *key)
{
    const struct command_place_change *change = item;
    uint64_t generation = *(const uint64_t *)key;
    return change->generation < generation ? -1 : change->generation > generation;
}

static const void *add_key(const void *item)
{
    return item;
}

static const void *end_key(const void *item)
{
    return &((const struct command_place_change *)item)->generation;
}

static int refuse(struct intent_apply *apply, const struct command_place_change *change,
                  const char *why)
{
    if (change->action == COMMAND_PLACE_ADD)
        return error_set(&apply->result->error, -ESTALE, "can't place %s.%u: %s", change->service,
                         change->slot, why);
    return error_set(&apply->result->error, -ESTALE, "can't end generation %llu: %s",
                     (unsigned long long)change->generation, why);
}

static int add_check(struct intent_apply *apply, const struct command_place_change *change)
{
    const struct intent_service *service = intent_service_find(apply->intent, change->service);
    if (!service || service->removing)
        return refuse(apply, change, "the service is gone");
    if (!intent_revision_find(service, change->revision))
        return refuse(apply, change, "there is no such revision");
    if (change->slot == 0)
        return refuse(apply, change, "there is no slot 0");
    const struct intent_peer *peer = intent_peer_find(apply->intent, &change->peer);
    if (!peer || peer->role != INTENT_PEER || peer->state != INTENT_ACTIVE)
        return refuse(apply, change, "the peer takes no replicas");
    return 0;
}

static int batch_fill(struct intent_apply *apply, const struct command_place *place,
                      struct batch *batch)
{
    for (size_t i = 0; i < place->change_count; i++) {
        struct command_place_change *change = &place->changes[i];
        bool add = change->action == COMMAND_PLACE_ADD;
        if (add) {
            int rc = add_check(apply, change);
            if (rc < 0)
                return rc;
        } else if (!intent_replica_find(apply->intent, change->generation)) {
            return refuse(apply, change, "there is no such replica");
        }
        int rc = table_insert(add ? &batch->adds : &batch->ends, change);
        if (rc == -EEXIST)
            return refuse(apply, change, "the batch says so twice");
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* That no slot gets a second running replica of one revision. One on a peer that is draining or
 * gone does not count: the new one replaces it. */
static int slots_check(struct intent_apply *apply, const struct batch *batch)
{
    const struct intent *intent = apply->intent;
    for (size_t i = 0; i < intent->replicas.count && batch->adds.count > 0; i++) {
        const struct intent_replica *replica = intent->replicas.items[i];
        struct command_place_change key = {.slot = replica->slot, .revision = replica->revision};
        memcpy(key.service, replica->service, sizeof(key.service));
        const struct command_place_change *add = table_find(&batch->adds, &key);
        if (!add || replica->want != INTENT_RUN || table_find(&batch->ends, &replica->generation))
            continue;
        const struct intent_peer *peer = intent_peer_find(intent, &replica->peer);
        if (peer && peer->state == INTENT_ACTIVE)
            return refuse(apply, add, "the slot has a replica of this revision");
    }
    return 0;
}

static int batch_check(struct intent_apply *apply, const struct command_place *place)
{
    struct batch batch;
    table_init(&batch.adds, add_compare, add_key);
    table_init(&batch.ends, end_compare, end_key);
    int rc = batch_fill(apply, place, &batch);
    if (rc == 0)
        rc = slots_check(apply, &batch);
    if (rc == 0 && batch.adds.count > INTENT_REPLICAS_MAX - apply->intent->replicas.count)
        rc = error_set(&apply->result->error, -ENOSPC, "the cluster can hold %d replicas",
                       INTENT_REPLICAS_MAX);
    table_done(&batch.adds);
    table_done(&batch.ends);
    return rc;
}

static void place_event(struct intent_apply *apply, const struct intent_replica *replica,
                        const char *what, const char *reason)
{
    const struct intent_peer *peer = intent_peer_find(apply->intent, &replica->peer);
    struct intent_event event;
    char subject[sizeof(event.subject)];
    snprintf(subject, sizeof(subject), "%s.%u", replica->service, replica->slot);
    intent_event_add(apply, "place", subject, "%s %s%s%s", what,
                     peer ? peer->name : id_short(&replica->peer), reason[0] ? ": " : "", reason);
}

static int replica_add(struct intent_apply *apply, const struct command_place_change *change)
{
    struct intent *intent = apply->intent;
    struct intent_replica *replica = calloc(1, sizeof(*replica));
    if (!replica)
        return -ENOMEM;
    replica->generation = intent->next_generation;
    memcpy(replica->service, change->service, sizeof(replica->service));
    replica->slot = change->slot;
    replica->revision = change->revision;
    replica->peer = change->peer;
    replica->want = INTENT_RUN;
    replica->since_wall_ms = apply->head->wall_ms;
    memcpy(replica->reason, change->reason, sizeof(replica->reason));
    if (table_insert(&intent->replicas, replica) < 0) {
        free(replica);
        return -ENOMEM;
    }
    intent->next_generation++;
    place_event(apply, replica, "placed on", change->reason);
    return 0;
}

static void replica_stop(struct intent_apply *apply, struct intent_replica *replica,
                         const char *reason)
{
    if (replica->want == INTENT_STOP)
        return;
    replica->want = INTENT_STOP;
    replica->since_wall_ms = apply->head->wall_ms;
    snprintf(replica->reason, sizeof(replica->reason), "%s", reason);
    place_event(apply, replica, "stops on", reason);
}

/* One that was stopped before is deleted without a word: its stop was the event. */
static void replica_delete(struct intent_apply *apply, struct intent_replica *replica,
                           const char *reason)
{
    if (replica->want == INTENT_RUN)
        place_event(apply, replica, "given up on", reason);
    table_remove(&apply->intent->replicas, &replica->generation);
    free(replica);
}

int intent_apply_place(struct intent_apply *apply, const struct command_place *place)
{
    int rc = batch_check(apply, place);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < place->change_count; i++) {
        const struct command_place_change *change = &place->changes[i];
        if (change->action == COMMAND_PLACE_ADD) {
            rc = replica_add(apply, change);
            if (rc < 0)
                return rc;
            continue;
        }
        struct intent_replica *replica = intent_replica_find(apply->intent, change->generation);
        if (change->action == COMMAND_PLACE_STOP)
            replica_stop(apply, replica, change->reason);
        else
            replica_delete(apply, replica, change->reason);
    }
    return intent_services_sweep(apply);
}
