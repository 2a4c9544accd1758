/* A UDP socket that knows which of this machine's addresses a datagram came to, and answers from
 * that one: a socket on all addresses would else let the kernel choose, and clients drop what comes
 * from a stranger.
 */
#pragma once

#include <uv.h>

#include "base/address.h"
#include "base/buffer.h"

struct datagram_socket;

enum {
    DATAGRAM_BYTES_MAX = 65507, /* what IPv4 carries in one */
};

struct datagram_config {
    uv_loop_t *loop;
    struct address at; /* ip all zero: any address, of IPv4 and IPv6 */
    /* `to` has the port that the socket is bound to. `data` is borrowed for the call, which may
     * close the socket. */
    void (*on_datagram)(void *context, const struct address *from, const struct address *to,
                        struct bytes data);
    void (*on_closed)(void *context); /* the last callback, from the loop */
    void *context;
};

/* 0 or a negative errno; on_closed comes only after datagram_socket_close(). */
int datagram_socket_open(const struct datagram_config *config, struct datagram_socket **ret);

/* Sends from the address `from`, one that the socket is reached at. Lost if the kernel has no room
 * now. */
void datagram_socket_send(struct datagram_socket *self, const struct address *from,
                          const struct address *to, struct bytes data);

/* Reads what waits there now. The callbacks may not close the socket. */
void datagram_socket_drain(struct datagram_socket *self);

/* A bare socket at `at` that is connected to `to`: what comes from there comes to this one, whoever
 * else is bound to the port. 0 or a negative errno. */
int datagram_socket_connected(const struct address *at, const struct address *to, int *ret_fd);

/* Frees from the loop. */
void datagram_socket_close(struct datagram_socket *self);
