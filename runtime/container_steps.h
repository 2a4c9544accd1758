/* A container's blocking steps as jobs: what each hands to launch.h on a worker, and the way back.
 */
#pragma once

#include "runtime/container.h"
#include "runtime/secrets.h"

/* What a step under way reads and writes beside its container. Only for so long: most containers
 * just run, and many of them shall fit into little memory. */
struct container_task {
    struct job job;
    struct container *container;
    int result;
    struct error error;
    struct container_record record; /* the worker's copy */
    struct container_plan plan;     /* that STEP_PREPARE made */
    struct secrets secrets;         /* for it, while they are written into their files */
};

/* Starts a step; none is under way. Its end is container_step_done(), on the loop's thread. The
 * secrets (NULL: none) are taken over, also on failure. -ENOMEM: nothing was begun. */
int container_step_begin(struct container *container, enum container_step step,
                         struct secrets *secrets);

/* Of what `step` came to; may move the task's plan out of it. */
void container_step_done(struct container *container, enum container_step step,
                         struct container_task *task);

/* Frees a container that is closed and has no step under way. */
void container_free_if_done(struct container *container);

/* Keeps its image from being deleted while the container exists. -EINVAL for what is no digest. */
int container_steps_pin(struct container *container);
void container_steps_unpin(struct container *container);
