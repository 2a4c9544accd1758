/* Whether and when a container that ended is started again.
 *
 * Pure. The delay doubles with every restart in a row, from the policy's own to
 * RUNTIME_BACKOFF_MS_MAX; a container that ran for the policy's window counts from the start again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "runtime/container_spec.h"

enum restart_verdict {
    RESTART_LATER,   /* after a delay */
    RESTART_DONE,    /* it ended as it should, or has no policy */
    RESTART_GIVE_UP, /* it was tried as often as the policy allows */
};

/* `attempts` counts restarts in a row and is updated; `ran_ms` is how long it ran, 0 for a failed
 * start. `*ret_delay_ms` is written for RESTART_LATER only. */
enum restart_verdict restart_decide(const struct container_restart *policy, bool failed,
                                    int64_t ran_ms, uint32_t *attempts, int64_t *ret_delay_ms);
