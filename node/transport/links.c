#include "node/transport/links.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/log.h"
#include "node/grid.h"
#include "node/transport/links_private.h"
#include "node/transport/socket.h"

enum {
    TICK_MS = 5000,
};

int64_t links_now(const struct links *links)
{
    return (int64_t)uv_now(links->config.link.loop);
}

/* --- Peers --- */

static int compare_peer(const void *item, const void *key)
{
    return id_compare(&((const struct peer *)item)->id, key);
}

static const void *id_of_peer(const void *item)
{
    return &((const struct peer *)item)->id;
}

struct peer *links_find_peer(const struct links *links, const struct id *id)
{
    return table_find(&links->peers, id);
}

int links_peer_get(struct links *links, const struct id *id, struct peer **ret)
{
    struct peer *peer = links_find_peer(links, id);
    if (!peer) {
        if (links->peers.count >= LINKS_PEERS_MAX)
            return -ENOSPC;
        peer = calloc(1, sizeof(*peer));
        if (!peer)
            return -ENOMEM;
        peer->links = links;
        peer->id = *id;
        for (size_t i = 0; i < LANE_COUNT; i++) {
            peer->lanes[i].peer = peer;
            outbox_init(&peer->lanes[i].outbox);
        }
        if (table_insert(&links->peers, peer) < 0) {
            free(peer);
            return -ENOMEM;
        }
    }
    *ret = peer;
    return 0;
}

/* Messages to the peer that were dropped because it took none. */
static uint64_t peer_dropped(const struct peer *peer)
{
    uint64_t dropped = 0;
    for (size_t i = 0; i < LANE_COUNT; i++)
        dropped += peer->lanes[i].outbox.dropped;
    return dropped;
}

static void peer_free(struct peer *peer)
{
    peer->links->dropped += peer_dropped(peer);
    for (size_t i = 0; i < LANE_COUNT; i++)
        outbox_clear(&peer->lanes[i].outbox);
    free(peer);
}

void links_peer_set_address(struct peer *peer, const struct address *address)
{
    if (address_equal(&peer->address, address))
        return;
    peer->address = *address;
    peer->failures = 0; /* another address deserves a try at once */
    peer->retry_ms = 0;
}

void links_peer_forget_if_idle(struct peer *peer)
{
    if (peer->link_count > 0 || !address_is_none(&peer->address))
        return;
    table_remove(&peer->links->peers, &peer->id);
    peer_free(peer);
}

/* --- Choosing among a peer's links --- */

/* True if both sides prefer `a` to `b`, open links to the same peer. The later one is more likely
 * to be alive; but when both dialed at once, each side may have seen another one open last. */
static bool is_better(const struct links *links, const struct entry *a, const struct entry *b)
{
    if (a->is_relayed != b->is_relayed)
        return b->is_relayed;
    bool a_dialed = link_is_dialed(a->link), b_dialed = link_is_dialed(b->link);
    int64_t later_ms = a->opened_ms - b->opened_ms;
    bool at_once = later_ms <= LINKS_TIE_MS && later_ms >= -LINKS_TIE_MS;
    if (a_dialed == b_dialed || !at_once)
        return later_ms > 0;
    bool this_is_lower = id_compare(&links->config.link.identity->id, &a->peer->id) < 0;
    return a_dialed == this_is_lower;
}

struct entry *links_choose(const struct links *links, const struct peer *peer, bool directly)
{
    struct entry *best = NULL, *dialing = NULL;
    for (struct entry *entry = links->first; entry; entry = entry->next) {
        if (entry->peer != peer || link_is_closing(entry->link) ||
            (directly && entry->is_relayed) || entry->is_for_mesh ||
            !mux_has_room(link_mux(entry->link)))
            continue;
        if (!link_is_open(entry->link))
            dialing = entry;
        else if (!best || is_better(links, entry, best))
            best = entry;
    }
    return best ? best : dialing;
}

/* --- A link's life --- */

static void entry_unlink(struct entry *entry)
{
    struct links *links = entry->links;
    *(entry->previous ? &entry->previous->next : &links->first) = entry->next;
    *(entry->next ? &entry->next->previous : &links->last) = entry->previous;
    links->count--;
}

struct entry *links_entry_new(struct links *links, struct peer *peer)
{
    struct entry *entry = calloc(1, sizeof(*entry));
    if (!entry)
        return NULL;
    entry->links = links;
    entry->peer = peer;
    entry->busy_ms = links_now(links);
    entry->previous = links->last;
    *(links->last ? &links->last->next : &links->first) = entry;
    links->last = entry;
    links->count++;
    if (peer)
        peer->link_count++;
    return entry;
}

void links_entry_free(struct entry *entry)
{
    struct peer *peer = entry->peer;
    entry_unlink(entry);
    buffer_done(&entry->greeting);
    free(entry);
    if (!peer)
        return;
    peer->link_count--;
    links_peer_forget_if_idle(peer);
}

/* More links than one peer has use for: the oldest goes. */
static void limit_links_of(struct links *links, const struct peer *peer)
{
    if (peer->link_count <= LINKS_PER_PEER_MAX)
        return;
    for (struct entry *entry = links->first; entry; entry = entry->next) {
        if (entry->peer == peer && !link_is_closing(entry->link)) {
            link_close(entry->link, -EMFILE);
            return;
        }
    }
}

/* Now that it is known who answered at the address. */
static void say_greeting(struct entry *entry)
{
    links_send_message(entry->links, &entry->peer->id, entry->greeting_kind,
                       buffer_view(&entry->greeting));
    entry->greeting_kind = 0;
    buffer_done(&entry->greeting);
}

static void on_link_open(void *context, struct link *link)
{
    struct entry *entry = context;
    struct links *links = entry->links;
    const struct link_remote *remote = link_remote(link);
    entry->was_open = true;
    entry->opened_ms = entry->busy_ms = links_now(links);
    links->open_count++;
    if (!link_is_dialed(link))
        links->half_open--;
    if (links->open_count > LINKS_MAX) {
        link_close(link, -EMFILE);
        return;
    }
    if (!entry->peer && !remote->by_token) {
        int rc = links_peer_get(links, &remote->id, &entry->peer);
        if (rc < 0) {
            link_close(link, rc);
            return;
        }
        entry->peer->link_count++;
    }
    if (!entry->peer)
        return;
    entry->is_for_mesh = link_is_for_mesh(link);
    entry->peer->failures = 0;
    entry->peer->retry_ms = 0;
    entry->peer->looks = 0;
    limit_links_of(links, entry->peer);
    if (entry->greeting_kind != 0)
        say_greeting(entry);
}

static void on_link_for_mesh(void *context, struct link *link)
{
    struct entry *entry = context;
    const struct links_config *config = &entry->links->config;
    struct link_given state;
    int fd;
    int rc = config->on_for_mesh ? link_give_away(link, &state, &fd) : -ENOPROTOOPT;
    if (rc < 0)
        link_close(link, rc);
    else
        config->on_for_mesh(config->context, &state, fd);
}

static bool is_from_peer(const struct link_remote *remote)
{
    return remote->chain.count > 0 && remote->chain.certificates[0].role == ROLE_PEER;
}

static bool is_for_peers(uint8_t kind)
{
    return kind == STREAM_MESSAGES || kind == STREAM_RELAY || kind == STREAM_RELAYED;
}

static void on_link_stream(void *context, struct link *link, struct mux_stream *stream,
                           uint8_t kind, struct bytes header)
{
    struct entry *entry = context;
    struct links *links = entry->links;
    const struct link_remote *remote = link_remote(link);
    bool may_open =
        remote->by_token ? kind == STREAM_JOIN : is_from_peer(remote) || !is_for_peers(kind);
    if (!may_open)
        stream_reset(stream, -EACCES);
    else if (kind == STREAM_MESSAGES)
        links_messages_accept(links, &remote->id, stream);
    else if (kind == STREAM_RELAY || kind == STREAM_RELAYED)
        links_relay_accept(entry, stream, kind, header);
    else if (links->config.on_stream)
        links->config.on_stream(links->config.context, remote, stream, kind, header);
}

void links_back_off(struct peer *peer)
{
    int64_t wait_ms = LINKS_BACKOFF_MS;
    for (unsigned i = 0; i < peer->failures && wait_ms < LINKS_BACKOFF_MAX_MS; i++)
        wait_ms *= 2;
    peer->failures++;
    peer->retry_ms =
        links_now(peer->links) + (wait_ms < LINKS_BACKOFF_MAX_MS ? wait_ms : LINKS_BACKOFF_MAX_MS);
}

static void finish_closing(struct links *links);

/* What the end of a link says of the peer at its other end. */
enum ending {
    ENDING_NOTHING,
    ENDING_BROKE_OFF, /* it was open, and no goodbye was said */
    ENDING_REFUSED,   /* dialed, and its machine says that nobody listens there */
    ENDING_RESET,     /* dialed and connected, and then reset before a word was heard */
};

static enum ending ending_of(const struct entry *entry, const struct error *why)
{
    if (entry->was_open)
        return link_broke_off(entry->link) ? ENDING_BROKE_OFF : ENDING_NOTHING;
    if (entry->is_relayed || !link_is_dialed(entry->link))
        return ENDING_NOTHING;
    if (why->code == -ECONNREFUSED)
        return ENDING_REFUSED;
    return why->code == -ECONNRESET || why->code == -EPIPE ? ENDING_RESET : ENDING_NOTHING;
}

/* A process that is being killed loses its links and its listener one after the other: who dials
 * in between is connected by the kernel, and reset. */
static void look_again(struct peer *peer)
{
    struct links *links = peer->links;
    if (peer->looks == LINKS_LOOKS_MAX)
        return; /* somebody listens there, and takes no link */
    peer->look_ms = links_now(links) + ((int64_t)LINKS_LOOK_AGAIN_MS << peer->looks++);
    if (!uv_is_active((uv_handle_t *)&links->look_timer))
        uv_timer_start(&links->look_timer, links_on_look, LINKS_LOOK_AGAIN_MS, 0);
}

static void look_after(struct links *links, const struct id *id, enum ending ending)
{
    const struct links_config *config = &links->config;
    struct peer *peer = links_find_peer(links, id);
    if (links->is_closing || ending == ENDING_NOTHING)
        return;
    if (ending == ENDING_REFUSED && config->on_refused)
        config->on_refused(config->context, id);
    else if (peer && config->is_vital && config->is_vital(config->context, id)) {
        if (ending == ENDING_BROKE_OFF)
            links_look_directly(links, peer);
        else
            look_again(peer);
    }
}

static void on_link_close(void *context, struct link *link, const struct error *why)
{
    struct entry *entry = context;
    struct links *links = entry->links;
    if (entry->was_open)
        links->open_count--;
    else if (!link_is_dialed(link))
        links->half_open--;
    if (why->code < 0 && !links->is_closing)
        log_limited(LOG_NOTICE, "%s", why->message);
    if (link_was_refused(link) && why->code == link_refusal_errno(LINK_REFUSED_REVOKED))
        links->revoked_until_ms = links_now(links) + LINKS_REFUSAL_MS;
    enum ending ending = ending_of(entry, why);
    struct id id = entry->peer ? entry->peer->id : ID_NONE;
    if (!entry->was_open && entry->peer)
        links_back_off(entry->peer);
    if (entry->is_for_mesh && link_is_dialed(link) && link_broke_off(link) && entry->peer &&
        links->config.on_mesh_failed)
        links->config.on_mesh_failed(links->config.context, &id, why->code);
    links_entry_free(entry);
    if (!id_is_none(&id))
        look_after(links, &id, ending);
    finish_closing(links);
}

const struct link_handler links_entry_handler = {
    .on_open = on_link_open,
    .on_stream = on_link_stream,
    .on_for_mesh = on_link_for_mesh,
    .on_close = on_link_close,
};

/* --- Accepting --- */

/* Too many handshakes at once: the one that has taken longest is the least likely to be honest. */
static void evict_half_open(struct links *links)
{
    for (struct entry *entry = links->first; entry; entry = entry->next) {
        if (!entry->was_open && !link_is_dialed(entry->link) && !link_is_closing(entry->link)) {
            link_abort(entry->link, -EBUSY);
            return;
        }
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct links *links = listener->data;
    if (status < 0) {
        log_limited(LOG_WARNING, "accepting a link: %s", uv_strerror(status));
        return;
    }
    if (links->half_open >= LINK_HALF_OPEN_MAX)
        evict_half_open(links);
    struct entry *entry = links_entry_new(links, NULL);
    int rc = entry ? link_accept(&links->config.link, listener, &links_entry_handler, entry,
                                 &entry->link)
                   : -ENOMEM;
    if (rc == 0) {
        links->half_open++;
        return;
    }
    log_limited(LOG_WARNING, "accepting a link: %s", uv_strerror(rc));
    if (entry)
        links_entry_free(entry);
}

int links_listen(struct links *links, const struct address *address, struct address *ret_bound,
                 struct error *error)
{
    char text[ADDRESS_TEXT_BYTES];
    struct sockaddr_storage socket_address;
    assert(!links->is_listening);
    address_format(address, text);
    socket_address_from(address, &socket_address);
    int rc = uv_tcp_bind(&links->listener, (const struct sockaddr *)&socket_address, 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)&links->listener, LINK_BACKLOG, on_connection);
    if (rc < 0) {
        error_set_errno(error, rc, "listen at %s (TCP)", text);
        if (rc == -EADDRINUSE)
            error_hint(error, "another program has this port; see: ss -ltnp");
        return rc;
    }
    links->is_listening = true;
    return ret_bound ? socket_local_address(&links->listener, ret_bound) : 0;
}

/* --- Time --- */

static void on_tick(uv_timer_t *timer)
{
    struct links *links = timer->data;
    int64_t now_ms = links_now(links);
    for (struct entry *entry = links->first; entry; entry = entry->next) {
        if (mux_was_busy(link_mux(entry->link)))
            entry->busy_ms = now_ms;
        else if (link_is_open(entry->link) && now_ms - entry->busy_ms >= LINKS_IDLE_MS)
            mux_goodbye(link_mux(entry->link));
        else if (entry->is_relayed && entry->peer)
            links_try_directly(links, entry->peer);
    }
    for (size_t i = 0; i < links->peers.count; i++)
        links_messages_tick(links->peers.items[i], now_ms);
    uv_timer_start(timer, on_tick, grid_wait_ms(links->config.link.loop, TICK_MS), 0);
}

/* --- The beginning and the end --- */

void links_handle_closed(struct links *links)
{
    links->handles--;
    finish_closing(links);
}

static void on_handle_closed(uv_handle_t *handle)
{
    links_handle_closed(handle->data);
}

/* Frees the pool once it is closing and nothing of it is left in the loop. */
static void finish_closing(struct links *links)
{
    if (!links->is_closing || links->first || links->handles > 0)
        return;
    for (size_t i = 0; i < links->peers.count; i++)
        peer_free(links->peers.items[i]);
    table_done(&links->peers);
    if (links->on_closed)
        links->on_closed(links->on_closed_context);
    free(links);
}

struct links *links_new(const struct links_config *config)
{
    struct links *links = calloc(1, sizeof(*links));
    if (!links)
        return NULL;
    links->config = *config;
    table_init(&links->peers, compare_peer, id_of_peer);
    if (uv_tcp_init(config->link.loop, &links->listener) < 0) {
        free(links);
        return NULL;
    }
    uv_timer_init(config->link.loop, &links->timer);
    uv_timer_init(config->link.loop, &links->look_timer);
    links->listener.data = links->timer.data = links->look_timer.data = links;
    links->handles = 3;
    uv_timer_start(&links->timer, on_tick, grid_wait_ms(config->link.loop, TICK_MS), 0);
    return links;
}

void links_close(struct links *links, void (*on_closed)(void *context), void *context)
{
    if (links->is_closing)
        return;
    links->is_closing = true;
    links->on_closed = on_closed;
    links->on_closed_context = context;
    uv_close((uv_handle_t *)&links->listener, on_handle_closed);
    uv_close((uv_handle_t *)&links->timer, on_handle_closed);
    uv_close((uv_handle_t *)&links->look_timer, on_handle_closed);
    links_relays_close(links);
    for (struct entry *entry = links->first; entry; entry = entry->next)
        link_close(entry->link, -ESHUTDOWN);
}

void links_drop(struct links *links, const struct id *id)
{
    struct peer *peer = links_find_peer(links, id);
    if (!peer)
        return;
    links_messages_drop(peer, -EKEYREVOKED);
    for (struct entry *entry = links->first; entry; entry = entry->next) {
        if (entry->peer == peer)
            link_abort(entry->link, -EKEYREVOKED);
    }
    peer->address = (struct address){0};
    links_peer_forget_if_idle(peer);
}

bool links_is_linked(const struct links *links, const struct id *id)
{
    const struct peer *peer = links_find_peer(links, id);
    const struct entry *entry = peer ? links_choose(links, peer, false) : NULL;
    return entry && link_is_open(entry->link);
}

size_t links_count(const struct links *links)
{
    return links->open_count;
}

uint64_t links_dropped_count(const struct links *links)
{
    uint64_t dropped = links->dropped;
    for (size_t i = 0; i < links->peers.count; i++)
        dropped += peer_dropped(links->peers.items[i]);
    return dropped;
}

bool links_is_called_revoked(const struct links *links)
{
    return links_now(links) < links->revoked_until_ms;
}
