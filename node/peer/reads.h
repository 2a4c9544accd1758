/* Consistent reads of this peer's API: asked of the agent, told once the intent here is new enough.
 */
#pragma once

#include "node/control/agent.h"

struct peer;

typedef void read_callback(void *context, const struct intent_result *result);

/* The callback comes once, from the loop, never from inside this call, within
 * AGENT_READ_TIMEOUT_MS: with code 0 once agent_intent() shows every change that was agreed on
 * before this call, else with what to tell the reader. -ENOMEM: it does not come. */
int peer_read(struct peer *peer, read_callback *callback, void *context);

/* True if the agent's answer was to a read. */
bool reads_decided(struct peer *peer, const struct agent_result *result);

/* The peer stops: whoever still waits is told -ECANCELED. */
void reads_cancel(struct peer *peer);
