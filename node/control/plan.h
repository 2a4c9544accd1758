/* The plan for one service in one step: which slots it has, which replicas are lost or too many, and
 * how far its rollout may go.
 */
#pragma once

#include "node/control/place.h"
#include "node/control/world.h"

/* One replica's place in the service: a number, and in global mode the peer that it belongs to. */
struct plan_slot {
    uint32_t number;
    const struct world_peer *home; /* NULL: any peer */
};

struct plan {
    struct world *world;
    struct world_service *service;
    struct memory_service *memory;
    struct placer placer;
    struct plan_slot *slots;
    size_t slot_count;
    bool rolls;         /* replicas of older revisions are to be replaced */
    size_t moving;      /* slots whose new replica is not well yet */
    size_t serving;     /* replicas that shall run and serve */
    size_t moves_left;  /* slots that may begin to move in this step */
};

/* The rollout's next state, if it changes: to be proposed. */
struct plan_verdict {
    bool changes;
    struct command_rollout rollout;
};

int plan_service(struct world *world, struct world_service *service,
                 struct memory_service *memory, struct plan_verdict *ret);

/* repair.c: finds the slots; ends what is lost, drained or too many; fills empty slots. */
int plan_slots(struct plan *plan);
void plan_repair(struct plan *plan);

/* rollout.c: looks for failures and the end of the rollout; replaces the next slots. */
void plan_judge(struct plan *plan, struct plan_verdict *ret);
void plan_roll(struct plan *plan);

/* A replica that shall run, of the slot and at a peer that is not lost: the one of the wanted revision
 * if there is one, else the newest. NULL if there is none. */
struct world_replica *plan_keeper(const struct plan *plan, const struct plan_slot *slot);

bool plan_is_lost(const struct plan *plan, const struct world_replica *replica);

/* Serves, and has for long enough to be trusted with requests. Wakes the plan when it will. */
bool plan_is_trusted(struct plan *plan, const struct world_replica *replica);
