/* The sliding window that refuses a packet counter which was there before (RFC 6479).
 *
 * Packets may overtake each other by up to SESSION_REPLAY_WINDOW_BITS; older ones are refused,
 * since they can no longer be told from repeated ones.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "gossip/bounds.h"

enum {
    /* One word more than the window, so that it slides by whole words. */
    SESSION_REPLAY_WORDS = SESSION_REPLAY_WINDOW_BITS / 64 + 1,
};

/* All zero is the initial state. */
struct session_replay {
    uint64_t next; /* one more than the largest counter seen */
    uint64_t seen[SESSION_REPLAY_WORDS];
};

/* Whether the counter is new. To be asked before the packet is decrypted, which costs more. */
bool session_replay_is_new(const struct session_replay *replay, uint64_t counter);

/* Remembers the counter of an authentic packet that was new; it is below UINT64_MAX. */
void session_replay_mark(struct session_replay *replay, uint64_t counter);
