/* Intent and view side by side for one step of control: what shall be, what is, and what was
 * planned so far, so that each decision sees the ones before it.
 *
 * Peers stand in the order of the intent, replicas by (service, slot, generation). Everything is
 * borrowed from the intent and the view and lives for one step.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "consensus/command.h"
#include "consensus/intent.h"
#include "node/control/memory.h"
#include "node/control/view.h"

struct world_peer {
    const struct intent_peer *intent;
    const struct view_peer *view; /* NULL: nobody has heard of it */
    bool takes_replicas;          /* a peer, active, alive and not suspect, its capacity known */
    uint64_t memory_reserved_bytes;
    uint64_t cpu_reserved_millis;
    uint32_t replica_count; /* of all services, until they are deleted */
};

struct world_replica {
    const struct intent_replica *intent;
    const struct service_spec *spec; /* of its revision */
    const struct view_replica *view; /* what its own peer says of it; NULL: nothing */
    struct world_peer *peer;
    struct memory_replica *memory; /* NULL when explaining */
    bool runs;                     /* shall run, also after what was planned */
    bool lost;                     /* with its peer: it is given up once another can replace it */
    bool deleted;                  /* by what was planned */
    bool serves;                   /* is up and well, on a peer that is alive */
    size_t slot_index;             /* among the service's slots; SIZE_MAX: in none of them */
};

struct world_service {
    const struct intent_service *intent;
    const struct service_spec *spec; /* of the wanted revision */
    struct world_replica *replicas;
    size_t replica_count;
};

struct world {
    const struct intent *intent;
    int64_t now_ms;
    uint32_t exclusive_wait_ms;
    int64_t deadline_ms;      /* when something will be due, unless something changes before */
    struct world_peer *peers; /* one for each of the intent's, operators too */
    size_t peer_count;
    struct world_replica *replicas;
    size_t replica_count;
    struct world_service *services;
    size_t service_count;
    struct command_place_change *changes; /* planned; at most COMMAND_PLACE_CHANGES_MAX */
    size_t change_count;
};

/* `memory` may be NULL: nothing is remembered then, which is enough to explain. -ENOMEM leaves
 * nothing to free. */
int world_init(struct world *world, const struct intent *intent, const struct view *view,
               struct memory *memory, int64_t now_ms);
void world_done(struct world *world);

/* Counts what one more replica of it takes up at the peer. */
void world_reserve(struct world_peer *peer, const struct service_spec *spec);

/* How many more changes fit into this step's batch. */
size_t world_room(const struct world *world);

/* Says that the step after `at_ms` may decide something new. */
void world_wake_at(struct world *world, int64_t at_ms);

/* Plans changes, unless the batch is full; false then. */
bool world_add(struct world *world, const struct world_service *service,
               const struct service_spec *spec, uint32_t slot, uint32_t revision,
               struct world_peer *peer, const char *reason);
bool world_stop(struct world *world, struct world_replica *replica, const char *reason);
bool world_delete(struct world *world, struct world_replica *replica, const char *reason);
