#include "node/api/pinging.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "node/peer/pings.h"
#include "node/transport/pipe.h"
#include "node/transport/socket.h"

enum {
    WAYS_MAX = PINGING_HELPERS_MAX + 2, /* and directly, and the stream */
    STREAM_WAY = 0,
    PATIENCE_MS = SWIM_PING_TIMEOUT_MS + 500, /* what is lost is told by gossip before it ends */
};

struct pinging;

/* One way to the target, and what came of it so far. */
struct way {
    struct pinging *pinging;
    struct id via; /* ID_NONE: directly */
    uint64_t sent, received, lost, nacked;
    uint64_t min_us, max_us, sum_us;
    int error; /* why something could not be sent */
};

/* The stream's requests are numbered; the first one opens it and is no ping. */
struct pinging {
    struct peer *peer;
    struct api_call *call; /* NULL once it was answered */
    struct pinging_options options;
    uv_timer_t timer;
    bool is_timer_closed;
    int64_t started_ms;
    unsigned pending; /* packets that are still to be answered or lost */
    struct way ways[WAYS_MAX];
    size_t way_count;

    struct pipe_end end;
    bool is_streaming; /* `end` is in use */
    bool is_open;      /* and the other side has answered */
    uint64_t connect_us;
    struct buffer input;
    int64_t *stream_sent_us; /* of each request, by number; 0: not sent, or answered */
};

/* --- What came of a ping --- */

static void note_pong(struct way *way, uint64_t rtt_us, bool is_lost, bool nacked)
{
    struct pinging *pinging = way->pinging;
    struct api_call *call = pinging->call;
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    if (!call)
        return;
    writer_init(&writer, &payload);
    writer_map(&writer, 5);
    put_text(&writer, "way", way == &pinging->ways[STREAM_WAY] ? "stream" : "packet");
    put_text(&writer, "via", id_is_none(&way->via) ? "" : peer_name(call->peer, &way->via));
    put_u64(&writer, "rtt_us", rtt_us);
    put_flag(&writer, "lost", is_lost);
    put_flag(&writer, "nacked", nacked);
    api_note(call, "pong", buffer_view(&payload));
}

static void take_pong(struct way *way, uint64_t rtt_us)
{
    way->received++;
    way->sum_us += rtt_us;
    way->min_us = way->received == 1 || rtt_us < way->min_us ? rtt_us : way->min_us;
    way->max_us = rtt_us > way->max_us ? rtt_us : way->max_us;
    note_pong(way, rtt_us, false, false);
}

static void take_loss(struct way *way, bool nacked)
{
    way->lost++;
    way->nacked += nacked;
    note_pong(way, 0, true, nacked);
}

/* --- The end --- */

static void put_way(struct writer *writer, const struct pinging *pinging, const struct way *way)
{
    bool is_stream = way == &pinging->ways[STREAM_WAY];
    writer_map(writer, 10);
    put_text(writer, "way", is_stream ? "stream" : "packet");
    put_text(writer, "via", id_is_none(&way->via) ? "" : peer_name(pinging->call->peer, &way->via));
    put_u64(writer, "sent", way->sent);
    put_u64(writer, "received", way->received);
    put_u64(writer, "nacked", way->nacked);
    put_u64(writer, "min_us", way->min_us);
    put_u64(writer, "avg_us", way->received > 0 ? way->sum_us / way->received : 0);
    put_u64(writer, "max_us", way->max_us);
    put_u64(writer, "connect_us", is_stream ? pinging->connect_us : 0);
    put_text(writer, "error", way->error < 0 ? unreached_text(way->error) : "");
}

static void answer(struct pinging *pinging)
{
    const struct peer *peer = pinging->call->peer;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    struct swim_member member;
    char address[ADDRESS_TEXT_BYTES] = "";
    if (swim_member_find(agent_swim(peer->agent), &pinging->options.target, &member))
        address_format(&member.address, address);
    writer_init(&writer, &result);
    writer_map(&writer, 4);
    put_text(&writer, "from", peer_name(peer, &peer->identity.id));
    put_text(&writer, "to", peer_name(peer, &pinging->options.target));
    put_text(&writer, "address", address);
    writer_text(&writer, "ways");
    writer_array(&writer, pinging->way_count);
    for (size_t i = 1; i < pinging->way_count; i++)
        put_way(&writer, pinging, &pinging->ways[i]);
    put_way(&writer, pinging, &pinging->ways[STREAM_WAY]);
    api_answer(pinging->call, &result);
    pinging->call = NULL;
}

static void free_if_over(struct pinging *pinging)
{
    if (pinging->pending > 0 || !pinging->is_timer_closed)
        return;
    pinging->peer->pinging_count--;
    free(pinging->stream_sent_us);
    buffer_done(&pinging->input);
    free(pinging);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct pinging *pinging = handle->data;
    pinging->is_timer_closed = true;
    free_if_over(pinging);
}

static void close_stream(struct pinging *pinging, int error)
{
    struct way *way = &pinging->ways[STREAM_WAY];
    if (!pinging->is_streaming)
        return;
    pinging->is_streaming = pinging->is_open = false;
    pipe_end_close(&pinging->end, 0);
    if (error < 0)
        way->error = error;
}

static void finish(struct pinging *pinging)
{
    if (!pinging->call)
        return;
    for (size_t i = 0; i < pinging->way_count; i++)
        while (pinging->ways[i].received + pinging->ways[i].lost < pinging->ways[i].sent)
            take_loss(&pinging->ways[i], false);
    close_stream(pinging, 0);
    answer(pinging);
    uv_close((uv_handle_t *)&pinging->timer, on_timer_closed);
}

/* Ends early once all that was sent is answered or lost. */
static void finish_if_complete(struct pinging *pinging)
{
    for (size_t i = 0; i < pinging->way_count; i++) {
        const struct way *way = &pinging->ways[i];
        if (way->sent < pinging->options.count && way->error == 0)
            return;
        if (way->received + way->lost < way->sent)
            return;
    }
    finish(pinging);
}

static void on_cancel(struct api_call *call)
{
    finish(call->context);
}

/* --- The stream --- */

static int request(struct pinging *pinging, uint64_t number)
{
    static const uint8_t empty_map = 0x80;
    cleanup_buffer struct buffer frame = {0};
    int rc = frame_request(&frame, number, "version", (struct bytes){&empty_map, 1});
    pinging->stream_sent_us[number] = peer_now_us();
    if (rc == 0)
        rc = pipe_end_write(&pinging->end, buffer_view(&frame));
    return rc < 0 ? rc : 0;
}

/* The number is the other side's: anything. */
static void take_answer(struct pinging *pinging, uint64_t number)
{
    if (number > pinging->options.count || pinging->stream_sent_us[number] == 0)
        return;
    int64_t took_us = peer_now_us() - pinging->stream_sent_us[number];
    uint64_t rtt_us = took_us < 1 ? 1 : (uint64_t)took_us;
    pinging->stream_sent_us[number] = 0;
    if (number == 0) {
        pinging->is_open = true;
        pinging->connect_us = rtt_us;
        return;
    }
    take_pong(&pinging->ways[STREAM_WAY], rtt_us);
}

static void lose_stream(struct pinging *pinging, int error)
{
    struct way *way = &pinging->ways[STREAM_WAY];
    close_stream(pinging, error < 0 ? error : -EPIPE);
    while (way->received + way->lost < way->sent)
        take_loss(way, false);
    finish_if_complete(pinging);
}

static void on_data(void *context, struct pipe_end *end, struct bytes data)
{
    struct pinging *pinging = context;
    struct bytes bytes;
    struct frame frame;
    (void)end;
    int rc = buffer_append(&pinging->input, data.data, data.size);
    while (rc == 0 && (rc = frame_next(&pinging->input, &bytes)) == 1) {
        rc = frame_decode(bytes, &frame);
        if (rc == 0 && frame.type == FRAME_ANSWER)
            take_answer(pinging, frame.id);
        buffer_consume(&pinging->input, FRAME_HEAD_BYTES + bytes.size);
    }
    if (rc < 0)
        lose_stream(pinging, rc);
    else
        finish_if_complete(pinging);
}

static void on_end(void *context, struct pipe_end *end)
{
    (void)end;
    lose_stream(context, -EPIPE);
}

static void on_nothing(void *context, struct pipe_end *end)
{
    (void)context;
    (void)end;
}

static void on_close(void *context, struct pipe_end *end, int reason)
{
    (void)end;
    lose_stream(context, reason);
}

static const struct pipe_handler handler = {.on_data = on_data,
                                            .on_end = on_end,
                                            .on_drained = on_nothing,
                                            .on_flushed = on_nothing,
                                            .on_close = on_close};

static int open_stream(struct pinging *pinging)
{
    const struct api_call *call = pinging->call;
    cleanup_buffer struct buffer header = {0};
    struct mux_stream *stream = NULL;
    struct writer writer;
    writer_init(&writer, &header);
    writer_map(&writer, 2);
    put_text(&writer, "role", role_name(ROLE_VIEWER));
    put_text(&writer, "actor", call->actor);
    int rc = writer_check(&writer);
    if (rc == 0)
        rc = links_open_stream(call->peer->links, &pinging->options.target, NULL, STREAM_API,
                               buffer_view(&header), &pipe_stream_handler, &pinging->end, &stream);
    if (rc < 0)
        return rc;
    pipe_end_use_stream(&pinging->end, stream, &handler, pinging);
    pinging->is_streaming = true;
    return request(pinging, 0);
}

/* --- Packets --- */

static void on_pong(void *context, const struct agent_pong *pong)
{
    struct way *way = context;
    struct pinging *pinging = way->pinging;
    pinging->pending--;
    if (pinging->call && pong && !pong->is_lost)
        take_pong(way, pong->rtt_us);
    else if (pinging->call)
        take_loss(way, pong && pong->nacked);
    if (pinging->call)
        finish_if_complete(pinging);
    else
        free_if_over(pinging);
}

static void ping_once(struct pinging *pinging, struct way *way)
{
    const struct id *via = id_is_none(&way->via) ? NULL : &way->via;
    if (way->sent == pinging->options.count || way->error < 0)
        return;
    int rc = peer_ping(pinging->call->peer, &pinging->options.target, via, on_pong, way);
    way->error = rc;
    way->sent += rc == 0;
    pinging->pending += rc == 0;
}

static void stream_once(struct pinging *pinging)
{
    struct way *way = &pinging->ways[STREAM_WAY];
    if (way->sent == pinging->options.count || !pinging->is_streaming)
        return;
    if (!pinging->is_open) {
        if (peer_now_ms(pinging->peer) - pinging->started_ms >= PINGING_DIAL_MS)
            lose_stream(pinging, -ETIMEDOUT);
        return;
    }
    int rc = request(pinging, ++way->sent);
    if (rc < 0)
        lose_stream(pinging, rc);
}

static void on_patience_over(uv_timer_t *timer)
{
    finish(timer->data);
}

static void on_round(uv_timer_t *timer)
{
    struct pinging *pinging = timer->data;
    bool is_last = true;
    for (size_t i = 1; i < pinging->way_count; i++)
        ping_once(pinging, &pinging->ways[i]);
    stream_once(pinging);
    if (!pinging->call)
        return;
    for (size_t i = 0; i < pinging->way_count; i++)
        is_last = is_last &&
                  (pinging->ways[i].sent == pinging->options.count || pinging->ways[i].error < 0);
    if (is_last)
        uv_timer_start(timer, on_patience_over, PATIENCE_MS, 0);
    else
        uv_timer_start(timer, on_round, pinging->options.interval_ms, 0);
    finish_if_complete(pinging);
}

/* --- The beginning --- */

static void add_way(struct pinging *pinging, const struct id *via)
{
    pinging->ways[pinging->way_count++] = (struct way){.pinging = pinging, .via = *via};
}

/* Live members that are neither end; of many, those that answer us fastest. */
static void add_helpers(struct pinging *pinging)
{
    const struct swim *swim = agent_swim(pinging->peer->agent);
    struct swim_member nearest[PINGING_HELPERS_MAX];
    size_t count = 0;
    for (size_t i = 0; i < swim_member_count(swim); i++) {
        struct swim_member member = swim_member_at(swim, i);
        bool is_live = member.state == SWIM_ALIVE || member.state == SWIM_SUSPECT;
        if (!is_live || id_equal(&member.id, &pinging->peer->identity.id) ||
            id_equal(&member.id, &pinging->options.target))
            continue;
        if (member.rtt_us == 0)
            member.rtt_us = UINT32_MAX; /* not known: after all others */
        size_t place = count < PINGING_HELPERS_MAX ? count++ : PINGING_HELPERS_MAX;
        for (; place > 0 && nearest[place - 1].rtt_us > member.rtt_us; place--)
            if (place < PINGING_HELPERS_MAX)
                nearest[place] = nearest[place - 1];
        if (place < PINGING_HELPERS_MAX)
            nearest[place] = member;
    }
    for (size_t i = 0; i < count; i++)
        add_way(pinging, &nearest[i].id);
}

static bool options_are_good(struct api_call *call, const struct pinging_options *options)
{
    if (options->count == 0 || options->count > PINGING_COUNT_MAX ||
        options->interval_ms < PINGING_INTERVAL_MS_MIN ||
        options->interval_ms > PINGING_INTERVAL_MS_MAX) {
        api_fail_with(call, -EINVAL, NULL, "1 to %d pings, %d ms to %d s apart, can be made",
                      PINGING_COUNT_MAX, PINGING_INTERVAL_MS_MIN, PINGING_INTERVAL_MS_MAX / 1000);
        return false;
    }
    if (id_equal(&options->target, &call->peer->identity.id)) {
        api_fail_with(call, -EINVAL, "choose another, or let another ping it with --at PEER",
                      "%s can't ping itself", call->peer->options.name);
        return false;
    }
    if (call->peer->pinging_count >= PINGING_MAX) {
        api_fail_with(call, -EBUSY, "try again in a moment", "peer %s pings for others already",
                      call->peer->options.name);
        return false;
    }
    return true;
}

void pinging_start(struct api_call *call, const struct pinging_options *options)
{
    if (!options_are_good(call, options))
        return;
    struct pinging *pinging = calloc(1, sizeof(*pinging));
    int64_t *sent_us = calloc(options->count + 1, sizeof(*sent_us));
    if (!pinging || !sent_us) {
        free(pinging);
        free(sent_us);
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    call->peer->pinging_count++;
    pinging->peer = call->peer;
    pinging->started_ms = peer_now_ms(call->peer);
    pinging->call = call;
    pinging->options = *options;
    pinging->stream_sent_us = sent_us;
    add_way(pinging, &ID_NONE); /* STREAM_WAY */
    add_way(pinging, &ID_NONE);
    if (options->with_helpers)
        add_helpers(pinging);
    call->context = pinging;
    call->on_cancel = on_cancel;
    uv_timer_init(call->peer->loop, &pinging->timer);
    pinging->timer.data = pinging;
    pinging->ways[STREAM_WAY].error = open_stream(pinging);
    on_round(&pinging->timer);
}
