/* Removes anonymous volumes that nobody needs any more.
 *
 * What a container wrote into one waits for its successor, so it does not go with the container.
 * After a container's removal, and at the start, each volume that no container here mounts is asked
 * about (runtime_config.needs_volume), again and again while one is kept.
 */
#pragma once

#include "runtime/internal.h"

void volume_sweep_init(struct runtime *runtime);

/* Looks soon. */
void volume_sweep_soon(struct runtime *runtime);

/* Ends it, once the runtime closes. */
void volume_sweep_close(struct runtime *runtime);
