/* What a stream for the mesh opens with: to which replica here, and to which of its ports, the peer
 * that opened it passes a connection on.
 */
#pragma once

#include <stdint.h>

#include "base/buffer.h"

struct mesh_header {
    uint64_t generation; /* the replica's; never 0 */
    uint16_t port;       /* inside its container; never 0 */
};

/* Appends to `ret`; 0 or -ENOMEM. */
int mesh_header_encode(const struct mesh_header *header, struct buffer *ret);

/* 0, or -EBADMSG, and `*ret` is untouched then. */
int mesh_header_decode(struct bytes bytes, struct mesh_header *ret);
