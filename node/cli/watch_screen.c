#include "node/cli/watch_screen.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "node/cli/output.h"

/* ECMA-48: to the first column of the first line; clear to the end of the line, of the screen. */
static const char go_home[] = "\x1b[H", clear_line[] = "\x1b[K", clear_below[] = "\x1b[J";
static const char red[] = "\x1b[31m", yellow[] = "\x1b[33m", bold[] = "\x1b[1m",
                  plain[] = "\x1b[0m";

enum {
    SECTION_ROWS_MIN = 2, /* of each section: its title and a line */
};

/* --- Lines --- */

struct drawing {
    const struct watch_screen *screen;
    struct buffer *ret;
    unsigned left; /* lines to the bottom */
};

/* One line, with its control characters shown as '?'. */
static void draw_line(struct drawing *drawing, const char *text, size_t size, const char *style)
{
    if (drawing->left == 0)
        return;
    drawing->left--;
    bool is_styled = style && drawing->screen->has_color;
    if (is_styled)
        buffer_append_text(drawing->ret, style);
    for (size_t i = 0; i < size; i++) {
        char byte = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
        buffer_append(drawing->ret, &byte, 1);
    }
    if (is_styled)
        buffer_append_text(drawing->ret, plain);
    buffer_append_text(drawing->ret, clear_line);
    if (drawing->left > 0)
        buffer_append_text(drawing->ret, "\r\n");
}

static void draw_text(struct drawing *drawing, const char *text, const char *style)
{
    draw_line(drawing, text, strlen(text), style);
}

static const char *peer_style(const json_t *peer)
{
    const char *state = json_text(peer, "state");
    return strcmp(state, "dead") == 0 || strcmp(state, "revoked") == 0 ? red
           : strcmp(state, "suspect") == 0                             ? yellow
                                                                       : NULL;
}

static const char *service_style(const json_t *service)
{
    json_int_t serving = json_number(service, "serving");
    return serving >= json_number(service, "replicas") ? NULL : serving == 0 ? red : yellow;
}

/* A table's first `lines` lines, its title included; what is cut off is said in the last. */
static void draw_table(struct drawing *drawing, const json_t *rows, const struct column *columns,
                       size_t column_count, unsigned lines, const char *(*style)(const json_t *row))
{
    cleanup_buffer struct buffer text = {0};
    size_t count = json_array_size(rows), start = 0;
    bool is_cut = count + 1 > lines;
    output_format_table(rows, columns, column_count, &text);
    for (unsigned line = 0; line < lines && start < text.size; line++) {
        const char *at = (const char *)text.bytes + start;
        const char *end = memchr(at, '\n', text.size - start);
        size_t size = end ? (size_t)(end - at) : text.size - start;
        if (is_cut && line > 0 && line + 1 == lines) {
            char words[64];
            snprintf(words, sizeof(words), "... and %zu more", count - line + 1);
            draw_text(drawing, words, NULL);
            return;
        }
        draw_line(drawing, at, size, line == 0 ? bold : style(json_array_get(rows, line - 1)));
        start += size + 1;
    }
}

/* --- Events --- */

void watch_screen_add_event(struct watch_screen *screen, json_t *event)
{
    if (!screen->events)
        screen->events = json_array();
    json_array_append(screen->events, event);
    if (json_array_size(screen->events) > WATCH_EVENTS_KEPT)
        json_array_remove(screen->events, 0);
}

void watch_say_event(const json_t *event, struct buffer *ret)
{
    char when[32] = "";
    time_t seconds = (time_t)(json_number(event, "wall_ms") / 1000);
    struct tm local;
    if (localtime_r(&seconds, &local))
        strftime(when, sizeof(when), "%F %T", &local);
    buffer_printf(ret, "%s  %s  %s  %s", when, json_text(event, "actor"),
                  json_text(event, "subject"), json_text(event, "text"));
}

static void draw_events(struct drawing *drawing)
{
    const json_t *events = drawing->screen->events;
    size_t count = json_array_size(events);
    if (drawing->left < 2)
        return;
    draw_text(drawing, "EVENTS", bold);
    for (size_t i = count > drawing->left ? count - drawing->left : 0; i < count; i++) {
        cleanup_buffer struct buffer line = {0};
        watch_say_event(json_array_get(events, i), &line);
        draw_line(drawing, (const char *)line.bytes, line.size, NULL);
    }
}

/* --- The screen --- */

static void cell_serving(const json_t *row, const char *key, char *ret)
{
    (void)key;
    snprintf(ret, 64, "%lld/%lld", (long long)json_number(row, "serving"),
             (long long)json_number(row, "replicas"));
}

static void draw_head(struct drawing *drawing)
{
    const json_t *state = drawing->screen->state;
    char line[512];
    const char *leader = json_text(state, "leader");
    snprintf(line, sizeof(line), "%s  seen by %s: %lld of %lld peers live, %s%s%s  (q quits)",
             drawing->screen->clock, json_text(state, "name"),
             (long long)json_number(state, "live"), (long long)json_number(state, "members"),
             leader[0] ? leader : "nobody", " leads",
             json_flag(state, "quorum") ? "" : ", no quorum");
    draw_text(drawing, line, json_flag(state, "quorum") ? bold : red);
}

static unsigned at_most(size_t wanted, unsigned limit)
{
    return wanted < limit ? (unsigned)wanted : limit;
}

void watch_screen_draw(const struct watch_screen *screen, struct buffer *ret)
{
    static const struct column peer_columns[] = {
        {"PEER", "name", NULL},          {"STATE", "state", NULL},
        {"SINCE", "since_ms", cell_age}, {"INTENT", "intent", NULL},
        {"ADDRESS", "address", NULL},    {"ZONE", "zone", NULL},
        {"RTT MS", "rtt_us", cell_rtt},  {"HEALTH", "health", NULL},
        {"REPLICAS", "replicas", NULL}};
    static const struct column service_columns[] = {{"SERVICE", "name", NULL},
                                                    {"SERVING", NULL, cell_serving},
                                                    {"REVISION", "revision", NULL},
                                                    {"ROLLOUT", "rollout", NULL},
                                                    {"IMAGE", "image", NULL}};
    const json_t *peers = json_object_get(screen->state, "peers");
    const json_t *services = json_object_get(screen->state, "services");
    struct drawing drawing = {screen, ret,
                              screen->rows < WATCH_ROWS_MIN ? WATCH_ROWS_MIN : screen->rows};
    buffer_append_text(ret, go_home);
    if (!screen->state) {
        draw_text(&drawing, "waiting for the peer to answer ...  (q quits)", NULL);
        buffer_append_text(ret, clear_below);
        return;
    }
    draw_head(&drawing);
    /* Each section gets what it needs, and none takes the room that the others need at least. */
    unsigned room = drawing.left > 2 * SECTION_ROWS_MIN ? drawing.left - 2 * SECTION_ROWS_MIN : 1;
    draw_table(&drawing, peers, peer_columns, array_count(peer_columns),
               at_most(json_array_size(peers) + 1, room), peer_style);
    room = drawing.left > SECTION_ROWS_MIN ? drawing.left - SECTION_ROWS_MIN : 0;
    if (json_array_size(services) > 0)
        draw_table(&drawing, services, service_columns, array_count(service_columns),
                   at_most(json_array_size(services) + 1, room), service_style);
    draw_events(&drawing);
    buffer_append_text(ret, clear_below);
}

/* --- Without a terminal --- */

/* The row whose `key` says the same as that of `row`, or NULL. */
static const json_t *find_row(const json_t *rows, const json_t *row, const char *key)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (strcmp(json_text(json_array_get(rows, i), key), json_text(row, key)) == 0)
            return json_array_get(rows, i);
    return NULL;
}

/* The name, and the beginning of its id where another that is listed has that name too. */
static void say_name(const json_t *peers, const json_t *peer, struct buffer *ret)
{
    bool has_namesake = false;
    for (size_t i = 0; i < json_array_size(peers); i++)
        has_namesake |=
            json_array_get(peers, i) != peer &&
            strcmp(json_text(json_array_get(peers, i), "name"), json_text(peer, "name")) == 0;
    buffer_append_text(ret, json_text(peer, "name"));
    if (has_namesake)
        buffer_printf(ret, " (%.*s)", ID_SHORT_TEXT_BYTES - 1, json_text(peer, "id"));
}

void watch_say_changes(const json_t *before, const json_t *after, struct buffer *ret)
{
    const json_t *peers = json_object_get(after, "peers");
    const json_t *services = json_object_get(after, "services");
    const json_t *old_peers = json_object_get(before, "peers");
    const json_t *old_services = json_object_get(before, "services");
    const char *leader = json_text(after, "leader");
    for (size_t i = 0; i < json_array_size(peers); i++) {
        const json_t *peer = json_array_get(peers, i);
        const json_t *old = find_row(old_peers, peer, "id");
        if (old && strcmp(json_text(old, "state"), json_text(peer, "state")) == 0)
            continue;
        buffer_append_text(ret, "peer ");
        say_name(peers, peer, ret);
        buffer_printf(ret, ": %s\n", json_text(peer, "state"));
    }
    for (size_t i = 0; i < json_array_size(services); i++) {
        const json_t *service = json_array_get(services, i);
        const json_t *old = find_row(old_services, service, "name");
        if (!old || json_number(old, "serving") != json_number(service, "serving") ||
            json_number(old, "replicas") != json_number(service, "replicas"))
            buffer_printf(ret, "service %s: %lld of %lld replicas serve\n",
                          json_text(service, "name"), (long long)json_number(service, "serving"),
                          (long long)json_number(service, "replicas"));
    }
    if (!before || strcmp(json_text(before, "leader"), leader) != 0)
        buffer_printf(ret, "%s leads\n", leader[0] ? leader : "nobody");
}
