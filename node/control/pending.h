/* Proposals under way, in the order in which they were made: what is asked for is nearly always at
 * the front, and the first is the first to expire.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/id.h"

/* A proposal whose outcome somebody waits for. */
struct pending {
    uint64_t request;     /* the asker's number for it */
    struct id from;       /* a peer that forwarded it; ID_NONE: this peer's own API */
    bool is_control;      /* the leader's own decision: nobody waits */
    bool is_over;         /* taken out: a gap, passed over */
    struct id sent_to;    /* who alone may answer; ID_NONE: it is in our own log */
    uint64_t sent_as;     /* our number for it there */
    uint64_t index, term; /* of our own log */
    int64_t expires_ms;
};

struct pendings {
    struct pending *items; /* [first, end); the first one is no gap */
    size_t first, end, capacity;
    size_t count; /* without gaps */
};

void pendings_done(struct pendings *pendings);

/* Makes room for one more; -EBUSY when there are AGENT_PENDING_MAX, -ENOMEM. */
int pendings_reserve(struct pendings *pendings);

/* Appends one, zeroed, for which room was reserved. Borrowed until the next is reserved. */
struct pending *pendings_add(struct pendings *pendings);

/* Takes one out. */
void pendings_drop(struct pendings *pendings, struct pending *pending);

/* The next one from the place *at on (begin with 0), which moves behind it; NULL: no more. What was
 * given may be dropped. */
struct pending *pendings_next(const struct pendings *pendings, size_t *at);
