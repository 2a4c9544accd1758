/* What a container has that no other one on this machine may have: addresses in its networks, and
 * ids if it has a user namespace. Its record keeps them until it is removed.
 */
#pragma once

struct container;

/* Takes what it lacks yet. Why it can't is in the container's error. */
int container_claim(struct container *container);
void container_release(struct container *container);
