/* What a mesh stream opens with, from an admitted peer. */
#include <assert.h>
#include <stdint.h>

#include "node/mesh/stream_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mesh_header header, again;
    cleanup_buffer struct buffer written = {0};
    if (mesh_header_decode((struct bytes){data, size}, &header) < 0)
        return 0;
    assert(header.generation != 0 && header.port != 0);
    assert(mesh_header_encode(&header, &written) == 0);
    assert(mesh_header_decode(buffer_view(&written), &again) == 0);
    assert(again.generation == header.generation && again.port == header.port);
    return 0;
}
