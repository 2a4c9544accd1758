/* A sealed secret from a snapshot or the network, opened by a peer that it says it is sealed to: a
 * wrap, then the content. Nothing but what seal_blob() made may ever open.
 */
#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/peer/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct id cluster = {{0xcc}};

static void try_forged(const struct identity *identity, const uint8_t *data, size_t size)
{
    struct intent_wrap wrap = {.peer = identity->id}, other;
    struct intent_blob blob = {
        .name = "key", .kind = SPEC_FILE_SECRET, .wraps = &wrap, .wrap_count = 1};
    cleanup_buffer struct buffer content = {0};
    size_t taken = size < sizeof(wrap.box) ? size : sizeof(wrap.box);
    memcpy(wrap.box, data, taken);
    blob.content = (struct buffer){(uint8_t *)data + taken, size - taken, size - taken};
    assert(seal_open(&blob, &cluster, identity, &content) == -EBADMSG);
    assert(content.size == 0);
    assert(seal_wrap(&blob, identity, &identity->id, &other) == -EBADMSG);
}

static void try_round_trip(const struct identity *identity, const uint8_t *data, size_t size)
{
    struct intent_blob blob = {.name = "key", .kind = SPEC_FILE_SECRET};
    struct buffer content = {0};
    assert(buffer_append(&blob.content, data, size) == 0);
    assert(seal_blob(&blob, &cluster, &identity->id, 1) == 0);
    assert(seal_open(&blob, &cluster, identity, &content) == 0);
    assert(bytes_equal(buffer_view(&content), (struct bytes){data, size}));
    seal_wipe(&content);
    if (size > 0) { /* one byte of what is sealed is another one */
        blob.content.bytes[data[0] % blob.content.size] ^= 0x40;
        assert(seal_open(&blob, &cluster, identity, &content) == -EBADMSG);
    }
    buffer_done(&content);
    intent_blob_done(&blob);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t seed[IDENTITY_SEED_BYTES] = {7};
    struct identity identity;
    if (size == 0 || sodium_init() < 0)
        return 0;
    identity_init(&identity, seed);
    try_forged(&identity, data, size);
    try_round_trip(&identity, data, size);
    identity_done(&identity);
    return 0;
}
