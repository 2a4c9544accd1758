#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "node/api/api.h"
#include "node/api/call.h"
#include "node/transport/pipe.h"
#include "node/transport/socket.h"

enum {
    API_CALLS_MAX = 64, /* under way on one connection */
    API_BACKLOG = 64,
    API_SOCKET_MODE = 0660,
};

static const char api_group[] = "consort";

struct api_connection {
    struct api_server *server;
    struct pipe_end end;
    struct buffer input;
    struct api_call *calls;
    unsigned call_count;
    enum role role;
    bool is_passed_on; /* a peer's, for an operator */
    bool is_full;      /* it reads no answers: no request is taken until it does */
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
    struct api_connection *next;
};

struct api_server {
    struct peer *peer;
    uv_pipe_t socket;
    char path[PATH_MAX];
    struct api_connection *connections;
};

/* --- Calls --- */

static void unlink_call(struct api_call *call)
{
    struct api_connection *connection = call->connection;
    if (!connection)
        return;
    struct api_call **link = &connection->calls;
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    connection->call_count--;
}

static int write_out(struct api_connection *connection, const struct buffer *frame)
{
    return pipe_end_write(&connection->end, buffer_view(frame));
}

static void write_answer(struct api_connection *connection, const struct buffer *frame)
{
    if (write_out(connection, frame) == 1)
        connection->is_full = true;
}

void api_answer(struct api_call *call, const struct buffer *result)
{
    static const uint8_t empty_map = 0x80;
    cleanup_buffer struct buffer frame = {0};
    struct bytes body =
        result && result->size > 0 ? buffer_view(result) : (struct bytes){&empty_map, 1};
    if (call->connection) {
        if (frame_answer(&frame, call->id, body) < 0) {
            struct error error = {0};
            error_set(&error, -EMSGSIZE, "the answer is too large");
            frame_failure(&frame, call->id, &error);
        }
        write_answer(call->connection, &frame);
    }
    unlink_call(call);
    free(call);
}

void api_fail(struct api_call *call, const struct error *error)
{
    cleanup_buffer struct buffer frame = {0};
    if (call->connection && frame_failure(&frame, call->id, error) == 0)
        write_answer(call->connection, &frame);
    unlink_call(call);
    free(call);
}

void api_fail_with(struct api_call *call, int code, const char *hint, const char *format, ...)
{
    struct error error = {.code = code};
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error.message, sizeof(error.message), format, arguments);
    va_end(arguments);
    snprintf(error.hint, sizeof(error.hint), "%s", hint ? hint : "");
    api_fail(call, &error);
}

bool api_fail_if_refused(struct api_call *call, const struct agent_result *result)
{
    if (result->result.code == 0)
        return false;
    api_fail(call, &result->result.error);
    return true;
}

int api_note(struct api_call *call, const char *kind, struct bytes payload)
{
    cleanup_buffer struct buffer frame = {0};
    if (!call->connection || frame_note(&frame, call->id, kind, payload) < 0)
        return 0;
    return write_out(call->connection, &frame);
}

static const struct api_entry *find_method(const char *name)
{
    for (const struct api_entry *const *table = api_methods; *table; table++)
        for (const struct api_entry *entry = *table; entry->name; entry++)
            if (strcmp(entry->name, name) == 0)
                return entry;
    return NULL;
}

static void start_call(struct api_connection *connection, const struct frame *frame)
{
    struct peer *peer = connection->server->peer;
    struct api_call *call = calloc(1, sizeof(*call));
    if (!call)
        return;
    call->peer = peer;
    call->connection = connection;
    call->id = frame->id;
    call->role = connection->role;
    call->is_passed_on = connection->is_passed_on;
    memcpy(call->actor, connection->actor, sizeof(call->actor));
    memcpy(call->method, frame->name, sizeof(call->method));
    call->next = connection->calls;
    connection->calls = call;
    connection->call_count++;

    const struct api_entry *entry = find_method(frame->name);
    if (connection->call_count > API_CALLS_MAX)
        api_fail_with(call, -EBUSY, NULL, "too many calls are under way on this connection");
    else if (!entry)
        api_fail_with(call, -ENOSYS, "upgrade it to the version of this command",
                      "this peer knows no method %s", frame->name);
    else if (connection->role < entry->needs)
        api_fail_with(call, -EACCES, "use a context with that role, or ask an admin",
                      "%s needs the role %s; %s is a %s", frame->name, role_name(entry->needs),
                      connection->actor, role_name(connection->role));
    else if (entry->kind != API_ANYWHERE && !peer->agent)
        api_fail_with(call, -ENOTCONN,
                      "begin one with: consort init, or join one with: consort join TOKEN",
                      "this peer is in no cluster");
    else if (entry->kind == API_OF_INTENT && frame_flag(frame->body, "consistent"))
        api_answer_consistently(call, entry->method, frame->body);
    else
        entry->method(call, frame->body);
}

static void take_note(struct api_connection *connection, const struct frame *frame)
{
    struct api_call *call = connection->calls;
    while (call && call->id != frame->id)
        call = call->next;
    if (!call)
        return;
    if (strcmp(frame->name, "cancel") == 0) {
        call->is_canceled = true;
        if (call->on_cancel)
            call->on_cancel(call);
    } else if (call->on_note) {
        call->on_note(call, frame->name, frame->body);
    }
}

/* --- Connections --- */

static void drop_connection(struct api_connection *connection)
{
    struct api_connection **link = &connection->server->connections;
    while (*link != connection)
        link = &(*link)->next;
    *link = connection->next;
    while (connection->calls) {
        struct api_call *call = connection->calls;
        connection->calls = call->next;
        call->connection = NULL;
        call->is_canceled = true;
        if (call->on_cancel)
            call->on_cancel(call);
    }
    pipe_end_close(&connection->end, 0);
    buffer_done(&connection->input);
    free(connection);
}

/* Takes the frames that have come, as long as their answers are read. */
static void take_frames(struct api_connection *connection)
{
    struct bytes bytes;
    struct frame frame;
    int rc = 0;
    while (rc == 0 && !connection->is_full && (rc = frame_next(&connection->input, &bytes)) == 1) {
        rc = frame_decode(bytes, &frame);
        if (rc == 0 && frame.type == FRAME_REQUEST)
            start_call(connection, &frame);
        else if (rc == 0 && frame.type == FRAME_NOTE)
            take_note(connection, &frame);
        /* It may have had secrets in it. */
        sodium_memzero(connection->input.bytes, FRAME_HEAD_BYTES + bytes.size);
        buffer_consume(&connection->input, FRAME_HEAD_BYTES + bytes.size);
    }
    if (rc < 0) {
        log_limited(LOG_WARNING, "a client's request makes no sense: its connection is closed");
        drop_connection(connection);
        return;
    }
    pipe_end_pause(&connection->end, connection->is_full);
}

static void on_data(void *context, struct pipe_end *end, struct bytes data)
{
    struct api_connection *connection = context;
    (void)end;
    if (buffer_append(&connection->input, data.data, data.size) < 0)
        drop_connection(connection);
    else
        take_frames(connection);
}

static void on_end(void *context, struct pipe_end *end)
{
    (void)end;
    drop_connection(context);
}

static void on_drained(void *context, struct pipe_end *end)
{
    struct api_connection *connection = context;
    struct api_call *next;
    (void)end;
    for (struct api_call *call = connection->calls; call; call = next) {
        next = call->next;
        if (call->on_drained)
            call->on_drained(call);
    }
    connection->is_full = false;
    take_frames(connection);
}

static void on_flushed(void *context, struct pipe_end *end)
{
    (void)context;
    (void)end; /* this side never ends first */
}

static void on_close(void *context, struct pipe_end *end, int reason)
{
    (void)end;
    (void)reason;
    drop_connection(context);
}

static const struct pipe_handler handler = {.on_data = on_data,
                                            .on_end = on_end,
                                            .on_drained = on_drained,
                                            .on_flushed = on_flushed,
                                            .on_close = on_close};

static struct api_connection *new_connection(struct api_server *server, enum role role,
                                             const char *actor)
{
    struct api_connection *connection = calloc(1, sizeof(*connection));
    if (!connection)
        return NULL;
    connection->server = server;
    connection->role = role;
    snprintf(connection->actor, sizeof(connection->actor), "%s", actor);
    connection->next = server->connections;
    server->connections = connection;
    return connection;
}

/* Who is at the other end of the UNIX socket, for the history: the kernel says. */
static void name_of_user(uv_pipe_t *pipe, char *ret, size_t capacity)
{
    struct ucred credentials;
    socklen_t size = sizeof(credentials);
    uv_os_fd_t fd;
    snprintf(ret, capacity, "local");
    if (uv_fileno((uv_handle_t *)pipe, &fd) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) < 0)
        return;
    const struct passwd *user = getpwuid(credentials.uid);
    if (user)
        snprintf(ret, capacity, "%s", user->pw_name);
    else
        snprintf(ret, capacity, "uid %u", credentials.uid);
}

static void on_connection(uv_stream_t *socket, int status)
{
    struct api_server *server = socket->data;
    char actor[INTENT_ACTOR_BYTES_MAX + 1];
    uv_pipe_t *pipe = status == 0 ? malloc(sizeof(*pipe)) : NULL;
    if (!pipe)
        return;
    uv_pipe_init(server->peer->loop, pipe, 0);
    if (uv_accept(socket, (uv_stream_t *)pipe) < 0) {
        uv_close((uv_handle_t *)pipe, socket_free);
        return;
    }
    name_of_user(pipe, actor, sizeof(actor));
    struct api_connection *connection = new_connection(server, ROLE_ADMIN, actor);
    if (!connection) {
        uv_close((uv_handle_t *)pipe, socket_free);
        return;
    }
    pipe_end_use_socket(&connection->end, (uv_stream_t *)pipe, &handler, connection);
    pipe_end_start(&connection->end);
}

void api_accept(struct api_server *server, const struct link_remote *remote,
                struct mux_stream *stream, struct bytes header)
{
    const struct certificate *leaf = &remote->chain.certificates[0];
    enum role role = leaf->role;
    char actor[INTENT_ACTOR_BYTES_MAX + 1], role_text[16];
    snprintf(actor, sizeof(actor), "%s", leaf->name);
    if (role == ROLE_PEER) { /* it passes on an operator's call, and vouches for its role */
        if (!frame_text(header, "role", role_text, sizeof(role_text)) ||
            role_parse(role_text, &role) < 0 || role == ROLE_PEER ||
            !frame_text(header, "actor", actor, sizeof(actor))) {
            stream_reset(stream, -EBADMSG);
            return;
        }
    }
    struct api_connection *connection = new_connection(server, role, actor);
    if (!connection) {
        stream_reset(stream, -ENOMEM);
        return;
    }
    connection->is_passed_on = leaf->role == ROLE_PEER;
    pipe_end_use_stream(&connection->end, stream, &handler, connection);
    stream_accept(stream, &pipe_stream_handler, &connection->end);
}

/* --- The socket --- */

/* Binds a new socket to the path, replacing one that a dead process left; -EADDRINUSE if somebody
 * answers at it: then it is not ours to replace. By hand: libuv unlinks what it has bound as soon
 * as it closes it, and this one may be handed on. */
static int bind_socket(const char *path, int *ret_fd)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, strlen(path));
    cleanup_close int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    if (connect(probe, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return -EADDRINUSE;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    unlink(path);
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        int rc = -errno;
        close(fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

static void open_to_group(const char *path)
{
    const struct group *group = getgrnam(api_group);
    if (group && chown(path, (uid_t)-1, group->gr_gid) < 0)
        log_warning("%s can't be given to the group %s: %s", path, api_group, strerror(errno));
    if (chmod(path, API_SOCKET_MODE) < 0)
        log_warning("%s keeps its mode: %s", path, strerror(errno));
}

int api_server_new(struct peer *peer, const char *socket_path, int socket_fd,
                   struct api_server **ret, struct error *error)
{
    struct api_server *server = calloc(1, sizeof(*server));
    if (!server)
        return error_set_errno(error, -ENOMEM, "serving %s", socket_path);
    server->peer = peer;
    snprintf(server->path, sizeof(server->path), "%s", socket_path);
    int rc = socket_fd < 0 ? bind_socket(socket_path, &socket_fd) : 0;
    if (rc < 0) {
        free(server);
        if (rc != -EADDRINUSE)
            return error_set_errno(error, rc, "serving %s", socket_path);
        error_set(error, rc, "another consort answers at %s", socket_path);
        error_hint(error, "stop it first, or give this one another --socket, --data-dir, --run-dir "
                          "and --listen");
        return rc;
    }
    uv_pipe_init(peer->loop, &server->socket, 0);
    server->socket.data = server;
    rc = uv_pipe_open(&server->socket, socket_fd);
    if (rc < 0)
        close(socket_fd);
    else
        rc = uv_listen((uv_stream_t *)&server->socket, API_BACKLOG, on_connection);
    *ret = server; /* closed by peer_done() also after a failure */
    if (rc < 0)
        return error_set_errno(error, rc, "serving %s", socket_path);
    open_to_group(socket_path);
    return 0;
}

int api_server_close(struct api_server *server, bool keep_socket)
{
    uv_os_fd_t fd;
    int kept = -1;
    if (!server)
        return -1;
    while (server->connections)
        drop_connection(server->connections);
    if (keep_socket && uv_fileno((uv_handle_t *)&server->socket, &fd) == 0)
        kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (kept < 0)
        unlink(server->path);
    uv_close((uv_handle_t *)&server->socket, socket_free_owner);
    return kept;
}

/* --- Results --- */

void put_text(struct writer *writer, const char *key, const char *value)
{
    writer_text(writer, key);
    writer_text(writer, value);
}

void put_u64(struct writer *writer, const char *key, uint64_t value)
{
    writer_text(writer, key);
    writer_u64(writer, value);
}

void put_i64(struct writer *writer, const char *key, int64_t value)
{
    writer_text(writer, key);
    writer_i64(writer, value);
}

void put_flag(struct writer *writer, const char *key, bool value)
{
    writer_text(writer, key);
    writer_bool(writer, value);
}

void put_id(struct writer *writer, const char *key, const struct id *value)
{
    char hex[ID_TEXT_BYTES];
    id_format(value, hex);
    put_text(writer, key, hex);
}

const char *peer_name(const struct peer *peer, const struct id *id)
{
    const struct intent_peer *known = intent_peer_find(agent_intent(peer->agent), id);
    return known ? known->name : id_short(id);
}
