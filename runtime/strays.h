/* Monitors and OCI runtimes that a daemon started and did not live to see end.
 *
 * One that is still on its way would go on to make what its daemon asked for, beside what the next
 * daemon makes. So whoever takes containers back ends them first; all but the monitors of
 * containers that are known to run.
 */
#pragma once

#include <stdbool.h>

#include "runtime/settings.h"

/* Kills every process that works below settings->run_dir for a container, and waits until it is
 * gone; not a monitor of one for which `is_kept` holds. Blocks for some milliseconds. */
void strays_end(const struct runtime_settings *settings,
                bool (*is_kept)(void *context, const char *id), void *context);
