/* Messages between the daemon and the mesh process, over a UNIX socket: whole, in order, each with
 * at most one file descriptor.
 *
 * A message is a kind and a body. It travels in packets (SOCK_SEQPACKET) of a byte that says
 * whether more follows, and a part of kind and body; the descriptor comes with the last packet.
 */
#pragma once

#include <uv.h>

#include "base/buffer.h"

struct channel;

enum {
    CHANNEL_PACKET_BYTES_MAX = 32 * 1024,
    CHANNEL_MESSAGE_BYTES_MAX = 64 * 1024 * 1024,
    CHANNEL_QUEUE_BYTES_MAX = 128 * 1024 * 1024, /* not yet with the kernel */
};

struct channel_handler {
    /* `body` is borrowed; `fd` (-1: none, or no room for it here) is the callee's. May close the
     * channel. */
    void (*on_message)(void *context, struct channel *channel, uint8_t kind, struct bytes body,
                       int fd);
    /* The other side is gone, or does not keep to the rules. Close it. */
    void (*on_end)(void *context, struct channel *channel);
};

/* Takes over a connected socket, also on failure. 0 or a negative errno. */
int channel_open(uv_loop_t *loop, int fd, const struct channel_handler *handler, void *context,
                 struct channel **ret);

/* Queues a message. `fd` (-1: none) passes to the channel, also on failure. 0, -ENOMEM or
 * -ENOBUFS. */
int channel_send(struct channel *channel, uint8_t kind, struct bytes body, int fd);

/* Waits, CHANNEL_FLUSH_MS at most, until the kernel has all that was queued. */
void channel_flush(struct channel *channel);

/* Frees from the loop; what is queued is lost. NULL is accepted. */
void channel_close(struct channel *channel);
