/* The links of one peer to all others: a stream or a message to a peer's id finds, dials or reuses
 * a link to it.
 *
 * At most one link a peer is dialed at a time; an incoming one is reused. When both sides dial at
 * once, both keep the link that the lower id dialed for new streams; the other one ends when its
 * streams have. Idle links say goodbye and are dialed again when needed; failed dials back off.
 *
 * A peer that can't be dialed is tried through others that may reach it (links_relay.c), every
 * other time, or at once if it is known to be apart. To whom uses it such a link is like any other.
 *
 * Messages are small, one-way and ordered, for control (raft, gossip's anti-entropy, the feed):
 * queued for a peer up to a bound, then the oldest are dropped; none is ever sent twice. They may
 * be lost when a link fails, so that their senders must repeat what matters.
 */
#pragma once

#include <stdint.h>

#include "node/bounds.h"
#include "node/transport/kinds.h"
#include "node/transport/link.h"

struct links;

/* Through whom a peer may be reached. */
struct links_helpers {
    bool is_apart; /* it is known not to be reached from here */
    size_t count;
    struct {
        struct id id;
        struct address address;
    } items[LINKS_HELPERS_MAX];
};

struct links_config {
    struct link_config link; /* copied; what it points to is borrowed */
    void *context;
    /* Another side opened a stream. `remote` is borrowed for the call: peers, operators (see the
     * leaf's role) and newcomers (by_token, which get STREAM_JOIN only). Accept or reset it. */
    void (*on_stream)(void *context, const struct link_remote *remote, struct mux_stream *stream,
                      uint8_t kind, struct bytes header);
    /* Where is that peer, which was neither dialed nor given an address yet? False: not known.
     * NULL: never. */
    bool (*locate)(void *context, const struct id *id, struct address *ret);
    /* Who may reach that peer where this one doesn't? NULL: nobody is asked. */
    void (*helpers)(void *context, const struct id *id, struct links_helpers *ret);
    /* True for a peer of whom it must be known at once if it is gone: when the last link with it
     * ends, it is dialed, and again soon if that is reset. NULL: none is. */
    bool (*is_vital)(void *context, const struct id *id);
    /* The machine of that peer, dialed where it is thought to be, refuses connections. */
    void (*on_refused)(void *context, const struct id *id);
    /* A link with that peer is open that is for the mesh: passes to the callee, as does `fd`. NULL:
     * such links are refused. */
    void (*on_for_mesh)(void *context, struct link_given *state, int fd);
    /* links_dial_for_mesh() has come to nothing. */
    void (*on_mesh_failed)(void *context, const struct id *id, int reason);
    /* A message from a peer (never from an operator or newcomer); `data` is borrowed. */
    void (*on_message)(void *context, const struct id *from, uint8_t kind, struct bytes data);
};

/* NULL when there is no memory. */
struct links *links_new(const struct links_config *config);

/* Listens at `address` (port 0: any), and writes what was bound to `ret_bound` (may be NULL). A
 * negative errno with words in `error`. Once. */
int links_listen(struct links *links, const struct address *address, struct address *ret_bound,
                 struct error *error);

/* Closes every link and the listener, then calls `on_closed` (may be NULL) from the loop and frees
 * `links`. Streams close with -ESHUTDOWN at once. */
void links_close(struct links *links, void (*on_closed)(void *context), void *context);

/* Where that peer is dialed from now on. -ENOMEM; -ENOSPC beyond LINKS_PEERS_MAX. */
int links_set_address(struct links *links, const struct id *id, const struct address *address);

/* Opens a stream to that peer, over a link that is there or dialed now. `address` NULL: as set or
 * dialed before, else as links_config.locate says. -EHOSTUNREACH: no address is known; -EAGAIN: the
 * last dial failed and the backoff is not over; else as mux_open and link_dial. */
int links_open_stream(struct links *links, const struct id *id, const struct address *address,
                      uint8_t kind, struct bytes header, const struct stream_handler *handler,
                      void *context, struct mux_stream **ret);

/* Dials that peer, directly or through others, for its mesh process and ours: on_for_mesh or
 * on_mesh_failed comes, unless this fails at once, as links_open_stream does. */
int links_dial_for_mesh(struct links *links, const struct id *id);

/* Queues a message for that peer; `data` is copied. -EMSGSIZE over LINKS_MESSAGE_BYTES_MAX;
 * -EHOSTUNREACH: no address is known; -ENOMEM. 0 does not mean that it will arrive. */
int links_send_message(struct links *links, const struct id *id, uint8_t kind, struct bytes data);

/* As links_send_message, to whichever peer of this cluster is at `address`, whose key is not known
 * (a seed). Over a link to there that is open, or one dialed for it. -EBUSY: too many are being
 * dialed so. */
int links_greet(struct links *links, const struct address *address, uint8_t kind,
                struct bytes data);

/* Closes all links with that key, at once, and forgets what is queued for it: it was revoked. (New
 * ones are refused by link_config.admit.) */
void links_drop(struct links *links, const struct id *id);

/* True if a link to that peer is open. */
bool links_is_linked(const struct links *links, const struct id *id);

/* Whether a peer that was dialed has refused us within LINKS_REFUSAL_MS since our key was revoked.
 * It may lie: no more than a word for people. */
bool links_is_called_revoked(const struct links *links);

/* Open links that go through another peer; and links between two others that go through here. */
size_t links_relayed_count(const struct links *links);
size_t links_passed_count(const struct links *links);

/* Open links, and messages that were dropped because a peer took none, since the start. */
size_t links_count(const struct links *links);
uint64_t links_dropped_count(const struct links *links);
