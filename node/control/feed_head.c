#include <errno.h>
#include <string.h>

#include "node/control/feed.h"

static const char head_purpose[] = "consort feed head";

enum { HEAD_FIELDS = 8 };

/* What is signed: everything of the head but the signature, and the cluster. */
static int signed_bytes(const struct feed_head *head, const struct id *cluster, struct buffer *ret)
{
    struct writer writer;
    writer_init(&writer, ret);
    writer_binary(&writer, cluster->bytes, ID_BYTES);
    writer_u64(&writer, head->index);
    writer_u64(&writer, head->term);
    writer_u64(&writer, head->level);
    writer_binary(&writer, head->chain, sizeof(head->chain));
    writer_u64(&writer, head->state_index);
    writer_binary(&writer, head->state_hash, sizeof(head->state_hash));
    return writer_check(&writer);
}

int feed_head_sign(const struct intent *intent, const struct feed_state *state,
                   const struct identity *identity, struct feed_head *ret)
{
    struct feed_head head = {.index = intent->applied_index,
                             .term = intent->applied_term,
                             .level = intent->level.number,
                             .state_index = state->index,
                             .signer = identity->id};
    cleanup_buffer struct buffer message = {0};
    memcpy(head.chain, intent->chain, sizeof(head.chain));
    memcpy(head.state_hash, state->hash, sizeof(head.state_hash));
    int rc = signed_bytes(&head, &intent->cluster, &message);
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
    writer_binary(writer, head->chain, sizeof(head->chain));
    writer_u64(writer, head->state_index);
    writer_binary(writer, head->state_hash, sizeof(head->state_hash));
    writer_binary(writer, head->signer.bytes, ID_BYTES);
    writer_binary(writer, head->signature, sizeof(head->signature));
}

int feed_head_read(struct reader *reader, struct feed_head *ret)
{
    struct feed_head head = {0};
    reader_array_exact(reader, HEAD_FIELDS);
    reader_u64(reader, &head.index);
    reader_u64(reader, &head.term);
    reader_u32(reader, &head.level);
    reader_fixed(reader, head.chain, sizeof(head.chain));
    reader_u64(reader, &head.state_index);
    reader_fixed(reader, head.state_hash, sizeof(head.state_hash));
    reader_fixed(reader, head.signer.bytes, ID_BYTES);
    reader_fixed(reader, head.signature, sizeof(head.signature));
    if (head.state_index > head.index)
        reader_refuse(reader);
    if (reader_check(reader) < 0)
        return -EBADMSG;
    *ret = head;
    return 0;
}
