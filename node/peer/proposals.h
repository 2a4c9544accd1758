/* Proposals of this peer's API on their way to a decision.
 *
 * A proposal is tried again while nobody leads or a leader is being replaced, until its time is
 * over. It carries a (client, sequence) of its own, so it is applied once however often it is sent
 * (node/control/clients.h).
 */
#pragma once

#include <stdint.h>

#include "consensus/command.h"
#include "node/control/agent.h"

struct peer;

typedef void proposal_callback(void *context, const struct agent_result *result);

/* Proposes `command` (its head's client and sequence are set here), for at most `patience_ms`. The
 * callback comes once, from the loop, never from inside this call. -ENOMEM, or what
 * command_encode() said: then it does not come. */
int peer_propose(struct peer *peer, struct command *command, int64_t patience_ms,
                 proposal_callback *callback, void *context);

/* Begins a new epoch with this peer as its only voter: once, and it is not tried again. The
 * callback comes as above, with 0 once the epoch is stored and this peer in it. -ENOMEM. */
int peer_recover(struct peer *peer, const struct agent_recovery *recovery,
                 proposal_callback *callback, void *context);

/* The agent decided one. */
void proposals_decided(struct peer *peer, const struct agent_result *result);

/* There is a leader (again): those that wait for their next try get it now. */
void proposals_retry(struct peer *peer);

/* The peer stops: whoever still waits is told -ECANCELED. */
void proposals_cancel(struct peer *peer);
