#include "node/cli/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/api/frame.h"
#include "node/cli/bounds.h"
#include "node/cli/contexts.h"
#include "node/transport/kinds.h"
#include "node/transport/link.h"
#include "node/transport/pipe.h"
#include "node/transport/socket.h"

struct client {
    uv_loop_t loop;
    struct pipe_end end;
    bool is_connected, has_failed; /* of the connection */
    int failure;                   /* why it has */
    struct buffer input;

    uint64_t call;
    bool is_answered;
    struct error error; /* the answer's; code 0: `result` */
    json_t *result;
    struct buffer packed; /* as it came */
    const struct client_handler *handler;
    void *context;

    /* Over a context only: */
    struct operator_context *operator;
    struct link_config link_config;
    struct link *link;
    struct error link_error;
    uv_timer_t patience;
};

const char *client_socket_path(const struct cli *cli)
{
    const char *path = cli->socket ? cli->socket : getenv("CONSORT_SOCKET");
    return path && *path ? path : CLIENT_SOCKET_DEFAULT;
}

uv_loop_t *client_loop(struct client *client)
{
    return &client->loop;
}

/* --- What arrives --- */

static void fail(struct client *client, int reason)
{
    client->has_failed = true;
    client->failure = reason;
}

static void take_answer(struct client *client, const struct frame *frame)
{
    client->is_answered = true;
    client->error = frame->error;
    if (client->error.code == 0 &&
        (buffer_append(&client->packed, frame->body.data, frame->body.size) < 0 ||
         json_from_packed(frame->body, &client->result) < 0))
        error_set(&client->error, -EBADMSG, "the peer's answer makes no sense");
}

static void on_data(void *context, struct pipe_end *end, struct bytes data)
{
    struct client *client = context;
    struct bytes bytes;
    struct frame frame;
    (void)end;
    int rc = buffer_append(&client->input, data.data, data.size);
    while (rc == 0 && (rc = frame_next(&client->input, &bytes)) == 1) {
        rc = frame_decode(bytes, &frame);
        if (rc == 0 && frame.id == client->call && !client->is_answered) {
            if (frame.type == FRAME_ANSWER)
                take_answer(client, &frame);
            else if (frame.type == FRAME_NOTE && client->handler && client->handler->on_note)
                client->handler->on_note(client->context, frame.name, frame.body);
        }
        buffer_consume(&client->input, FRAME_HEAD_BYTES + bytes.size);
    }
    if (rc < 0)
        fail(client, rc);
}

static void on_end(void *context, struct pipe_end *end)
{
    (void)end;
    fail(context, -ECONNRESET);
}

static void on_drained(void *context, struct pipe_end *end)
{
    struct client *client = context;
    (void)end;
    if (client->handler && client->handler->on_drained)
        client->handler->on_drained(client->context);
}

static void on_flushed(void *context, struct pipe_end *end)
{
    (void)context;
    (void)end;
}

static void on_close(void *context, struct pipe_end *end, int reason)
{
    (void)end;
    fail(context, reason < 0 ? reason : -ECONNRESET);
}

static const struct pipe_handler pipe_handler = {.on_data = on_data,
                                                 .on_end = on_end,
                                                 .on_drained = on_drained,
                                                 .on_flushed = on_flushed,
                                                 .on_close = on_close};

/* --- The local peer's socket --- */

static void on_connected(uv_connect_t *request, int status)
{
    struct client *client = request->data;
    if (status < 0)
        fail(client, status);
    else
        client->is_connected = true;
}

static int explain_socket(const char *path, int rc, struct error *error)
{
    if (rc == -EACCES || rc == -EPERM) {
        error_set(error, rc, "%s: permission denied", path);
        error_hint(error, "run this as root, or join the group consort: usermod -aG consort USER");
    } else if (rc == -ENOENT || rc == -ECONNREFUSED) {
        error_set(error, rc, "no peer answers at %s", path);
        error_hint(error, "start one with: consort node; or choose another with --socket PATH or "
                          "--context NAME");
    } else {
        error_set_errno(error, rc, "connecting to %s", path);
    }
    return rc;
}

static int open_socket(struct client *client, const char *path, struct error *error)
{
    uv_pipe_t *pipe = malloc(sizeof(*pipe));
    uv_connect_t request = {.data = client};
    if (!pipe)
        return error_set_errno(error, -ENOMEM, "connecting to %s", path);
    uv_pipe_init(&client->loop, pipe, 0);
    uv_pipe_connect(&request, pipe, path, on_connected);
    while (!client->is_connected && !client->has_failed)
        uv_run(&client->loop, UV_RUN_ONCE);
    if (client->has_failed) {
        uv_close((uv_handle_t *)pipe, socket_free);
        return explain_socket(path, client->failure, error);
    }
    pipe_end_use_socket(&client->end, (uv_stream_t *)pipe, &pipe_handler, client);
    return 0;
}

/* --- A fleet elsewhere --- */

static void on_link_open(void *context, struct link *link)
{
    struct client *client = context;
    (void)link;
    client->is_connected = true;
}

static void on_link_close(void *context, struct link *link, const struct error *why)
{
    struct client *client = context;
    (void)link;
    client->link = NULL;
    client->link_error = *why;
    fail(client, why->code < 0 ? why->code : -ECONNRESET);
}

static const struct link_handler link_handler = {.on_open = on_link_open,
                                                 .on_close = on_link_close};

static void on_out_of_patience(uv_timer_t *timer)
{
    struct client *client = timer->data;
    if (client->link)
        link_abort(client->link, -ETIMEDOUT);
}

/* Tries one peer; 0 once the link is open. */
static int dial(struct client *client, const struct join_seed *seed)
{
    client->has_failed = false;
    int rc = link_dial(&client->link_config, &seed->address, &seed->id, &link_handler, client,
                       &client->link);
    if (rc < 0) {
        error_set_errno(&client->link_error, rc, "dialing");
        return rc;
    }
    uv_timer_start(&client->patience, on_out_of_patience, CLI_LINK_TIMEOUT_MS, 0);
    while (!client->is_connected && client->link)
        uv_run(&client->loop, UV_RUN_ONCE);
    uv_timer_stop(&client->patience);
    return client->is_connected ? 0 : client->failure;
}

static int open_context(struct client *client, const char *name, struct error *error)
{
    int rc = context_load(name, &client->operator, error);
    if (rc < 0)
        return rc;
    struct operator_context *operator= client->operator;
    client->link_config = (struct link_config){.loop = &client->loop,
                                               .identity = &operator->identity,
                                               .chain = &operator->chain,
                                               .cluster = operator->cluster,
                                               .context = client};
    rc = -EHOSTUNREACH;
    for (uint32_t i = 0; i < operator->seed_count && !client->is_connected; i++)
        rc = dial(client, &operator->seeds[i]);
    if (rc < 0) {
        error_set(error, rc, "context %s: none of its %u peers lets us in: %s",
                  name, operator->seed_count, client->link_error.message);
        error_hint(error, "if the fleet has moved, make a new one with: consort context create");
        return rc;
    }
    struct mux_stream *stream;
    rc = mux_open(link_mux(client->link), STREAM_API, (struct bytes){0}, &pipe_stream_handler,
                  &client->end, &stream);
    if (rc < 0)
        return error_set_errno(error, rc, "context %s: asking for the API", name);
    pipe_end_use_stream(&client->end, stream, &pipe_handler, client);
    return 0;
}

const char *client_context(const struct cli *cli, char *current)
{
    const char *name = getenv("CONSORT_CONTEXT"), *socket = getenv("CONSORT_SOCKET");
    if (cli->context)
        return cli->context;
    if (cli->socket)
        return NULL;
    if (name && *name)
        return name;
    if (socket && *socket)
        return NULL;
    return context_current(current) == 0 ? current : NULL;
}

int client_open(const struct cli *cli, struct client **ret, struct error *error)
{
    char current[BASE_NAME_BYTES_MAX + 1];
    struct client *client = calloc(1, sizeof(*client));
    if (!client)
        return error_set_errno(error, -ENOMEM, "connecting");
    int rc = uv_loop_init(&client->loop);
    if (rc < 0) {
        free(client);
        return error_set_errno(error, rc, "starting an event loop");
    }
    uv_timer_init(&client->loop, &client->patience);
    client->patience.data = client;
    const char *context = client_context(cli, current);
    rc = context ? open_context(client, context, error)
                 : open_socket(client, client_socket_path(cli), error);
    if (rc < 0) {
        client_close(client);
        return rc;
    }
    pipe_end_start(&client->end);
    *ret = client;
    return 0;
}

void client_close(struct client *client)
{
    if (!client)
        return;
    if (pipe_end_is_open(&client->end))
        pipe_end_close(&client->end, 0);
    if (client->link)
        link_close(client->link, 0);
    uv_close((uv_handle_t *)&client->patience, NULL);
    uv_run(&client->loop, UV_RUN_DEFAULT);
    uv_loop_close(&client->loop);
    context_free(client->operator);
    buffer_done(&client->input);
    buffer_done(&client->packed);
    json_decref(client->result);
    free(client);
}

/* --- Calls --- */

int client_begin(struct client *client, const char *method, struct bytes params,
                 const struct client_handler *handler, void *context)
{
    static const uint8_t empty_map = 0x80;
    cleanup_buffer struct buffer frame = {0};
    if (params.size == 0)
        params = (struct bytes){&empty_map, 1};
    client->call++;
    client->is_answered = false;
    client->packed.size = 0;
    client->handler = handler;
    client->context = context;
    int rc = frame_request(&frame, client->call, method, params);
    if (rc == 0)
        rc = pipe_end_write(&client->end, buffer_view(&frame));
    return rc < 0 ? rc : 0;
}

struct bytes client_packed(const struct client *client)
{
    return buffer_view(&client->packed);
}

int client_note(struct client *client, const char *kind, struct bytes payload)
{
    cleanup_buffer struct buffer frame = {0};
    if (client->is_answered || client->has_failed)
        return 0; /* nobody is there to read it: client_finish() says why */
    int rc = frame_note(&frame, client->call, kind, payload);
    return rc < 0 ? rc : pipe_end_write(&client->end, buffer_view(&frame));
}

int client_finish(struct client *client, json_t **ret, struct error *error)
{
    while (!client->is_answered && !client->has_failed)
        uv_run(&client->loop, UV_RUN_ONCE);
    if (!client->is_answered) {
        error_set_errno(error, client->failure,
                        "the peer closed the connection before it answered");
        error_hint(error, "see what its log says, or ask another peer");
        return client->failure;
    }
    if (client->error.code < 0) {
        *error = client->error;
        return client->error.code;
    }
    if (ret) {
        *ret = client->result;
        client->result = NULL;
    }
    json_decref(client->result);
    client->result = NULL;
    return 0;
}

int client_call(struct client *client, const char *method, struct bytes params,
                const struct client_handler *handler, void *context, json_t **ret,
                struct error *error)
{
    int rc = client_begin(client, method, params, handler, context);
    if (rc == -EMSGSIZE)
        return error_set(error, rc, "%s: more than fits one request", method);
    if (rc < 0)
        return error_set_errno(error, rc, "asking for %s", method);
    return client_finish(client, ret, error);
}

int client_call_json(struct client *client, const char *method, json_t *params,
                     const struct client_handler *handler, void *context, json_t **ret,
                     struct error *error)
{
    cleanup_buffer struct buffer packed = {0};
    int rc = params ? json_to_packed(params, &packed) : 0;
    json_decref(params);
    if (rc < 0)
        return error_set_errno(error, rc, "asking for %s", method);
    return client_call(client, method, buffer_view(&packed), handler, context, ret, error);
}
