#include "node/mesh/stream_header.h"

#include <errno.h>

#include "base/reader.h"
#include "base/writer.h"
#include "consensus/codec.h"
#include "consensus/spec.h"

enum {
    HEADER_FIELDS = 4,
};

int mesh_header_encode(const struct mesh_header *header, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, HEADER_FIELDS);
    writer_u64(&writer, header->generation);
    writer_u64(&writer, header->port);
    writer_u64(&writer, header->protocol);
    text_list_write(&writer, &header->networks);
    return writer_check(&writer);
}

int mesh_header_decode(struct bytes bytes, struct mesh_header *ret)
{
    struct reader reader;
    struct mesh_header header = {0};
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, HEADER_FIELDS);
    reader_u64(&reader, &header.generation);
    reader_u16(&reader, &header.port);
    codec_read_enum(&reader, SPEC_UDP, &header.protocol);
    text_list_read(&reader, SPEC_NETWORKS_MAX, SPEC_NETWORK_NAME_MAX, &header.networks);
    int rc = reader_end(&reader);
    if (rc == 0 && (header.generation == 0 || header.port == 0))
        rc = -EBADMSG;
    if (rc < 0)
        mesh_header_done(&header);
    else
        *ret = header;
    return rc;
}

void mesh_header_done(struct mesh_header *header)
{
    text_list_done(&header->networks);
}

/* The size of a datagram at `bytes`, of which the head is there. */
static size_t frame_size(const uint8_t *bytes)
{
    return (size_t)bytes[0] << 8 | bytes[1];
}

int mesh_frames_take(struct buffer *partial, struct bytes data,
                     void (*each)(void *context, struct bytes datagram), void *context)
{
    size_t at = 0;
    int rc = buffer_append(partial, data.data, data.size);
    while (rc == 0 && partial->size - at >= MESH_FRAME_HEAD_BYTES) {
        size_t size = frame_size(partial->bytes + at);
        if (size > MESH_FRAME_BYTES_MAX)
            rc = -EBADMSG;
        if (rc < 0 || partial->size - at - MESH_FRAME_HEAD_BYTES < size)
            break;
        at += MESH_FRAME_HEAD_BYTES;
        each(context, (struct bytes){partial->bytes + at, size});
        at += size;
    }
    buffer_consume(partial, at);
    return rc;
}
