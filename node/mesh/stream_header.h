/* What a stream for the mesh opens with: to which replica here, to which of its ports and over
 * which network, the peer that opened it passes a connection or a flow of datagrams on; and how
 * datagrams stand in a stream.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/text_list.h"

struct mesh_header {
    uint64_t generation; /* the replica's; never 0 */
    uint16_t port;       /* inside its container; never 0 */
    uint8_t protocol;    /* enum spec_protocol */
    /* That the client has in common with the service: the replica is reached over the first of them
     * that it is on. None: over its own first. */
    struct text_list networks;
};

/* Appends to `ret`; 0 or -ENOMEM. */
int mesh_header_encode(const struct mesh_header *header, struct buffer *ret);

/* 0, -EBADMSG or -ENOMEM; `*ret` is untouched on failure. */
int mesh_header_decode(struct bytes bytes, struct mesh_header *ret);
void mesh_header_done(struct mesh_header *header);

enum {
    MESH_FRAME_HEAD_BYTES = 2, /* the datagram's size, big endian */
    MESH_FRAME_BYTES_MAX = 65507,
};

/* Calls `each` for every datagram that `data` completes. `partial` is empty at first, and keeps
 * what has not come wholly. 0, -EBADMSG for a size that no datagram has, or -ENOMEM. */
int mesh_frames_take(struct buffer *partial, struct bytes data,
                     void (*each)(void *context, struct bytes datagram), void *context);
