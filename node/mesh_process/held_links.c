#include "node/mesh_process/held_links.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "node/grid.h"
#include "node/transport/kinds.h"

enum {
    TICK_MS = 5000,
};

struct held {
    struct held_links *links;
    struct link *link;
    struct id peer;
    uint64_t busy_ms; /* when it last had a stream */
    struct held *previous, *next;
};

struct held_links {
    struct held_links_config config;
    struct link_config link;
    uv_timer_t timer;          /* while there are links */
    struct held *first, *last; /* oldest first */
    bool is_retired, is_closing, is_timer_closed;
};

static void free_if_over(struct held_links *links)
{
    if (links->is_timer_closed && !links->first)
        free(links);
}

/* --- Time --- */

static void on_tick(uv_timer_t *timer)
{
    struct held_links *links = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    for (struct held *held = links->first; held; held = held->next) {
        if (!link_is_open(held->link) || mux_was_busy(link_mux(held->link)))
            held->busy_ms = now_ms;
        else if (now_ms - held->busy_ms >= LINKS_IDLE_MS)
            mux_goodbye(link_mux(held->link));
    }
    if (links->first)
        uv_timer_start(timer, on_tick, grid_wait_ms(timer->loop, TICK_MS), 0);
}

/* --- A link's life --- */

static void on_stream(void *context, struct link *link, struct mux_stream *stream, uint8_t kind,
                      struct bytes header)
{
    struct held *held = context;
    const struct held_links_config *config = &held->links->config;
    (void)link;
    if (kind != STREAM_MESH)
        stream_reset(stream, -EACCES);
    else if (held->links->is_retired)
        stream_reset(stream, -ESHUTDOWN);
    else
        config->on_stream(config->context, stream, header);
}

static void on_close(void *context, struct link *link, const struct error *why)
{
    struct held *held = context;
    struct held_links *links = held->links;
    (void)link;
    if (why->code < 0 && !links->is_closing)
        log_limited(LOG_NOTICE, "mesh: %s", why->message);
    *(held->previous ? &held->previous->next : &links->first) = held->next;
    *(held->next ? &held->next->previous : &links->last) = held->previous;
    free(held);
    free_if_over(links);
}

static const struct link_handler handler = {.on_stream = on_stream, .on_close = on_close};

static int await(struct held_links *links, const struct id *peer, bool is_dialer, struct held **ret)
{
    struct held *held = calloc(1, sizeof(*held));
    if (!held)
        return -ENOMEM;
    held->links = links;
    held->peer = *peer;
    held->busy_ms = uv_now(links->config.loop);
    held->link = link_await(&links->link, peer, is_dialer, &handler, held);
    if (!held->link) {
        free(held);
        return -ENOMEM;
    }
    held->previous = links->last;
    *(links->last ? &links->last->next : &links->first) = held;
    links->last = held;
    if (!uv_is_active((uv_handle_t *)&links->timer))
        uv_timer_start(&links->timer, on_tick, grid_wait_ms(links->config.loop, TICK_MS), 0);
    *ret = held;
    return 0;
}

static bool is_awaited(const struct held *held)
{
    return !link_is_open(held->link) && !link_is_closing(held->link);
}

/* The latest open link with that peer that takes a stream, else one that is awaited; or NULL. */
static struct held *choose(const struct held_links *links, const struct id *peer)
{
    struct held *awaited = NULL;
    for (struct held *held = links->last; held; held = held->previous) {
        if (!id_equal(&held->peer, peer) || !mux_has_room(link_mux(held->link)))
            continue;
        if (link_is_open(held->link))
            return held;
        if (is_awaited(held) && !awaited)
            awaited = held;
    }
    return awaited;
}

int held_links_open_stream(struct held_links *links, const struct id *peer, struct bytes header,
                           const struct stream_handler *stream_handler, void *context,
                           struct mux_stream **ret)
{
    struct held *held = choose(links, peer);
    int rc = links->is_closing || links->is_retired ? -ESHUTDOWN : 0;
    if (rc == 0 && !held) {
        rc = links->config.want(links->config.context, peer);
        if (rc == 0)
            rc = await(links, peer, true, &held);
    }
    assert(rc < 0 || held);
    return rc < 0
               ? rc
               : mux_open(link_mux(held->link), STREAM_MESH, header, stream_handler, context, ret);
}

/* More links than one peer has use for: the oldest goes. */
static void limit_links_with(struct held_links *links, const struct id *peer)
{
    struct held *oldest = NULL;
    size_t count = 0;
    for (struct held *held = links->last; held; held = held->previous) {
        if (!id_equal(&held->peer, peer) || link_is_closing(held->link))
            continue;
        oldest = held;
        count++;
    }
    if (count > LINKS_PER_PEER_MAX)
        link_close(oldest->link, -EMFILE);
}

int held_links_take(struct held_links *links, const struct link_given *state, int fd)
{
    struct held *held = NULL;
    int rc = links->is_closing || links->is_retired ? -ESHUTDOWN : 0;
    for (struct held *at = links->first; at && state->is_dialer && !held; at = at->next)
        if (id_equal(&at->peer, &state->id) && is_awaited(at))
            held = at;
    if (rc == 0 && !held)
        rc = await(links, &state->id, state->is_dialer, &held);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    assert(held);
    rc = link_take_over(held->link, fd, state);
    if (rc < 0)
        link_abort(held->link, rc);
    limit_links_with(links, &state->id);
    return rc;
}

void held_links_failed(struct held_links *links, const struct id *peer, int reason)
{
    for (struct held *held = links->first; held; held = held->next)
        if (is_awaited(held) && (!peer || id_equal(&held->peer, peer)))
            link_abort(held->link, reason < 0 ? reason : -EHOSTUNREACH);
}

void held_links_drop(struct held_links *links, const struct id *peer)
{
    for (struct held *held = links->first; held; held = held->next)
        if (id_equal(&held->peer, peer))
            link_abort(held->link, -EKEYREVOKED);
}

void held_links_retire(struct held_links *links)
{
    links->is_retired = true;
    held_links_failed(links, NULL, -ESHUTDOWN);
    for (struct held *held = links->first; held; held = held->next)
        if (link_is_open(held->link))
            mux_goodbye(link_mux(held->link));
}

void held_links_each(const struct held_links *links,
                     void (*each)(void *context, const struct id *peer), void *context)
{
    for (const struct held *held = links->first; held; held = held->next)
        if (link_is_open(held->link))
            each(context, &held->peer);
}

/* --- The beginning and the end --- */

struct held_links *held_links_new(const struct held_links_config *config)
{
    struct held_links *links = calloc(1, sizeof(*links));
    if (!links)
        return NULL;
    links->config = *config;
    links->link = (struct link_config){.loop = config->loop, .fault = config->fault};
    uv_timer_init(config->loop, &links->timer);
    links->timer.data = links;
    return links;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct held_links *links = handle->data;
    links->is_timer_closed = true;
    free_if_over(links);
}

void held_links_close(struct held_links *links)
{
    if (!links || links->is_closing)
        return;
    links->is_closing = true;
    for (struct held *held = links->first; held; held = held->next)
        link_close(held->link, -ESHUTDOWN);
    uv_close((uv_handle_t *)&links->timer, on_timer_closed);
}
