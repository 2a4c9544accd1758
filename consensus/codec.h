/* Small steps that the codecs of consensus/ share, on top of base/reader.h and base/writer.h.
 *
 * All follow the reader's rule: after a failure nothing is read any more, results stay as they
 * were, and one reader_check() at the end of a record tells.
 */
#pragma once

#include <stdlib.h>

#include "base/id.h"
#include "base/reader.h"
#include "base/writer.h"
#include "consensus/bounds.h"

/* Reads an enum's value, 0 up to `max`. */
static inline void codec_read_enum(struct reader *reader, uint8_t max, uint8_t *ret)
{
    uint8_t value = 0;
    if (reader_u8(reader, &value) < 0)
        return;
    if (value > max)
        reader_refuse(reader);
    else
        *ret = value;
}

/* Enters an array of at most `max` items; 0 after a failure. */
static inline uint32_t codec_read_count(struct reader *reader, uint32_t max)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) < 0)
        return 0;
    if (count <= max)
        return count;
    reader_refuse(reader);
    return 0;
}

/* Enters an array of at most `max` items and makes room for them, zeroed: NULL when there are none
 * or after a failure. The caller frees it. `*ret_count` is 0 whenever NULL is returned. */
static inline void *codec_read_items(struct reader *reader, uint32_t max, size_t item_bytes,
                                     size_t *ret_count)
{
    uint32_t count = codec_read_count(reader, max);
    *ret_count = 0;
    if (count == 0)
        return NULL;
    void *items = calloc(count, item_bytes);
    if (!items) {
        reader_refuse_memory(reader);
        return NULL;
    }
    *ret_count = count;
    return items;
}

static inline void codec_write_id(struct writer *writer, const struct id *id)
{
    writer_binary(writer, id->bytes, ID_BYTES);
}

static inline void codec_read_id(struct reader *reader, struct id *ret)
{
    reader_fixed(reader, ret->bytes, ID_BYTES);
}
