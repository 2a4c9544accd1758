/* What the files of a link share; nobody else includes this. */
#pragma once

#include "node/transport/link.h"
#include "node/transport/link_handshake.h"

enum link_state {
    LINK_CONNECTING,
    LINK_HANDSHAKE,
    LINK_OPEN,
    LINK_LINGERING, /* over; the last bytes are on their way */
    LINK_CLOSED,    /* the handles are closing */
};

struct link {
    const struct link_config *config;
    const struct link_handler *handler; /* NULL: nobody is told */
    void *context;
    enum link_state state;
    bool is_dialed, is_cut, is_writing, is_short_of_memory, is_shut, broke_off;
    bool is_resting; /* the timer goes at the slower pace */
    bool is_for_mesh;

    uv_tcp_t tcp;
    uv_timer_t timer;
    uv_prepare_t flusher; /* sends, once a turn of the loop, what the streams have gathered */
    unsigned handles;     /* not closed yet */
    uv_connect_t connect;
    uv_write_t write;
    uv_shutdown_t shutdown;

    struct link_handshake *handshake; /* until it is done */
    struct link_cipher send, receive;
    struct link_remote remote;
    struct mux *mux;
    struct buffer input;   /* received, not yet understood */
    struct buffer pending; /* to be written */
    struct buffer writing; /* with the kernel */
    uint64_t deadline_ms;  /* of the handshake or the lingering */
    struct error why;
};

/* link.c: how it ends. The first closes at once; the second says why, too. */
void link_close_handles(struct link *link);
void link_fail_with(struct link *link, int code, const char *what);

/* link.c: what it hears, and how often it is looked at. */
int link_read(struct link *link);
void link_process(struct link *link);
void link_stream_opened(void *context, struct mux_stream *stream, uint8_t kind,
                        struct bytes header);
void link_look_for_cut(struct link *link);
void link_set_pace(struct link *link, bool rests);

/* link_give.c: says that a link for the mesh is ready to be given away, once it is. */
void link_look_whether_given(struct link *link);

/* link_send.c: sends what is pending, as far as the kernel takes it; and the carrier of the mux. */
void link_flush(struct link *link);
void link_wake(void *context);
bool link_is_ready(void *context);
void link_send(void *context, const uint8_t *frame, size_t size);
