/* Where a replica goes: which peers may take it, and which of those is best.
 *
 * A peer may take it when it is active and alive, meets the spec's constraints, and has the
 * reserved CPU and memory free; published ports never conflict, since the mesh listens, not the
 * container. Of those the best one has, in this order: the fewest replicas of the service among
 * peers with the same value of each spread preference; the fewest replicas of the service; the
 * least of its resources reserved; the fewest replicas for its CPUs; and then the highest hash of
 * service, slot and peer, so that equals are chosen at random, but everywhere alike. For a service
 * with volumes the hash comes before how busy a peer is: a volume is its machine's, so its replica
 * shall come back to the same one, as long as that may take it.
 *
 *     placer_init(&placer, world, service, spec);
 *     peer = placer_choose(&placer, &(struct place_request){.slot = 1});
 */
#pragma once

#include "node/control/world.h"

enum place_verdict {
    PLACE_FITS,
    PLACE_NOT_ACTIVE, /* draining, or no longer a member */
    PLACE_UNREACHED,  /* dead, suspect, or never heard of */
    PLACE_UNKNOWN,    /* its capacity is not known yet */
    PLACE_CONSTRAINT,
    PLACE_FULL, /* max_replicas_per_node */
    PLACE_CPU,
    PLACE_MEMORY,
};

/* What a peer is to one service. */
struct place_seat {
    bool meets_constraints;
    uint32_t running;                   /* of the service's replicas */
    size_t groups[CONTROL_SPREADS_MAX]; /* by the value of each spread preference */
};

struct placer {
    const struct world *world;
    const struct service_spec *spec;
    const char *service;
    struct place_seat *seats;                     /* one for each of world->peers */
    uint32_t *group_running[CONTROL_SPREADS_MAX]; /* the service's replicas in each group */
    size_t spread_count;
    bool has_volumes; /* what it wrote is where it ran */
};

struct place_request {
    uint32_t slot;
    const struct world_peer *home;        /* not NULL: only this peer will do */
    const struct world_replica *replaced; /* not counted in the score: it will go; may be NULL */
    bool replaced_is_gone;                /* nor is what it has reserved */
};

int placer_init(struct placer *placer, const struct world *world,
                const struct world_service *service, const struct service_spec *spec);
void placer_done(struct placer *placer);

/* Whether the peer may take one more; with `ret_unmet` (may be NULL), the constraint that it does
 * not meet. */
enum place_verdict placer_check(const struct placer *placer, const struct world_peer *peer,
                                const struct place_request *request, const char **ret_unmet);

/* The best peer, or NULL when none may take it. */
struct world_peer *placer_choose(const struct placer *placer, const struct place_request *request);

/* By which peers are ranked for a slot alike everywhere (rendezvous hashing): the highest is first.
 */
uint64_t place_hash(const char *service, uint32_t slot, const struct id *peer);

/* A replica of the service was planned to start, or to end, at the peer. */
void placer_count(struct placer *placer, const struct world_peer *peer, int change);
