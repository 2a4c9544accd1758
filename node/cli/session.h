/* A call whose notes are a stream each way: what is typed goes there, what is printed comes back.
 * For `exec` and `attach`, where they are a terminal's, and `cp`, where they are an archive.
 */
#pragma once

#include <stdio.h>

#include "node/cli/client.h"

struct session_options {
    bool interactive; /* pass standard input on, */
    int input_fd;     /* … or what this is */
    FILE *output;     /* NULL: standard output */
    bool tty;         /* it goes to a terminal: ours is made raw, and its size passed on */
    bool detachable;  /* Ctrl-P Ctrl-Q leaves; while attached, the call's note "attached" sets the
                         two above as far as standard input is a terminal or has something */
};

/* Begins `method` with the params (taken over) and passes notes until it is answered. Standard
 * input and the terminal are as they were afterwards. `*ret` is the result; 0, or what failed. */
int session_run(struct client *client, const char *method, json_t *params,
                const struct session_options *options, json_t **ret, struct error *error);
