#include "runtime/container.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/container_claim.h"
#include "runtime/container_steps.h"
#include "runtime/health.h"
#include "runtime/image/image_store.h"
#include "runtime/process_watch.h"
#include "runtime/restart.h"
#include "runtime/volume_sweep.h"

enum {
    REMOVE_RETRY_MS = 2000, /* something was busy: a mount, a dying process */
    SECRET_RETRY_MS = 500,  /* one can't be read yet */
    WATCH_RETRY_MS = 1000,  /* there was no file descriptor left */
    MEMORY_RETRY_MS = 1000, /* there was none for the next step */
};

static void on_timer(uv_timer_t *timer);

struct container *container_find(const struct runtime *runtime, const char *id)
{
    return table_find(&runtime->containers, id);
}

void container_fill_status(const struct container *container, struct container_status *ret)
{
    const struct container_record *record = &container->record;
    *ret = (struct container_status){
        .id = container->spec.id,
        .spec = &container->spec,
        .state = container->state,
        .health = container->health_state,
        .pid = record->process.pid,
        .exit_code = record->exit_code,
        .oom_killed = record->oom_killed,
        .restarts = record->restarts,
        .started_wall_ms = record->started_wall_ms,
        .finished_wall_ms = record->finished_wall_ms,
        .error = record->error,
    };
    ret->address_count = record->ends.count;
    for (size_t i = 0; i < record->ends.count; i++) {
        ret->addresses[i] = address_from_v4(record->ends.ips[i], 0);
        ret->networks[i] = network_pool_name(&container->spec, i);
    }
    if (container->spec.network_mode == CONTAINER_NETWORK_HOST) {
        ret->address_count = 1;
        ret->addresses[0] = runtime_gateway(container->runtime);
        ret->networks[0] = "";
    }
}

void container_report(struct container *container)
{
    struct container_status status;
    container_fill_status(container, &status);
    container->runtime->on_change(container->runtime->context, &status);
}

static void set_state(struct container *container, enum container_state state)
{
    if (container->state == state)
        return;
    container->state = state;
    container_report(container);
}

/* Sets a timer that makes container_advance() look again. */
static void wake_after(struct container *container, int64_t delay_ms)
{
    uv_timer_start(&container->timer, on_timer, (uint64_t)delay_ms, 0);
}

static void unwatch(struct container *container)
{
    process_watch_free(container->watch);
    container->watch = NULL;
    health_free(container->health);
    container->health = NULL;
    hooks_end(container);
}

static void on_process_end(void *context)
{
    struct container *container = context;
    unwatch(container);
    uv_timer_stop(&container->timer);
    container->process_ended = true;
    container_advance(container);
}

static void check_health(struct container *container)
{
    if (container->plan.health.command.count == 0 && container->plan.health.probe_port == 0)
        return;
    container->health_state = HEALTH_STARTING;
    container->health = health_new(container);
}

/* Has it ended already, that is as if it did later. But one that can't be watched now is not one
 * that has ended. */
static void try_to_watch(struct container *container)
{
    int result = process_watch_new(container->runtime, &container->record.process, on_process_end,
                                   container, &container->watch);
    if (result == -ESRCH) {
        container->process_ended = true;
        return;
    }
    if (result < 0) {
        log_warning("container %s: cannot watch its process: %s; trying again", container->spec.id,
                    strerror(-result));
        if (!uv_is_active((uv_handle_t *)&container->timer))
            wake_after(container, WATCH_RETRY_MS);
        return;
    }
    if (!hooks_remain(container))
        check_health(container);
}

/* Starts watching the record's process. */
static void watch(struct container *container)
{
    container->process_ended = false;
    container->condemned[0] = '\0';
    container->health_state = HEALTH_NONE;
    try_to_watch(container);
}

void container_health_changed(struct container *container, enum health_state state,
                              const char *reason)
{
    if (container->state != CONTAINER_RUNNING || container->health_state == state)
        return;
    container->health_state = state;
    snprintf(container->record.error, sizeof(container->record.error), "%s%s",
             state == HEALTH_UNHEALTHY ? "unhealthy: " : "", reason);
    container_report(container);
    if (state != HEALTH_UNHEALTHY || container->spec.restart.policy == RESTART_NONE)
        return;
    snprintf(container->condemned, sizeof(container->condemned), "stopped as unhealthy: %s",
             *reason ? reason : "?");
    container_advance(container);
}

/* ---- Stopping ---- */

static void kill_process(struct container *container, int signal)
{
    int result = process_signal(&container->record.process, signal);
    if (result < 0 && result != -ESRCH)
        log_warning("container %s: cannot send signal %d: %s", container->spec.id, signal,
                    strerror(-result));
}

static void start_grace(struct container *container)
{
    int64_t grace_ms = container->grace_ms;
    if (grace_ms == 0)
        grace_ms = container->spec.stop_grace_ms;
    if (grace_ms == 0)
        grace_ms = RUNTIME_STOP_GRACE_MS_DEFAULT;
    wake_after(container, grace_ms);
}

void container_send_stop_signal(struct container *container)
{
    kill_process(container, container->plan.stop_signal ? container->plan.stop_signal : SIGTERM);
}

/* The grace is for its hooks as well. One whose start was not complete has nothing to prepare. */
static void begin_stop(struct container *container)
{
    bool was_running = container->state == CONTAINER_RUNNING;
    hooks_end(container);
    start_grace(container);
    set_state(container, CONTAINER_STOPPING);
    if (was_running)
        hooks_begin_stop(container);
    else
        container_send_stop_signal(container);
}

static void on_timer(uv_timer_t *timer)
{
    struct container *container = timer->data;
    if (container->state == CONTAINER_STOPPING && container->record.process.pid != 0)
        kill_process(container, SIGKILL);
    container_advance(container);
}

/* ---- What comes after each step ---- */

/* Decides about a container that ended or could not start though it is wanted. */
static void apply_policy(struct container *container, bool failed, bool started)
{
    struct container_record *record = &container->record;
    int64_t ran_ms = 0, delay_ms;
    if (started) /* the wall clock is for a daemon that died before it decided */
        ran_ms = record->ran_ms >= 0 ? record->ran_ms
                                     : record->finished_wall_ms - record->started_wall_ms;
    container->unsaved = true;
    switch (
        restart_decide(&container->spec.restart, failed, ran_ms, &record->attempts, &delay_ms)) {
    case RESTART_LATER:
        record->restarts++;
        wake_after(container, delay_ms);
        set_state(container, CONTAINER_BACKOFF);
        break;
    case RESTART_DONE:
        record->over = started ? OVER_EXITED : OVER_FAILED;
        set_state(container, started ? CONTAINER_EXITED : CONTAINER_FAILED);
        break;
    case RESTART_GIVE_UP:
        record->over = OVER_FAILED;
        set_state(container, CONTAINER_FAILED);
        break;
    }
}

static void launch_failed(struct container *container, const struct error *error)
{
    struct container_record *record = &container->record;
    const char *between = error->hint[0] ? "; " : "";
    log_warning("%s%s%s", error->message, between, error->hint);
    snprintf(record->error, sizeof(record->error), "%.700s%s%.300s", error->message, between,
             error->hint);
    apply_policy(container, true, false);
}

static void prepared(struct container *container, struct container_task *task)
{
    if (task->result < 0) {
        launch_failed(container, &task->error);
        return;
    }
    container_plan_done(&container->plan);
    container->plan = task->plan;
    task->plan = (struct container_plan){0};
    container->prepared = true;
}

static void started(struct container *container, const struct container_task *task)
{
    container->prepared = false;
    if (task->result < 0) {
        launch_failed(container, &task->error);
        return;
    }
    watch(container);
    if (!hooks_remain(container))
        set_state(container, CONTAINER_RUNNING);
}

static void collected(struct container *container)
{
    struct container_record *record = &container->record;
    bool condemned = container->condemned[0] != '\0';
    bool asked = container->state == CONTAINER_STOPPING && !condemned;
    container->process_ended = false;
    container->health_state = HEALTH_NONE;
    if (condemned)
        snprintf(record->error, sizeof(record->error), "%s", container->condemned);
    container->condemned[0] = '\0';
    if (container->wanted != WANT_RUN)
        set_state(container, CONTAINER_EXITED);
    else if (asked)
        set_state(container, CONTAINER_CREATING); /* stopped and wanted again: start at once */
    else
        apply_policy(container, condemned || record->exit_code != 0, true);
}

static void limited(struct container *container, int result, const struct error *error)
{
    struct container_limits limits = container->limits;
    container->limits.pending = false;
    if (result == 0) {
        container->spec.cpu_millicores = limits.wanted.cpu_millicores;
        container->spec.memory_bytes = limits.wanted.memory_bytes;
        container->spec_unsaved = true;
    }
    limits.callback(limits.context, result < 0 ? error : NULL);
}

static void removed(struct container *container, const struct container_task *task)
{
    if (task->result < 0) {
        log_warning("%s; trying again", task->error.message);
        wake_after(container, REMOVE_RETRY_MS);
        return;
    }
    struct runtime *runtime = container->runtime;
    if (container->limits.pending) {
        struct error error = {0};
        limited(container, error_set_errno(&error, -ENOENT, "container %s", container->spec.id),
                &error);
    }
    volume_sweep_soon(runtime);
    container_release(container);
    container_steps_unpin(container);
    table_remove(&runtime->containers, container->spec.id);
    set_state(container, CONTAINER_REMOVED);
    container_close(container);
}

void container_step_done(struct container *container, enum container_step step,
                         struct container_task *task)
{
    switch (step) {
    case STEP_PREPARE:
        prepared(container, task);
        break;
    case STEP_START:
        started(container, task);
        break;
    case STEP_COLLECT:
        collected(container);
        break;
    case STEP_LIMITS:
        limited(container, task->result, &task->error);
        break;
    case STEP_REMOVE:
        removed(container, task);
        break;
    case STEP_SAVE:
        if (task->result < 0)
            log_error("container %s: cannot save its state: %s", container->spec.id,
                      strerror(-task->result));
        break;
    case STEP_NONE:
        break;
    }
    if (!container->closing)
        container_advance(container);
}

/* ---- What comes next ---- */

static void begin_with_secrets(struct container *container, enum container_step step,
                               struct secrets *secrets)
{
    if (container_step_begin(container, step, secrets) == 0)
        return;
    log_warning("container %s: no memory for its next step; trying again", container->spec.id);
    if (!uv_is_active((uv_handle_t *)&container->timer))
        wake_after(container, MEMORY_RETRY_MS);
}

static void begin(struct container *container, enum container_step step)
{
    begin_with_secrets(container, step, NULL);
}

static bool needs_saving(const struct container *container)
{
    return container->unsaved || container->spec_unsaved ||
           container->record.wanted != container->wanted;
}

static void advance_running(struct container *container)
{
    bool stop = container->wanted != WANT_RUN || container->condemned[0] != '\0';
    if (!container->process_ended && !container->watch &&
        !uv_is_active((uv_handle_t *)&container->timer))
        try_to_watch(container);
    if (container->process_ended)
        begin(container, STEP_COLLECT);
    else if (stop && container->state != CONTAINER_STOPPING)
        begin_stop(container);
    if (container->step == STEP_NONE && container->limits.pending)
        begin(container, STEP_LIMITS);
    if (container->step == STEP_NONE && needs_saving(container))
        begin(container, STEP_SAVE);
    if (container->step == STEP_NONE && container->state == CONTAINER_STARTING &&
        !container->hook && !hooks_advance_start(container)) {
        check_health(container);
        set_state(container, CONTAINER_RUNNING);
    }
}

/* Whether its secrets are there to be shown. If not, that is no fault of the container's: it waits,
 * and its policy says nothing about that. */
static bool have_secrets(struct container *container, struct secrets *ret)
{
    struct runtime *runtime = container->runtime;
    struct container_record *record = &container->record;
    struct error error = {0};
    if (secrets_open(&container->spec, runtime->on_secret, runtime->context, ret, &error) == 0)
        return true;
    bool is_told = strncmp(record->error, error.message, sizeof(record->error)) == 0;
    snprintf(record->error, sizeof(record->error), "%s", error.message);
    wake_after(container, SECRET_RETRY_MS);
    if (!is_told)
        log_warning("container %s waits: %s", container->spec.id, record->error);
    set_state(container, CONTAINER_BACKOFF);
    return false;
}

static void prepare(struct container *container)
{
    container->record.over = OVER_NO;
    container->record.hooks_done = 0;
    struct error error = {0};
    if (container_claim(container, &error) < 0) {
        launch_failed(container, &error);
        return;
    }
    struct secrets secrets = {0};
    if (!have_secrets(container, &secrets))
        return;
    set_state(container, CONTAINER_CREATING);
    begin_with_secrets(container, STEP_PREPARE, &secrets);
}

static void advance_wanted(struct container *container)
{
    if (container->prepared) {
        set_state(container, CONTAINER_STARTING);
        begin(container, STEP_START);
    } else if (container->limits.pending) {
        begin(container, STEP_LIMITS);
    } else if (container->record.over != OVER_NO ||
               uv_is_active((uv_handle_t *)&container->timer)) {
        if (needs_saving(container))
            begin(container, STEP_SAVE);
    } else {
        prepare(container);
    }
}

static void choose_step(struct container *container)
{
    if (container->record.process.pid != 0) {
        advance_running(container);
        return;
    }
    if (container->wanted == WANT_RUN) {
        advance_wanted(container);
        return;
    }
    container->prepared = false;
    if (container->wanted == WANT_REMOVE) {
        if (!uv_is_active((uv_handle_t *)&container->timer)) /* else a failure is to be retried */
            begin(container, STEP_REMOVE);
        return;
    }
    set_state(container, CONTAINER_EXITED);
    if (container->limits.pending)
        begin(container, STEP_LIMITS);
    else if (needs_saving(container))
        begin(container, STEP_SAVE);
}

void container_advance(struct container *container)
{
    container->advance_again = true;
    if (container->advancing)
        return;
    container->advancing = true;
    while (container->advance_again && container->step == STEP_NONE && !container->closing) {
        container->advance_again = false;
        choose_step(container);
    }
    container->advancing = false;
}

/* ---- Commands ---- */

void container_run(struct container *container)
{
    bool over = container->record.over != OVER_NO || container->wanted != WANT_RUN;
    container->wanted = WANT_RUN;
    container->grace_ms = 0;
    if (!over)
        return;
    container->record.over = OVER_NO;
    container->record.attempts = 0;
    container->record.restarts = 0;
    if (container->record.process.pid == 0)
        set_state(container, CONTAINER_CREATING);
    container_advance(container);
}

void container_stop(struct container *container, int64_t grace_ms)
{
    if (container->wanted == WANT_REMOVE)
        return;
    container->wanted = WANT_STOP;
    container->grace_ms = grace_ms;
    if (container->state == CONTAINER_STOPPING)
        start_grace(container);
    else
        uv_timer_stop(&container->timer);
    container_advance(container);
}

void container_remove(struct container *container)
{
    if (container->wanted == WANT_REMOVE)
        return;
    container->wanted = WANT_REMOVE;
    if (container->state != CONTAINER_STOPPING)
        uv_timer_stop(&container->timer);
    container_advance(container);
}

/* ---- Making and freeing ---- */

int container_new(struct runtime *runtime, const struct container_spec *spec,
                  struct container **ret)
{
    struct container *container = calloc(1, sizeof(*container));
    if (!container)
        return -ENOMEM;
    container->runtime = runtime;
    container_record_init(&container->record);
    int result = container_spec_copy(&container->spec, spec);
    if (result == 0)
        result = table_insert(&runtime->containers, container);
    if (result == 0) {
        result = container_steps_pin(container);
        if (result < 0)
            table_remove(&runtime->containers, spec->id);
    }
    if (result < 0) {
        container_spec_done(&container->spec);
        free(container);
        return result;
    }
    uv_timer_init(runtime->loop, &container->timer);
    container->timer.data = container;
    runtime_hold(runtime);
    *ret = container;
    return 0;
}

void container_adopt(struct container *container, const struct container_record *record,
                     struct container_plan *plan)
{
    container->record = *record;
    container->wanted = record->wanted;
    container->plan = *plan;
    *plan = (struct container_plan){0};
    if (network_pool_take_back(&container->runtime->networks, &container->spec, &record->ends) < 0)
        container->record.ends = (struct network_ends){0};
    if (record->process.pid != 0) {
        container->state = hooks_remain(container) ? CONTAINER_STARTING : CONTAINER_RUNNING;
        watch(container);
    } else if (record->over == OVER_ENDED) {
        container->record.over = OVER_NO;
        if (container->wanted == WANT_RUN)
            apply_policy(container, record->exit_code != 0, true);
    } else if (record->over != OVER_NO) {
        container->state = record->over == OVER_FAILED ? CONTAINER_FAILED : CONTAINER_EXITED;
    }
    container_report(container);
    container_advance(container);
}

void container_free_if_done(struct container *container)
{
    if (!container->closing || !container->timer_closed || container->step != STEP_NONE)
        return;
    struct runtime *runtime = container->runtime;
    container_plan_done(&container->plan);
    container_spec_done(&container->spec);
    free(container);
    runtime_release(runtime);
}

static void timer_closed(uv_handle_t *handle)
{
    struct container *container = handle->data;
    container->timer_closed = true;
    container_free_if_done(container);
}

void container_close(struct container *container)
{
    if (container->closing)
        return;
    container->closing = true;
    unwatch(container);
    uv_close((uv_handle_t *)&container->timer, timer_closed);
}
