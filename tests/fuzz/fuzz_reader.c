/* The MessagePack reader: reads each value as what it claims to be, entering arrays and maps, and
 * holds the reader to its promises: it never passes the end, and it stays failed once failed. */
#include <assert.h>
#include <stdint.h>

#include "base/reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_one(struct reader *reader)
{
    struct bytes bytes = {0};
    int64_t integer = 0;
    double number = 0;
    uint32_t count = 0;
    bool flag = false;

    switch (reader_peek(reader)) {
    case READER_NIL:
        reader_nil(reader);
        break;
    case READER_BOOL:
        reader_bool(reader, &flag);
        break;
    case READER_INTEGER:
        reader_i64(reader, &integer);
        break;
    case READER_FLOAT:
        reader_double(reader, &number);
        break;
    case READER_TEXT:
        if (reader_text(reader, &bytes) == 0)
            assert(bytes.size <= reader->size);
        break;
    case READER_BINARY:
        if (reader_binary(reader, &bytes) == 0)
            assert(bytes.size <= reader->size);
        break;
    case READER_ARRAY:
        if (reader_array(reader, &count) == 0)
            assert(count <= reader->size);
        break;
    case READER_MAP:
        if (reader_map(reader, &count) == 0)
            assert(count <= reader->size);
        break;
    case READER_OTHER:
        reader_skip(reader);
        break;
    case READER_FAILED:
        reader_refuse(reader);
        break;
    }
    assert(reader->offset <= reader->size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader reader;

    reader_init(&reader, data, size);
    while (reader_check(&reader) == 0 && reader.offset < size) {
        size_t before = reader.offset;

        read_one(&reader);
        assert(reader.failed || reader.offset > before);
    }
    reader_init(&reader, data, size);
    while (reader_skip(&reader) == 0)
        assert(reader.offset <= size);
    assert(reader_check(&reader) < 0);
    return 0;
}
