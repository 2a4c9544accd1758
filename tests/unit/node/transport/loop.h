/* Letting a loop run for a while, whether or not it has something to do. */
#pragma once

#include <uv.h>

static inline void loop_on_time(uv_timer_t *timer)
{
    uv_timer_stop(timer);
}

static inline void loop_run(uv_loop_t *loop, unsigned ms)
{
    uv_timer_t timer;
    uv_update_time(loop);
    uint64_t until_ms = uv_now(loop) + ms;
    uv_timer_init(loop, &timer);
    while (uv_now(loop) < until_ms) {
        uv_timer_start(&timer, loop_on_time, until_ms - uv_now(loop), 0);
        uv_run(loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&timer);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
}
