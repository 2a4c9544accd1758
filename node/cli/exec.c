/* consort exec */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/reader.h"
#include "base/text_list.h"
#include "base/writer.h"
#include "node/cli/bounds.h"
#include "node/cli/client.h"
#include "node/cli/options.h"

struct exec {
    struct client *client;
    uv_poll_t input;
    bool has_input;
    uv_signal_t resized;
    struct termios before;
    bool is_raw;
};

static void on_note(void *context, const char *kind, struct bytes payload)
{
    struct reader reader;
    uint8_t stream = 0;
    struct bytes output;
    (void)context;
    reader_init(&reader, payload.data, payload.size);
    reader_array_exact(&reader, 2);
    reader_u8(&reader, &stream);
    if (strcmp(kind, "output") != 0 || reader_binary(&reader, &output) < 0)
        return;
    FILE *to = stream == 2 ? stderr : stdout;
    fwrite(output.data, 1, output.size, to);
    fflush(to);
}

static void stop_input(struct exec *exec)
{
    if (exec->has_input)
        uv_poll_stop(&exec->input);
}

static void on_input(uv_poll_t *poll, int status, int events)
{
    struct exec *exec = poll->data;
    uint8_t bytes[CLI_INPUT_BYTES];
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    (void)events;
    ssize_t size = status < 0 ? 0 : read(STDIN_FILENO, bytes, sizeof(bytes));
    if (size <= 0) {
        stop_input(exec);
        client_note(exec->client, "end_input", (struct bytes){0});
        return;
    }
    writer_init(&writer, &payload);
    writer_binary(&writer, bytes, (size_t)size);
    if (client_note(exec->client, "input", buffer_view(&payload)) == 1)
        stop_input(exec); /* until on_drained */
}

static void start_input(struct exec *exec)
{
    uv_poll_start(&exec->input, UV_READABLE, on_input);
}

static void on_drained(void *context)
{
    struct exec *exec = context;
    if (exec->has_input)
        start_input(exec);
}

static void send_size(struct exec *exec)
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
    client_note(exec->client, "resize", buffer_view(&payload));
}

static void on_resized(uv_signal_t *handle, int number)
{
    (void)number;
    send_size(handle->data);
}

static void make_raw(struct exec *exec)
{
    struct termios raw;
    if (tcgetattr(STDIN_FILENO, &exec->before) < 0)
        return;
    raw = exec->before;
    cfmakeraw(&raw);
    exec->is_raw = tcsetattr(STDIN_FILENO, TCSADRAIN, &raw) == 0;
}

static json_t *arguments(size_t count, char **words)
{
    json_t *array = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(array, json_string(words[i]));
    return array;
}

static int run(struct exec *exec, json_t *params, bool interactive, bool tty, json_t **ret,
               struct error *error)
{
    static const struct client_handler handler = {.on_note = on_note, .on_drained = on_drained};
    cleanup_buffer struct buffer packed = {0};
    int rc = json_to_packed(params, &packed);
    if (rc == 0)
        rc = client_begin(exec->client, "exec", buffer_view(&packed), &handler, exec);
    if (rc < 0)
        return error_set_errno(error, rc, "exec");
    if (interactive && uv_poll_init(client_loop(exec->client), &exec->input, STDIN_FILENO) == 0) {
        exec->has_input = true;
        exec->input.data = exec;
        start_input(exec);
    } else {
        client_note(exec->client, "end_input", (struct bytes){0});
    }
    if (tty) {
        make_raw(exec);
        uv_signal_init(client_loop(exec->client), &exec->resized);
        exec->resized.data = exec;
        uv_signal_start(&exec->resized, on_resized, SIGWINCH);
        send_size(exec);
    }
    rc = client_finish(exec->client, ret, error);
    if (exec->is_raw)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &exec->before);
    if (exec->has_input)
        uv_close((uv_handle_t *)&exec->input, NULL);
    if (tty)
        uv_close((uv_handle_t *)&exec->resized, NULL);
    uv_run(client_loop(exec->client), UV_RUN_NOWAIT);
    return rc;
}

int verb_exec(struct cli *cli, int argc, char **argv)
{
    bool interactive = false, tty = false;
    const char *user = NULL, *working_dir = NULL;
    struct text_list environment = {0};
    struct option_row rows[] = {
        OPTION_ROW('i', "interactive", NULL, "Pass standard input on", OPTION_FLAG, &interactive),
        OPTION_ROW('t', "tty", NULL, "Give the command a terminal", OPTION_FLAG, &tty),
        OPTION_ROW('u', "user", "USER[:GROUP]", "Run as that user of the image", OPTION_TEXT,
                   &user),
        OPTION_ROW('e', "env", "NAME=VALUE", "Set a variable; may be given often", OPTION_LIST,
                   &environment),
        OPTION_ROW('w', "workdir", "DIR", "Run in that directory", OPTION_TEXT, &working_dir),
    };
    struct exec exec = {0};
    struct error error = {0};
    json_t *result = NULL;
    int rc = options_parse_ahead(cli, rows, array_count(rows), &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    int words = argc > 1 && strcmp(argv[1], "--") == 0 ? 2 : 1;
    if (argc <= words) {
        text_list_done(&environment);
        return cli_usage(cli, "a replica and a command are expected");
    }
    tty = tty && isatty(STDIN_FILENO);
    json_t *params = json_pack("{s:s, s:o, s:o, s:b, s:s*, s:s*}", "replica", argv[0], "argv",
                               arguments((size_t)(argc - words), argv + words), "environment",
                               arguments(environment.count, environment.items), "tty", tty, "user",
                               user, "working_dir", working_dir);
    text_list_done(&environment);
    rc = client_open(cli, &exec.client, &error);
    if (rc == 0)
        rc = run(&exec, params, interactive, tty, &result, &error);
    client_close(exec.client);
    json_decref(params);
    if (rc < 0)
        return cli_fail(&error);
    int code = (int)json_number(result, "exit_code"); /* the command's own, as docker exec has it */
    json_decref(result);
    return code;
}
