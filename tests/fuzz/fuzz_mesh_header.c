/* What a mesh stream opens with, from an admitted peer. */
#include <assert.h>
#include <stdint.h>

#include "consensus/bounds.h"
#include "node/mesh/stream_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void count(void *context, struct bytes datagram)
{
    assert(datagram.size <= MESH_FRAME_BYTES_MAX);
    *(size_t *)context += MESH_FRAME_HEAD_BYTES + datagram.size;
}

/* Frames of datagrams, which come in pieces: what is kept and what was handed over is all. */
static void take_frames(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer partial = {0};
    size_t taken = 0, step = size > 0 ? data[0] % 7 + 1u : 1;
    for (size_t at = 0; at < size; at += step) {
        size_t piece = size - at < step ? size - at : step;
        if (mesh_frames_take(&partial, (struct bytes){data + at, piece}, count, &taken) < 0)
            return;
    }
    assert(taken + partial.size == size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    take_frames(data, size);
    struct mesh_header header, again;
    cleanup_buffer struct buffer written = {0};
    if (mesh_header_decode((struct bytes){data, size}, &header) < 0)
        return 0;
    assert(header.generation != 0 && header.port != 0);
    assert(header.networks.count <= SPEC_NETWORKS_MAX);
    assert(mesh_header_encode(&header, &written) == 0);
    assert(mesh_header_decode(buffer_view(&written), &again) == 0);
    assert(again.generation == header.generation && again.port == header.port &&
           again.protocol == header.protocol && again.networks.count == header.networks.count);
    mesh_header_done(&again);
    mesh_header_done(&header);
    return 0;
}
