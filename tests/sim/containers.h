/* A machine's containers, as little of runtime/ as the cluster can tell, driven as
 * node/peer/replicas.c does: what the agent wants is fetched and started, what it does not want is
 * drained, stopped and removed; each change is published.
 *
 * Containers outlive the daemon (conmon holds them), not their machine. One of an image "bad…"
 * crashes soon after each start.
 */
#pragma once

#include "base/table.h"
#include "consensus/bounds.h"
#include "node/control/view.h"

struct machine;

enum container_phase {
    CONTAINER_WAITING, /* nothing is there yet: its image is fetched */
    CONTAINER_STARTING,
    CONTAINER_RUNNING,
    CONTAINER_BACKOFF, /* has crashed; starts again */
    CONTAINER_STOPPING,
    CONTAINER_EXITED, /* while no daemon was there to see it */
};

struct container {
    uint64_t generation;
    char service[INTENT_SERVICE_NAME_BYTES_MAX + 1];
    uint32_t slot;
    bool is_exclusive, is_duplicated, is_bad, has_health;
    uint32_t stop_grace_ms;
    enum container_phase phase;
    bool is_wanted;
    bool is_alive;   /* a process runs */
    bool is_excused; /* its machine was frozen: it could not be stopped in time */
    bool is_healthy;
    uint32_t restarts;
    int64_t drained_at_ms; /* of the machine's clock; 0: not said to stop */
    uint64_t version;      /* of what was planned last for it */
    struct view_replica told;
};

struct containers {
    struct table table; /* of struct container, by generation */
    uint64_t next_version;
};

void containers_init(struct containers *containers);
void containers_done(struct containers *containers);

/* Makes true what the agent wants: the daemon's, each time that may have changed. */
void containers_reconcile(struct machine *machine);

/* The daemon ended: what it was about to start is forgotten; containers go on. */
void containers_orphan(struct machine *machine);

/* A new daemon takes over what is there. */
void containers_adopt(struct machine *machine);

/* The machine lost its power. */
void containers_lose(struct machine *machine);

/* One of the running ones, chosen by `pick`, crashes. */
void containers_crash_one(struct machine *machine, uint64_t pick);
