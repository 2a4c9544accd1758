/* Control messages over a stream: length u32 | kind u8 | bytes, where the length counts the kind.
 *
 * An outbox queues them for a peer that may be slow: over LINKS_MESSAGE_QUEUE_BYTES the oldest ones
 * are dropped (an old heartbeat is worth less than a new one); an empty one takes any. An inbox
 * puts them together again.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "node/transport/mux.h"

struct message;

struct outbox {
    struct message *first, *last;
    size_t bytes;      /* queued, with heads */
    size_t first_sent; /* bytes of the first message that the stream has */
    int64_t moved_ms;  /* when the stream last took something, or the queue was empty */
    uint64_t dropped;  /* messages, ever */
};

void outbox_init(struct outbox *outbox);

/* Drops everything. */
void outbox_clear(struct outbox *outbox);

/* -EMSGSIZE over LINKS_MESSAGE_BYTES_MAX, -ENOMEM. Otherwise 0, though older messages, or this one,
 * may be dropped for want of room. */
int outbox_push(struct outbox *outbox, int64_t now_ms, uint8_t kind, struct bytes data);

/* Gives the stream what it takes; it calls on_drained when it takes more. A negative errno if the
 * stream takes nothing any more. */
int outbox_pump(struct outbox *outbox, int64_t now_ms, struct mux_stream *stream);

bool outbox_is_empty(const struct outbox *outbox);

struct inbox {
    struct buffer bytes; /* of a message that is not complete */
};

/* Takes bytes as they come and calls back for each complete message. -EBADMSG: an empty message, or
 * one over LINKS_MESSAGE_BYTES_MAX; -ENOMEM; -ECANCELED: `on_message` returned false, stop. */
int inbox_receive(struct inbox *inbox, struct bytes data,
                  bool (*on_message)(void *context, uint8_t kind, struct bytes data),
                  void *context);

void inbox_done(struct inbox *inbox);
