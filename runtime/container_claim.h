/* What a container has that no other one on this machine may have: addresses in its networks, and
 * ids if it has a user namespace. Its record keeps them until it is removed.
 */
#pragma once

#include "base/error.h"

struct container;

/* Takes what it lacks yet. -ENOSPC if there is none left, with words in `error`. */
int container_claim(struct container *container, struct error *error);
void container_release(struct container *container);
