/* Timers that need not run at an exact moment run at common ones, so that an idle peer wakes once
 * for all of them. */
#pragma once

#include <stdint.h>
#include <uv.h>

/* How long until the next of the moments that lie `step_ms` apart; at least 1. */
static inline uint64_t grid_wait_ms(const uv_loop_t *loop, uint64_t step_ms)
{
    return step_ms - uv_now(loop) % step_ms;
}
