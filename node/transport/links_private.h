/* What links.c (the pool: dialing, choosing, ending) and links_messages.c (messages to and from
 * peers) share; nobody else includes it. */
#pragma once

#include "base/table.h"
#include "node/transport/links.h"
#include "node/transport/messages.h"

/* One link of the pool, from before its handshake until it is closed. */
struct entry {
    struct links *links;
    struct link *link;
    struct peer *peer; /* whom it leads to; NULL for a newcomer, or while that is not known */
    bool was_open;
    uint8_t greeting_kind;  /* the first message to whoever answers; 0: none */
    struct buffer greeting; /* its bytes */
    int64_t opened_ms;
    int64_t busy_ms; /* when it last had a stream */
    struct entry *previous, *next;
};

/* What is known of one id. It goes when it has no link and no address. */
/* One way for messages to a peer. What is small must not wait behind what is large: a heartbeat
 * behind a snapshot would cost an election. */
struct lane {
    struct peer *peer;
    struct outbox outbox;
    struct mux_stream *out; /* NULL: none is open */
};

enum { LANE_SMALL, LANE_LARGE, LANE_COUNT };

struct peer {
    struct links *links;
    struct id id;
    struct address address; /* port 0: not known */
    size_t link_count;
    unsigned failures; /* dials in a row */
    int64_t retry_ms;  /* no dial before that */
    struct lane lanes[LANE_COUNT];
};

struct links {
    struct links_config config;
    struct table peers;         /* by id */
    struct entry *first, *last; /* oldest first */
    size_t count, open_count, half_open;
    uint64_t dropped; /* of peers that are forgotten */
    uv_tcp_t listener;
    uv_timer_t timer;
    unsigned handles; /* of these two, not closed yet */
    bool is_listening, is_closing;
    void (*on_closed)(void *context);
    void *on_closed_context;
};

int64_t links_now(const struct links *links);

/* As links_open_stream, to the peer's known address. */
int links_open_to(struct links *links, struct peer *peer, uint8_t kind, struct bytes header,
                  const struct stream_handler *handler, void *context, struct mux_stream **ret);

struct peer *links_find_peer(const struct links *links, const struct id *id);

/* Closes the peer's stream of messages and drops what is queued. */
void links_messages_drop(struct peer *peer, int reason);

/* Ends streams of messages that are idle, and resets those that stall. */
void links_messages_tick(struct peer *peer, int64_t now_ms);

/* Accepts a stream of messages from the peer `from`. */
void links_messages_accept(struct links *links, const struct id *from, struct mux_stream *stream);
