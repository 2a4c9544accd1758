#include "node/cli/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/reader.h"
#include "base/writer.h"
#include "node/api/frame.h"
#include "node/cli/bounds.h"

enum {
    CTRL_P = 0x10,
    CTRL_Q = 0x11,
};

struct session {
    struct client *client;
    struct session_options options;
    enum { INPUT_NONE, INPUT_POLLED, INPUT_FILE } input_kind;
    union {
        uv_poll_t poll;
        uv_idle_t idle; /* a file can't be polled, and is always ready */
    } input;
    bool is_resizing;
    uv_signal_t resized;
    struct termios before;
    bool is_raw;
    bool has_ended;     /* the input, or it is left */
    bool is_full;       /* our own connection takes no more */
    uint64_t under_way; /* bytes of input that were sent and not taken yet */
    bool after_ctrl_p;  /* the last key that was typed, held back */
};

static void print(const struct session *session, struct bytes payload)
{
    struct reader reader;
    uint8_t stream = 0;
    struct bytes output;
    reader_init(&reader, payload.data, payload.size);
    reader_array_exact(&reader, 2);
    reader_u8(&reader, &stream);
    if (reader_binary(&reader, &output) < 0)
        return;
    FILE *out = session->options.output ? session->options.output : stdout;
    FILE *to = stream == 2 ? stderr : out;
    fwrite(output.data, 1, output.size, to);
    fflush(to);
}

static void stop_input(struct session *session)
{
    if (session->input_kind == INPUT_POLLED)
        uv_poll_stop(&session->input.poll);
    else if (session->input_kind == INPUT_FILE)
        uv_idle_stop(&session->input.idle);
}

static void on_readable(uv_poll_t *poll, int status, int events);
static void on_idle(uv_idle_t *idle);

static void start_input(struct session *session)
{
    if (session->is_full || session->under_way >= CLI_UNDER_WAY_BYTES_MAX)
        return;
    if (session->input_kind == INPUT_POLLED)
        uv_poll_start(&session->input.poll, UV_READABLE, on_readable);
    else if (session->input_kind == INPUT_FILE)
        uv_idle_start(&session->input.idle, on_idle);
}

/* Looks for Ctrl-P Ctrl-Q, and takes a Ctrl-P out that may be its beginning. False: it is there. */
static bool pass_keys(struct session *session, const uint8_t *keys, size_t count, uint8_t *ret,
                      size_t *ret_count)
{
    size_t out = 0;
    for (size_t i = 0; i < count; i++) {
        if (session->after_ctrl_p && keys[i] == CTRL_Q)
            return false;
        if (session->after_ctrl_p)
            ret[out++] = CTRL_P;
        session->after_ctrl_p = keys[i] == CTRL_P;
        if (!session->after_ctrl_p)
            ret[out++] = keys[i];
    }
    *ret_count = out;
    return true;
}

static void send_input(struct session *session, const uint8_t *bytes, size_t size)
{
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_binary(&writer, bytes, size);
    session->under_way += size;
    session->is_full = client_note(session->client, "input", buffer_view(&payload)) == 1;
    if (session->is_full || session->under_way >= CLI_UNDER_WAY_BYTES_MAX)
        stop_input(session);
}

static void take_input(struct session *session)
{
    uint8_t bytes[CLI_INPUT_BYTES], keys[CLI_INPUT_BYTES + 1];
    ssize_t got = read(session->options.input_fd, bytes, sizeof(bytes));
    size_t size = got > 0 ? (size_t)got : 0;
    if (size == 0) {
        session->has_ended = true;
        stop_input(session);
        client_note(session->client, "end_input", (struct bytes){0});
    } else if (!session->options.detachable || !session->is_raw) {
        send_input(session, bytes, size);
    } else if (!pass_keys(session, bytes, size, keys, &size)) {
        session->has_ended = true;
        stop_input(session);
        client_note(session->client, "detach", (struct bytes){0});
    } else if (size > 0) {
        send_input(session, keys, size);
    }
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events; /* read() tells */
    take_input(poll->data);
}

static void on_idle(uv_idle_t *idle)
{
    take_input(idle->data);
}

static void on_drained(void *context)
{
    struct session *session = context;
    session->is_full = false;
    if (!session->has_ended)
        start_input(session);
}

static void on_taken(struct session *session, struct bytes payload)
{
    struct reader reader;
    uint64_t bytes = 0;
    reader_init(&reader, payload.data, payload.size);
    if (reader_u64(&reader, &bytes) < 0)
        return;
    session->under_way -= bytes < session->under_way ? bytes : session->under_way;
    if (!session->has_ended)
        start_input(session);
}

static void open_input(struct session *session)
{
    uv_loop_t *loop = client_loop(session->client);
    session->input_kind = uv_poll_init(loop, &session->input.poll, session->options.input_fd) == 0
                              ? INPUT_POLLED
                              : INPUT_FILE;
    if (session->input_kind == INPUT_FILE)
        uv_idle_init(loop, &session->input.idle);
    ((uv_handle_t *)&session->input)->data = session;
}

static void send_size(struct session *session)
{
    struct winsize size;
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0)
        return;
    writer_init(&writer, &payload);
    writer_array(&writer, 2);
    writer_u64(&writer, size.ws_row);
    writer_u64(&writer, size.ws_col);
    client_note(session->client, "resize", buffer_view(&payload));
}

static void on_resized(uv_signal_t *handle, int number)
{
    (void)number;
    send_size(handle->data);
}

static void make_raw(struct session *session)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &session->before) < 0)
        return;
    raw = session->before;
    cfmakeraw(&raw);
    session->is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static void begin_typing(struct session *session)
{
    uv_loop_t *loop = client_loop(session->client);
    if (session->options.interactive) {
        open_input(session);
        start_input(session);
    } else {
        client_note(session->client, "end_input", (struct bytes){0});
    }
    if (!session->options.tty)
        return;
    make_raw(session);
    session->is_resizing = uv_signal_init(loop, &session->resized) == 0;
    session->resized.data = session;
    uv_signal_start(&session->resized, on_resized, SIGWINCH);
    send_size(session);
}

static void end_typing(struct session *session)
{
    if (session->is_raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &session->before);
    if (session->input_kind != INPUT_NONE)
        uv_close((uv_handle_t *)&session->input, NULL);
    if (session->is_resizing)
        uv_close((uv_handle_t *)&session->resized, NULL);
    uv_run(client_loop(session->client), UV_RUN_NOWAIT);
}

static void on_note(void *context, const char *kind, struct bytes payload)
{
    struct session *session = context;
    if (strcmp(kind, "output") == 0) {
        print(session, payload);
    } else if (strcmp(kind, "taken") == 0) {
        on_taken(session, payload);
    } else if (strcmp(kind, "attached") == 0 && session->options.detachable) {
        session->options.interactive &= frame_flag(payload, "stdin_open");
        session->options.tty = frame_flag(payload, "tty") && isatty(STDIN_FILENO);
        begin_typing(session);
    }
}

int session_run(struct client *client, const char *method, json_t *params,
                const struct session_options *options, json_t **ret, struct error *error)
{
    static const struct client_handler handler = {.on_note = on_note, .on_drained = on_drained};
    struct session session = {.client = client, .options = *options};
    cleanup_buffer struct buffer packed = {0};
    int rc = json_to_packed(params, &packed);
    json_decref(params);
    if (rc == 0)
        rc = client_begin(client, method, buffer_view(&packed), &handler, &session);
    if (rc < 0)
        return error_set_errno(error, rc, "%s", method);
    if (!options->detachable)
        begin_typing(&session);
    rc = client_finish(client, ret, error);
    end_typing(&session);
    return rc;
}
