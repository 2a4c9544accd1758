/* A seeded generator (xoshiro256**, Blackman and Vigna 2018) for the pure cores and the simulator:
 * the same seed gives the same sequence everywhere. Not for keys: those come from libsodium.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state[4];
};

void random_init(struct random *random, uint64_t seed);
uint64_t random_u64(struct random *random);

/* Uniform in [0, bound); `bound` is at least 1. */
uint64_t random_below(struct random *random, uint64_t bound);

/* True `part` times in `whole`. */
bool random_chance(struct random *random, uint64_t part, uint64_t whole);

/* Fills `ret`; as predictable as the seed, so only for tests and the simulator's keys. */
void random_fill(struct random *random, void *ret, size_t size);
