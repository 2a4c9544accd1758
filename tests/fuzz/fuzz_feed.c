/* An answer of the feed, from an admitted peer that would like this one to believe another intent;
 * or a question. The first byte says whether the rest is the answer itself, or entries under a head
 * that is rightly signed, or what stands in the place of a part, or the question.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "base/writer.h"
#include "consensus/command.h"
#include "node/control/feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { MODE_RAW, MODE_ENTRIES, MODE_STATE, MODE_PULL, MODE_COUNT };

static struct identity identity;
static struct intent *intent;

/* Two peers; applied up to 2. It lives as long as the process. */
static void prepare(void)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {1};
    if (intent)
        return;
    int rc = sodium_init();
    assert(rc >= 0);
    identity_init(&identity, seed);
    intent = intent_new(&(struct id){{0xcc}});
    assert(intent);
    for (uint8_t i = 1; i <= 2; i++) {
        cleanup_buffer struct buffer bytes = {0};
        struct intent_result result = {0};
        struct command command = {.head = {.type = COMMAND_ADMIT, .wall_ms = i, .actor = "ann"}};
        command.admit.id = i == 1 ? identity.id : (struct id){{2}};
        command.admit.name[0] = (char)('a' + i);
        assert(command_encode(&command, &bytes) == 0);
        assert(intent_apply(intent, i, 1, buffer_view(&bytes), &result) == 0);
        assert(result.code == 0);
    }
}

static struct intent *copy_of(const struct intent *original)
{
    cleanup_buffer struct buffer bytes = {0};
    struct intent *copy = NULL;
    assert(intent_write(original, &bytes) == 0);
    assert(intent_read(buffer_view(&bytes), &copy) == 0);
    return copy;
}

/* A head that leads to where the entries lead, if they do: rightly signed. */
static struct feed_head head_for(const struct feed_push *push)
{
    struct feed_state none = {0};
    struct feed_head head;
    struct intent *copy = copy_of(intent);
    struct raft_entry entry = {.index = intent->applied_index};
    struct reader reader;
    reader_init(&reader, push->entries.data, push->entries.size);
    for (uint32_t i = 0; i < push->entry_count; i++) {
        uint8_t type = 0;
        reader_array_exact(&reader, 3);
        reader_u64(&reader, &entry.term);
        reader_u8(&reader, &type);
        reader_binary(&reader, &entry.data);
        entry.type = (enum raft_entry_type)type;
        entry.index++;
        feed_chain_next(copy->chain, &entry, copy->chain);
    }
    assert(reader_check(&reader) == 0);
    copy->applied_index = entry.index;
    assert(feed_head_sign(copy, &none, &identity, &head) == 0);
    intent_free(copy);
    return head;
}

static void take_entries(const struct feed_push *push)
{
    struct feed feed;
    struct feed_state passed = {0};
    struct intent *newer = copy_of(intent);
    int rc = feed_entries_check(newer, push);
    assert(rc == 0 || rc == -EKEYREJECTED);
    if (rc == 0) {
        rc = feed_entries_apply(newer, push, &passed);
        assert(rc == 0 || rc == -EKEYREJECTED || rc == -EPROTONOSUPPORT);
    }
    if (rc == 0) {
        assert(newer->applied_index == push->head.index || push->head.index < newer->applied_index);
        feed_init(&feed);
        feed_entries_remember(&feed, push, intent->applied_index);
        feed_done(&feed);
    }
    feed_state_done(&passed);
    intent_free(newer);
}

/* Entries that lead from the intent to a head that says so. */
static void fuzz_entries(struct bytes rest, uint8_t count)
{
    cleanup_buffer struct buffer bytes = {0};
    struct feed_head unsaid = {.index = 1000};
    struct feed_push push;
    struct writer writer;
    writer_init(&writer, &bytes);
    writer_array(&writer, 3);
    writer_u64(&writer, FEED_PUSH_ENTRIES);
    feed_head_write(&writer, &unsaid);
    writer_array(&writer, count);
    writer_raw(&writer, rest);
    assert(writer_check(&writer) == 0);
    if (feed_push_read(buffer_view(&bytes), &push) < 0)
        return;
    push.head = head_for(&push);
    assert(feed_entries_check(intent, &push) == 0);
    take_entries(&push);
}

/* A part that is not what the rightly signed head says; and a whole intent that is malformed. */
static void fuzz_state(struct bytes rest)
{
    struct feed feed;
    struct feed_fetch fetch = {0};
    struct feed_push push;
    struct intent *newer;
    cleanup_buffer struct buffer bytes = {0};
    feed_init(&feed);
    assert(feed_state_make(intent, &feed.state) == 0);
    assert(feed_head_sign(intent, &feed.state, &identity, &feed.state.head) == 0);
    assert(feed_push_encode(&feed, &(struct feed_pull){.state_index = 1}, &bytes) == 0);
    assert(feed_push_read(buffer_view(&bytes), &push) == 0);
    push.data = rest;
    int rc = feed_fetch_begin(&fetch, &push, 1);
    assert(rc == -EKEYREJECTED || bytes_equal(rest, buffer_view(&feed.state.bytes)));
    feed_fetch_done(&fetch);
    feed_done(&feed);
    if (intent_read(rest, &newer) == 0)
        intent_free(newer);
}

static void fuzz_raw(struct bytes rest)
{
    struct feed_push push;
    struct feed_fetch fetch = {0};
    if (feed_push_read(rest, &push) < 0)
        return;
    if (push.kind == FEED_PUSH_ENTRIES)
        take_entries(&push);
    if (push.kind == FEED_PUSH_PART && feed_fetch_begin(&fetch, &push, 1) == 0)
        assert(fetch.bytes.size <= rest.size && fetch.hashes.size <= rest.size);
    feed_fetch_done(&fetch);
}

/* A question, to a peer that has both entries and a whole intent. */
static void fuzz_pull(struct bytes rest)
{
    struct feed feed;
    struct feed_pull pull;
    struct feed_push push;
    cleanup_buffer struct buffer answer = {0};
    struct raft_entry entry = {.index = 2, .data = bytes_of_text("entry")};
    if (feed_pull_read(rest, &pull) < 0)
        return;
    feed_init(&feed);
    feed_remember(&feed, &entry);
    assert(feed_state_make(intent, &feed.state) == 0);
    assert(feed_head_sign(intent, &feed.state, &identity, &feed.head) == 0);
    feed.state.head = feed.head;
    assert(feed_push_encode(&feed, &pull, &answer) == 0);
    assert(feed_push_read(buffer_view(&answer), &push) == 0);
    feed_done(&feed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer before = {0}, after = {0};
    if (size == 0)
        return 0;
    prepare();
    struct bytes rest = {data + 1, size - 1};
    assert(intent_write(intent, &before) == 0);
    switch (data[0] % MODE_COUNT) {
    case MODE_RAW:
        fuzz_raw(rest);
        break;
    case MODE_ENTRIES:
        fuzz_entries(rest, data[0] / MODE_COUNT);
        break;
    case MODE_STATE:
        fuzz_state(rest);
        break;
    case MODE_PULL:
        fuzz_pull(rest);
        break;
    }
    assert(intent_write(intent, &after) == 0);
    assert(bytes_equal(buffer_view(&before), buffer_view(&after)));
    return 0;
}
