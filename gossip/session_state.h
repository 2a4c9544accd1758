/* All of a peer's packet sessions: what session.c and session_handshake.c share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "gossip/session.h"
#include "gossip/session_guard.h"
#include "gossip/session_peer.h"

struct sessions {
    const struct identity *identity; /* borrowed */
    struct id cluster;
    struct entropy entropy;
    bool (*admit)(void *context, const struct id *id, const struct certificate_chain *chain);
    void *admit_context;
    int64_t rekey_after_ms;
    uint64_t rekey_after_messages;
    struct session_stamp stamp; /* of our newest first packet */
    struct buffer chain;        /* own chain, encoded; empty while there is none */
    struct session_guard guard;
    struct session_table table;
    struct sessions_counters counters;
    struct buffer opened; /* the payload that sessions_open() lends out */
    uint8_t reply[SESSION_COOKIE_PACKET_BYTES];
};
