#include "node/control/feed.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

static const char head_purpose[] = "consort feed head";

enum { HEAD_FIELDS = 6 };

enum push_kind { PUSH_NOTHING, PUSH_ENTRIES, PUSH_INTENT };

void feed_init(struct feed *feed)
{
    *feed = (struct feed){.pull_at_ms = INT64_MAX,
                          .pulled_at_ms = INT64_MIN / 2,
                          .sign_at_ms = INT64_MAX,
                          .signed_at_ms = INT64_MIN / 2};
}

void feed_done(struct feed *feed)
{
    feed_forget(feed);
    free(feed->recent);
    feed->recent = NULL;
}

void feed_forget(struct feed *feed)
{
    for (size_t i = 0; i < feed->recent_count; i++)
        buffer_done(&feed->recent[i].data);
    feed->recent_count = 0;
    feed->recent_bytes = 0;
}

/* Drops the older half, so that dropping costs nothing an entry. */
static void drop_older_half(struct feed *feed)
{
    size_t dropped = (feed->recent_count + 1) / 2;
    for (size_t i = 0; i < dropped; i++) {
        feed->recent_bytes -= feed->recent[i].data.size;
        buffer_done(&feed->recent[i].data);
    }
    feed->recent_count -= dropped;
    memmove(feed->recent, feed->recent + dropped, feed->recent_count * sizeof(*feed->recent));
}

void feed_remember(struct feed *feed, const struct raft_entry *entry)
{
    if (!feed->recent)
        feed->recent = calloc(FEED_RECENT_ENTRIES_MAX, sizeof(*feed->recent));
    if (!feed->recent)
        return;
    if (entry->data.size > FEED_RECENT_BYTES_MAX) {
        feed_forget(feed);
        return;
    }
    while (feed->recent_count == FEED_RECENT_ENTRIES_MAX ||
           entry->data.size > FEED_RECENT_BYTES_MAX - feed->recent_bytes)
        drop_older_half(feed);
    struct feed_entry copy = {.index = entry->index, .term = entry->term, .type = entry->type};
    if (buffer_append(&copy.data, entry->data.data, entry->data.size) < 0) {
        feed_forget(feed);
        return;
    }
    feed->recent_bytes += entry->data.size;
    feed->recent[feed->recent_count++] = copy;
}

static void apply_configuration(struct intent *intent, const struct raft_entry *entry)
{
    struct raft_changes changes;
    if (raft_changes_decode(entry->data, &changes) < 0)
        intent_apply_nothing(intent, entry->index, entry->term); /* as Raft itself takes it */
    else
        intent_apply_changes(intent, entry->index, entry->term, &changes);
}

static struct id id_of_serial(const struct intent *intent, uint64_t serial)
{
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        if (peer->serial == serial)
            return peer->id;
    }
    return ID_NONE;
}

int feed_apply_entry(struct intent *intent, const struct raft_entry *entry,
                     struct intent_result *ret_result, struct id *ret_admitted)
{
    if (entry->type == RAFT_ENTRY_EMPTY) {
        intent_apply_nothing(intent, entry->index, entry->term);
        return 0;
    }
    if (entry->type == RAFT_ENTRY_CONFIGURATION) {
        apply_configuration(intent, entry);
        return 0;
    }
    int rc = intent_apply(intent, entry->index, entry->term, entry->data, ret_result);
    if (rc == 0 && ret_result->code == 0 && ret_result->serial > 0)
        *ret_admitted = id_of_serial(intent, ret_result->serial);
    return rc;
}

int feed_hash(const struct intent *intent, uint8_t ret[FEED_HASH_BYTES])
{
    cleanup_buffer struct buffer state = {0};
    int rc = intent_write(intent, &state);
    if (rc < 0)
        return rc;
    crypto_generichash(ret, FEED_HASH_BYTES, state.bytes, state.size, NULL, 0);
    return 0;
}

/* What is signed: everything of the head but the signature, and the cluster. */
static int signed_bytes(const struct feed_head *head, const struct id *cluster, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_binary(&writer, cluster->bytes, ID_BYTES);
    writer_u64(&writer, head->index);
    writer_u64(&writer, head->term);
    writer_u64(&writer, head->level);
    writer_binary(&writer, head->hash, sizeof(head->hash));
    return writer_check(&writer);
}

int feed_head_sign(const struct intent *intent, const struct identity *identity,
                   struct feed_head *ret)
{
    struct feed_head head = {.index = intent->applied_index,
                             .term = intent->applied_term,
                             .level = intent->level.number,
                             .signer = identity->id};
    cleanup_buffer struct buffer message = {0};
    int rc = feed_hash(intent, head.hash);
    if (rc == 0)
        rc = signed_bytes(&head, &intent->cluster, &message);
    if (rc < 0)
        return rc;
    identity_sign(identity, head_purpose, buffer_view(&message), head.signature);
    *ret = head;
    return 0;
}

int feed_head_verify(const struct feed_head *head, const struct id *cluster)
{
    cleanup_buffer struct buffer message = {0};
    int rc = signed_bytes(head, cluster, &message);
    if (rc < 0)
        return rc;
    return identity_verify(&head->signer, head_purpose, buffer_view(&message), head->signature)
               ? 0
               : -EKEYREJECTED;
}

void feed_head_write(struct writer *writer, const struct feed_head *head)
{
    writer_array(writer, HEAD_FIELDS);
    writer_u64(writer, head->index);
    writer_u64(writer, head->term);
    writer_u64(writer, head->level);
    writer_binary(writer, head->hash, sizeof(head->hash));
    writer_binary(writer, head->signer.bytes, ID_BYTES);
    writer_binary(writer, head->signature, sizeof(head->signature));
}

int feed_head_read(struct reader *reader, struct feed_head *ret)
{
    struct feed_head head;
    reader_array_exact(reader, HEAD_FIELDS);
    reader_u64(reader, &head.index);
    reader_u64(reader, &head.term);
    reader_u32(reader, &head.level);
    reader_fixed(reader, head.hash, sizeof(head.hash));
    reader_fixed(reader, head.signer.bytes, ID_BYTES);
    reader_fixed(reader, head.signature, sizeof(head.signature));
    if (reader_check(reader) < 0)
        return -EBADMSG;
    *ret = head;
    return 0;
}

/* The remembered entries that lead from `index` to the head: [*ret_first, *ret_first + count). */
static size_t entries_between(const struct feed *feed, uint64_t index, size_t *ret_first)
{
    for (size_t i = 0; i < feed->recent_count; i++) {
        if (feed->recent[i].index != index + 1)
            continue;
        *ret_first = i;
        uint64_t count = feed->head.index - index;
        return count <= feed->recent_count - i ? (size_t)count : 0;
    }
    return 0;
}

static void write_entries(struct writer *writer, const struct feed_entry *entries, size_t count)
{
    writer_array(writer, count);
    for (size_t i = 0; i < count; i++) {
        writer_array(writer, 3);
        writer_u64(writer, entries[i].term);
        writer_u64(writer, entries[i].type);
        writer_binary(writer, entries[i].data.bytes, entries[i].data.size);
    }
}

int feed_push_encode(const struct feed *feed, const struct intent *intent, uint64_t index,
                     struct buffer *ret)
{
    struct writer writer;
    size_t first = 0, count = 0;
    cleanup_buffer struct buffer state = {0};

    writer_init(&writer, ret);
    writer_array(&writer, 3);
    if (feed->head.index <= index) {
        writer_u64(&writer, PUSH_NOTHING);
        writer_nil(&writer);
        writer_nil(&writer);
        return writer_check(&writer);
    }
    count = entries_between(feed, index, &first);
    if (count == 0 && intent->applied_index != feed->head.index) {
        /* The intent stands past the newest head: its bytes would not fit any hash yet. */
        writer_u64(&writer, PUSH_NOTHING);
        writer_nil(&writer);
        writer_nil(&writer);
        return writer_check(&writer);
    }
    writer_u64(&writer, count > 0 ? PUSH_ENTRIES : PUSH_INTENT);
    feed_head_write(&writer, &feed->head);
    if (count > 0) {
        write_entries(&writer, feed->recent + first, count);
    } else {
        int rc = intent_write(intent, &state);
        if (rc < 0)
            return rc;
        writer_binary(&writer, state.bytes, state.size);
    }
    return writer_check(&writer);
}

static int copy_intent(const struct intent *intent, struct intent **ret)
{
    cleanup_buffer struct buffer state = {0};
    int rc = intent_write(intent, &state);
    return rc < 0 ? rc : intent_read(buffer_view(&state), ret);
}

/* Reads the entries that lead to the head onto `intent`. It may have moved on since it asked for
 * them: what it has already is passed over. */
static int read_entries(struct reader *reader, const struct feed_head *head, struct intent *intent)
{
    uint32_t count;
    if (reader_array(reader, &count) < 0 || count > head->index)
        return -EBADMSG;
    for (uint32_t i = 0; i < count; i++) {
        struct raft_entry entry = {.index = head->index - count + 1 + i};
        struct intent_result result = {0};
        struct id admitted;
        uint8_t type = 0;
        reader_array_exact(reader, 3);
        reader_u64(reader, &entry.term);
        reader_u8(reader, &type);
        if (reader_binary(reader, &entry.data) < 0 || type > RAFT_ENTRY_CONFIGURATION)
            return -EBADMSG;
        entry.type = (enum raft_entry_type)type;
        if (entry.index <= intent->applied_index)
            continue;
        if (entry.index != intent->applied_index + 1)
            return -EKEYREJECTED; /* there is a gap, so it can't come to the head */
        int rc = feed_apply_entry(intent, &entry, &result, &admitted);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int check_against_head(const struct intent *intent, const struct feed_head *head,
                              const struct id *cluster)
{
    uint8_t hash[FEED_HASH_BYTES];
    if (!id_equal(&intent->cluster, cluster) || intent->applied_index != head->index ||
        intent->level.number != head->level)
        return -EKEYREJECTED;
    int rc = feed_head_verify(head, cluster);
    if (rc == 0)
        rc = feed_hash(intent, hash);
    if (rc < 0)
        return rc;
    return memcmp(hash, head->hash, sizeof(hash)) == 0 ? 0 : -EKEYREJECTED;
}

int feed_push_decode(const struct intent *intent, struct bytes bytes, struct intent **ret,
                     struct feed_head *ret_head)
{
    struct reader reader;
    struct feed_head head;
    struct intent *newer = NULL;
    struct bytes state;
    uint8_t kind = PUSH_NOTHING;
    int rc;

    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, 3);
    if (reader_u8(&reader, &kind) < 0 || kind > PUSH_INTENT)
        return -EBADMSG;
    if (kind == PUSH_NOTHING) {
        *ret = NULL;
        return 0;
    }
    if (feed_head_read(&reader, &head) < 0)
        return -EBADMSG;
    if (head.index <= intent->applied_index) {
        *ret = NULL;
        return 0;
    }
    if (kind == PUSH_ENTRIES) {
        rc = copy_intent(intent, &newer);
        if (rc == 0)
            rc = read_entries(&reader, &head, newer);
    } else {
        rc = reader_binary(&reader, &state);
        if (rc == 0)
            rc = intent_read(state, &newer);
    }
    if (rc == 0)
        rc = reader_end(&reader);
    if (rc == 0)
        rc = check_against_head(newer, &head, &intent->cluster);
    if (rc < 0) {
        intent_free(newer);
        return rc;
    }
    *ret = newer;
    *ret_head = head;
    return 0;
}
