/* The runtime's own view of itself: shared by runtime.c, container.c and what hangs on them.
 * Nothing outside this folder includes it.
 *
 * Whatever has a libuv handle or a job under way holds the runtime (runtime_hold) until its last
 * callback; runtime_close() frees when nobody does.
 */
#pragma once

#include <uv.h>

#include "base/table.h"
#include "runtime/launch.h"
#include "runtime/network/network_pool.h"
#include "runtime/runtime.h"
#include "runtime/settings.h"
#include "runtime/state.h"

/* A blocking step: `run` on a worker thread, then `done` on the loop's. */
struct job {
    uv_work_t work;
    struct runtime *runtime;
    struct job *next;
    void (*run)(struct job *job);
    void (*done)(struct job *job);
};

/* An open log or exec, to be closed with the runtime. */
struct attachment {
    struct attachment *next;
    struct attachment **link; /* what points here */
    void (*close)(struct attachment *attachment);
};

struct runtime {
    uv_loop_t *loop;
    struct runtime_settings settings;
    void *context;
    void (*on_ready)(void *context, const struct error *error);
    void (*on_change)(void *context, const struct container_status *status);
    secret_source *on_secret;

    bool ready;
    struct table containers; /* of struct container, by id */
    struct network_pool networks;
    struct address_rule *addresses; /* of services */
    size_t address_count;
    uv_timer_t network_timer;
    bool network_checking;
    bool (*needs_volume)(void *context, const char *name);
    uv_timer_t volume_timer; /* volume_sweep.h */

    struct job *waiting; /* in order; at most RUNTIME_JOBS_MAX run at once */
    struct job **waiting_end;
    unsigned running;

    struct attachment *attachments;
    uint64_t exec_count; /* names execs' pid files */
    unsigned copies;     /* under way, each with a thread */

    unsigned holders;
    bool closing;
    void (*on_closed)(void *context);
    void *closed_context;
};

void runtime_hold(struct runtime *runtime);
void runtime_release(struct runtime *runtime);

/* Runs the job when its turn comes; holds the runtime until `done` has returned. */
void runtime_submit(struct runtime *runtime, struct job *job);

void runtime_attachment_add(struct runtime *runtime, struct attachment *attachment);
void runtime_attachment_remove(struct attachment *attachment);
