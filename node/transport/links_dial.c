/* How a peer's links are dialed: directly, through others, and to addresses of whom nothing is
 * known.
 */
#include <assert.h>
#include <errno.h>
#include <unistd.h>

#include "node/transport/links_private.h"

static int dial_directly(struct links *links, struct peer *peer, bool is_for_mesh,
                         struct entry **ret)
{
    if (address_is_none(&peer->address))
        return -EHOSTUNREACH;
    struct entry *entry = links_entry_new(links, peer);
    if (!entry)
        return -ENOMEM;
    entry->is_for_mesh = is_for_mesh;
    int rc = (is_for_mesh ? link_dial_for_mesh : link_dial)(
        &links->config.link, &peer->address, &peer->id, &links_entry_handler, entry, &entry->link);
    if (rc < 0) {
        links_back_off(peer);
        links_entry_free(entry);
        return rc;
    }
    *ret = entry;
    return 0;
}

static int has_room(const struct links *links, const struct peer *peer)
{
    if (links->is_closing)
        return -ESHUTDOWN;
    if (peer->link_count >= LINKS_PER_PEER_MAX || links->count >= LINKS_MAX)
        return -EMFILE;
    return 0;
}

static int may_dial(const struct links *links, const struct peer *peer)
{
    return links_now(links) < peer->retry_ms ? -EAGAIN : has_room(links, peer);
}

/* Through one after the other of those who may reach it. */
static int dial_through_others(struct links *links, struct peer *peer, bool is_for_mesh,
                               const struct links_helpers *helpers, struct entry **ret)
{
    for (size_t i = 0; i < helpers->count; i++) {
        size_t index = (peer->failures / 2 + i) % helpers->count;
        struct peer *via;
        int rc = links_peer_get(links, &helpers->items[index].id, &via);
        if (rc < 0 || via == peer)
            continue;
        if (!address_is_none(&helpers->items[index].address))
            links_peer_set_address(via, &helpers->items[index].address);
        rc = links_relay_dial(links, peer, is_for_mesh, via, ret);
        links_peer_forget_if_idle(via);
        if (rc == 0)
            return 0;
    }
    return -EHOSTUNREACH;
}

/* Directly and through others in turn, until one of the two succeeds. */
static int dial(struct links *links, struct peer *peer, bool is_for_mesh, struct entry **ret)
{
    struct links_helpers helpers = {0};
    int rc = may_dial(links, peer);
    if (rc < 0)
        return rc;
    if (links->config.helpers)
        links->config.helpers(links->config.context, &peer->id, &helpers);
    if ((peer->failures + helpers.is_apart) % 2 == 1 &&
        dial_through_others(links, peer, is_for_mesh, &helpers, ret) == 0)
        return 0;
    return dial_directly(links, peer, is_for_mesh, ret);
}

void links_look_directly(struct links *links, struct peer *peer)
{
    struct entry *entry;
    if (!links_choose(links, peer, true) && may_dial(links, peer) == 0)
        dial_directly(links, peer, false, &entry);
}

void links_on_look(uv_timer_t *timer)
{
    struct links *links = timer->data;
    struct entry *entry;
    bool is_more = false;
    for (size_t i = 0; i < links->peers.count; i++) {
        struct peer *peer = links->peers.items[i];
        if (peer->look_ms > links_now(links)) {
            is_more = true;
        } else if (peer->look_ms > 0) {
            peer->look_ms = 0;
            if (!links_choose(links, peer, true) && has_room(links, peer) == 0)
                dial_directly(links, peer, false, &entry);
        }
    }
    if (is_more)
        uv_timer_start(timer, links_on_look, LINKS_LOOK_AGAIN_MS, 0);
}

void links_try_directly(struct links *links, struct peer *peer)
{
    if (links_now(links) < peer->direct_ms || links_choose(links, peer, true) ||
        may_dial(links, peer) < 0)
        return;
    peer->direct_ms = links_now(links) + LINKS_DIRECT_RETRY_MS;
    links_look_directly(links, peer);
}

int links_link_over(struct links *links, struct peer *peer, bool is_for_mesh, int fd,
                    const struct address *via, struct entry **ret)
{
    struct entry *entry = links_entry_new(links, peer);
    if (!entry) {
        close(fd);
        return -ENOMEM;
    }
    entry->is_relayed = true;
    entry->is_for_mesh = is_for_mesh;
    int rc = link_over(&links->config.link, fd, via, peer ? &peer->id : NULL, is_for_mesh,
                       &links_entry_handler, entry, &entry->link);
    if (rc < 0) {
        links_entry_free(entry);
        return rc;
    }
    if (peer)
        peer->direct_ms = links_now(links) + LINKS_DIRECT_RETRY_MS;
    else
        links->half_open++;
    *ret = entry;
    return 0;
}

int links_open_to(struct links *links, struct peer *peer, uint8_t kind, struct bytes header,
                  const struct stream_handler *handler, void *context, struct mux_stream **ret)
{
    struct entry *entry = links_choose(links, peer, false);
    int rc = entry ? 0 : dial(links, peer, false, &entry);
    return rc < 0 ? rc : mux_open(link_mux(entry->link), kind, header, handler, context, ret);
}

int links_open_directly(struct links *links, struct peer *peer, uint8_t kind, struct bytes header,
                        const struct stream_handler *handler, void *context,
                        struct mux_stream **ret)
{
    struct entry *entry = links_choose(links, peer, true);
    int rc = entry ? 0 : may_dial(links, peer);
    if (!entry && rc == 0)
        rc = dial_directly(links, peer, false, &entry);
    return rc < 0 ? rc : mux_open(link_mux(entry->link), kind, header, handler, context, ret);
}

/* The peer to dial: at `address` from now on, unless that is NULL. */
static int find_to_dial(struct links *links, const struct id *id, const struct address *address,
                        struct peer **ret)
{
    struct address found;
    struct peer *peer = links_find_peer(links, id);
    if (!address && (!peer || address_is_none(&peer->address)) && links->config.locate &&
        links->config.locate(links->config.context, id, &found))
        address = &found;
    if (!peer && !address)
        return -EHOSTUNREACH;
    int rc = peer ? 0 : links_peer_get(links, id, &peer);
    if (rc == 0 && address)
        links_peer_set_address(peer, address);
    *ret = peer;
    return rc;
}

int links_dial_for_mesh(struct links *links, const struct id *id)
{
    struct peer *peer;
    struct entry *entry;
    int rc = find_to_dial(links, id, NULL, &peer);
    return rc < 0 ? rc : dial(links, peer, true, &entry);
}

int links_open_stream(struct links *links, const struct id *id, const struct address *address,
                      uint8_t kind, struct bytes header, const struct stream_handler *handler,
                      void *context, struct mux_stream **ret)
{
    struct peer *peer;
    int rc = find_to_dial(links, id, address, &peer);
    return rc < 0 ? rc : links_open_to(links, peer, kind, header, handler, context, ret);
}

/* The link that was or is being dialed to `address`, or has come from there; NULL: none. */
static struct entry *entry_at(const struct links *links, const struct address *address)
{
    for (struct entry *entry = links->first; entry; entry = entry->next)
        if (!link_is_closing(entry->link) && !link_remote(entry->link)->by_token &&
            address_equal(&link_remote(entry->link)->address, address) &&
            (link_is_open(entry->link) || entry->greeting_kind != 0))
            return entry;
    return NULL;
}

static int dial_to_greet(struct links *links, const struct address *address, struct entry **ret)
{
    size_t greetings = 0;
    for (struct entry *entry = links->first; entry; entry = entry->next)
        greetings += entry->greeting_kind != 0;
    if (greetings >= LINKS_GREETINGS_MAX)
        return -EBUSY;
    if (links->count >= LINKS_MAX)
        return -EMFILE;
    struct entry *entry = links_entry_new(links, NULL);
    if (!entry)
        return -ENOMEM;
    int rc =
        link_dial_seed(&links->config.link, address, &links_entry_handler, entry, &entry->link);
    if (rc < 0) {
        links_entry_free(entry);
        return rc;
    }
    *ret = entry;
    return 0;
}

int links_greet(struct links *links, const struct address *address, uint8_t kind, struct bytes data)
{
    assert(kind != 0);
    if (links->is_closing)
        return -ESHUTDOWN;
    if (data.size > LINKS_MESSAGE_BYTES_MAX)
        return -EMSGSIZE;
    struct entry *entry = entry_at(links, address);
    if (entry && entry->peer)
        return links_send_message(links, &entry->peer->id, kind, data);
    int rc = entry ? 0 : dial_to_greet(links, address, &entry);
    if (rc < 0)
        return rc;
    buffer_clear(&entry->greeting);
    entry->greeting_kind = kind;
    rc = buffer_append(&entry->greeting, data.data, data.size);
    if (rc < 0)
        link_abort(entry->link, rc);
    return rc;
}

int links_set_address(struct links *links, const struct id *id, const struct address *address)
{
    struct peer *peer;
    int rc = links_peer_get(links, id, &peer);
    if (rc == 0)
        links_peer_set_address(peer, address);
    return rc;
}
