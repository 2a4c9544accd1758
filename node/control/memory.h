/* What the leader remembers from step to step, beyond intent and view: since when each replica
 * serves, is missing, or lost its peer, and how far each service's rollout is. All of it is
 * volatile: a new leader begins with nothing, and errs on the side of waiting again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/table.h"
#include "consensus/intent.h"

enum {
    MEMORY_NEVER = -1, /* a time that has not come; the monotonic clock is never negative */
};

struct memory_replica {
    uint64_t generation;
    bool is_in_use;             /* it was there in this step: else it is forgotten after it */
    bool was_reported;          /* its peer spoke of it, in its present start */
    uint32_t reported_start;    /* which one that was */
    bool settled;               /* served for as long as it is watched */
    bool failed;                /* within that time */
    int64_t serving_since_ms;   /* without a break */
    int64_t absent_since_ms;    /* its peer is alive and does not speak of it */
    int64_t peer_away_since_ms; /* its peer is dead, gone or unknown, as this leader saw it */
};

struct memory_service {
    char name[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    bool is_in_use;
    uint64_t rollout;       /* the id of the rollout that the rest is about */
    bool batch_is_open;     /* replicas were replaced and are not all well yet */
    int64_t batch_ended_ms; /* the last one */
};

struct memory {
    struct table replicas; /* of struct memory_replica, by generation */
    struct table services; /* of struct memory_service, by name */
};

void memory_init(struct memory *memory);
void memory_done(struct memory *memory);

/* Finds or adds, and marks as in use; NULL when out of memory. */
struct memory_replica *memory_replica_get(struct memory *memory, uint64_t generation);
struct memory_service *memory_service_get(struct memory *memory, const char *name,
                                          uint64_t rollout);

/* Forgets what was not in use since the last sweep. */
void memory_sweep(struct memory *memory);
