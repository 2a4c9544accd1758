/* Anonymous volumes: what a replica keeps where nobody has named a volume (an image's VOLUMEs, and
 * `volumes: - /path`).
 *
 * Docker Compose keeps them when it makes a container anew. So here: they belong to a slot of a
 * service on this machine, "shop_db.1.HASH", and a replica's successor here finds what it left.
 * They are removed once the service is removed or has no such slot or volume any more, or once
 * another machine's replica of that slot runs, and no update is under way that might come back.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/id.h"
#include "consensus/intent.h"
#include "node/control/view.h"

enum {
    ANONYMOUS_NAME_BYTES = 192, /* with the NUL */
};

/* What the volume is called that the replica of that slot has at `target`. */
void anonymous_name(const char *service, uint32_t slot, const char *target,
                    char ret[ANONYMOUS_NAME_BYTES]);

/* Whether the peer `self`, where no container has it, may want that volume again. */
bool anonymous_is_needed(const struct intent *intent, const struct view *view,
                         const struct id *self, const char *name);
