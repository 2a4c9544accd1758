#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/transport/links_private.h"

/* --- To a peer --- */

static void on_out_drained(void *context, struct mux_stream *stream)
{
    struct lane *lane = context;
    outbox_pump(&lane->outbox, links_now(lane->peer->links), stream);
}

static void on_out_close(void *context, struct mux_stream *stream, int reason)
{
    struct lane *lane = context;
    (void)stream;
    (void)reason; /* the link's end is logged; a stream's is in its course */
    lane->out = NULL;
    outbox_clear(&lane->outbox);
}

static const struct stream_handler out_handler = {
    .on_drained = on_out_drained,
    .on_close = on_out_close,
};

int links_send_message(struct links *links, const struct id *id, uint8_t kind, struct bytes data)
{
    struct peer *peer = links_find_peer(links, id);
    if (!peer || links->is_closing)
        return -EHOSTUNREACH;
    struct lane *lane = &peer->lanes[data.size > LINKS_SMALL_BYTES_MAX ? LANE_LARGE : LANE_SMALL];
    int rc = outbox_push(&lane->outbox, links_now(links), kind, data);
    if (rc < 0)
        return rc;
    if (!lane->out) {
        rc = links_open_to(links, peer, STREAM_MESSAGES, (struct bytes){0}, &out_handler, lane,
                           &lane->out);
        if (rc < 0) {
            outbox_clear(&lane->outbox);
            return rc;
        }
        stream_set_patient(lane->out);
    }
    return outbox_pump(&lane->outbox, links_now(links), lane->out);
}

static void drop(struct lane *lane, int reason)
{
    struct mux_stream *out = lane->out;
    lane->out = NULL;
    outbox_clear(&lane->outbox);
    if (out)
        stream_reset(out, reason);
}

void links_messages_drop(struct peer *peer, int reason)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        drop(&peer->lanes[i], reason);
}

static void tick(struct lane *lane, int64_t now_ms)
{
    int64_t quiet_ms = now_ms - lane->outbox.moved_ms;
    if (!lane->out)
        return;
    if (outbox_is_empty(&lane->outbox)) {
        if (quiet_ms >=
            LINKS_IDLE_MS) { /* the stream ends by itself; a new message gets a new one */
            stream_accept(lane->out, NULL, NULL);
            stream_end(lane->out);
            lane->out = NULL;
        }
    } else if (quiet_ms >= LINKS_MESSAGE_STALL_MS) {
        log_limited(LOG_WARNING, "peer %s takes no messages: those queued for it are dropped",
                    id_short(&lane->peer->id));
        drop(lane, -ETIMEDOUT);
    }
}

void links_messages_tick(struct peer *peer, int64_t now_ms)
{
    for (size_t i = 0; i < LANE_COUNT; i++)
        tick(&peer->lanes[i], now_ms);
}

/* --- From a peer --- */

struct incoming {
    struct links *links;
    struct id from;
    struct inbox inbox;
    struct mux_stream *stream; /* NULL once it is over */
    bool is_receiving;         /* inside inbox_receive: freed by that one */
};

static void incoming_free(struct incoming *incoming)
{
    inbox_done(&incoming->inbox);
    free(incoming);
}

static bool on_in_message(void *context, uint8_t kind, struct bytes data)
{
    struct incoming *incoming = context;
    const struct links_config *config = &incoming->links->config;
    if (config->on_message)
        config->on_message(config->context, &incoming->from, kind, data);
    return incoming->stream != NULL; /* the link may have been closed meanwhile */
}

static void on_in_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct incoming *incoming = context;
    incoming->is_receiving = true;
    int rc = inbox_receive(&incoming->inbox, data, on_in_message, incoming);
    incoming->is_receiving = false;
    if (!incoming->stream) {
        incoming_free(incoming);
        return;
    }
    if (rc == 0) {
        stream_consumed(stream, data.size);
        return;
    }
    log_limited(LOG_WARNING, "messages from peer %s: malformed, or no memory",
                id_short(&incoming->from));
    stream_reset(stream, rc);
    incoming_free(incoming);
}

static void on_in_end(void *context, struct mux_stream *stream)
{
    (void)context;
    stream_end(stream);
}

static void on_in_close(void *context, struct mux_stream *stream, int reason)
{
    struct incoming *incoming = context;
    (void)stream;
    (void)reason;
    incoming->stream = NULL;
    if (!incoming->is_receiving)
        incoming_free(incoming);
}

static const struct stream_handler in_handler = {
    .on_data = on_in_data,
    .on_end = on_in_end,
    .on_close = on_in_close,
};

void links_messages_accept(struct links *links, const struct id *from, struct mux_stream *stream)
{
    struct incoming *incoming = calloc(1, sizeof(*incoming));
    if (!incoming) {
        stream_reset(stream, -ENOMEM);
        return;
    }
    incoming->links = links;
    incoming->from = *from;
    incoming->stream = stream;
    stream_accept(stream, &in_handler, incoming);
    stream_set_patient(stream);
}
