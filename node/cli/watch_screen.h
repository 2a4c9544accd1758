/* What `consort watch` draws on a terminal: one screen as bytes, from what the peer told last. */
#pragma once

#include "base/buffer.h"
#include "node/cli/json.h"

enum {
    WATCH_EVENTS_KEPT = 200, /* of those that have happened, for a screen as high as that */
    WATCH_ROWS_MIN = 8,
};

struct watch_screen {
    json_t *state;  /* the last note `state`; NULL: none has come */
    json_t *events; /* an array, oldest first */
    unsigned rows;  /* of the terminal */
    bool has_color;
    const char *clock; /* the time, in words */
};

/* Keeps an event, and drops the oldest one that is too many. */
void watch_screen_add_event(struct watch_screen *screen, json_t *event);

/* Appends a whole screen: from the terminal's first line to its last, nothing of what stood there
 * is left. Lines are as long as they are: the terminal is told not to wrap. */
void watch_screen_draw(const struct watch_screen *screen, struct buffer *ret);

/* Says in plain lines what differs between two notes `state` (`before` NULL: all). */
void watch_say_changes(const json_t *before, const json_t *after, struct buffer *ret);

/* One event as a line. */
void watch_say_event(const json_t *event, struct buffer *ret);
