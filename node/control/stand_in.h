/* Stand-ins: replicas that a peer runs in another's place while there is no quorum (on_minority).
 *
 * The intent does not have them, since it can't be changed then. The peer that runs one says so by
 * gossip, in a record of that replica like any other, so all that are reached know of it. Its
 * number is made of the generation of what it stands in for and of its peer: several peers may
 * stand in for one replica for a while, and each runs its own.
 *
 * Who stands in for what is decided in minority.h.
 */
#pragma once

#include "consensus/intent.h"
#include "node/control/view.h"

enum {
    STAND_IN_WORDS_BYTES = INTENT_SERVICE_NAME_BYTES_MAX + BASE_NAME_BYTES_MAX + 96,
};

/* 0 if generations have grown so large that there is none. */
uint64_t stand_in_number(uint64_t generation, const struct id *peer);

/* Whether a replica of that generation is a stand-in; and the generation that it stands in for. */
bool stand_in_is(uint64_t generation);
uint64_t stand_in_original(uint64_t number);

/* Whether the intent lets anybody stand in for it: also what a peer says of itself counts only if
 * so. */
bool stand_in_is_allowed(const struct intent *intent, const struct intent_replica *stand_in);

/* The i-th of all replicas: first those that were agreed on, then the stand-ins; NULL past the end.
 * Borrowed from the intent and the view. */
const struct intent_replica *any_replica_at(const struct intent *intent, const struct view *view,
                                            size_t i);
const struct intent_replica *any_replica_find(const struct intent *intent, const struct view *view,
                                              uint64_t generation);

/* Why it is there: "stands in for replica 2 of hello_web on peer c, which is not reachable". */
void stand_in_describe(const struct intent *intent, const struct view *view,
                       const struct intent_replica *stand_in, char ret[STAND_IN_WORDS_BYTES]);
