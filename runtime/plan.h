/* What actually runs: a container's spec completed from its image's configuration, by Docker's
 * rules.
 *
 * Pure. An entrypoint of the spec's own makes the image's command void; variables of the spec win
 * over the image's; a check of the spec's own replaces the image's.
 */
#pragma once

#include "base/error.h"
#include "runtime/container_spec.h"
#include "runtime/image/image.h"

struct container_plan {
    struct text_list argv;
    struct text_list
        environment; /* without HOME and HOSTNAME, which the root file system decides */
    char *working_dir;
    char *user; /* "" for root */
    int stop_signal;
    struct container_health health; /* no zeroes left but probe_port and, for
                                    no check, an empty command */
};

/* -EINVAL if neither says what to run, or the image's stop signal is unknown. `ret` is
 * uninitialised and stays so on failure. */
int container_plan_make(const struct container_spec *spec, const struct image_config *image,
                        struct container_plan *ret, struct error *error);
void container_plan_done(struct container_plan *plan);

/* Parses "SIGTERM", "TERM" or "15"; -EINVAL. */
int signal_parse(const char *text, int *ret);

/* True if the list has a variable of that name. */
bool environment_has(const struct text_list *environment, const char *name);
