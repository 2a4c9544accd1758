/* One container's life: a state machine on the loop's thread that decides the next blocking step
 * (launch.h), has a worker do it, and looks again.
 *
 * Its hooks run after a start, while it counts as STARTING still, and before the stop signal.
 *
 *              start                 process ends
 *     CREATING ─────> RUNNING ──────────────────────> BACKOFF ──> CREATING …
 *        │               │ stop                  └──> EXITED, FAILED
 *        └─> BACKOFF     └──────> STOPPING ─────────> EXITED
 *            or FAILED
 *
 * What is wanted (run, stop, remove) may change at any time; at most one step is under way, and
 * everything that a step reads or writes is left alone meanwhile.
 */
#pragma once

#include "runtime/cgroup.h"
#include "runtime/hook.h"
#include "runtime/internal.h"
#include "runtime/plan.h"

struct health;
struct process_watch;

enum container_step {
    STEP_NONE,
    STEP_PREPARE,
    STEP_START,
    STEP_COLLECT, /* the process has ended: learn how, and clear away */
    STEP_SAVE,
    STEP_LIMITS,
    STEP_REMOVE,
};

struct container_limits {
    bool pending;
    struct cgroup_limits wanted;
    void (*callback)(void *context, const struct error *error);
    void *context;
};

struct container {
    struct runtime *runtime;
    struct container_spec spec;
    struct container_record record;
    struct container_plan plan; /* empty until the first PREPARE */
    enum container_state state;
    enum container_wanted wanted; /* record.wanted follows when it is saved */

    enum container_step step; /* under way */
    bool advancing;           /* a callback may ask for the next step while one is being chosen */
    bool advance_again;

    bool prepared;      /* STEP_START is next */
    bool process_ended; /* and was not collected yet */
    bool unsaved;       /* the record changed */
    bool spec_unsaved;
    struct process_watch *watch;
    struct health *health;
    enum health_state health_state;
    char condemned[RUNTIME_CONDEMNED_BYTES]; /* why it is being stopped though it is wanted; "" */
    struct hook_run *hook;  /* under way: after its start, or (stopping) before the stop signal */
    size_t stop_hooks_done; /* of its pre_stop */

    uv_timer_t timer; /* the grace while stopping, the delay of a restart */
    int64_t grace_ms; /* asked for with the stop; 0: the spec's */
    struct container_limits limits;
    bool closing;
    bool timer_closed;
};

/* Makes one in CREATING, which container_advance() sets going. Copies `spec`. -ENOMEM, -EINVAL. */
int container_new(struct runtime *runtime, const struct container_spec *spec,
                  struct container **ret);

/* Takes back one that was made by container_new() from what is on disk: its record, and its plan
 * (moved; may be empty). A living process in the record is watched again. */
void container_adopt(struct container *container, const struct container_record *record,
                     struct container_plan *plan);

/* Does what comes next, if anything. */
void container_advance(struct container *container);

/* Change what is wanted. */
void container_run(struct container *container);
void container_stop(struct container *container, int64_t grace_ms);
void container_remove(struct container *container);

/* Stops watching, without touching what runs, and frees once the last callback has come. */
void container_close(struct container *container);

struct container *container_find(const struct runtime *runtime, const char *id);
void container_fill_status(const struct container *container, struct container_status *ret);

/* Tells the runtime's owner that something changed. */
void container_report(struct container *container);

/* Once its hooks before that are over. */
void container_send_stop_signal(struct container *container);

/* Called by the health check (health.c) with its verdict; `reason` is what the last failing check
 * said. */
void container_health_changed(struct container *container, enum health_state state,
                              const char *reason);
