/* Spare copies of images: what a service runs is held by SPARES_HOLDERS live peers at least, so
 * that the death of the only machine that had an image does not take the service with it, and a
 * failover rarely has to fetch first.
 *
 * Each peer decides for itself, from gossip: where too few hold an image, those with the highest
 * hash of (image, peer) among the others fetch it. Two that know different things at the moment
 * make one copy too many, never one too few for long. The copies of the SPARES_HOLDERS with the
 * highest hash among those that hold it are pinned as long as a service needs it, after a restart
 * too; the others may go when room is needed.
 */
#pragma once

struct peer;
struct spares;

/* NULL when there is no memory. */
struct spares *spares_new(struct peer *peer);
void spares_free(struct spares *spares);

/* What services need may have changed; looked at soon. Accepts NULL. */
void spares_changed(struct spares *spares);
