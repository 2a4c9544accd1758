/* One Compose tree over another, as the Specification's chapters "Merge" and "Extend" say: maps are
 * merged key by key, lists are added to, and what is one thing (a command, a health check's test)
 * is replaced. Lists of which each item has a name of its own (environment, ports, volumes, …) are
 * merged by it. !reset takes away, !override replaces.
 */
#pragma once

#include "node/compose/tree.h"

/* Moves the entries of the map `over` over those of the map `base`; the caller frees both. -EINVAL
 * with words in `error`; or -ENOMEM, and `base` is half merged. */
int tree_merge(struct tree_node *base, struct tree_node *over, struct error *error);

/* Takes out what is still marked !reset: it took away nothing, or has done so. */
void tree_drop_reset(struct tree_node *node);
