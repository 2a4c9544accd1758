/* What is observed of the fleet, put together from gossip: the input of every decision.
 *
 * The records that peers publish about themselves are encoded and decoded here too (capacity,
 * replica status), so that the gossip layer carries opaque bytes and everybody reads them alike.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/id.h"
#include "base/table.h"
#include "consensus/intent.h"
#include "node/control/bounds.h"

enum view_liveness { VIEW_ALIVE, VIEW_SUSPECT, VIEW_DEAD, VIEW_LEFT };

enum view_replica_state {
    VIEW_REPLICA_UNKNOWN, /* nothing heard of it yet */
    VIEW_REPLICA_PENDING, /* the peer knows of it; fetching its image or waiting */
    VIEW_REPLICA_STARTING,
    VIEW_REPLICA_RUNNING, /* up; health decides whether it serves */
    VIEW_REPLICA_STOPPING,
    VIEW_REPLICA_BACKOFF, /* exited; will be started again */
    VIEW_REPLICA_EXITED,  /* and not to be started again */
    VIEW_REPLICA_FAILED,  /* can't be: no such image, mount refused, … */
};

enum view_health { VIEW_HEALTH_NONE, VIEW_HEALTH_STARTING, VIEW_HEALTH_GOOD, VIEW_HEALTH_BAD };

/* A peer's record about itself. */
struct view_capacity {
    uint32_t cpu_millis;
    uint64_t memory_bytes;
    char version[VIEW_VERSION_BYTES_MAX + 1];
    char labels[VIEW_LABELS_BYTES_MAX + 1]; /* "disk=ssd,zone=a", sorted by key */
    uint32_t level; /* of the cluster's state, the highest that it knows (consensus/level.h) */
};

/* A peer's record about the file system that its data directory is on. */
struct view_disk {
    uint64_t free_bytes, bytes;
};

/* A peer's record about one replica that it holds; its key is the generation. */
struct view_replica {
    uint64_t generation;
    struct id peer;
    uint8_t state;        /* enum view_replica_state */
    uint8_t health;       /* enum view_health */
    bool waits_for_lease; /* of this peer's own: there is no container; see agent_lease_is_awaited()
                           */
    uint32_t restarts;
    int32_t exit_code;
    char detail[VIEW_DETAIL_BYTES_MAX + 1]; /* why it is not well: last log lines, error */
};

/* What a peer runs in another's place, see stand_in.h: said in its record about that replica. */
struct view_stand_in {
    struct intent_replica replica; /* as if it were agreed on; the reason is left out */
    int64_t covered_since_ms;      /* of this peer's own: what it stands in for serves again since
                                      then; 0: it does not */
};

/* A peer's record about what it has of the intent, said while most voters are gone. */
struct view_holding {
    uint64_t applied;     /* known to be committed */
    uint64_t index, term; /* of the last entry that it holds */
};

struct view_peer {
    struct id id;
    uint8_t liveness; /* enum view_liveness */
    int64_t since_ms; /* of that liveness, on the viewer's monotonic clock */
    uint32_t start;   /* which of its starts it is in; what it said in earlier ones is void */
    bool has_capacity;
    struct view_capacity capacity;
    bool has_disk;
    struct view_disk disk;
    bool has_holding;
    struct view_holding holding;
};

struct view {
    struct table peers;     /* of struct view_peer, by id */
    struct table replicas;  /* of struct view_replica, by generation, which lives on one peer */
    struct table stand_ins; /* of struct view_stand_in, by generation; each has a replica, too */
};

void view_init(struct view *view);
void view_done(struct view *view);

/* Finds or adds; NULL when out of memory. */
struct view_peer *view_peer_get(struct view *view, const struct id *id);
struct view_replica *view_replica_get(struct view *view, uint64_t generation);

struct view_peer *view_peer_find(const struct view *view, const struct id *id);
/* Whether the peer is known, and neither suspected nor dead. */
bool view_is_alive(const struct view *view, const struct id *id);
struct view_replica *view_replica_find(const struct view *view, uint64_t generation);
/* With the stand-in of that number. */
void view_replica_remove(struct view *view, uint64_t generation);

struct view_stand_in *view_stand_in_get(struct view *view, uint64_t generation);
struct view_stand_in *view_stand_in_find(const struct view *view, uint64_t generation);
void view_peer_remove(struct view *view, const struct id *id);

/* Is up, and healthy unless it has no health check: may be sent requests. */
bool view_replica_serves(const struct view_replica *replica);

/* Has done what it was for, and is not started again; false if either is not known (NULL). */
bool view_replica_has_completed(const struct view_replica *replica,
                                const struct service_spec *spec);

/* The records' bytes, without the owner: `peer` of a decoded replica is ID_NONE. Encoders append,
 * or return -ENOMEM; decoders return -EBADMSG. A replica that is a stand-in, by its number, is
 * written and read with what it stands in for. */
int view_capacity_encode(const struct view_capacity *capacity, struct buffer *ret);
int view_capacity_decode(struct bytes bytes, struct view_capacity *ret);
int view_disk_encode(const struct view_disk *disk, struct buffer *ret);
int view_disk_decode(struct bytes bytes, struct view_disk *ret);
int view_replica_encode(const struct view_replica *replica, const struct intent_replica *stand_in,
                        struct buffer *ret);
int view_replica_decode(struct bytes bytes, struct view_replica *ret,
                        struct intent_replica *ret_stand_in);
int view_holding_encode(const struct view_holding *holding, struct buffer *ret);
int view_holding_decode(struct bytes bytes, struct view_holding *ret);

/* Negative if `a` is older than `b`, 0 if it is the same, positive if it is newer. */
int view_holding_compare(const struct view_holding *a, const struct view_holding *b);
