#include "node/api/frame.h"

#include <errno.h>
#include <string.h>

int frame_next(const struct buffer *input, struct bytes *ret)
{
    if (input->size < FRAME_HEAD_BYTES)
        return 0;
    const uint8_t *head = input->bytes;
    size_t size = (size_t)head[0] << 24 | (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];
    if (size > FRAME_BYTES_MAX)
        return -EMSGSIZE;
    if (input->size - FRAME_HEAD_BYTES < size)
        return 0;
    *ret = (struct bytes){head + FRAME_HEAD_BYTES, size};
    return 1;
}

/* The bytes of the next value, which is passed over. */
static int take_value(struct reader *reader, struct bytes *ret)
{
    size_t start = reader->offset;
    if (reader_skip(reader) < 0)
        return -EBADMSG;
    *ret = (struct bytes){reader->data + start, reader->offset - start};
    return 0;
}

static int read_failure(struct reader *reader, struct error *error)
{
    int64_t code = 0;
    if (reader_peek(reader) == READER_NIL)
        return reader_nil(reader);
    reader_array_exact(reader, 3);
    reader_i64(reader, &code);
    reader_copy_text(reader, error->message, sizeof(error->message));
    reader_copy_text(reader, error->hint, sizeof(error->hint));
    if (reader_check(reader) < 0 || code >= 0 || code < INT16_MIN)
        return -EBADMSG;
    error->code = (int)code;
    return 0;
}

int frame_decode(struct bytes bytes, struct frame *ret)
{
    struct reader reader;
    struct frame frame = {0};
    uint8_t type = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 4);
    reader_u8(&reader, &type);
    reader_u64(&reader, &frame.id);
    if (reader_check(&reader) < 0 || type > FRAME_NOTE)
        return -EBADMSG;
    frame.type = (enum frame_type)type;
    int rc = frame.type == FRAME_ANSWER ? read_failure(&reader, &frame.error)
                                        : reader_copy_text(&reader, frame.name, sizeof(frame.name));
    if (rc < 0 || take_value(&reader, &frame.body) < 0 || reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = frame;
    return 0;
}

/* Begins a frame; its length is filled in by finish(). */
static size_t begin(struct writer *writer, struct buffer *ret, enum frame_type type, uint64_t id)
{
    static const uint8_t head[FRAME_HEAD_BYTES];
    size_t start = ret->size;
    writer_init(writer, ret);
    writer_raw(writer, (struct bytes){head, sizeof(head)});
    writer_array(writer, 4);
    writer_u64(writer, type);
    writer_u64(writer, id);
    return start;
}

static int finish(struct writer *writer, size_t start, struct bytes body)
{
    struct buffer *buffer = writer->buffer;
    if (body.size > 0)
        writer_raw(writer, body);
    else
        writer_nil(writer);
    int rc = writer_check(writer);
    size_t size = buffer->size - start - FRAME_HEAD_BYTES;
    if (rc == 0 && size > FRAME_BYTES_MAX)
        rc = -EMSGSIZE;
    if (rc < 0) {
        buffer->size = start;
        return rc;
    }
    for (int i = 0; i < FRAME_HEAD_BYTES; i++)
        buffer->bytes[start + (size_t)i] = (uint8_t)(size >> (24 - 8 * i));
    return 0;
}

int frame_request(struct buffer *ret, uint64_t id, const char *method, struct bytes params)
{
    struct writer writer;
    size_t start = begin(&writer, ret, FRAME_REQUEST, id);
    writer_text(&writer, method);
    return finish(&writer, start, params);
}

int frame_answer(struct buffer *ret, uint64_t id, struct bytes result)
{
    struct writer writer;
    size_t start = begin(&writer, ret, FRAME_ANSWER, id);
    writer_nil(&writer);
    return finish(&writer, start, result);
}

int frame_failure(struct buffer *ret, uint64_t id, const struct error *error)
{
    struct writer writer;
    size_t start = begin(&writer, ret, FRAME_ANSWER, id);
    writer_array(&writer, 3);
    writer_i64(&writer, error->code < 0 ? error->code : -EIO);
    writer_text(&writer, error->message);
    writer_text(&writer, error->hint);
    return finish(&writer, start, (struct bytes){0});
}

int frame_note(struct buffer *ret, uint64_t id, const char *kind, struct bytes payload)
{
    struct writer writer;
    size_t start = begin(&writer, ret, FRAME_NOTE, id);
    writer_text(&writer, kind);
    return finish(&writer, start, payload);
}

bool frame_find(struct bytes map, const char *key, struct reader *ret)
{
    struct reader reader;
    uint32_t count = 0;
    reader_init(&reader, map.data, map.size);
    if (reader_peek(&reader) != READER_MAP || reader_map(&reader, &count) < 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        struct bytes name, value;
        if (reader_text(&reader, &name) < 0 || take_value(&reader, &value) < 0)
            return false;
        if (bytes_equal(name, bytes_of_text(key))) {
            reader_init(ret, value.data, value.size);
            return reader_peek(ret) != READER_NIL;
        }
    }
    return false;
}

bool frame_text(struct bytes map, const char *key, char *ret, size_t capacity)
{
    struct reader reader;
    return frame_find(map, key, &reader) && reader_copy_text(&reader, ret, capacity) == 0;
}

bool frame_u64(struct bytes map, const char *key, uint64_t *ret)
{
    struct reader reader;
    return frame_find(map, key, &reader) && reader_u64(&reader, ret) == 0;
}

bool frame_flag(struct bytes map, const char *key)
{
    struct reader reader;
    bool flag = false;
    return frame_find(map, key, &reader) && reader_bool(&reader, &flag) == 0 && flag;
}
