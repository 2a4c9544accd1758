/* A container's health check: its command run inside, or its port tried from outside
 * (health_probe.h), again and again, by Docker's rules.
 *
 * Until the start period is over, failures do not count, and checks come at the start interval; the
 * first success makes it healthy at once. After that, `retries` failures in a row make it
 * unhealthy. A check that takes longer than its timeout is killed and has failed.
 */
#pragma once

#include "runtime/container.h"

/* Starts checking a container that runs, by its plan, which has a command for that. NULL: out of
 * memory. */
struct health *health_new(struct container *container);

/* Stops checking; accepts NULL. */
void health_free(struct health *health);
