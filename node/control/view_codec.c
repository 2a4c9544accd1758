/* The values of the records that peers publish about themselves. The owner, and the generation's
 * key in gossip's table, are signed with the record; who reads one takes the owner from there. */
#include <errno.h>

#include "base/reader.h"
#include "base/writer.h"
#include "node/control/stand_in.h"
#include "node/control/view.h"

enum {
    CAPACITY_FIELDS = 5,
    DISK_FIELDS = 2,
    REPLICA_FIELDS = 6,
    STAND_IN_FIELDS = 4, /* more, of a stand-in */
    HOLDING_FIELDS = 3,
};

/* Enters an array of at least `fields`; a newer peer may append more, which `end` passes over. */
static uint32_t begin(struct reader *reader, uint32_t fields)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) == 0 && count < fields)
        reader_refuse(reader);
    return count < fields ? 0 : count - fields;
}

static int end(struct reader *reader, uint32_t extra)
{
    while (extra-- > 0 && reader_check(reader) == 0)
        reader_skip(reader);
    return reader_end(reader);
}

static void enum_read(struct reader *reader, uint8_t max, uint8_t *ret)
{
    if (reader_u8(reader, ret) == 0 && *ret > max)
        reader_refuse(reader);
}

int view_capacity_encode(const struct view_capacity *capacity, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, CAPACITY_FIELDS);
    writer_u64(&writer, capacity->cpu_millis);
    writer_u64(&writer, capacity->memory_bytes);
    writer_text(&writer, capacity->version);
    writer_text(&writer, capacity->labels);
    writer_u64(&writer, capacity->level);
    return writer_check(&writer);
}

int view_capacity_decode(struct bytes bytes, struct view_capacity *ret)
{
    struct reader reader;
    struct view_capacity capacity = {0};
    reader_init(&reader, bytes.data, bytes.size);
    uint32_t extra = begin(&reader, CAPACITY_FIELDS);
    reader_u32(&reader, &capacity.cpu_millis);
    reader_u64(&reader, &capacity.memory_bytes);
    reader_copy_text(&reader, capacity.version, sizeof(capacity.version));
    reader_copy_text(&reader, capacity.labels, sizeof(capacity.labels));
    reader_u32(&reader, &capacity.level);
    if (end(&reader, extra) < 0)
        return -EBADMSG;
    *ret = capacity;
    return 0;
}

int view_disk_encode(const struct view_disk *disk, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, DISK_FIELDS);
    writer_u64(&writer, disk->free_bytes);
    writer_u64(&writer, disk->bytes);
    return writer_check(&writer);
}

int view_disk_decode(struct bytes bytes, struct view_disk *ret)
{
    struct reader reader;
    struct view_disk disk = {0};
    reader_init(&reader, bytes.data, bytes.size);
    uint32_t extra = begin(&reader, DISK_FIELDS);
    reader_u64(&reader, &disk.free_bytes);
    reader_u64(&reader, &disk.bytes);
    if (end(&reader, extra) < 0)
        return -EBADMSG;
    *ret = disk;
    return 0;
}

int view_replica_encode(const struct view_replica *replica, const struct intent_replica *stand_in,
                        struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, REPLICA_FIELDS + (stand_in ? STAND_IN_FIELDS : 0));
    writer_u64(&writer, replica->generation);
    writer_u64(&writer, replica->state);
    writer_u64(&writer, replica->health);
    writer_u64(&writer, replica->restarts);
    writer_i64(&writer, replica->exit_code);
    writer_text(&writer, replica->detail);
    if (stand_in) {
        writer_text(&writer, stand_in->service);
        writer_u64(&writer, stand_in->slot);
        writer_u64(&writer, stand_in->revision);
        writer_i64(&writer, stand_in->since_wall_ms);
    }
    return writer_check(&writer);
}

/* Returns how many of the `extra` fields are left. */
static uint32_t stand_in_read(struct reader *reader, uint32_t extra, struct intent_replica *ret)
{
    if (extra < STAND_IN_FIELDS) {
        reader_refuse(reader);
        return 0;
    }
    reader_copy_text(reader, ret->service, sizeof(ret->service));
    reader_u32(reader, &ret->slot);
    reader_u32(reader, &ret->revision);
    reader_i64(reader, &ret->since_wall_ms);
    return extra - STAND_IN_FIELDS;
}

int view_replica_decode(struct bytes bytes, struct view_replica *ret,
                        struct intent_replica *ret_stand_in)
{
    struct reader reader;
    struct view_replica replica = {0};
    struct intent_replica stand_in = {0};
    int64_t exit_code = 0;
    reader_init(&reader, bytes.data, bytes.size);
    uint32_t extra = begin(&reader, REPLICA_FIELDS);
    reader_u64(&reader, &replica.generation);
    enum_read(&reader, VIEW_REPLICA_FAILED, &replica.state);
    enum_read(&reader, VIEW_HEALTH_BAD, &replica.health);
    reader_u32(&reader, &replica.restarts);
    reader_i64(&reader, &exit_code);
    if (exit_code < INT32_MIN || exit_code > INT32_MAX)
        reader_refuse(&reader);
    reader_copy_text(&reader, replica.detail, sizeof(replica.detail));
    if (stand_in_is(replica.generation))
        extra = stand_in_read(&reader, extra, &stand_in);
    if (end(&reader, extra) < 0)
        return -EBADMSG;
    replica.exit_code = (int32_t)exit_code;
    stand_in.generation = replica.generation;
    *ret = replica;
    *ret_stand_in = stand_in;
    return 0;
}

int view_holding_encode(const struct view_holding *holding, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, HOLDING_FIELDS);
    writer_u64(&writer, holding->applied);
    writer_u64(&writer, holding->index);
    writer_u64(&writer, holding->term);
    return writer_check(&writer);
}

int view_holding_decode(struct bytes bytes, struct view_holding *ret)
{
    struct reader reader;
    struct view_holding holding = {0};
    reader_init(&reader, bytes.data, bytes.size);
    uint32_t extra = begin(&reader, HOLDING_FIELDS);
    reader_u64(&reader, &holding.applied);
    reader_u64(&reader, &holding.index);
    reader_u64(&reader, &holding.term);
    if (end(&reader, extra) < 0)
        return -EBADMSG;
    *ret = holding;
    return 0;
}
