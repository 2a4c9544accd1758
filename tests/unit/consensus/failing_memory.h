/* Lets the Nth allocation of a test program fail. Its link wraps malloc, calloc, realloc and
 * reallocarray (see meson.build). */
#pragma once

#include <stdint.h>

/* The next `count` allocations succeed, then one fails; a negative count: none does. */
void memory_fail_after(int64_t count);
