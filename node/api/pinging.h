/* Pings a peer for an operator, in every way there is: by packets directly, through each helper,
 * and over a stream; so that it shows which way is broken.
 */
#pragma once

#include "node/api/call.h"

enum {
    PINGING_COUNT_DEFAULT = 5,
    PINGING_COUNT_MAX = 1000,
    PINGING_INTERVAL_MS_DEFAULT = 1000,
    PINGING_INTERVAL_MS_MIN = 20,
    PINGING_INTERVAL_MS_MAX = 60 * 1000,
    PINGING_HELPERS_MAX = 8,
    PINGING_DIAL_MS = 3000, /* for the stream to be opened */
    PINGING_MAX = 4,        /* calls under way at one peer */
};

struct pinging_options {
    struct id target;
    uint64_t count;       /* of pings each way; 1 to PINGING_COUNT_MAX */
    uint64_t interval_ms; /* between them */
    bool with_helpers;    /* else directly only */
};

/* Sends the call a note `pong` for each answer or loss, and answers it at the end: see docs/api.md.
 * Fails it if the options are out of bounds or can't be. */
void pinging_start(struct api_call *call, const struct pinging_options *options);
