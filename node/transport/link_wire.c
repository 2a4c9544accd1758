#include "node/transport/link_wire.h"

#include <assert.h>
#include <errno.h>
#include <sodium.h>
#include <string.h>

#include "node/bounds.h"

static const uint8_t MAGIC[4] = {'C', 'N', 'S', 'T'};
static const char SEED_TAG[] = "consort seed";

enum {
    VERSION_AT = sizeof(MAGIC),
    KIND_AT = VERSION_AT + 1,
    PAYLOAD_FIELDS = 2,
};

/* The 16 bytes that a preamble of two of the kinds ends with. */
static uint8_t *word_of(struct link_preamble *preamble)
{
    return preamble->kind == LINK_KIND_TOKEN ? preamble->token_id : preamble->cluster_tag;
}

int link_preamble_decode(struct bytes input, struct link_preamble *ret, size_t *ret_size)
{
    struct link_preamble preamble = {0};
    size_t known = input.size < sizeof(MAGIC) ? input.size : sizeof(MAGIC);
    if (known > 0 && memcmp(input.data, MAGIC, known) != 0)
        return -EBADMSG; /* said at the first wrong byte, not after waiting for more */
    if (input.size < LINK_PREAMBLE_HEAD_BYTES)
        return -EAGAIN;
    preamble.version = input.data[VERSION_AT];
    if (preamble.version != LINK_PROTOCOL_VERSION) {
        ret->version = preamble.version;
        return -EPROTONOSUPPORT;
    }
    size_t size = LINK_PREAMBLE_HEAD_BYTES;
    switch (input.data[KIND_AT]) {
    case LINK_KIND_ADMITTED:
    case LINK_KIND_MESH:
        preamble.kind = (enum link_kind)input.data[KIND_AT];
        break;
    case LINK_KIND_TOKEN:
    case LINK_KIND_SEED:
        preamble.kind = (enum link_kind)input.data[KIND_AT];
        if (input.size - size < TOKEN_ID_BYTES)
            return -EAGAIN;
        memcpy(word_of(&preamble), input.data + size, TOKEN_ID_BYTES);
        size += TOKEN_ID_BYTES;
        break;
    default:
        return -EBADMSG;
    }
    *ret = preamble;
    *ret_size = size;
    return 0;
}

size_t link_preamble_encode(const struct link_preamble *preamble,
                            uint8_t ret[LINK_PREAMBLE_BYTES_MAX])
{
    memcpy(ret, MAGIC, sizeof(MAGIC));
    ret[VERSION_AT] = preamble->version;
    ret[KIND_AT] = (uint8_t)preamble->kind;
    if (preamble->kind == LINK_KIND_ADMITTED || preamble->kind == LINK_KIND_MESH)
        return LINK_PREAMBLE_HEAD_BYTES;
    struct link_preamble copy = *preamble;
    memcpy(ret + LINK_PREAMBLE_HEAD_BYTES, word_of(&copy), TOKEN_ID_BYTES);
    return LINK_PREAMBLE_BYTES_MAX;
}

void link_cluster_tag(const struct id *cluster, uint8_t ret[LINK_CLUSTER_TAG_BYTES])
{
    crypto_generichash(ret, LINK_CLUSTER_TAG_BYTES, (const uint8_t *)SEED_TAG, sizeof(SEED_TAG) - 1,
                       cluster->bytes, ID_BYTES);
}

int link_frame_next(struct bytes input, size_t max, struct bytes *ret_body, size_t *ret_size)
{
    if (input.size < LINK_FRAME_HEAD_BYTES)
        return -EAGAIN;
    size_t size = (size_t)input.data[0] << 8 | input.data[1];
    if (size == 0 || size > max)
        return -EMSGSIZE;
    if (size > input.size - LINK_FRAME_HEAD_BYTES)
        return -EAGAIN;
    *ret_body = (struct bytes){input.data + LINK_FRAME_HEAD_BYTES, size};
    *ret_size = LINK_FRAME_HEAD_BYTES + size;
    return 0;
}

int link_frame_append(struct buffer *output, enum link_frame_type type, struct bytes body)
{
    size_t size = 1 + body.size;
    assert(body.size < LINK_MESSAGE_BYTES_MAX);
    const uint8_t head[] = {(uint8_t)(size >> 8), (uint8_t)size, (uint8_t)type};
    int rc = buffer_reserve(output, sizeof(head) + body.size);
    if (rc < 0)
        return rc;
    buffer_append(output, head, sizeof(head)); /* there is room */
    buffer_append(output, body.data, body.size);
    return 0;
}

int link_payload_decode(struct bytes bytes, struct link_payload *ret)
{
    struct reader reader;
    struct link_payload payload;
    reader_init(&reader, bytes.data, bytes.size);
    reader_array_exact(&reader, PAYLOAD_FIELDS);
    reader_fixed(&reader, payload.id.bytes, sizeof(payload.id.bytes));
    certificate_chain_read(&reader, &payload.chain);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    *ret = payload;
    return 0;
}

int link_payload_encode(const struct id *id, const struct certificate_chain *chain,
                        struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_array(&writer, PAYLOAD_FIELDS);
    writer_binary(&writer, id->bytes, sizeof(id->bytes));
    certificate_chain_write(&writer, chain);
    return writer_check(&writer);
}
