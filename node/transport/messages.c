#include "node/transport/messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH_BYTES = 4,
    HEAD_BYTES = LENGTH_BYTES + 1,
};

struct message {
    struct message *next;
    size_t size; /* of `frame` */
    uint8_t frame[];
};

void outbox_init(struct outbox *outbox)
{
    *outbox = (struct outbox){0};
}

static void pop(struct outbox *outbox)
{
    struct message *message = outbox->first;
    outbox->first = message->next;
    if (!outbox->first)
        outbox->last = NULL;
    outbox->bytes -= message->size;
    outbox->first_sent = 0;
    free(message);
}

void outbox_clear(struct outbox *outbox)
{
    while (outbox->first)
        pop(outbox);
}

bool outbox_is_empty(const struct outbox *outbox)
{
    return !outbox->first;
}

/* Drops the oldest message of which nothing has been sent; false if there is none. */
static bool drop_oldest(struct outbox *outbox)
{
    if (!outbox->first)
        return false;
    if (outbox->first_sent == 0) {
        pop(outbox);
        outbox->dropped++;
        return true;
    }
    struct message *victim = outbox->first->next;
    if (!victim)
        return false;
    outbox->first->next = victim->next;
    if (!victim->next)
        outbox->last = outbox->first;
    outbox->bytes -= victim->size;
    outbox->dropped++;
    free(victim);
    return true;
}

int outbox_push(struct outbox *outbox, int64_t now_ms, uint8_t kind, struct bytes data)
{
    if (data.size > LINKS_MESSAGE_BYTES_MAX)
        return -EMSGSIZE;
    struct message *message = malloc(sizeof(*message) + HEAD_BYTES + data.size);
    if (!message)
        return -ENOMEM;
    uint32_t length = (uint32_t)data.size + 1;
    message->next = NULL;
    message->size = HEAD_BYTES + data.size;
    for (int i = 0; i < LENGTH_BYTES; i++)
        message->frame[i] = (uint8_t)(length >> (8 * (LENGTH_BYTES - 1 - i)));
    message->frame[LENGTH_BYTES] = kind;
    if (data.size > 0)
        memcpy(message->frame + HEAD_BYTES, data.data, data.size);
    while (outbox->first && (outbox->bytes >= LINKS_MESSAGE_QUEUE_BYTES ||
                             message->size > LINKS_MESSAGE_QUEUE_BYTES - outbox->bytes)) {
        if (drop_oldest(outbox))
            continue;
        outbox->dropped++;
        free(message);
        return 0;
    }
    if (!outbox->first)
        outbox->moved_ms = now_ms;
    *(outbox->last ? &outbox->last->next : &outbox->first) = message;
    outbox->last = message;
    outbox->bytes += message->size;
    return 0;
}

int outbox_pump(struct outbox *outbox, int64_t now_ms, struct mux_stream *stream)
{
    while (outbox->first) {
        struct message *message = outbox->first;
        size_t size = message->size - outbox->first_sent, room = stream_room(stream);
        if (size > room)
            size = room;
        if (size == 0) {
            stream_want_drained(stream);
            return 0;
        }
        int rc = stream_write(stream, message->frame + outbox->first_sent, size);
        if (rc < 0)
            return rc;
        outbox->moved_ms = now_ms;
        outbox->first_sent += size;
        if (outbox->first_sent == message->size)
            pop(outbox);
    }
    return 0;
}

static uint32_t read_length(const uint8_t *data)
{
    uint32_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length = length << 8 | data[i];
    return length;
}

int inbox_receive(struct inbox *inbox, struct bytes data,
                  bool (*on_message)(void *context, uint8_t kind, struct bytes data), void *context)
{
    int rc = buffer_append(&inbox->bytes, data.data, data.size);
    size_t offset = 0;
    while (rc == 0 && inbox->bytes.size - offset >= LENGTH_BYTES) {
        const uint8_t *at = inbox->bytes.bytes + offset;
        uint32_t length = read_length(at);
        if (length == 0 || length > LINKS_MESSAGE_BYTES_MAX + 1)
            return -EBADMSG;
        if (inbox->bytes.size - offset - LENGTH_BYTES < length)
            break;
        offset += LENGTH_BYTES + length;
        if (!on_message(context, at[LENGTH_BYTES], (struct bytes){at + HEAD_BYTES, length - 1}))
            rc = -ECANCELED;
    }
    if (rc < 0)
        return rc;
    buffer_consume(&inbox->bytes, offset);
    if (inbox->bytes.size == 0)
        buffer_done(&inbox->bytes);
    return 0;
}

void inbox_done(struct inbox *inbox)
{
    buffer_done(&inbox->bytes);
}
