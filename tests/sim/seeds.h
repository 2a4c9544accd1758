/* Numbers and seeds on a simulator's command line. */
#pragma once

#include <stdint.h>

struct seeds {
    uint64_t first, last;
};

/* "S" or "A..B", A up to B. -EINVAL for anything else. */
int seeds_parse(const char *text, struct seeds *ret);

/* A whole number from `least` up to `most`, and nothing behind it; else -EINVAL. */
int seeds_parse_number(const char *text, uint64_t least, uint64_t most, uint64_t *ret);
