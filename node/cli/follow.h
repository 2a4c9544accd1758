/* Calls whose notes are shown as they come: leave, --wait, events, logs. */
#pragma once

#include "node/cli/cli.h"
#include "node/cli/client.h"

/* Opens, calls and closes; `say` (may be NULL) gets each note of that kind as JSON. Takes over
 * `params`. With --format json the notes are printed one a line instead. Returns the exit code. */
int follow_call(struct cli *cli, const char *method, json_t *params, const char *kind,
                void (*say)(const json_t *payload));

/* As follow_call, for what ends by itself: with --format json one array is printed. */
int follow_list(struct cli *cli, const char *method, json_t *params, const char *kind,
                void (*say)(const json_t *payload));

/* Waits until the services serve (or the rollout failed that was started), with progress on a
 * terminal. */
int follow_wait(struct cli *cli, json_t *services, bool starts_rollout);
