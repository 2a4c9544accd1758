/* What mux.c (the link's side) and mux_stream.c (the stream's side) share; nobody else includes it.
 */
#pragma once

#include "base/table.h"
#include "node/transport/mux.h"

enum {
    CREDIT_WORTH_SENDING_BYTES = MUX_WINDOW_BYTES / 4,
};

/* A stream is known by its number until both sides ended it or a RESET was sent or received; then
 * it is dead: out of the table, and freed when the outermost call into the mux returns. */
struct mux_stream {
    struct mux *mux;
    uint32_t number;
    const struct stream_handler *handler; /* NULL once this side has reset it */
    void *context;

    uint8_t kind;
    struct buffer header; /* until OPEN is sent */
    struct buffer queue;  /* written; sent up to queue_start */
    size_t queue_start;
    size_t send_window;    /* bytes that the other side still takes */
    size_t receive_window; /* bytes that it may still send us */
    size_t unconsumed;     /* handed to the handler and not given back */
    size_t credit;         /* given back and not yet told to the other side */

    bool open_waits, end_waits, end_sent, end_received;
    bool drained_wanted;
    bool is_patient;
    int reset_waits; /* the positive errno to send, or 0 */

    bool is_ready; /* in the mux's ring of streams with something to send */
    struct mux_stream *previous, *next;
    struct mux_stream *next_dead;
};

struct mux {
    struct mux_config config;
    struct table streams; /* by number */
    struct mux_stream *ready_first, *ready_last;
    struct mux_stream *dead;
    unsigned depth; /* calls inside calls, through callbacks */
    size_t opened_here, opened_there;
    size_t drained_wanted; /* streams */
    size_t patient;        /* streams */
    bool was_opened;       /* a stream, since mux_was_busy() was last asked */
    uint32_t next_number, last_number_there;
    int failed; /* negative errno once the link is over */
    bool goodbye_waits, goodbye_sent, goodbye_received;

    bool ping_waits, pong_waits;
    uint64_t pong_mark, ping_mark;
    int64_t ticked_ms;    /* 0 before the first tick */
    bool sent_since_word; /* something has been sent since the other side was heard */
    int64_t silence_ms;   /* of the other side, while it is waited for */
    int64_t rest_ms;      /* how long nobody has waited for anything */
};

/* A fresh stream in the table, or NULL when there is no memory. */
struct mux_stream *stream_new(struct mux *mux, uint32_t number);

/* Frees a stream that is in no table. */
void stream_free(struct mux_stream *stream);

/* Takes the stream out of the mux; its memory goes when the outermost call returns. */
void stream_bury(struct mux_stream *stream);

/* Buries the stream and tells its handler. From inside mux_enter only. */
void stream_finish(struct mux_stream *stream, int reason);

/* Bytes written and not yet sent. */
size_t stream_queued(const struct mux_stream *stream);

bool stream_credit_waits(const struct mux_stream *stream);
void stream_set_drained_wanted(struct mux_stream *stream, bool wanted);

/* Puts a stream that has something to send behind the others, and has the carrier come for it. */
void stream_ready_add(struct mux_stream *stream);
void stream_ready_remove(struct mux_stream *stream);

/* True if streams of that number are opened by this side. */
bool mux_is_from_here(const struct mux *mux, uint32_t number);

void mux_wake(struct mux *mux);
