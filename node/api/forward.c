/* Passes a call on to the peer that it concerns: the request there, notes both ways, the answer
 * back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/call.h"
#include "node/transport/pipe.h"

struct forward {
    struct api_call *call;
    struct pipe_end end;
    struct buffer input;
    char peer[BASE_NAME_BYTES_MAX + 1];
};

enum {
    FORWARD_ID = 1, /* the only call on its stream */
};

const char *unreached_text(int error)
{
    switch (error) {
    case -EAGAIN:
        return "it could not be reached a moment ago";
    case -ETIMEDOUT:
        return "it does not answer";
    case -ENOENT:
        return "gossip has not heard of it yet";
    case -EHOSTUNREACH:
        return "nothing leads there";
    case -ECONNREFUSED:
        return "no peer runs there";
    case -EPIPE:
    case -ECONNRESET:
        return "it closed the connection";
    default:
        return strerror(-error);
    }
}

static void finish(struct forward *forward)
{
    pipe_end_close(&forward->end, 0);
    buffer_done(&forward->input);
    free(forward);
}

static void lost(struct forward *forward, int reason)
{
    struct api_call *call = forward->call;
    if (call->is_canceled)
        api_answer(call, NULL);
    else if (reason == -ETIMEDOUT)
        api_fail_with(call, reason, "see which peers answer: consort peer ls",
                      "peer %s does not answer", forward->peer);
    else
        api_fail_with(call, reason < 0 ? reason : -EPIPE, "see which peers answer: consort peer ls",
                      "peer %s broke off: %s", forward->peer,
                      unreached_text(reason < 0 ? reason : -EPIPE));
    finish(forward);
}

/* 1 once the answer has come and the forward is gone. */
static int take_frame(struct forward *forward, struct bytes bytes)
{
    struct frame frame;
    struct api_call *call = forward->call;
    if (frame_decode(bytes, &frame) < 0 || frame.type == FRAME_REQUEST)
        return -EBADMSG;
    if (frame.type == FRAME_NOTE) {
        if (api_note(call, frame.name, frame.body) == 1)
            pipe_end_pause(&forward->end, true);
        return 0;
    }
    cleanup_buffer struct buffer result = {0};
    if (buffer_append(&result, frame.body.data, frame.body.size) < 0)
        return -ENOMEM;
    if (frame.error.code < 0)
        api_fail(call, &frame.error);
    else
        api_answer(call, &result);
    finish(forward);
    return 1;
}

static void on_data(void *context, struct pipe_end *end, struct bytes data)
{
    struct forward *forward = context;
    struct bytes bytes;
    (void)end;
    int rc = buffer_append(&forward->input, data.data, data.size);
    while (rc == 0 && (rc = frame_next(&forward->input, &bytes)) == 1) {
        size_t size = bytes.size;
        rc = take_frame(forward, bytes);
        if (rc == 1)
            return;
        buffer_consume(&forward->input, FRAME_HEAD_BYTES + size);
    }
    if (rc < 0)
        lost(forward, rc);
}

static void on_end(void *context, struct pipe_end *end)
{
    (void)end;
    lost(context, -EPIPE);
}

static void on_nothing(void *context, struct pipe_end *end)
{
    (void)context;
    (void)end;
}

static void on_close(void *context, struct pipe_end *end, int reason)
{
    (void)end;
    lost(context, reason);
}

static const struct pipe_handler handler = {.on_data = on_data,
                                            .on_end = on_end,
                                            .on_drained = on_nothing,
                                            .on_flushed = on_nothing,
                                            .on_close = on_close};

static void note_forward(struct api_call *call, const char *kind, struct bytes payload)
{
    struct forward *forward = call->context;
    cleanup_buffer struct buffer frame = {0};
    if (frame_note(&frame, FORWARD_ID, kind, payload) == 0)
        pipe_end_write(&forward->end, buffer_view(&frame));
}

static void on_cancel(struct api_call *call)
{
    note_forward(call, "cancel", (struct bytes){0});
    if (!call->connection) /* nobody waits for the answer */
        lost(call->context, -ECANCELED);
}

static void on_call_drained(struct api_call *call)
{
    struct forward *forward = call->context;
    pipe_end_pause(&forward->end, false);
}

void api_forward(struct api_call *call, const struct id *peer, struct bytes params)
{
    cleanup_buffer struct buffer header = {0}, request = {0};
    struct mux_stream *stream = NULL;
    struct writer writer;
    if (call->is_passed_on) { /* two peers that disagree must not send it to and fro */
        api_fail_with(call, -ESTALE, "try again: see where it runs with consort ps",
                      "peer %s does not have it any more", call->peer->options.name);
        return;
    }
    struct forward *forward = calloc(1, sizeof(*forward));
    writer_init(&writer, &header);
    writer_map(&writer, 2);
    put_text(&writer, "role", role_name(call->role));
    put_text(&writer, "actor", call->actor);
    int rc = forward ? writer_check(&writer) : -ENOMEM;
    if (rc == 0)
        rc = frame_request(&request, FORWARD_ID, call->method, params);
    if (rc == 0)
        rc = links_open_stream(call->peer->links, peer, NULL, STREAM_API, buffer_view(&header),
                               &pipe_stream_handler, &forward->end, &stream);
    if (rc < 0) {
        free(forward);
        api_fail_with(call, rc, "see which peers answer: consort peer ls",
                      "peer %s can't be asked: %s", peer_name(call->peer, peer),
                      unreached_text(rc));
        return;
    }
    forward->call = call;
    strncpy(forward->peer, peer_name(call->peer, peer), sizeof(forward->peer) - 1);
    pipe_end_use_stream(&forward->end, stream, &handler, forward);
    call->context = forward;
    call->on_note = note_forward;
    call->on_cancel = on_cancel;
    call->on_drained = on_call_drained;
    pipe_end_write(&forward->end, buffer_view(&request));
}
