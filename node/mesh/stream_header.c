#include "node/mesh/stream_header.h"

#include <errno.h>

#include "base/reader.h"
#include "base/writer.h"

int mesh_header_encode(const struct mesh_header *header, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, 2);
    writer_u64(&writer, header->generation);
    writer_u64(&writer, header->port);
    return writer_check(&writer);
}

int mesh_header_decode(struct bytes bytes, struct mesh_header *ret)
{
    struct reader reader;
    struct mesh_header header = {0};
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 2);
    reader_u64(&reader, &header.generation);
    reader_u16(&reader, &header.port);
    if (reader_end(&reader) < 0 || header.generation == 0 || header.port == 0)
        return -EBADMSG;
    *ret = header;
    return 0;
}
