/* The one clock that the peer's cores are driven by: monotonic, and it goes on while the machine is
 * suspended. CLOCK_MONOTONIC, and with it libuv's uv_now(), stands still meanwhile, so that a
 * laptop whose lid was opened again would take what it knew before for the present, and a lease
 * that has long run out for its own.
 */
#pragma once

#include <stdint.h>

/* Milliseconds since the machine was booted, those that it slept included. Never goes back. */
int64_t clock_boot_ms(void);
