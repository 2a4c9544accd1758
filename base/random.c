#include "base/random.h"

#include <assert.h>
#include <string.h>

/* SplitMix64 spreads a small seed over the whole state, as the generator's authors advise. */
static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

void random_init(struct random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->state[i] = split_mix(&seed);
}

static uint64_t rotate_left(uint64_t value, int count)
{
    return value << count | value >> (64 - count);
}

uint64_t random_u64(struct random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t random_below(struct random *random, uint64_t bound)
{
    assert(bound > 0);
    uint64_t rejected_below = -bound % bound; /* so that each result is equally likely */
    for (;;) {
        uint64_t value = random_u64(random);
        if (value >= rejected_below)
            return value % bound;
    }
}

bool random_chance(struct random *random, uint64_t part, uint64_t whole)
{
    return random_below(random, whole) < part;
}

void random_fill(struct random *random, void *ret, size_t size)
{
    uint8_t *bytes = ret;
    while (size > 0) {
        uint64_t value = random_u64(random);
        size_t step = size < sizeof(value) ? size : sizeof(value);
        memcpy(bytes, &value, step);
        bytes += step;
        size -= step;
    }
}
