/* What a newcomer and the peer that it asks say on a STREAM_JOIN, once the token has proved each to
 * the other: one request, one answer, each the whole of one direction of the stream.
 *
 * A newcomer is a machine that becomes a peer, or an operator's key (role viewer, deployer, admin).
 */
#pragma once

#include <stdint.h>

#include "base/address.h"
#include "base/bounds.h"
#include "base/buffer.h"
#include "base/error.h"
#include "base/id.h"
#include "gossip/certificate.h"

enum {
    JOIN_VERSION = 1,
    JOIN_REQUEST_BYTES_MAX = 1024,
    JOIN_ANSWER_BYTES_MAX = 20 * 1024 * 1024, /* an intent and what comes with it */
    JOIN_SEEDS_MAX = 16,
};

struct join_request {
    char name[BASE_NAME_BYTES_MAX + 1]; /* the label that it wants */
    enum role role;
    uint32_t level; /* of the cluster's state, that a newcomer knows (consensus/level.h) */
};

struct join_seed {
    struct id id;
    struct address address;
};

struct join_answer {
    struct error error; /* code 0: admitted, and the rest is set */
    struct certificate_chain chain;
    struct join_seed seeds[JOIN_SEEDS_MAX]; /* live peers, the one that answers first */
    uint32_t seed_count;
    struct bytes intent; /* intent_write()'s; only for a peer; borrowed when read */
};

int join_request_encode(const struct join_request *request, struct buffer *ret);
int join_answer_encode(const struct join_answer *answer, struct buffer *ret);

/* -EPROTONOSUPPORT for a newer version, -EBADMSG otherwise. */
int join_request_decode(struct bytes bytes, struct join_request *ret);

/* `ret->intent` borrows from `bytes`. */
int join_answer_decode(struct bytes bytes, struct join_answer *ret);
