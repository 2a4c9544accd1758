/* Seeds for fuzzers from the unit tests of the encoders, so that they are never out of date.
 *
 * A test passes on what its encoder made. That is kept where the environment variable CONSORT_SEEDS
 * names a directory, which replay.c and tools/fuzz see to; else nothing happens.
 */
#pragma once

#include "base/buffer.h"

#define SEED_ENVIRONMENT "CONSORT_SEEDS"

/* Keeps a valid input of fuzz_<target>.c: once, however often it is passed. */
void seed_keep(const char *target, struct bytes input);
