/* What links.c (the pool: accepting, choosing, ending), links_dial.c, links_relay.c (links through
 * others) and links_messages.c (messages to and from peers) share; nobody else includes it. */
#pragma once

#include "base/table.h"
#include "node/transport/links.h"
#include "node/transport/messages.h"
#include "node/transport/pipe.h"

struct relay;

/* One link of the pool, from before its handshake until it is closed. */
struct entry {
    struct links *links;
    struct link *link;
    struct peer *peer; /* whom it leads to; NULL for a newcomer, or while that is not known */
    bool was_open;
    bool is_relayed;        /* through another peer */
    bool is_for_mesh;       /* dialed to be given away */
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
    int64_t direct_ms; /* when a direct link is tried although there is a relayed one */
    int64_t look_ms;   /* when it is dialed to see whether it is gone; 0: not */
    unsigned looks;    /* such dials since it last was linked */
    struct lane lanes[LANE_COUNT];
};

struct links {
    struct links_config config;
    struct table peers;         /* by id */
    struct entry *first, *last; /* oldest first */
    size_t count, open_count, half_open;
    uint64_t dropped;         /* of peers that are forgotten */
    int64_t revoked_until_ms; /* see links_is_called_revoked() */
    struct relay *relays;     /* links_relay.c */
    uv_tcp_t listener;
    uv_timer_t timer, look_timer;
    unsigned handles; /* of these three and of relays, not closed yet */
    bool is_listening, is_closing;
    void (*on_closed)(void *context);
    void *on_closed_context;
};

int64_t links_now(const struct links *links);

/* As links_open_stream, to the peer's known address. */
int links_open_to(struct links *links, struct peer *peer, uint8_t kind, struct bytes header,
                  const struct stream_handler *handler, void *context, struct mux_stream **ret);

/* The same, but not over a relayed link, nor dialing through others. */
int links_open_directly(struct links *links, struct peer *peer, uint8_t kind, struct bytes header,
                        const struct stream_handler *handler, void *context,
                        struct mux_stream **ret);

/* Begins a relayed link over a connected socket, which passes to it also on failure: to `peer`, or
 * from whoever is at the other end (NULL). */
int links_link_over(struct links *links, struct peer *peer, bool is_for_mesh, int fd,
                    const struct address *via, struct entry **ret);

/* A relay's handle was closed. */
void links_handle_closed(struct links *links);

/* links_relay.c: dials a peer through another one; takes a stream of one of the two kinds; ends all
 * relays. */
int links_relay_dial(struct links *links, struct peer *peer, bool is_for_mesh, struct peer *via,
                     struct entry **ret);
void links_relay_accept(struct entry *entry, struct mux_stream *stream, uint8_t kind,
                        struct bytes header);
void links_relays_close(struct links *links);

/* links.c: one link more or less, of a peer or (NULL) not known of whom. */
struct entry *links_entry_new(struct links *links, struct peer *peer);
void links_entry_free(struct entry *entry);
extern const struct link_handler links_entry_handler;

/* The link that new streams to this peer go over: the best open one with room for a stream, or one
 * being dialed; with `directly`, none that goes through another peer. NULL: neither. */
struct entry *links_choose(const struct links *links, const struct peer *peer, bool directly);

/* Finds or adds a peer; -ENOSPC, -ENOMEM. */
int links_peer_get(struct links *links, const struct id *id, struct peer **ret);
void links_peer_set_address(struct peer *peer, const struct address *address);

/* Forgets a peer that nothing is known of: an operator that is gone. */
void links_peer_forget_if_idle(struct peer *peer);

/* A dial failed: the next has to wait. */
void links_back_off(struct peer *peer);

/* links_dial.c: a peer that has a relayed link may be reached without by now. */
void links_try_directly(struct links *links, struct peer *peer);

/* links_dial.c: dials the peer if there is no direct link with it. */
void links_look_directly(struct links *links, struct peer *peer);

/* links_dial.c: does so for those whose `look_ms` has come, however long ago the last dial failed.
 */
void links_on_look(uv_timer_t *timer);

struct peer *links_find_peer(const struct links *links, const struct id *id);

/* Closes the peer's stream of messages and drops what is queued. */
void links_messages_drop(struct peer *peer, int reason);

/* Ends streams of messages that are idle, and resets those that stall. */
void links_messages_tick(struct peer *peer, int64_t now_ms);

/* Accepts a stream of messages from the peer `from`. */
void links_messages_accept(struct links *links, const struct id *from, struct mux_stream *stream);
