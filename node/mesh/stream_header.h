/* What a stream for the mesh opens with: to which replica here, and to which of its ports, the peer
 * that opened it passes a connection or a flow of datagrams on; and how datagrams stand in a
 * stream.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"

struct mesh_header {
    uint64_t generation; /* the replica's; never 0 */
    uint16_t port;       /* inside its container; never 0 */
    uint8_t protocol;    /* enum spec_protocol */
};

/* Appends to `ret`; 0 or -ENOMEM. */
int mesh_header_encode(const struct mesh_header *header, struct buffer *ret);

/* 0, or -EBADMSG, and `*ret` is untouched then. */
int mesh_header_decode(struct bytes bytes, struct mesh_header *ret);

enum {
    MESH_FRAME_HEAD_BYTES = 2, /* the datagram's size, big endian */
    MESH_FRAME_BYTES_MAX = 65507,
};

/* Calls `each` for every datagram that `data` completes. `partial` is empty at first, and keeps
 * what has not come wholly. 0, -EBADMSG for a size that no datagram has, or -ENOMEM. */
int mesh_frames_take(struct buffer *partial, struct bytes data,
                     void (*each)(void *context, struct bytes datagram), void *context);
