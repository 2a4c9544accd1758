#include "base/writer.h"

#include <errno.h>
#include <string.h>

static int append(void *context, const char *data, size_t size)
{
    struct writer *writer = context;
    if (writer->failed || buffer_append(writer->buffer, data, size) < 0) {
        writer->failed = true;
        return -1;
    }
    return 0;
}

void writer_init(struct writer *writer, struct buffer *buffer)
{
    writer->buffer = buffer;
    writer->failed = false;
    msgpack_packer_init(&writer->packer, writer, append);
}

void writer_nil(struct writer *writer)
{
    msgpack_pack_nil(&writer->packer);
}

void writer_bool(struct writer *writer, bool value)
{
    if (value)
        msgpack_pack_true(&writer->packer);
    else
        msgpack_pack_false(&writer->packer);
}

void writer_u64(struct writer *writer, uint64_t value)
{
    msgpack_pack_uint64(&writer->packer, value);
}

void writer_i64(struct writer *writer, int64_t value)
{
    msgpack_pack_int64(&writer->packer, value);
}

void writer_double(struct writer *writer, double value)
{
    msgpack_pack_double(&writer->packer, value);
}

void writer_text(struct writer *writer, const char *text)
{
    if (text)
        writer_text_bytes(writer, bytes_of_text(text));
    else
        writer_nil(writer);
}

void writer_text_bytes(struct writer *writer, struct bytes text)
{
    msgpack_pack_str(&writer->packer, text.size);
    msgpack_pack_str_body(&writer->packer, text.data, text.size);
}

void writer_binary(struct writer *writer, const void *data, size_t size)
{
    msgpack_pack_bin(&writer->packer, size);
    msgpack_pack_bin_body(&writer->packer, data, size);
}

void writer_array(struct writer *writer, size_t count)
{
    msgpack_pack_array(&writer->packer, count);
}

void writer_map(struct writer *writer, size_t count)
{
    msgpack_pack_map(&writer->packer, count);
}

void writer_raw(struct writer *writer, struct bytes packed)
{
    append(writer, (const char *)packed.data, packed.size);
}

int writer_check(const struct writer *writer)
{
    return writer->failed ? -ENOMEM : 0;
}
