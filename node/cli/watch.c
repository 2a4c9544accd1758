/* consort watch */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "node/cli/client.h"
#include "node/cli/options.h"
#include "node/cli/output.h"
#include "node/cli/watch_screen.h"

/* DEC private modes: another screen than the shell's, no wrapped lines, no cursor; and back. */
static const char enter_screen[] = "\x1b[?1049h\x1b[?7l\x1b[?25l";
static const char leave_screen[] = "\x1b[?25h\x1b[?7h\x1b[?1049l";

enum {
    ROWS_DEFAULT = 24,
    QUIT_PATIENCE_MS = 1000, /* for the peer to end the call */
    SIGNALS = 4,
};

struct watch {
    struct cli *cli;
    struct client *client;
    bool is_screen; /* a terminal is drawn on; else lines are printed */
    struct watch_screen screen;
    struct termios saved;
    uv_poll_t keys;
    uv_signal_t signals[SIGNALS];
    uv_timer_t patience;
    bool is_quitting;
};

/* --- The terminal --- */

/* Nothing can be done about what can't be written. */
static void put(const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDOUT_FILENO, bytes, size);
        if (written <= 0)
            return;
        bytes += written;
        size -= (size_t)written;
    }
}

static void take_terminal(struct watch *watch)
{
    struct termios raw = watch->saved;
    raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    raw.c_cc[VSUSP] = _POSIX_VDISABLE; /* the shell would get a screen that is not its own */
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    put(enter_screen, sizeof(enter_screen) - 1);
}

static void restore_terminal(struct watch *watch)
{
    if (!watch->is_screen)
        return;
    watch->is_screen = false;
    put(leave_screen, sizeof(leave_screen) - 1);
    tcsetattr(STDIN_FILENO, TCSANOW, &watch->saved);
}

static void draw(struct watch *watch)
{
    cleanup_buffer struct buffer frame = {0};
    struct winsize size;
    char clock_text[16] = "";
    time_t now = time(NULL);
    struct tm local;
    if (!watch->is_screen)
        return;
    if (localtime_r(&now, &local))
        strftime(clock_text, sizeof(clock_text), "%T", &local);
    watch->screen.clock = clock_text;
    watch->screen.rows = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0
                             ? size.ws_row
                             : ROWS_DEFAULT;
    watch_screen_draw(&watch->screen, &frame);
    put((const char *)frame.bytes, frame.size);
}

/* --- The end --- */

static void on_out_of_patience(uv_timer_t *timer)
{
    (void)timer;
    exit(CLI_OK); /* the peer says nothing; the terminal was given back */
}

static void quit(struct watch *watch)
{
    static const uint8_t nil = 0xc0;
    if (watch->is_quitting)
        return;
    watch->is_quitting = true;
    restore_terminal(watch);
    client_note(watch->client, "cancel", (struct bytes){&nil, 1});
    uv_timer_start(&watch->patience, on_out_of_patience, QUIT_PATIENCE_MS, 0);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct watch *watch = handle->data;
    if (number == SIGWINCH)
        draw(watch);
    else
        quit(watch);
}

static void on_key(uv_poll_t *poll, int status, int events)
{
    struct watch *watch = poll->data;
    char keys[64];
    (void)events;
    ssize_t size = status < 0 ? 0 : read(STDIN_FILENO, keys, sizeof(keys));
    if (size <= 0 || memchr(keys, 'q', (size_t)size) || memchr(keys, 'Q', (size_t)size))
        quit(watch);
}

/* --- What the peer tells --- */

static void say_json(const char *kind, json_t *payload)
{
    json_object_set_new(payload, "note", json_string(kind));
    output_json_line(payload);
}

static void say_lines(struct watch *watch, const char *kind, const json_t *payload)
{
    cleanup_buffer struct buffer text = {0};
    if (strcmp(kind, "state") == 0) {
        watch_say_changes(watch->screen.state, payload, &text);
    } else {
        watch_say_event(payload, &text);
        buffer_append_text(&text, "\n");
    }
    char *words = buffer_take_text(&text);
    if (words)
        output_text(words);
    free(words);
    fflush(stdout);
}

static void on_note(void *context, const char *kind, struct bytes payload)
{
    struct watch *watch = context;
    json_t *value = NULL;
    bool is_state = strcmp(kind, "state") == 0;
    if ((!is_state && strcmp(kind, "event") != 0) || watch->is_quitting ||
        json_from_packed(payload, &value) < 0)
        return;
    if (watch->cli->format == CLI_JSON)
        say_json(kind, value);
    else if (!watch->is_screen)
        say_lines(watch, kind, value);
    if (is_state) {
        json_decref(watch->screen.state);
        watch->screen.state = json_incref(value);
    } else if (watch->is_screen) {
        watch_screen_add_event(&watch->screen, value);
    }
    json_decref(value);
    draw(watch);
}

/* --- The beginning --- */

static void start_screen(struct watch *watch)
{
    static const int numbers[SIGNALS] = {SIGINT, SIGTERM, SIGHUP, SIGWINCH};
    uv_loop_t *loop = client_loop(watch->client);
    uv_timer_init(loop, &watch->patience);
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_init(loop, &watch->signals[i]);
        watch->signals[i].data = watch;
        uv_signal_start(&watch->signals[i], on_signal, numbers[i]);
    }
    uv_poll_init(loop, &watch->keys, STDIN_FILENO);
    watch->keys.data = watch;
    uv_poll_start(&watch->keys, UV_READABLE, on_key);
    take_terminal(watch);
    draw(watch);
}

static void stop_screen(struct watch *watch)
{
    restore_terminal(watch);
    uv_close((uv_handle_t *)&watch->patience, NULL);
    uv_close((uv_handle_t *)&watch->keys, NULL);
    for (size_t i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&watch->signals[i], NULL);
}

int verb_watch(struct cli *cli, int argc, char **argv)
{
    static const struct client_handler handler = {.on_note = on_note};
    struct watch watch = {.cli = cli, .screen.has_color = !getenv("NO_COLOR")};
    struct error error = {0};
    int rc = options_parse(cli, NULL, 0, &argc, &argv);
    if (rc != OPTIONS_GO_ON)
        return rc;
    if (argc > 0)
        return cli_usage(cli, "watch takes no argument");
    bool has_terminal = cli->format == CLI_TEXT && isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) &&
                        tcgetattr(STDIN_FILENO, &watch.saved) == 0;
    rc = client_open(cli, &watch.client, &error);
    if (rc < 0)
        return cli_fail(&error);
    if (has_terminal) {
        watch.is_screen = true;
        start_screen(&watch);
    }
    rc = client_call(watch.client, "watch", (struct bytes){0}, &handler, &watch, NULL, &error);
    if (has_terminal)
        stop_screen(&watch);
    client_close(watch.client);
    json_decref(watch.screen.state);
    json_decref(watch.screen.events);
    return rc < 0 && !watch.is_quitting ? cli_fail(&error) : CLI_OK;
}
