/* What is wrong, in words: with a replica, with a peer. For reasons, events and `why`. */
#pragma once

#include "node/control/place.h"
#include "node/control/world.h"

enum {
    DESCRIBE_BYTES_MAX = INTENT_REASON_BYTES_MAX,
};

/* "hello_web.1 on b crashes (2 restarts, exit code 1): no such table"; "… serves" when all is well.
 */
void describe_replica(const struct world_replica *replica, char ret[DESCRIBE_BYTES_MAX + 1]);

/* "b is dead", "b is draining", "b has left": how a peer is. */
void describe_peer(const struct world_peer *peer, char ret[DESCRIBE_BYTES_MAX + 1]);

/* Why a peer may not take one more replica: "needs 512M of memory, 200M are free". */
void describe_verdict(const struct placer *placer, const struct world_peer *peer,
                      const struct place_request *request, char ret[DESCRIBE_BYTES_MAX + 1]);
