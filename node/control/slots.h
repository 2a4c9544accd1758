/* A service's slots: the places for replicas that it shall have, and what fills each now.
 *
 * A replicated service has the slots 1 to its number of replicas. A global one has a slot for each
 * peer that it shall run on, its home, whose number is that of a replica there or else a free one.
 * Replicas beyond these slots are surplus.
 */
#pragma once

#include "node/control/world.h"

struct slot {
    uint32_t number;
    struct world_peer *home;     /* of a global service's slot, else NULL */
    struct world_replica *good;  /* runs as it shall, where it may stay; of several, the best */
    struct world_replica *stale; /* runs another revision, or on a peer that is draining */
    struct world_replica *lost;  /* on a peer that is dead or gone */
    bool is_ending;              /* a stopped one is still there */
    bool is_placed;              /* a replica for it was planned in this step */
    bool is_unplaced;            /* empty, and no peer may take a replica */
};

struct slots {
    struct slot *items;
    size_t count;
    bool frozen; /* the rollout stands still: a replica of any revision is good */
};

/* Sorts the replicas into slots, and notes in each replica which slot it is in. -ENOMEM. */
int slots_init(struct slots *slots, const struct world *world, struct world_service *service);
void slots_done(struct slots *slots);

/* Whether the replica is what its slot shall have. */
bool slots_replica_is_good(const struct slots *slots, const struct world_service *service,
                           const struct world_replica *replica);
