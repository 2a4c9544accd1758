/* A container's hooks: commands that are run in it after its start, and before its end.
 *
 * Those after its start run one after the other while it counts as starting; each that ended well
 * is counted in its record, so that a new daemon goes on with the next. If one fails the container
 * is stopped, as if its health check had failed. Those before its end run within the grace; one
 * that fails is logged and holds up nobody.
 */
#pragma once

#include <stdbool.h>

struct container;

/* Whether not all of those after its start have run. */
bool hooks_remain(const struct container *container);

/* Runs the next of them, or has the container stopped if it can't be run; false if none is left. */
bool hooks_advance_start(struct container *container);

/* Runs those before its end, and then has the stop signal sent. */
void hooks_begin_stop(struct container *container);

/* Kills the one that runs. */
void hooks_end(struct container *container);
