#include "node/mesh_process/process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/ip_network.h"
#include "base/log.h"
#include "node/control/bounds.h"
#include "node/mesh/mesh.h"
#include "node/mesh_process/channel.h"
#include "node/mesh_process/held_links.h"
#include "node/mesh_process/least_privilege.h"
#include "node/mesh_process/words.h"

enum {
    STATUS_MS = 200, /* after a change: many come together */
    LOOK_MS = 1000,  /* whether there is anything left to do */
};

struct process {
    uv_loop_t loop;
    struct id self;
    char build[WORDS_BUILD_BYTES_MAX + 1];
    uid_t owner; /* of daemons that are heard */
    struct fault fault;
    struct mesh *mesh;
    struct held_links *links;
    uv_poll_t listener;
    int listen_fd;
    struct channel *daemon;  /* NULL: none is there */
    struct mesh_state state; /* the last STATE; the mesh has the routes */
    bool is_told;            /* there was one */
    bool is_current;         /* the daemon that is there has said it */
    bool is_retired, is_over;
    bool has_goodbye; /* its links take no more streams */
    uv_timer_t status_timer, look_timer;
    uv_timer_t lease_timer; /* without a daemon */
};

/* --- What the mesh asks --- */

/* The replica's end in that network (NULL: its first); NULL: it has none there. */
static const struct mesh_local *find_local(const struct mesh_state *state, uint64_t generation,
                                           const char *network)
{
    for (size_t i = 0; i < state->local_count; i++) {
        const struct mesh_local *local = &state->locals[i];
        if (local->generation == generation && (!network || strcmp(local->network, network) == 0))
            return local;
    }
    return NULL;
}

static bool local_address(void *context, uint64_t generation, const struct text_list *networks,
                          struct mesh_addresses *ret)
{
    const struct process *process = context;
    const struct mesh_state *state = &process->state;
    const struct mesh_local *local =
        networks->count == 0 ? find_local(state, generation, NULL) : NULL;
    for (size_t i = 0; i < networks->count && !local; i++)
        local = find_local(state, generation, networks->items[i]);
    if (!local || (local->is_exclusive && !process->is_current))
        return false;
    *ret = (struct mesh_addresses){.ip4 = local->address, .has_ip6 = state->range.has_ipv6};
    if (ret->has_ip6)
        ret->ip6 = runtime_range_ula(&state->range, &local->address);
    return true;
}

static enum mesh_asker find_asker(void *context, const struct address *address,
                                  struct mesh_origin *ret)
{
    const struct process *process = context;
    for (size_t i = 0; i < process->state.local_count; i++) {
        const struct mesh_local *local = &process->state.locals[i];
        if (!ip_equal(&local->address, address))
            continue;
        memcpy(ret->service, local->service, sizeof(ret->service));
        memcpy(ret->network, local->network, sizeof(ret->network));
        return MESH_ASKER_CONTAINER;
    }
    return runtime_range_has(&process->state.range, address) ? MESH_ASKER_UNKNOWN
                                                             : MESH_ASKER_MACHINE;
}

static int open_stream(void *context, const struct id *peer, struct bytes header,
                       const struct stream_handler *handler, void *handler_context,
                       struct mux_stream **ret)
{
    struct process *process = context;
    return held_links_open_stream(process->links, peer, header, handler, handler_context, ret);
}

/* --- What it says --- */

static int say_peer(struct process *process, enum mesh_word word, const struct id *peer)
{
    cleanup_buffer struct buffer body = {0};
    int rc = process->daemon ? peer_word_encode(peer, 0, &body) : -EHOSTUNREACH;
    return rc < 0 ? rc : channel_send(process->daemon, (uint8_t)word, buffer_view(&body), -1);
}

static int want_link(void *context, const struct id *peer)
{
    struct process *process = context;
    return process->is_retired ? -ESHUTDOWN : say_peer(process, WORD_WANT, peer);
}

static void say_linked(void *context, const struct id *peer)
{
    say_peer(context, WORD_LINKED, peer);
}

static int add_troubles(const struct process *process, struct mesh_status *status)
{
    const char *service;
    for (size_t i = 0; (service = mesh_service(process->mesh, i)); i++) {
        struct buffer words = {0};
        mesh_explain(process->mesh, service, &words);
        if (words.size == 0 || words.size > WORDS_TROUBLE_BYTES_MAX) {
            buffer_done(&words);
            continue;
        }
        struct mesh_trouble *troubles =
            realloc(status->troubles, (status->trouble_count + 1) * sizeof(*status->troubles));
        char *text = buffer_take_text(&words);
        if (troubles)
            status->troubles = troubles;
        if (!troubles || !text) {
            free(text);
            return -ENOMEM;
        }
        struct mesh_trouble *trouble = &troubles[status->trouble_count++];
        *trouble = (struct mesh_trouble){.words = text};
        memcpy(trouble->service, service, strnlen(service, sizeof(trouble->service) - 1));
    }
    return 0;
}

static void on_status_due(uv_timer_t *timer)
{
    struct process *process = timer->data;
    struct mesh_status status = {.connections = mesh_connection_count(process->mesh)};
    cleanup_buffer struct buffer body = {0};
    if (process->daemon && add_troubles(process, &status) == 0 &&
        status_encode(&status, &body) == 0)
        channel_send(process->daemon, WORD_STATUS, buffer_view(&body), -1);
    status_done(&status);
}

static void on_change(void *context)
{
    struct process *process = context;
    if (!uv_is_active((uv_handle_t *)&process->status_timer) && process->daemon)
        uv_timer_start(&process->status_timer, on_status_due, STATUS_MS, 0);
}

/* --- The end --- */

static void end(struct process *process)
{
    if (process->is_over)
        return;
    process->is_over = true;
    mesh_close(process->mesh);
    held_links_close(process->links);
    channel_close(process->daemon);
    process->daemon = NULL;
    uv_close((uv_handle_t *)&process->listener, NULL);
    uv_close((uv_handle_t *)&process->status_timer, NULL);
    uv_close((uv_handle_t *)&process->look_timer, NULL);
    uv_close((uv_handle_t *)&process->lease_timer, NULL);
}

/* Of use is whoever has a connection; else one that is not retired, and has a daemon or serves a
 * container here. */
static void on_look(uv_timer_t *timer)
{
    struct process *process = timer->data;
    bool is_free = !process->is_retired && (process->daemon || process->state.local_count > 0);
    if (process->is_retired && !process->has_goodbye) {
        process->has_goodbye = true;
        held_links_retire(process->links);
    }
    if (is_free)
        uv_timer_stop(timer);
    else if (!mesh_is_busy(process->mesh))
        end(process);
}

static void look(struct process *process)
{
    uv_timer_start(&process->look_timer, on_look, LOOK_MS, LOOK_MS);
}

static void give_socket(void *context, enum mesh_socket kind, uint16_t port, int fd)
{
    struct process *process = context;
    cleanup_buffer struct buffer body = {0};
    if (process->daemon && socket_word_encode(kind, port, &body) == 0)
        channel_send(process->daemon, WORD_SOCKET, buffer_view(&body), fd);
    else
        close(fd);
}

static void retire(struct process *process)
{
    log_info("mesh: a newer process takes over; this one ends with its last connection");
    process->is_retired = true;
    mesh_retire(process->mesh, give_socket, process);
    look(process); /* who has no replica yet may go on to find one until then */
}

/* --- What it is told --- */

static void take_state(struct process *process, struct bytes body)
{
    struct mesh_state state;
    if (process->is_retired || state_decode(body, &state) < 0)
        return;
    mesh_set_routes(process->mesh, &state.routes);
    if (!address_is_none(&state.gateway))
        mesh_gateway_ready(process->mesh, &state.gateway);
    state_done(&process->state);
    process->state = state;
    process->is_told = process->is_current = true;
}

static void take_link(struct process *process, struct bytes body, int fd)
{
    struct link_given state;
    if (link_given_decode(body, &state) < 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    if (fd >= 0)
        held_links_take(process->links, &state, fd);
    else if (state.is_dialer)
        held_links_failed(process->links, &state.id, -EMFILE);
    link_given_done(&state);
}

static void take_socket(struct process *process, struct bytes body, int fd)
{
    enum mesh_socket kind;
    uint16_t port;
    if (process->is_retired || socket_word_decode(body, &kind, &port) < 0)
        close(fd);
    else
        mesh_inherit(process->mesh, kind, port, fd);
    if (process->is_told) /* it comes late */
        mesh_changed(process->mesh);
}

static void take_peer_word(struct process *process, uint8_t word, struct bytes body)
{
    struct id peer;
    int reason;
    if (peer_word_decode(body, &peer, &reason) < 0)
        return;
    if (word == WORD_FAILED)
        held_links_failed(process->links, &peer, reason);
    else
        held_links_drop(process->links, &peer);
}

static void on_message(void *context, struct channel *channel, uint8_t kind, struct bytes body,
                       int fd)
{
    struct process *process = context;
    (void)channel;
    if (kind == WORD_LINK)
        take_link(process, body, fd);
    else if (kind == WORD_SOCKET && fd >= 0)
        take_socket(process, body, fd);
    else if (fd >= 0)
        close(fd);
    else if (kind == WORD_STATE)
        take_state(process, body);
    else if (kind == WORD_FAILED || kind == WORD_DROP)
        take_peer_word(process, kind, body);
    else if (kind == WORD_RETIRE && !process->is_retired)
        retire(process);
    else if (kind == WORD_END)
        end(process);
}

/* No daemon has asked for a lease for as long as one lasts. Whoever holds an exclusive service is
 * to stop it then, and nobody is there who would: it is cut off instead, before it may be started
 * elsewhere. */
static void on_leases_over(uv_timer_t *timer)
{
    struct process *process = timer->data;
    for (size_t i = 0; i < process->state.local_count; i++)
        if (process->state.locals[i].is_exclusive)
            mesh_cut(process->mesh, process->state.locals[i].generation);
}

/* Its daemon has stopped or died: it goes on with what it knows. */
static void on_daemon_gone(void *context, struct channel *channel)
{
    struct process *process = context;
    channel_close(channel);
    process->daemon = NULL;
    process->is_current = false;
    held_links_failed(process->links, NULL, -EHOSTUNREACH);
    mesh_leave_out_exclusive(process->mesh);
    uv_timer_start(&process->lease_timer, on_leases_over, AGENT_LEASE_MS_DEFAULT, 0);
    look(process);
}

static const struct channel_handler handler = {.on_message = on_message, .on_end = on_daemon_gone};

/* --- Its daemon --- */

static void greet(struct process *process)
{
    cleanup_buffer struct buffer body = {0};
    struct mesh_greeting greeting = {.self = process->self};
    memcpy(greeting.build, process->build, sizeof(greeting.build));
    uv_timer_stop(&process->lease_timer); /* the daemon sees to leases */
    if (greeting_encode(&greeting, &body) == 0)
        channel_send(process->daemon, WORD_GREETING, buffer_view(&body), -1);
    held_links_each(process->links, say_linked, process);
    on_change(process);
}

static void on_daemon(uv_poll_t *poll, int status, int events)
{
    struct process *process = poll->data;
    struct ucred who;
    socklen_t size = sizeof(who);
    (void)status;
    (void)events;
    int fd = accept4(process->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) < 0 || who.uid != process->owner) {
        close(fd);
        return;
    }
    if (process->daemon) /* the one before has died, and that was not heard yet */
        on_daemon_gone(process, process->daemon);
    if (channel_open(&process->loop, fd, &handler, process, &process->daemon) < 0)
        process->daemon = NULL;
    else
        greet(process);
}

/* --- The beginning --- */

static void on_stream(void *context, struct mux_stream *stream, struct bytes header)
{
    mesh_accept(((struct process *)context)->mesh, stream, header);
}

static int start(struct process *process)
{
    const char *fault = getenv("CONSORT_FAULT");
    const struct held_links_config links = {.loop = &process->loop,
                                            .fault = &process->fault,
                                            .context = process,
                                            .want = want_link,
                                            .on_stream = on_stream};
    const struct mesh_config mesh = {.loop = &process->loop,
                                     .self = process->self,
                                     .context = process,
                                     .open_stream = open_stream,
                                     .local_address = local_address,
                                     .asker = find_asker,
                                     .on_change = on_change};
    fault_init(&process->fault, 1);
    if (fault)
        fault_parse(&process->fault, fault, NULL);
    int rc = uv_poll_init(&process->loop, &process->listener, process->listen_fd);
    if (rc < 0)
        return rc;
    uv_timer_init(&process->loop, &process->status_timer);
    uv_timer_init(&process->loop, &process->look_timer);
    uv_timer_init(&process->loop, &process->lease_timer);
    process->listener.data = process->status_timer.data = process->look_timer.data = process;
    process->lease_timer.data = process;
    process->links = held_links_new(&links);
    process->mesh = mesh_new(&mesh);
    if (!process->links || !process->mesh)
        return -ENOMEM;
    return uv_poll_start(&process->listener, UV_READABLE, on_daemon);
}

int mesh_process_run(int listen_fd, const struct id *self)
{
    struct process process = {.self = *self, .listen_fd = listen_fd, .owner = getuid()};
    signal(SIGPIPE, SIG_IGN);
    int rc = words_build(process.build); /* can't be looked up later */
    if (rc == 0)
        rc = least_privilege_take();
    if (rc < 0) {
        log_error("mesh: it can't start: %s", strerror(-rc));
        return 1;
    }
    uv_loop_init(&process.loop);
    rc = start(&process);
    if (rc < 0) {
        log_error("mesh: it can't start: %s", strerror(-rc));
        return 1;
    }
    look(&process); /* until a daemon is there */
    uv_run(&process.loop, UV_RUN_DEFAULT);
    close(listen_fd);
    state_done(&process.state);
    return uv_loop_close(&process.loop) == 0 ? 0 : 1;
}
