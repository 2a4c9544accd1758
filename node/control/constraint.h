/* Placement constraints and labels: "node.labels.zone==a", "node.name!=b", "node.id==00ff…".
 *
 * A key that no peer has (a label that is not set, or a word that means nothing here) equals
 * nothing:
 * "==" never matches it and "!=" always does. "node.hostname" is Docker's word for "node.name".
 */
#pragma once

#include <stdbool.h>

#include "base/buffer.h"
#include "consensus/intent.h"
#include "node/control/view.h"

/* The value of "node.labels.KEY" or "node.name" at a peer; size 0 if it has none. Borrows from the
 * arguments. `capacity` may be NULL while it is unknown. */
struct bytes constraint_value(const char *key, size_t key_size, const struct intent_peer *peer,
                              const struct view_capacity *capacity);

/* Whether the peer meets one constraint; one without "==" or "!=" is met by no peer. */
bool constraint_is_met(const char *constraint, const struct intent_peer *peer,
                       const struct view_capacity *capacity);

/* The first of the constraints that the peer does not meet; NULL if it meets all. */
const char *constraint_unmet(const struct text_list *constraints, const struct intent_peer *peer,
                             const struct view_capacity *capacity);
