/* Tells when a process that is not the daemon's child ends, by its pidfd.
 */
#pragma once

#include "runtime/internal.h"

struct process_watch;

/* Calls `on_end` once when that very process ends. -ESRCH if it has ended already, or -ENOMEM. */
int process_watch_new(struct runtime *runtime, const struct process *process,
                      void (*on_end)(void *context), void *context, struct process_watch **ret);

/* No call comes afterwards; may be called within it. Accepts NULL. */
void process_watch_free(struct process_watch *watch);
