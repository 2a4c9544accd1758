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

/* Called once: it passed, or why not ("status 503"). The probe is gone. */
typedef void health_probe_done(void *context, bool passed, const char *reason);

/* Connects to an IPv4 address, the only kind that containers have, and with a `path` asks for it:
 * statuses from 200 to 399 pass. Waits as long as it takes. -ENOMEM, or what connecting failed
 * with; there is no callback then. */
int health_probe_start(uv_loop_t *loop, const struct address *address, const char *path,
                       health_probe_done *on_done, void *context, struct health_probe **ret);

/* Gives up: no callback comes afterwards. Accepts NULL. */
void health_probe_cancel(struct health_probe *probe);

/* The status of an answer whose first line this is ("HTTP/1.1 200 OK"), or -EBADMSG. */
int health_probe_status(const char *line);
