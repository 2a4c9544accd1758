/* SHA-256 of whole blocks by the processor's own instructions: six times as fast as libsodium's
 * portable code, and hashing is what unpacking and moving images spend most time on.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SHA256_BLOCK_BYTES = 64,
};

/* Whether this processor has them. Cheap. */
bool sha256_is_fast(void);

/* Takes `count` blocks into `state`. Only if sha256_is_fast(). */
void sha256_take_blocks(uint32_t state[8], const uint8_t *data, size_t count);
