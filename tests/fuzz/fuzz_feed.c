/* An answer of the feed, from an admitted peer that would like this one to believe another intent.
 * The first byte says whether the rest is the answer itself, or entries or an intent under a head
 * that is rightly signed.
 */
#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <sodium.h>

#include "base/writer.h"
#include "consensus/command.h"
#include "node/control/feed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum mode { MODE_RAW, MODE_ENTRIES, MODE_INTENT, MODE_COUNT };

enum { PUSH_ENTRIES = 1, PUSH_INTENT = 2 }; /* on the wire */

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

/* As feed_head_sign(), for a hash that is given. */
static void write_head(struct writer *writer, uint64_t index, struct bytes state)
{
    static const char purpose[] = "consort feed head";
    struct feed_head head = {.index = index, .term = 1, .level = 1, .signer = identity.id};
    cleanup_buffer struct buffer message = {0};
    struct writer signed_writer;
    crypto_generichash(head.hash, sizeof(head.hash), state.data, state.size, NULL, 0);
    writer_init(&signed_writer, &message);
    writer_binary(&signed_writer, intent->cluster.bytes, ID_BYTES);
    writer_u64(&signed_writer, head.index);
    writer_u64(&signed_writer, head.term);
    writer_u64(&signed_writer, head.level);
    writer_binary(&signed_writer, head.hash, sizeof(head.hash));
    identity_sign(&identity, purpose, buffer_view(&message), head.signature);
    assert(feed_head_verify(&head, &intent->cluster) == 0);
    feed_head_write(writer, &head);
}

static void wrap(enum mode mode, uint64_t index, struct bytes rest, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, 3);
    writer_u64(&writer, mode == MODE_ENTRIES ? PUSH_ENTRIES : PUSH_INTENT);
    write_head(&writer, index, rest);
    if (mode == MODE_ENTRIES)
        writer_raw(&writer, rest);
    else
        writer_binary(&writer, rest.data, rest.size);
    assert(writer_check(&writer) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cleanup_buffer struct buffer before = {0}, after = {0}, push = {0};
    struct intent *newer = NULL;
    struct feed_head head;
    if (size == 0)
        return 0;
    prepare();
    enum mode mode = data[0] % MODE_COUNT;
    struct bytes rest = {data + 1, size - 1};
    assert(intent_write(intent, &before) == 0);
    if (mode == MODE_RAW)
        assert(buffer_append(&push, rest.data, rest.size) == 0);
    else
        wrap(mode, intent->applied_index + 1 + data[0] / MODE_COUNT, rest, &push);
    int rc = feed_push_decode(intent, buffer_view(&push), &newer, &head);
    assert(rc == 0 || rc == -EBADMSG || rc == -EKEYREJECTED || rc == -EPROTONOSUPPORT);
    if (rc == 0 && newer) {
        assert(newer->applied_index > intent->applied_index);
        assert(newer->applied_index == head.index);
        intent_free(newer);
    }
    assert(intent_write(intent, &after) == 0);
    assert(bytes_equal(buffer_view(&before), buffer_view(&after)));
    return 0;
}
