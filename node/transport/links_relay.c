/* Links through a third peer, for two that don't reach each other.
 *
 *     a  ── stream RELAY (b's id) ──►  c  ── stream RELAYED (a's id) ──►  b
 *
 * c joins the two streams. At a and b each ends in one half of a socket pair, whose other half a
 * link uses as it would a connection: so the handshake and all that follows is between a and b, and
 * c passes on bytes that it can neither read nor change. What c gives is bounded: so many relays,
 * so many for one peer, so many bytes a second each, and windows of the two streams for memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "node/transport/links_private.h"
#include "node/transport/socket.h"

enum {
    BUDGET_MS = 100, /* how often a relay may pass on its share of LINKS_RELAY_BYTES */
    BUDGET_BYTES = LINKS_RELAY_BYTES / (1000 / BUDGET_MS),
};

static const char *const relay_words = "a link through another peer";

struct relay {
    struct links *links;
    struct relay *previous, *next;
    struct pipe_end ends[2];
    bool has_ended[2];
    bool waits[2];      /* an end is not read while the other one has too much to send … */
    bool is_passing_on; /* between two other peers: at a bounded pace */
    bool is_throttled;  /* … and neither is while the budget is used up */
    bool is_over;
    struct id for_peer; /* whose stream began it; ID_NONE: we dial ourselves */
    int64_t budget;
    uv_timer_t timer;
};

/* --- Joining two ends --- */

static void on_freed(uv_handle_t *handle)
{
    struct relay *relay = handle->data;
    struct links *links = relay->links;
    *(relay->previous ? &relay->previous->next : &links->relays) = relay->next;
    if (relay->next)
        relay->next->previous = relay->previous;
    free(relay);
    links_handle_closed(links);
}

static void finish(struct relay *relay, int reason)
{
    if (relay->is_over)
        return;
    relay->is_over = true;
    for (int i = 0; i < 2; i++)
        pipe_end_close(&relay->ends[i], reason);
    uv_close((uv_handle_t *)&relay->timer, on_freed);
}

static void update_pauses(struct relay *relay)
{
    for (int i = 0; i < 2; i++)
        pipe_end_pause(&relay->ends[i], relay->waits[i] || relay->is_throttled);
}

static void on_budget(uv_timer_t *timer)
{
    struct relay *relay = timer->data;
    relay->budget += BUDGET_BYTES;
    if (relay->budget > BUDGET_BYTES)
        relay->budget = BUDGET_BYTES;
    relay->is_throttled = relay->budget <= 0;
    if (!relay->is_throttled && relay->budget == BUDGET_BYTES)
        uv_timer_stop(timer);
    update_pauses(relay);
}

static void charge(struct relay *relay, size_t size)
{
    if (!relay->is_passing_on)
        return;
    relay->budget -= (int64_t)size;
    relay->is_throttled = relay->budget <= 0;
    if (!uv_is_active((uv_handle_t *)&relay->timer))
        uv_timer_start(&relay->timer, on_budget, BUDGET_MS, BUDGET_MS);
}

static void on_data(void *context, struct pipe_end *end, struct bytes data)
{
    struct relay *relay = context;
    int index = end == &relay->ends[1];
    int rc = pipe_end_write(&relay->ends[!index], data);
    if (rc < 0) {
        finish(relay, rc);
        return;
    }
    charge(relay, data.size);
    relay->waits[index] = relay->waits[index] || rc == 1;
    update_pauses(relay);
}

static void on_drained(void *context, struct pipe_end *end)
{
    struct relay *relay = context;
    relay->waits[end == &relay->ends[0]] = false;
    update_pauses(relay);
}

static void finish_if_done(struct relay *relay)
{
    if (relay->has_ended[0] && relay->has_ended[1] && relay->ends[0].is_flushed &&
        relay->ends[1].is_flushed)
        finish(relay, 0);
}

static void on_end(void *context, struct pipe_end *end)
{
    struct relay *relay = context;
    int index = end == &relay->ends[1];
    relay->has_ended[index] = true;
    pipe_end_finish(&relay->ends[!index]);
    finish_if_done(relay);
}

static void on_flushed(void *context, struct pipe_end *end)
{
    (void)end;
    finish_if_done(context);
}

static void on_close(void *context, struct pipe_end *end, int reason)
{
    (void)end;
    finish(context, reason);
}

static const struct pipe_handler pipe_handler = {.on_data = on_data,
                                                 .on_end = on_end,
                                                 .on_drained = on_drained,
                                                 .on_flushed = on_flushed,
                                                 .on_close = on_close};

static struct relay *relay_new(struct links *links)
{
    struct relay *relay = calloc(1, sizeof(*relay));
    if (!relay)
        return NULL;
    relay->links = links;
    relay->budget = BUDGET_BYTES;
    relay->next = links->relays;
    if (relay->next)
        relay->next->previous = relay;
    links->relays = relay;
    uv_timer_init(links->config.link.loop, &relay->timer);
    relay->timer.data = relay;
    links->handles++;
    for (int i = 0; i < 2; i++)
        relay->ends[i] = (struct pipe_end){.handler = &pipe_handler, .context = relay};
    return relay;
}

/* Makes one half of a socket pair the relay's first end; `*ret_fd` is the other, for a link. */
static int use_socket_pair(struct relay *relay, int *ret_fd)
{
    int pair[2];
    uv_pipe_t *pipe = malloc(sizeof(*pipe));
    if (!pipe)
        return -ENOMEM;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(pipe);
        return -errno;
    }
    uv_pipe_init(relay->links->config.link.loop, pipe, 0);
    int rc = uv_pipe_open(pipe, pair[0]);
    if (rc < 0) {
        close(pair[0]);
        close(pair[1]);
        uv_close((uv_handle_t *)pipe, socket_free);
        return rc;
    }
    pipe_end_use_socket(&relay->ends[0], (uv_stream_t *)pipe, &pipe_handler, relay);
    *ret_fd = pair[1];
    return 0;
}

/* Opens the stream of that kind to a peer that is reached directly, as the relay's second end. */
static int open_stream(struct relay *relay, struct peer *peer, uint8_t kind, const struct id *about)
{
    struct mux_stream *stream;
    int rc = links_open_directly(relay->links, peer, kind, (struct bytes){about->bytes, ID_BYTES},
                                 &pipe_stream_handler, &relay->ends[1], &stream);
    if (rc == 0)
        pipe_end_use_stream(&relay->ends[1], stream, &pipe_handler, relay);
    return rc;
}

/* --- The three roles --- */

int links_relay_dial(struct links *links, struct peer *peer, bool is_for_mesh, struct peer *via,
                     struct entry **ret)
{
    struct relay *relay = relay_new(links);
    int fd;
    if (!relay)
        return -ENOMEM;
    int rc = use_socket_pair(relay, &fd);
    if (rc == 0) {
        rc = open_stream(relay, via, STREAM_RELAY, &peer->id);
        if (rc < 0)
            close(fd);
    }
    if (rc == 0)
        rc = links_link_over(links, peer, is_for_mesh, fd, &via->address, ret);
    if (rc < 0) {
        finish(relay, rc);
        return rc;
    }
    pipe_end_start(&relay->ends[0]);
    log_limited(LOG_DEBUG, "%s: to %s", relay_words, id_short(&peer->id));
    return 0;
}

/* Whether that peer may begin another relay here. */
static bool has_room(const struct links *links, const struct id *for_peer)
{
    size_t count = 0, for_it = 0;
    for (const struct relay *relay = links->relays; relay; relay = relay->next) {
        count += !id_is_none(&relay->for_peer);
        for_it += id_equal(&relay->for_peer, for_peer);
    }
    return count < LINKS_RELAYS_MAX && for_it < LINKS_RELAYS_PER_PEER_MAX;
}

/* Another peer opens a link to us through the one whose stream this is. */
static int accept_link(struct links *links, const struct link_remote *via,
                       struct mux_stream *stream)
{
    struct relay *relay = relay_new(links);
    struct entry *entry;
    int fd = -1;
    if (!relay)
        return -ENOMEM;
    relay->for_peer = via->id;
    int rc = use_socket_pair(relay, &fd);
    if (rc == 0)
        rc = links_link_over(links, NULL, false, fd, &via->address, &entry);
    if (rc < 0) {
        finish(relay, rc);
        return rc;
    }
    pipe_end_use_stream(&relay->ends[1], stream, &pipe_handler, relay);
    stream_accept(stream, &pipe_stream_handler, &relay->ends[1]);
    pipe_end_start(&relay->ends[0]);
    return 0;
}

/* A peer wants to be passed on to another one, that this one reaches itself. */
static int pass_on(struct links *links, const struct id *from, const struct id *to,
                   struct mux_stream *stream)
{
    struct peer *peer = links_find_peer(links, to);
    if (!peer || id_equal(from, to))
        return -EHOSTUNREACH;
    struct relay *relay = relay_new(links);
    if (!relay)
        return -ENOMEM;
    relay->is_passing_on = true;
    relay->for_peer = *from;
    int rc = open_stream(relay, peer, STREAM_RELAYED, from);
    if (rc < 0) {
        finish(relay, rc);
        return rc;
    }
    pipe_end_use_stream(&relay->ends[0], stream, &pipe_handler, relay);
    stream_accept(stream, &pipe_stream_handler, &relay->ends[0]);
    return 0;
}

void links_relay_accept(struct entry *entry, struct mux_stream *stream, uint8_t kind,
                        struct bytes header)
{
    struct links *links = entry->links;
    const struct link_remote *remote = link_remote(entry->link);
    struct id about;
    int rc = 0;
    if (entry->is_relayed) /* one peer in between is enough */
        rc = -EACCES;
    else if (header.size != ID_BYTES)
        rc = -EBADMSG;
    else if (links->is_closing || !has_room(links, &remote->id))
        rc = -EBUSY;
    if (rc == 0) {
        memcpy(about.bytes, header.data, ID_BYTES);
        rc = kind == STREAM_RELAY ? pass_on(links, &remote->id, &about, stream)
                                  : accept_link(links, remote, stream);
    }
    if (rc < 0) {
        log_limited(LOG_DEBUG, "%s: refused to %s: %s", relay_words, id_short(&remote->id),
                    strerror(-rc));
        stream_reset(stream, rc);
    }
}

void links_relays_close(struct links *links)
{
    for (struct relay *relay = links->relays; relay; relay = relay->next)
        finish(relay, -ESHUTDOWN);
}

size_t links_relayed_count(const struct links *links)
{
    size_t count = 0;
    for (const struct entry *entry = links->first; entry; entry = entry->next)
        count += entry->is_relayed && link_is_open(entry->link);
    return count;
}

size_t links_passed_count(const struct links *links)
{
    size_t count = 0;
    for (const struct relay *relay = links->relays; relay; relay = relay->next)
        count += relay->is_passing_on && !relay->is_over;
    return count;
}
