/* Where a peer looks for others: seeds that the operator names (`consort node --seed`), and the
 * addresses of members that it remembers from before.
 *
 * A name is looked up in libuv's threads, with backoff while that fails, and again and again after
 * that, since addresses behind a name change. Of the remembered addresses a few are tried at a
 * time, others every minute while nobody answers: so neither a fleet that has moved nor one of
 * whose first members none is left strands a peer that was away.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct peer;
struct seeds;

enum {
    SEEDS_NAMED_MAX = 8,       /* names or addresses given */
    SEED_NAME_BYTES_MAX = 253, /* of DNS */
};

/* Whether that is NAME, NAME:PORT, IP or IP:PORT. */
bool seed_is_valid(const char *text);

/* Starts looking; NULL when there is no memory. The names are borrowed from the peer's options. */
struct seeds *seeds_new(struct peer *peer);

/* Stops; frees from the loop. NULL is accepted. */
void seeds_close(struct seeds *seeds);
