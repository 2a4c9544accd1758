/* A container's blocking steps as jobs: what each hands to launch.h on a worker, and the way back.
 */
#pragma once

#include "runtime/container.h"

/* Starts a step; none is under way. Its end is container_step_done(), on the loop's thread, with
 * container->result and container->error. */
void container_step_begin(struct container *container, enum container_step step);
void container_step_done(struct container *container);

/* Frees a container that is closed and has no step under way. */
void container_free_if_done(struct container *container);

/* Keeps its image from being deleted while the container exists. -EINVAL for what is no digest. */
int container_steps_pin(struct container *container);
void container_steps_unpin(struct container *container);
