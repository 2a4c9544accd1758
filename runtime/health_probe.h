/* One health check from outside: is a port of the container open, and does it answer HTTP? Needs
 * no shell and no wget in the image.
 *
 * The container is hostile: no more than a first line is read from it.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/address.h"

struct health_probe;

enum health_probe_outcome {
    HEALTH_PROBE_PASSED,
    HEALTH_PROBE_FAILED,
    HEALTH_PROBE_NOBODY, /* no connection: at another address there may be somebody */
};

/* Called once: how it went, and why it did not pass ("status 503"). The probe is gone. */
typedef void health_probe_done(void *context, enum health_probe_outcome outcome,
                               const char *reason);

/* Connects to the address, and with a `path` asks for it: statuses from 200 to 399 pass. Waits as
 * long as it takes. -ENOMEM, or what connecting failed with; there is no callback then. */
int health_probe_start(uv_loop_t *loop, const struct address *address, const char *path,
                       health_probe_done *on_done, void *context, struct health_probe **ret);

/* Gives up: no callback comes afterwards. Accepts NULL. */
void health_probe_cancel(struct health_probe *probe);

/* The status of an answer whose first line this is ("HTTP/1.1 200 OK"), or -EBADMSG. */
int health_probe_status(const char *line);
