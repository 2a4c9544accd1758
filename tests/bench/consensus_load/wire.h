/* How a client of the load speaks to a server: one write at a time on a connection of its own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"

enum {
    WIRE_KEY_BYTES_MAX = 31,
    WIRE_VALUE_BYTES_MAX = 64 * 1024,
};

/* What one connection remembers. */
struct wire_state {
    uint64_t number;      /* of the latest request: stream or call id */
    int64_t window_bytes; /* HTTP/2: what may be sent */
    bool has_answer;      /* HTTP/2: data has come on the request's stream */
};

struct wire {
    const char *name;
    /* Appends what is said first. */
    int (*greet)(struct wire_state *state, struct buffer *out);
    /* Appends the request that sets `key` to `value`. -EAGAIN: no room on the connection yet. */
    int (*request)(struct wire_state *state, const char *key, struct bytes value,
                   struct buffer *out);
    /* Takes what has come off the front of `in`, up to the request's answer: 1 if it was done, 0 if
     * there is none yet, -EREMOTEIO if it was refused, -EBADMSG. May append to `out`. */
    int (*take)(struct wire_state *state, struct buffer *in, struct buffer *out);
};

extern const struct wire wire_etcd, wire_consort;
