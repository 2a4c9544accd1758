#include "node/mesh_process/host.h"

#include <dirent.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "node/mesh_process/channel.h"
#include "node/mesh_process/launch.h"
#include "node/mesh_process/words.h"

enum {
    /* What a process knew before is better than what a daemon knows that has just started, and has
     * not heard of the other peers yet. */
    SETTLE_MS = 3000,
    /* Whoever has the listeners of one before it is told nothing before containers are known again:
     * clients wait meanwhile, where they would be refused. */
    CONTAINERS_MS = 300,
    GREETING_MS = 2000, /* whoever says nothing for so long is not waited for */
    RESTART_MS = 1000,  /* after a process that died */
    HEIRLOOMS_MAX = 4096,
};

/* What a process that retires had listening, for the next one. */
struct heirloom {
    struct buffer body;
    int fd;
    struct heirloom *next;
};

/* A process, or whoever listens where one should. */
struct attached {
    struct mesh_host *host;
    struct channel *channel;
    char path[MESH_SOCKET_PATH_BYTES];
    bool is_retired;
    bool is_old;   /* it has run before this daemon */
    bool is_heir;  /* it has what another one had listening */
    bool is_again; /* the connection to it broke once */
    size_t given;  /* heirlooms, while it retires */
    struct attached *next;
};

struct mesh_host {
    struct mesh_host_config config;
    char build[WORDS_BUILD_BYTES_MAX + 1];
    struct attached *attached; /* all, also those of which nothing is known yet */
    struct attached *current;  /* NULL: none yet */
    struct heirloom *heirlooms;
    struct address gateway;
    struct buffer told; /* what the current one was told */
    struct mesh_status status;
    uint64_t gateway_ms; /* when it was said to stand */
    uint64_t settled_ms; /* one that is old is told nothing before */
    uv_timer_t timer;    /* tells */
    uv_timer_t starter;  /* starts a process, if there is none by then */
    unsigned handles;
    bool is_closing;
};

static void on_handle_closed(uv_handle_t *handle)
{
    struct mesh_host *host = handle->data;
    if (--host->handles > 0)
        return;
    buffer_done(&host->told);
    status_done(&host->status);
    free(host);
}

/* --- Telling --- */

static int say(struct attached *attached, enum mesh_word word, struct bytes body)
{
    return channel_send(attached->channel, (uint8_t)word, body, -1);
}

static void say_peer(struct attached *attached, enum mesh_word word, const struct id *peer,
                     int reason)
{
    cleanup_buffer struct buffer body = {0};
    if (peer_word_encode(peer, reason, &body) == 0)
        say(attached, word, buffer_view(&body));
}

struct collecting {
    struct mesh_state *state;
    int rc;
};

static void collect_local(void *context, uint64_t generation, const char *service,
                          const char *network, const struct address *address)
{
    struct collecting *collecting = context;
    struct mesh_state *state = collecting->state;
    if (state->local_count >= WORDS_LOCALS_MAX)
        return;
    struct mesh_local *locals = realloc(state->locals, (state->local_count + 1) * sizeof(*locals));
    if (!locals) {
        collecting->rc = -ENOMEM;
        return;
    }
    state->locals = locals;
    struct mesh_local *local = &locals[state->local_count++];
    *local = (struct mesh_local){.generation = generation, .address = *address};
    memcpy(local->service, service, strnlen(service, sizeof(local->service) - 1));
    memcpy(local->network, network, strnlen(network, sizeof(local->network) - 1));
}

static void mark_exclusive(struct mesh_state *state)
{
    for (size_t i = 0; i < state->local_count; i++) {
        const struct route *route = routes_by_name(&state->routes, state->locals[i].service);
        state->locals[i].is_exclusive = route && route->is_exclusive;
    }
}

static int collect(const struct mesh_host *host, struct buffer *ret)
{
    const struct mesh_host_config *config = &host->config;
    struct mesh_state state = {.gateway = host->gateway};
    struct collecting collecting = {.state = &state};
    if (!address_is_none(&host->gateway))
        state.range = config->range(config->context);
    config->locals(config->context, collect_local, &collecting);
    int rc = collecting.rc;
    if (rc == 0)
        rc = routes_make(config->intent(config->context), config->view(config->context),
                         &state.routes);
    if (rc == 0) {
        mark_exclusive(&state);
        rc = state_encode(&state, ret);
    }
    state_done(&state);
    return rc;
}

/* Before that, the current one is told nothing. */
static uint64_t told_from_ms(const struct mesh_host *host)
{
    if (host->current->is_old)
        return host->settled_ms;
    if (!host->current->is_heir)
        return 0;
    uint64_t known_ms = host->gateway_ms + CONTAINERS_MS;
    return host->gateway_ms > 0 && known_ms < host->settled_ms ? known_ms : host->settled_ms;
}

static void tell(uv_timer_t *timer)
{
    struct mesh_host *host = timer->data;
    struct buffer state = {0};
    uint64_t now_ms = uv_now(timer->loop);
    if (!host->current)
        return;
    uint64_t due_ms = told_from_ms(host);
    if (now_ms < due_ms) {
        uv_timer_start(timer, tell, due_ms - now_ms, 0);
        return;
    }
    if (collect(host, &state) < 0 || bytes_equal(buffer_view(&state), buffer_view(&host->told)) ||
        say(host->current, WORD_STATE, buffer_view(&state)) < 0) {
        buffer_done(&state);
        return;
    }
    buffer_done(&host->told);
    host->told = state;
}

/* Before it is told anything, so that it has them when it is to listen. */
static void pass_on(struct mesh_host *host)
{
    while (host->heirlooms) {
        struct heirloom *heirloom = host->heirlooms;
        host->heirlooms = heirloom->next;
        if (host->current)
            host->current->is_heir = true;
        if (host->current)
            channel_send(host->current->channel, WORD_SOCKET, buffer_view(&heirloom->body),
                         heirloom->fd);
        else
            close(heirloom->fd);
        buffer_done(&heirloom->body);
        free(heirloom);
    }
}

static void keep(struct attached *attached, struct bytes body, int fd)
{
    struct mesh_host *host = attached->host;
    bool may_give = attached->is_retired && attached->given < HEIRLOOMS_MAX;
    struct heirloom *heirloom = may_give ? calloc(1, sizeof(*heirloom)) : NULL;
    if (!heirloom || buffer_append(&heirloom->body, body.data, body.size) < 0) {
        free(heirloom);
        close(fd);
        return;
    }
    attached->given++;
    heirloom->fd = fd;
    heirloom->next = host->heirlooms;
    host->heirlooms = heirloom;
    if (host->current)
        pass_on(host);
}

void mesh_host_changed(struct mesh_host *host)
{
    if (host)
        uv_timer_start(&host->timer, tell, 0, 0);
}

void mesh_host_gateway_ready(struct mesh_host *host, const struct address *gateway)
{
    host->gateway = *gateway;
    host->gateway.port = 1; /* else it is none */
    host->gateway_ms = uv_now(host->config.loop);
    mesh_host_changed(host);
}

/* --- Hearing --- */

static void start_if_none(uv_timer_t *timer);
static int attach(struct mesh_host *host, const char *path, bool is_old);

static void forget(struct attached *attached)
{
    struct mesh_host *host = attached->host;
    struct attached **link = &host->attached;
    while (*link != attached)
        link = &(*link)->next;
    *link = attached->next;
    channel_close(attached->channel);
    free(attached);
}

/* Whether the process is there although the connection to it broke, and is connected to again: one
 * that is given up would go on with its ports for as long as it has containers to serve. */
static bool find_again(const struct attached *lost)
{
    struct mesh_host *host = lost->host;
    if (lost->is_retired || lost->is_again || attach(host, lost->path, true) < 0)
        return false;
    host->attached->is_again = true;
    return true;
}

static void on_end(void *context, struct channel *channel)
{
    struct attached *attached = context;
    struct mesh_host *host = attached->host;
    (void)channel;
    bool was_current = host->current == attached, was_retired = attached->is_retired;
    bool is_there = find_again(attached);
    if (!is_there)
        unlink(attached->path);
    forget(attached);
    if (was_retired)
        return;
    if (was_current) {
        host->current = NULL;
        buffer_clear(&host->told);
        status_done(&host->status);
    }
    if (was_current && !is_there)
        log_error("the mesh process has ended: connections that it passed on are broken; another "
                  "one is started");
    uint64_t wait_ms = was_current ? 0 : RESTART_MS;
    uv_timer_start(&host->starter, start_if_none, is_there ? GREETING_MS : wait_ms, 0);
}

static void take_greeting(struct attached *attached, struct bytes body)
{
    struct mesh_host *host = attached->host;
    struct mesh_greeting greeting = {0};
    bool is_known = greeting_decode(body, &greeting) == 0;
    if (is_known && !id_equal(&greeting.self, &host->config.self)) {
        attached->is_retired = true;
        say(attached, WORD_END, (struct bytes){0});
    } else if (host->current || !is_known || strcmp(greeting.build, host->build) != 0) {
        attached->is_retired = true;
        say(attached, WORD_RETIRE, (struct bytes){0});
        uv_timer_start(&host->starter, start_if_none, 0, 0);
    } else {
        host->current = attached;
        uv_timer_stop(&host->starter);
        pass_on(host);
        mesh_host_changed(host);
    }
}

static void take_want(struct attached *attached, const struct id *peer)
{
    const struct mesh_host_config *config = &attached->host->config;
    int rc = config->dial(config->context, peer);
    if (rc < 0)
        say_peer(attached, WORD_FAILED, peer, rc);
}

static void take_peer_word(struct attached *attached, uint8_t word, struct bytes body)
{
    const struct mesh_host_config *config = &attached->host->config;
    struct id peer;
    int reason;
    if (peer_word_decode(body, &peer, &reason) < 0)
        return;
    if (word == WORD_WANT)
        take_want(attached, &peer);
    else if (!config->admits(config->context, &peer))
        say_peer(attached, WORD_DROP, &peer, 0);
}

static void take_status(struct attached *attached, struct bytes body)
{
    struct mesh_host *host = attached->host;
    struct mesh_status status;
    if (host->current != attached || status_decode(body, &status) < 0)
        return;
    status_done(&host->status);
    host->status = status;
}

static void on_message(void *context, struct channel *channel, uint8_t kind, struct bytes body,
                       int fd)
{
    struct attached *attached = context;
    (void)channel;
    if (kind == WORD_SOCKET && fd >= 0)
        keep(attached, body, fd);
    else if (fd >= 0)
        close(fd);
    else if (kind == WORD_GREETING)
        take_greeting(attached, body);
    else if (kind == WORD_WANT || kind == WORD_LINKED)
        take_peer_word(attached, kind, body);
    else if (kind == WORD_STATUS)
        take_status(attached, body);
}

static const struct channel_handler handler = {.on_message = on_message, .on_end = on_end};

/* --- Finding and starting --- */

static int attach(struct mesh_host *host, const char *path, bool is_old)
{
    struct attached *attached = calloc(1, sizeof(*attached));
    int fd = -1;
    int rc = attached ? mesh_connect(path, &fd) : -ENOMEM;
    if (rc == 0)
        rc = channel_open(host->config.loop, fd, &handler, attached, &attached->channel);
    if (rc < 0) {
        free(attached);
        return rc;
    }
    attached->host = host;
    attached->is_old = is_old;
    memcpy(attached->path, path, strnlen(path, sizeof(attached->path) - 1));
    attached->next = host->attached;
    host->attached = attached;
    return 0;
}

/* Those that run already. Of one that has ended, only its socket is left. */
static size_t attach_all(struct mesh_host *host)
{
    char path[MESH_SOCKET_PATH_BYTES];
    size_t count = 0;
    DIR *directory = opendir(host->config.run_dir);
    const struct dirent *entry;
    while (directory && (entry = readdir(directory))) {
        if (!mesh_socket_is(entry->d_name) ||
            mesh_socket_path(host->config.run_dir, entry->d_name, path) < 0)
            continue;
        int rc = attach(host, path, true);
        if (rc == -ECONNREFUSED)
            unlink(path);
        count += rc == 0;
    }
    if (directory)
        closedir(directory);
    return count;
}

static void start_if_none(uv_timer_t *timer)
{
    struct mesh_host *host = timer->data;
    char path[MESH_SOCKET_PATH_BYTES];
    if (host->current || host->is_closing)
        return;
    const struct mesh_launch launch = {.loop = timer->loop,
                                       .program = host->config.program,
                                       .run_dir = host->config.run_dir,
                                       .self = &host->config.self};
    int rc = mesh_launch(&launch, path);
    if (rc == 0)
        rc = attach(host, path, false);
    if (rc == 0)
        return;
    log_error("the mesh process can't be started: %s; no requests are served here until then, it "
              "is tried again",
              strerror(-rc));
    uv_timer_start(timer, start_if_none, RESTART_MS, 0);
}

/* --- For others --- */

void mesh_host_link(struct mesh_host *host, struct link_given *state, int fd)
{
    cleanup_buffer struct buffer body = {0};
    if (host && host->current && link_given_encode(state, &body) == 0)
        channel_send(host->current->channel, WORD_LINK, buffer_view(&body), fd);
    else
        close(fd);
    if (body.size > 0)
        sodium_memzero(body.bytes, body.size);
    link_given_done(state);
}

void mesh_host_failed(struct mesh_host *host, const struct id *peer, int reason)
{
    if (host && host->current)
        say_peer(host->current, WORD_FAILED, peer, reason);
}

void mesh_host_drop(struct mesh_host *host, const struct id *peer)
{
    for (struct attached *attached = host->attached; attached; attached = attached->next)
        say_peer(attached, WORD_DROP, peer, 0);
}

void mesh_host_explain(const struct mesh_host *host, const char *service, struct buffer *ret)
{
    for (size_t i = 0; i < host->status.trouble_count; i++)
        if (strcmp(host->status.troubles[i].service, service) == 0)
            buffer_append_text(ret, host->status.troubles[i].words);
}

size_t mesh_host_connection_count(const struct mesh_host *host)
{
    return host->status.connections;
}

struct mesh_host *mesh_host_new(const struct mesh_host_config *config)
{
    struct mesh_host *host = calloc(1, sizeof(*host));
    if (!host)
        return NULL;
    host->config = *config;
    host->settled_ms = uv_now(config->loop) + SETTLE_MS;
    host->handles = 2;
    uv_timer_init(config->loop, &host->timer);
    uv_timer_init(config->loop, &host->starter);
    host->timer.data = host->starter.data = host;
    if (!config->run_dir)
        return host;
    int rc = words_build(host->build);
    if (rc < 0)
        log_warning("this program can't be looked at, so no mesh process is taken over: %s",
                    strerror(-rc));
    uv_timer_start(&host->starter, start_if_none, attach_all(host) > 0 ? GREETING_MS : 0, 0);
    return host;
}

void mesh_host_close(struct mesh_host *host, bool ends_process)
{
    if (!host)
        return;
    host->is_closing = true;
    while (host->attached) {
        struct attached *attached = host->attached;
        if (ends_process && say(attached, WORD_END, (struct bytes){0}) == 0) {
            channel_flush(attached->channel);
            unlink(attached->path);
        }
        forget(attached);
    }
    host->current = NULL;
    pass_on(host);
    uv_close((uv_handle_t *)&host->timer, on_handle_closed);
    uv_close((uv_handle_t *)&host->starter, on_handle_closed);
}
