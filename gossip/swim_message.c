#include "gossip/swim_message.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/writer.h"

enum {
    PACKET_FIELDS = 7,
    RIDING_ENTRY_FIELDS = 6,
    ENTRY_FIELDS = 4,
    DIGEST_FIELDS = 5,
    DELTA_FIELDS = 3,
    PING_FIELDS = 2,
    SUMMARY_FIELDS = 4,
    WANT_FIELDS = 2,
    RANGE_FIELDS = 2,
};

uint64_t id_prefix(const struct id *id)
{
    uint64_t prefix = 0;
    for (size_t i = 0; i < ID_PREFIX_BYTES; i++)
        prefix = prefix << 8 | id->bytes[i];
    return prefix;
}

static int read_fact(struct reader *reader, struct fact_view *ret)
{
    struct bytes raw;
    if (reader_binary(reader, &raw) < 0)
        return -EBADMSG;
    return fact_parse(raw, ret);
}

static int read_subject(struct reader *reader, struct id *ret)
{
    *ret = ID_NONE;
    return reader_peek(reader) == READER_NIL ? reader_nil(reader)
                                             : reader_fixed(reader, ret->bytes, ID_BYTES);
}

static int read_place(struct reader *reader, struct address *ret)
{
    *ret = (struct address){0};
    return reader_peek(reader) == READER_NIL ? reader_nil(reader) : address_read(reader, ret);
}

/* Who has no place is not told one; and one is said of a receiver only. */
static bool kind_has_place(const struct packet *packet)
{
    return address_is_none(&packet->place) || packet->kind == PACKET_PING ||
           (packet->kind == PACKET_ACK && id_is_none(&packet->subject));
}

static bool kind_has_subject(const struct packet *packet)
{
    bool has = !id_is_none(&packet->subject);
    switch (packet->kind) {
    case PACKET_RELAY:
    case PACKET_NACK:
        return has;
    case PACKET_ACK:
        return true;
    case PACKET_PING:
    case PACKET_GOSSIP:
        return !has;
    }
    return false;
}

/* Generation and counter apart: both are small, and together they would take nine bytes. */
static void write_halves(struct writer *writer, uint64_t value)
{
    writer_u64(writer, value >> 32);
    writer_u64(writer, (uint32_t)value);
}

static void read_halves(struct reader *reader, uint64_t *ret)
{
    uint32_t generation = 0, counter = 0;
    reader_u32(reader, &generation);
    reader_u32(reader, &counter);
    *ret = (uint64_t)generation << 32 | counter;
}

int packet_read(struct bytes bytes, struct packet *ret)
{
    struct reader reader;
    uint8_t kind = 0;
    uint32_t digest_count = 0, fact_count = 0;

    reader_init(&reader, bytes.data, bytes.size);
    ret->sequence = 0;
    reader_array_exact(&reader, PACKET_FIELDS);
    reader_u8(&reader, &kind);
    reader_u32(&reader, &ret->sequence);
    read_subject(&reader, &ret->subject);
    read_place(&reader, &ret->place);
    ret->view = 0;
    reader_u32(&reader, &ret->view);
    reader_array(&reader, &digest_count);
    if (digest_count > SWIM_PACKET_DIGESTS_MAX)
        return -EBADMSG;
    for (uint32_t i = 0; i < digest_count; i++) {
        struct digest_entry *entry = &ret->digests[i];
        *entry = (struct digest_entry){0};
        reader_array_exact(&reader, RIDING_ENTRY_FIELDS);
        reader_u64(&reader, &entry->prefix);
        read_halves(&reader, &entry->incarnation);
        read_halves(&reader, &entry->version);
        reader_u8(&reader, &entry->accusers);
    }
    reader_array(&reader, &fact_count);
    if (fact_count > SWIM_PACKET_FACTS_MAX)
        return -EBADMSG;
    for (uint32_t i = 0; i < fact_count; i++)
        if (read_fact(&reader, &ret->facts[i]) < 0)
            return -EBADMSG;

    ret->kind = (enum packet_kind)kind;
    if (reader_end(&reader) < 0 || !kind_has_subject(ret) || !kind_has_place(ret))
        return -EBADMSG;
    ret->digest_count = digest_count;
    ret->fact_count = fact_count;
    return 0;
}

bool packet_asks(struct bytes bytes)
{
    struct reader reader;
    uint8_t kind = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, PACKET_FIELDS);
    reader_u8(&reader, &kind);
    return kind == PACKET_PING || kind == PACKET_RELAY;
}

void packet_draft_init(struct packet_draft *draft, enum packet_kind kind, uint32_t sequence,
                       const struct id *subject, size_t size)
{
    assert(size >= PACKET_OVERHEAD_BYTES);
    draft->kind = kind;
    draft->sequence = sequence;
    draft->subject = subject ? *subject : ID_NONE;
    draft->place = (struct address){0};
    draft->view = 0;
    draft->room = size - PACKET_OVERHEAD_BYTES;
    draft->digest_count = draft->fact_count = 0;
}

void packet_draft_place(struct packet_draft *draft, const struct address *place)
{
    if (address_is_none(place) || PACKET_PLACE_BYTES > draft->room)
        return;
    draft->place = *place;
    draft->room -= PACKET_PLACE_BYTES;
}

void packet_draft_view(struct packet_draft *draft, uint32_t view)
{
    if (view == 0 || PACKET_VIEW_BYTES > draft->room)
        return;
    draft->view = view;
    draft->room -= PACKET_VIEW_BYTES;
}

static bool draft_has(const struct packet_draft *draft, const struct fact *fact)
{
    for (size_t i = 0; i < draft->fact_count; i++)
        if (draft->facts[i] == fact)
            return true;
    return false;
}

bool packet_draft_add(struct packet_draft *draft, const struct fact *fact)
{
    if (draft_has(draft, fact))
        return true;
    size_t size = fact->view.raw.size + PACKET_FACT_OVERHEAD_BYTES;
    if (size > draft->room || draft->fact_count == SWIM_PACKET_FACTS_MAX)
        return false;
    draft->facts[draft->fact_count++] = fact;
    draft->room -= size;
    return true;
}

bool packet_draft_add_digest(struct packet_draft *draft, const struct digest_entry *entry)
{
    for (size_t i = 0; i < draft->digest_count; i++)
        if (draft->digests[i].prefix == entry->prefix)
            return true;
    if (PACKET_DIGEST_BYTES > draft->room || draft->digest_count == SWIM_PACKET_DIGESTS_MAX)
        return false;
    draft->digests[draft->digest_count++] = *entry;
    draft->room -= PACKET_DIGEST_BYTES;
    return true;
}

int packet_write(const struct packet_draft *draft, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, PACKET_FIELDS);
    writer_u64(&writer, draft->kind);
    writer_u64(&writer, draft->sequence);
    if (id_is_none(&draft->subject))
        writer_nil(&writer);
    else
        writer_binary(&writer, draft->subject.bytes, ID_BYTES);
    if (address_is_none(&draft->place))
        writer_nil(&writer);
    else
        address_write(&writer, &draft->place);
    writer_u64(&writer, draft->view);
    writer_array(&writer, draft->digest_count);
    for (size_t i = 0; i < draft->digest_count; i++) {
        writer_array(&writer, RIDING_ENTRY_FIELDS);
        writer_u64(&writer, draft->digests[i].prefix);
        write_halves(&writer, draft->digests[i].incarnation);
        write_halves(&writer, draft->digests[i].version);
        writer_u64(&writer, draft->digests[i].accusers);
    }
    writer_array(&writer, draft->fact_count);
    for (size_t i = 0; i < draft->fact_count; i++)
        writer_binary(&writer, draft->facts[i]->view.raw.data, draft->facts[i]->view.raw.size);
    return writer_check(&writer);
}

static int read_entry(struct reader *reader, struct digest_entry *ret)
{
    *ret = (struct digest_entry){0};
    reader_array_exact(reader, ENTRY_FIELDS);
    reader_fixed(reader, ret->id.bytes, ID_BYTES);
    reader_u64(reader, &ret->incarnation);
    reader_u64(reader, &ret->version);
    return reader_u8(reader, &ret->accusers);
}

/* A summary's range begins where the one before ended. */
static int read_range(struct sync_message *message, struct sync_range *ret)
{
    struct reader *reader = &message->items;
    *ret = (struct sync_range){.after = message->after};
    reader_array_exact(reader, RANGE_FIELDS);
    if (message->kind == SYNC_WANT)
        reader_fixed(reader, ret->after.bytes, ID_BYTES);
    reader_fixed(reader, ret->through.bytes, ID_BYTES);
    if (message->kind == SYNC_SUMMARY)
        reader_u64(reader, &ret->hash);
    if (reader_check(reader) < 0 || id_compare(&ret->after, &message->after) < 0 ||
        id_compare(&ret->through, &ret->after) <= 0)
        return -EBADMSG;
    message->after = ret->through;
    return 0;
}

static int check_entry(struct sync_message *message, struct id *previous)
{
    struct digest_entry entry;
    if (read_entry(&message->items, &entry) < 0)
        return -EBADMSG;
    if (id_compare(&entry.id, previous) <= 0 || id_compare(&entry.id, &message->through) > 0)
        return -EBADMSG;
    *previous = entry.id;
    return 0;
}

/* Walks over all items of a message whose head has been read. */
static int check_items(struct sync_message message)
{
    struct id previous = message.after;
    struct fact_view fact;
    struct sync_range range;
    int rc = 0;

    for (uint32_t i = 0; i < message.count && rc == 0; i++) {
        if (message.kind == SYNC_DIGEST)
            rc = check_entry(&message, &previous);
        else if (message.kind == SYNC_DELTA)
            rc = read_fact(&message.items, &fact);
        else
            rc = read_range(&message, &range);
    }
    return rc < 0 ? rc : reader_end(&message.items);
}

/* Reads what stands between the kind and the items. */
static int read_head(struct sync_message *message, uint32_t fields)
{
    struct reader *reader = &message->items;
    enum sync_kind kind = message->kind;
    if (kind == SYNC_DIGEST && fields == DIGEST_FIELDS) {
        reader_bool(reader, &message->flag);
        reader_fixed(reader, message->after.bytes, ID_BYTES);
        reader_fixed(reader, message->through.bytes, ID_BYTES);
    } else if (kind == SYNC_DELTA && fields == DELTA_FIELDS) {
        reader_bool(reader, &message->flag);
    } else if (kind == SYNC_SUMMARY && fields == SUMMARY_FIELDS) {
        reader_u64(reader, &message->salt);
        reader_fixed(reader, message->after.bytes, ID_BYTES);
    } else if (kind != SYNC_WANT || fields != WANT_FIELDS) {
        return -EBADMSG;
    }
    reader_array(reader, &message->count);
    bool has_ranges = kind == SYNC_SUMMARY || kind == SYNC_WANT;
    return has_ranges && message->count > SWIM_SYNC_RANGES_MAX ? -EBADMSG : reader_check(reader);
}

static int read_sync_ping(struct reader *reader, enum sync_kind kind, uint32_t fields,
                          struct sync_message *ret)
{
    struct sync_message message = {.kind = kind};
    reader_u32(reader, &message.sequence);
    if (reader_end(reader) < 0 || fields != PING_FIELDS)
        return -EBADMSG;
    *ret = message;
    return 0;
}

int sync_read(struct bytes bytes, struct sync_message *ret)
{
    struct sync_message message = {0};
    struct reader *reader = &message.items;
    uint32_t fields = 0;
    uint8_t kind = 0;

    if (bytes.size > SWIM_STREAM_BYTES_MAX)
        return -EBADMSG;
    reader_init(reader, bytes.data, bytes.size);
    reader_array(reader, &fields);
    reader_u8(reader, &kind);
    message.kind = (enum sync_kind)kind;
    if (kind == SYNC_PING || kind == SYNC_ACK)
        return read_sync_ping(reader, message.kind, fields, ret);
    if (read_head(&message, fields) < 0 || check_items(message) < 0)
        return -EBADMSG;
    *ret = message;
    return 0;
}

bool sync_next_entry(struct sync_message *message, struct digest_entry *ret)
{
    assert(message->kind == SYNC_DIGEST);
    if (message->count == 0)
        return false;
    message->count--;
    int rc = read_entry(&message->items, ret);
    assert(rc == 0);
    return true;
}

bool sync_next_fact(struct sync_message *message, struct fact_view *ret)
{
    assert(message->kind == SYNC_DELTA);
    if (message->count == 0)
        return false;
    message->count--;
    int rc = read_fact(&message->items, ret);
    assert(rc == 0);
    return true;
}

bool sync_next_range(struct sync_message *message, struct sync_range *ret)
{
    assert(message->kind == SYNC_SUMMARY || message->kind == SYNC_WANT);
    if (message->count == 0)
        return false;
    message->count--;
    int rc = read_range(message, ret);
    assert(rc == 0);
    return true;
}

int sync_write_digest(bool reply_wanted, const struct id *after, const struct id *through,
                      const struct digest_entry *entries, size_t count, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, DIGEST_FIELDS);
    writer_u64(&writer, SYNC_DIGEST);
    writer_bool(&writer, reply_wanted);
    writer_binary(&writer, after->bytes, ID_BYTES);
    writer_binary(&writer, through->bytes, ID_BYTES);
    writer_array(&writer, count);
    for (size_t i = 0; i < count; i++) {
        writer_array(&writer, ENTRY_FIELDS);
        writer_binary(&writer, entries[i].id.bytes, ID_BYTES);
        writer_u64(&writer, entries[i].incarnation);
        writer_u64(&writer, entries[i].version);
        writer_u64(&writer, entries[i].accusers);
    }
    return writer_check(&writer);
}

int sync_write_delta(bool more, struct fact *const *facts, size_t count, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, DELTA_FIELDS);
    writer_u64(&writer, SYNC_DELTA);
    writer_bool(&writer, more);
    writer_array(&writer, count);
    for (size_t i = 0; i < count; i++)
        writer_binary(&writer, facts[i]->view.raw.data, facts[i]->view.raw.size);
    return writer_check(&writer);
}

int sync_write_ping(enum sync_kind kind, uint32_t sequence, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, PING_FIELDS);
    writer_u64(&writer, kind);
    writer_u64(&writer, sequence);
    return writer_check(&writer);
}

int sync_write_summary(uint64_t salt, const struct sync_range *ranges, size_t count,
                       struct buffer *ret)
{
    struct writer writer;
    assert(count > 0);
    writer_init(&writer, ret);
    writer_array(&writer, SUMMARY_FIELDS);
    writer_u64(&writer, SYNC_SUMMARY);
    writer_u64(&writer, salt);
    writer_binary(&writer, ranges[0].after.bytes, ID_BYTES);
    writer_array(&writer, count);
    for (size_t i = 0; i < count; i++) {
        writer_array(&writer, RANGE_FIELDS);
        writer_binary(&writer, ranges[i].through.bytes, ID_BYTES);
        writer_u64(&writer, ranges[i].hash);
    }
    return writer_check(&writer);
}

int sync_write_want(const struct sync_range *ranges, size_t count, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, WANT_FIELDS);
    writer_u64(&writer, SYNC_WANT);
    writer_array(&writer, count);
    for (size_t i = 0; i < count; i++) {
        writer_array(&writer, RANGE_FIELDS);
        writer_binary(&writer, ranges[i].after.bytes, ID_BYTES);
        writer_binary(&writer, ranges[i].through.bytes, ID_BYTES);
    }
    return writer_check(&writer);
}
