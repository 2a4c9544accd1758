/* Which level the cluster's state may be raised to (consensus/level.h), and who keeps it from that.
 *
 * Every peer that belongs to the cluster counts, whether it votes or not, and whether it lives or
 * not, by what it last said of itself: who may come back as it was must understand what it then
 * hears. Who was never heard of is taken to know nothing. Only one that has left or was revoked
 * counts no more.
 */
#pragma once

#include "base/error.h"
#include "consensus/intent.h"
#include "node/control/view.h"

/* The highest level that all of them know; 0: of one at least nothing is known. */
uint32_t level_of_all(const struct intent *intent, const struct view *view);

/* The highest one that any of them knows. */
uint32_t level_of_any(const struct intent *intent, const struct view *view);

/* Whether the peer belongs to the cluster and is not known to know that level. */
bool level_is_above(uint32_t level, const struct intent_peer *peer, const struct view *view);

/* Says why a change of that level is refused, which peers are too old for it, and what to do.
 * Returns -EPROTONOSUPPORT. */
int level_refuse(const struct intent *intent, const struct view *view, uint32_t level,
                 struct error *error);
