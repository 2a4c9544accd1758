/* The images that a replica keeps from being collected: its own, and those that it mounts. They are
 * pinned in the store, each once, and are in the set for as long.
 */
#pragma once

#include "consensus/spec.h"
#include "runtime/container_spec.h"
#include "runtime/image/image_store.h"

/* Pins those of a spec. -EINVAL: one has no digest; -ENOMEM; what was pinned until then stays. */
int image_pins_add(struct image_store *store, const struct service_spec *spec,
                   struct digest_set *pins);

/* Pins those of a container that is here already. */
int image_pins_adopt(struct image_store *store, const struct container_spec *spec,
                     struct digest_set *pins);

/* Unpins all, and leaves an empty set. */
void image_pins_drop(struct image_store *store, struct digest_set *pins);
