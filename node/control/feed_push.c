/* Questions of the feed, and answers: entries, or parts of a whole intent. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/feed.h"

enum {
    PULL_FIELDS = 3,
    ENTRY_FIELDS = 3,
    NOTHING_FIELDS = 1,
    ENTRIES_FIELDS = 3,
    PART_FIELDS = 6,
};

void feed_pull_write(struct writer *writer, const struct feed_pull *pull)
{
    writer_array(writer, PULL_FIELDS);
    writer_u64(writer, pull->index);
    writer_u64(writer, pull->state_index);
    writer_u64(writer, pull->part);
}

int feed_pull_read(struct bytes bytes, struct feed_pull *ret)
{
    struct feed_pull pull = {0};
    struct reader reader;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, PULL_FIELDS);
    reader_u64(&reader, &pull.index);
    reader_u64(&reader, &pull.state_index);
    reader_u32(&reader, &pull.part);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = pull;
    return 0;
}

static void write_entries(struct writer *writer, const struct feed_entry *entries, size_t count)
{
    writer_array(writer, count);
    for (size_t i = 0; i < count; i++) {
        writer_array(writer, ENTRY_FIELDS);
        writer_u64(writer, entries[i].term);
        writer_u64(writer, entries[i].type);
        writer_binary(writer, entries[i].data.bytes, entries[i].data.size);
    }
}

static void write_part(struct writer *writer, const struct feed_state *state, uint32_t part)
{
    writer_array(writer, PART_FIELDS);
    writer_u64(writer, FEED_PUSH_PART);
    feed_head_write(writer, &state->head);
    writer_u64(writer, state->bytes.size);
    writer_u64(writer, part);
    writer_binary(writer, state->hashes.bytes, part == 0 ? state->hashes.size : 0);
    writer_binary(writer, state->bytes.bytes + (size_t)part * FEED_PART_BYTES,
                  feed_part_size(state->bytes.size, part));
}

int feed_push_encode(const struct feed *feed, const struct feed_pull *pull, struct buffer *ret)
{
    const struct feed_state *state = &feed->state;
    struct writer writer;
    size_t first = 0;
    writer_init(&writer, ret);
    if (pull->state_index == 0 && feed_remembers(feed, pull->index, feed->head.index, &first)) {
        writer_array(&writer, ENTRIES_FIELDS);
        writer_u64(&writer, FEED_PUSH_ENTRIES);
        feed_head_write(&writer, &feed->head);
        write_entries(&writer, feed->recent + first, (size_t)(feed->head.index - pull->index));
    } else if (state->head.index > 0 && state->index > pull->index) {
        bool goes_on =
            pull->state_index == state->index && pull->part < feed_part_count(state->bytes.size);
        write_part(&writer, state, goes_on ? pull->part : 0);
    } else {
        writer_array(&writer, NOTHING_FIELDS);
        writer_u64(&writer, FEED_PUSH_NOTHING);
    }
    return writer_check(&writer);
}

static int read_entry(struct reader *reader, struct raft_entry *ret)
{
    struct raft_entry entry = {0};
    uint8_t type = 0;
    reader_array_exact(reader, ENTRY_FIELDS);
    reader_u64(reader, &entry.term);
    reader_u8(reader, &type);
    if (reader_binary(reader, &entry.data) < 0 || type > RAFT_ENTRY_CONFIGURATION)
        return -EBADMSG;
    entry.type = (enum raft_entry_type)type;
    *ret = entry;
    return 0;
}

static int read_entries(struct reader *reader, struct feed_push *push)
{
    feed_head_read(reader, &push->head);
    if (reader_array(reader, &push->entry_count) < 0 || push->entry_count > push->head.index)
        return -EBADMSG;
    size_t start = reader->offset;
    for (uint32_t i = 0; i < push->entry_count; i++) {
        struct raft_entry entry;
        if (read_entry(reader, &entry) < 0)
            return -EBADMSG;
        push->has_configuration |= entry.type == RAFT_ENTRY_CONFIGURATION;
    }
    push->entries = (struct bytes){reader->data + start, reader->offset - start};
    return 0;
}

static int read_part(struct reader *reader, struct feed_push *push)
{
    feed_head_read(reader, &push->head);
    reader_u64(reader, &push->size);
    reader_u32(reader, &push->part);
    reader_binary(reader, &push->hashes);
    if (reader_binary(reader, &push->data) < 0)
        return -EBADMSG;
    return push->size > 0 && push->size <= FEED_STATE_BYTES_MAX && push->head.state_index > 0 &&
                   push->part < feed_part_count(push->size)
               ? 0
               : -EBADMSG;
}

int feed_push_read(struct bytes bytes, struct feed_push *ret)
{
    static const uint32_t fields[] = {NOTHING_FIELDS, ENTRIES_FIELDS, PART_FIELDS};
    struct feed_push push = {0};
    struct reader reader;
    uint32_t count = 0;
    uint8_t kind = 0;
    int rc = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array(&reader, &count);
    if (reader_u8(&reader, &kind) < 0 || kind > FEED_PUSH_PART || count != fields[kind])
        return -EBADMSG;
    push.kind = (enum feed_push_kind)kind;
    if (push.kind == FEED_PUSH_ENTRIES)
        rc = read_entries(&reader, &push);
    else if (push.kind == FEED_PUSH_PART)
        rc = read_part(&reader, &push);
    if (rc < 0 || reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = push;
    return 0;
}

/* The entries of an answer, one after another, from the first that `applied` does not have. */
struct walk {
    struct reader reader;
    uint64_t next, last;
};

/* -EKEYREJECTED: there is a gap. */
static int walk_begin(struct walk *walk, const struct feed_push *push, uint64_t applied)
{
    struct raft_entry entry;
    reader_init(&walk->reader, push->entries.data, push->entries.size);
    walk->next = push->head.index - push->entry_count + 1;
    walk->last = push->head.index;
    if (walk->next > applied + 1)
        return -EKEYREJECTED;
    for (; walk->next <= applied && walk->next <= walk->last; walk->next++)
        if (read_entry(&walk->reader, &entry) < 0)
            return -EKEYREJECTED;
    return 0;
}

static bool walk_next(struct walk *walk, struct raft_entry *ret)
{
    if (walk->next > walk->last || read_entry(&walk->reader, ret) < 0)
        return false;
    ret->index = walk->next++;
    return true;
}

int feed_entries_check(const struct intent *intent, const struct feed_push *push)
{
    uint8_t chain[INTENT_CHAIN_BYTES];
    struct raft_entry entry;
    struct walk walk;
    int rc = walk_begin(&walk, push, intent->applied_index);
    if (rc < 0)
        return rc;
    memcpy(chain, intent->chain, sizeof(chain));
    while (walk_next(&walk, &entry))
        feed_chain_next(chain, &entry, chain);
    return memcmp(chain, push->head.chain, sizeof(chain)) == 0 ? 0 : -EKEYREJECTED;
}

/* What is offered there must be what we came to. */
static int pass_state(const struct intent *intent, const struct feed_head *head,
                      struct feed_state *ret)
{
    struct feed_state state;
    if (!ret || intent->applied_index != head->state_index)
        return 0;
    int rc = feed_state_make(intent, &state);
    if (rc < 0)
        return rc == -EFBIG ? -EKEYREJECTED : rc;
    if (!feed_state_is(&state, head)) {
        feed_state_done(&state);
        return -EKEYREJECTED;
    }
    state.head = *head;
    feed_state_done(ret);
    *ret = state;
    return 0;
}

int feed_entries_apply(struct intent *intent, const struct feed_push *push,
                       struct feed_state *ret_state)
{
    struct raft_entry entry;
    struct walk walk;
    int rc = walk_begin(&walk, push, intent->applied_index);
    while (rc == 0 && walk_next(&walk, &entry)) {
        struct intent_result result = {0};
        struct id admitted;
        rc = feed_apply_entry(intent, &entry, &result, &admitted);
        if (rc == 0)
            rc = pass_state(intent, &push->head, ret_state);
    }
    return rc;
}

void feed_entries_remember(struct feed *feed, const struct feed_push *push, uint64_t index)
{
    struct raft_entry entry;
    struct walk walk;
    if (walk_begin(&walk, push, index) == 0)
        while (walk_next(&walk, &entry))
            feed_remember(feed, &entry);
}

int feed_entries_copy(const struct feed_push *push, uint64_t index, struct buffer *ret_arena,
                      struct raft_entry **ret_entries, size_t *ret_count)
{
    struct feed_push copy = *push;
    struct raft_entry *entries = calloc((size_t)push->entry_count + 1, sizeof(*entries));
    struct walk walk;
    size_t count = 0;
    if (!entries || buffer_append(ret_arena, push->entries.data, push->entries.size) < 0) {
        free(entries);
        return -ENOMEM;
    }
    copy.entries = buffer_view(ret_arena);
    if (walk_begin(&walk, &copy, index) == 0)
        while (walk_next(&walk, &entries[count]))
            count++;
    *ret_entries = entries;
    *ret_count = count;
    return 0;
}
