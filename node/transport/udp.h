/* The packet endpoint: one UDP socket, sealed sessions (gossip/session.h), payloads in and out.
 *
 * Payloads are gossip's. What strangers send costs a log line at a limited rate that says who was
 * refused and why. A payload may arrive twice, late or never.
 */
#pragma once

#include <stdint.h>
#include <uv.h>

#include "base/address.h"
#include "base/error.h"
#include "gossip/session.h"
#include "node/transport/fault.h"

struct udp;

struct udp_config {
    uv_loop_t *loop;
    struct sessions_config
        sessions;        /* copied; what it points to is borrowed. entropy is set here */
    struct fault *fault; /* NULL: none */
    void *context;
    /* A payload from an admitted peer; borrowed for the call. */
    void (*on_packet)(void *context, const struct id *from, const struct address *source,
                      struct bytes payload);
};

/* NULL when there is no memory. */
struct udp *udp_new(const struct udp_config *config);

/* Binds and starts receiving; writes what was bound to `ret_bound` (may be NULL). A negative errno
 * with words in `error`. Once. */
int udp_bind(struct udp *udp, const struct address *address, struct address *ret_bound,
             struct error *error);

/* Seals and sends `payload` to the peer `to` at `address`. Never queues: -EAGAIN when the socket is
 * full. Otherwise as sessions_seal(), or what sending said. */
int udp_send(struct udp *udp, const struct id *to, const struct address *address,
             struct bytes payload);

/* What was sent and received since the start; refused datagrams count as received. */
struct udp_counters {
    uint64_t sent, received;
    uint64_t bytes_sent, bytes_received;
    uint64_t send_failures;
};

void udp_counters(const struct udp *udp, struct udp_counters *ret);

/* For room, new certificates and revocations; borrowed. */
struct sessions *udp_sessions(struct udp *udp);

/* Stops; frees from the loop. NULL is accepted. */
void udp_close(struct udp *udp);
