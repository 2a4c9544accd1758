/* Deciding for one service: what repair.c, rollout.c and decision.c share within one step. */
#pragma once

#include "node/control/describe.h"
#include "node/control/place.h"
#include "node/control/slots.h"
#include "node/control/world.h"

struct decision {
    struct world *world;
    struct world_service *service;
    struct memory_service *memory;
    const struct spec_update *policy; /* how replicas are replaced now */
    struct slots slots;
    struct placer placer; /* for placer.spec; empty until something is placed */
    size_t change_count_before;
    bool has_rollout; /* a word on the rollout is to be proposed */
    struct command_rollout rollout;
    bool no_memory;
};

/* Decides all for one service: appends to the world's changes, and sets has_rollout. -ENOMEM. */
int decision_make(struct decision *decision, struct world *world, struct world_service *service,
                  struct memory *memory);

/* Looks for a place for a replica of `revision`, and plans it there. False when there is none, or
 * no room in the batch. */
bool decision_place(struct decision *decision, const struct slot *slot, uint32_t revision,
                    const struct place_request *request, const char *reason);

/* Whether any peer could take the slot's next replica, once its stale one is gone. */
bool decision_could_place(struct decision *decision, const struct slot *slot);

/* Plan a replica's end; false when there is no room in the batch. */
bool decision_delete(struct decision *decision, struct world_replica *replica, const char *reason);
bool decision_delete_lost(struct decision *decision, struct world_replica *lost);
bool decision_stop(struct decision *decision, struct world_replica *replica, const char *reason);

/* Whether requests can be left to this replica alone: it serves, and not only since a moment ago.
 * One that has done its work and exited counts too. */
bool decision_trusts(const struct decision *decision, const struct world_replica *replica);

/* Ran to its end, as its restart policy allows. */
bool decision_is_completed(const struct world_replica *replica);

bool decision_is_exclusive(const struct decision *decision);

/* The peer of the slot is known to be alive; true for slots that are bound to no peer. */
bool decision_home_is_alive(const struct slot *slot);
