/* Lets the Nth allocation of a test program fail. Its link wraps malloc, calloc, realloc and
 * reallocarray (see meson.build). */
#pragma once

#include <stdint.h>

/* The next `count` allocations succeed, then one fails; a negative count: none does. */
void memory_fail_after(int64_t count);

/* Lets none fail any more, and returns how many would have succeeded before the one that fails:
 * negative if it has failed, or none was to. For code of the test itself between two tries. */
int64_t memory_pause(void);
