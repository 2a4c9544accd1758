#include "node/join/join_wire.h"

#include <errno.h>

#include "base/reader.h"
#include "base/writer.h"

enum {
    REQUEST_FIELDS = 4,
};

int join_request_encode(const struct join_request *request, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, REQUEST_FIELDS);
    writer_u64(&writer, JOIN_VERSION);
    writer_text(&writer, request->name);
    writer_u64(&writer, request->role);
    writer_u64(&writer, request->level);
    return writer_check(&writer);
}

int join_request_decode(struct bytes bytes, struct join_request *ret)
{
    struct reader reader;
    struct join_request request = {0};
    uint64_t version = 0;
    uint8_t role = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, REQUEST_FIELDS);
    if (reader_u64(&reader, &version) == 0 && version > JOIN_VERSION)
        return -EPROTONOSUPPORT;
    reader_copy_text(&reader, request.name, sizeof(request.name));
    reader_u8(&reader, &role);
    reader_u32(&reader, &request.level);
    if (reader_end(&reader) < 0 || role < ROLE_PEER || role > ROLE_ADMIN)
        return -EBADMSG;
    request.role = (enum role)role;
    *ret = request;
    return 0;
}

int join_answer_encode(const struct join_answer *answer, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, 6);
    writer_i64(&writer, answer->error.code);
    writer_text(&writer, answer->error.message);
    writer_text(&writer, answer->error.hint);
    certificate_chain_write(&writer, &answer->chain);
    writer_array(&writer, answer->seed_count);
    for (uint32_t i = 0; i < answer->seed_count; i++) {
        writer_array(&writer, 2);
        writer_binary(&writer, answer->seeds[i].id.bytes, ID_BYTES);
        address_write(&writer, &answer->seeds[i].address);
    }
    writer_binary(&writer, answer->intent.data, answer->intent.size);
    return writer_check(&writer);
}

static int read_seeds(struct reader *reader, struct join_answer *answer)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) < 0 || count > JOIN_SEEDS_MAX)
        return reader_refuse(reader);
    for (uint32_t i = 0; i < count; i++) {
        reader_array_exact(reader, 2);
        reader_fixed(reader, answer->seeds[i].id.bytes, ID_BYTES);
        address_read(reader, &answer->seeds[i].address);
    }
    answer->seed_count = count;
    return reader_check(reader);
}

int join_answer_decode(struct bytes bytes, struct join_answer *ret)
{
    struct reader reader;
    struct join_answer answer = {0};
    int64_t code = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 6);
    reader_i64(&reader, &code);
    reader_copy_text(&reader, answer.error.message, sizeof(answer.error.message));
    reader_copy_text(&reader, answer.error.hint, sizeof(answer.error.hint));
    certificate_chain_read(&reader, &answer.chain);
    read_seeds(&reader, &answer);
    reader_binary(&reader, &answer.intent);
    if (reader_end(&reader) < 0 || code > 0 || code < INT16_MIN)
        return -EBADMSG;
    answer.error.code = (int)code;
    *ret = answer;
    return 0;
}
