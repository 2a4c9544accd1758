/* Who runs what in another's place while there is no quorum, and when it gives that back. Pure.
 *
 * Without a quorum nothing can be placed anew. A service that says `on_minority: duplicate` is
 * healed all the same: of each of its slots whose peer is not reached, one of the reachable peers
 * runs a stand-in (stand_in.h). Every one of them works out alike which: the one with the highest
 * hash of service, slot and peer among those that meet the service's constraints and have room, be
 * it this peer or another. What already stands in, by gossip, stays where it is. Two that see
 * different things for a moment may both begin, or take a while to agree; they see the same once
 * gossip has come round, and then the one with the lower hash ends.
 *
 * A stand-in ends once its slot is served again: by the replica that it stands in for, or by one
 * that a leader has placed since.
 */
#pragma once

#include "consensus/intent.h"
#include "node/control/view.h"

static const int64_t MINORITY_NEVER = INT64_MAX;

/* What a peer goes by; borrowed. */
struct minority {
    const struct intent *intent;
    const struct view *view;
    struct id self;
    int64_t now_ms;
    int64_t start_ms;           /* when this peer began to look: nobody can be missed before */
    int64_t no_quorum_since_ms; /* MINORITY_NEVER: there is one */
    int64_t quorum_since_ms;    /* MINORITY_NEVER: there is none */
};

/* Calls `each` for every replica that a stand-in shall begin for at this peer now. What is due
 * later, unless something changes, is so at `*ret_deadline_ms` (MINORITY_NEVER: nothing). -ENOMEM.
 */
int minority_begin(const struct minority *minority,
                   void (*each)(void *context, const struct intent_replica *original),
                   void *context, int64_t *ret_deadline_ms);

/* Whether a stand-in of this peer shall end. Notes in it since when its slot is served. */
bool minority_is_over(const struct minority *minority, struct view_stand_in *stand_in);
