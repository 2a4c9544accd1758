/* Pings that this peer's API asks for: over gossip's packets, and over a stream. */
#pragma once

#include "node/control/agent.h"

struct peer;

/* What came of it; NULL: the peer stops. */
typedef void ping_callback(void *context, const struct agent_pong *pong);

/* Pings a peer by a packet, through `via` if that is not NULL. The callback comes once, from the
 * loop, never from inside this call, within SWIM_PING_TIMEOUT_MS. Negative as swim_ping(), or
 * -ENOMEM: then it does not come. */
int peer_ping(struct peer *peer, const struct id *id, const struct id *via, ping_callback *callback,
              void *context);

void pings_answered(struct peer *peer, const struct agent_pong *pong);
void pings_cancel(struct peer *peer);
