/* Where the pure parts get unpredictable bytes from: a callback of the caller.
 *
 * node/ passes one over libsodium's randombytes_buf; the simulator and tests pass a seeded one.
 */
#pragma once

#include <stddef.h>

struct entropy {
    /* Fills `ret` with `size` bytes; it cannot fail. */
    void (*fill)(void *context, void *ret, size_t size);
    void *context; /* borrowed */
};

static inline void entropy_fill(const struct entropy *entropy, void *ret, size_t size)
{
    entropy->fill(entropy->context, ret, size);
}
