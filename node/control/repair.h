/* Keeping every slot filled: after losses, drains, scaling, and when a service is removed.
 *
 * A replica is lost when its peer has left or was revoked, or is dead for the service's
 * failover_after. It is deleted and replaced in one batch, since a peer that comes back removes
 * what the intent no longer has; while no other peer has room it is kept, for its peer may come
 * back. Replicas on a draining peer are replaced before they stop. An exclusive one is stopped
 * first, and replaced only when no other generation of it can be running: it was seen to be gone,
 * or its peer's lease has run out.
 */
#pragma once

#include "node/control/decision.h"

/* Finds out which replicas are lost, and deletes the stopped ones that are gone. */
void repair_losses(struct decision *decision);

/* Stops every replica: the service is being removed. */
void repair_retire(struct decision *decision);

/* Stops the replicas that are in no slot. */
void repair_surplus(struct decision *decision);

/* Stops a slot's replicas that another one has replaced. */
void repair_finish(struct decision *decision);

/* Places a replica into every slot that has none, or whose own is on a draining peer. */
void repair_fill(struct decision *decision);
