#include <errno.h>
#include <string.h>

#include "node/store/store_private.h"

/* Before each operation's key and value in the batch's buffer. */
struct operation_head {
    enum operation_type type;
    uint64_t index;
    size_t key_size;
    size_t value_size;
};

void store_batch_init(struct store_batch *batch)
{
    *batch = (struct store_batch){0};
    buffer_init(&batch->operations);
}

void store_batch_done(struct store_batch *batch)
{
    if (!batch)
        return;
    buffer_done(&batch->operations);
    *batch = (struct store_batch){0};
}

static int check(const struct store_batch *batch, const struct operation *operation)
{
    bool has_key = operation->type == OPERATION_PUT || operation->type == OPERATION_DELETE ||
                   operation->type == OPERATION_DELETE_ALL;
    if (has_key && (operation->key.size == 0 || operation->key.size > STORE_KEY_BYTES_MAX))
        return -EINVAL;
    if (operation->type == OPERATION_APPEND && operation->index == 0)
        return -EINVAL;
    if (operation->value.size > STORE_VALUE_BYTES_MAX || batch->count == STORE_BATCH_OPERATIONS_MAX)
        return -E2BIG;
    return 0;
}

static void add(struct store_batch *batch, const struct operation *operation)
{
    const struct operation_head head = {.type = operation->type,
                                        .index = operation->index,
                                        .key_size = operation->key.size,
                                        .value_size = operation->value.size};
    if (batch->failed < 0)
        return;
    batch->failed = check(batch, operation);
    if (batch->failed < 0)
        return;
    batch->failed =
        buffer_reserve(&batch->operations, sizeof(head) + head.key_size + head.value_size);
    if (batch->failed < 0)
        return;
    buffer_append(&batch->operations, &head, sizeof(head)); /* there is room */
    buffer_append(&batch->operations, operation->key.data, head.key_size);
    buffer_append(&batch->operations, operation->value.data, head.value_size);
    batch->count++;
}

void store_batch_put(struct store_batch *batch, const char *key, struct bytes value)
{
    add(batch,
        &(struct operation){.type = OPERATION_PUT, .key = bytes_of_text(key), .value = value});
}

void store_batch_delete(struct store_batch *batch, const char *key)
{
    add(batch, &(struct operation){.type = OPERATION_DELETE, .key = bytes_of_text(key)});
}

void store_batch_delete_all(struct store_batch *batch, const char *prefix)
{
    add(batch, &(struct operation){.type = OPERATION_DELETE_ALL, .key = bytes_of_text(prefix)});
}

void store_batch_append(struct store_batch *batch, uint64_t index, struct bytes entry)
{
    add(batch, &(struct operation){.type = OPERATION_APPEND, .index = index, .value = entry});
}

void store_batch_truncate_from(struct store_batch *batch, uint64_t index)
{
    add(batch, &(struct operation){.type = OPERATION_TRUNCATE_FROM, .index = index});
}

void store_batch_compact_to(struct store_batch *batch, uint64_t index)
{
    add(batch, &(struct operation){.type = OPERATION_COMPACT_TO, .index = index});
    batch->may_use_reserve = true;
}

bool store_batch_next(const struct store_batch *batch, size_t *offset, struct operation *ret)
{
    struct operation_head head;
    if (*offset == batch->operations.size)
        return false;
    const uint8_t *at = batch->operations.bytes + *offset;
    memcpy(&head, at, sizeof(head));
    ret->type = head.type;
    ret->index = head.index;
    ret->key = (struct bytes){at + sizeof(head), head.key_size};
    ret->value = (struct bytes){at + sizeof(head) + head.key_size, head.value_size};
    *offset += sizeof(head) + head.key_size + head.value_size;
    return true;
}
