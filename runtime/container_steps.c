#include "runtime/container_steps.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/image/image_store.h"
#include "runtime/launch.h"

static int save(const struct container_task *task)
{
    const struct container *container = task->container;
    const struct runtime_settings *settings = &container->runtime->settings;
    int result = container->spec_unsaved ? launch_save_spec(settings, &container->spec, true) : 0;
    if (result == 0)
        result = launch_save_record(settings, container->spec.id, &task->record, true);
    return result;
}

static void run_step(struct job *job)
{
    struct container_task *task = (struct container_task *)job;
    const struct container *container = task->container;
    const struct runtime_settings *settings = &container->runtime->settings;
    const struct container_spec *spec = &container->spec;
    struct container_record *record = &task->record;
    int result = 0;
    switch (container->step) {
    case STEP_PREPARE:
        result = launch_prepare(settings, spec, &task->secrets, record, &task->plan, &task->error);
        break;
    case STEP_START:
        result = launch_start(settings, spec, record, &task->error);
        break;
    case STEP_COLLECT:
        launch_collect(settings, spec->id, record);
        break;
    case STEP_SAVE:
        result = save(task);
        break;
    case STEP_LIMITS:
        if (record->process.pid != 0)
            result = cgroup_set_limits(settings->instance, spec->id, &container->limits.wanted,
                                       &task->error);
        break;
    case STEP_REMOVE:
        result = launch_remove(settings, spec->id, &record->ends, &task->error);
        break;
    case STEP_NONE:
        break;
    }
    task->result = result;
}

/* Takes over what a launch or an end changed; the rest of the record is the loop's, and may have
 * changed meanwhile. */
static void merge_record(struct container *container, const struct container_record *changed)
{
    struct container_record *record = &container->record;
    record->process = changed->process;
    record->exit_code = changed->exit_code;
    record->oom_killed = changed->oom_killed;
    record->started_wall_ms = changed->started_wall_ms;
    record->finished_wall_ms = changed->finished_wall_ms;
    record->ran_ms = changed->ran_ms;
    snprintf(record->error, sizeof(record->error), "%s", changed->error);
}

static bool step_saves_record(enum container_step step)
{
    return step == STEP_PREPARE || step == STEP_START || step == STEP_COLLECT || step == STEP_SAVE;
}

static void step_over(struct job *job)
{
    struct container_task *task = (struct container_task *)job;
    struct container *container = task->container;
    enum container_step step = container->step;
    container->step = STEP_NONE;
    secrets_wipe(&task->secrets);
    if (container->closing) {
        container_free_if_done(container);
    } else {
        if (step == STEP_SAVE && task->result == 0)
            container->spec_unsaved = false;
        if (step == STEP_START || step == STEP_COLLECT)
            merge_record(container, &task->record);
        container_step_done(container, step, task);
    }
    container_plan_done(&task->plan);
    free(task);
}

int container_step_begin(struct container *container, enum container_step step,
                         struct secrets *secrets)
{
    assert(container->step == STEP_NONE);
    struct container_task *task = calloc(1, sizeof(*task));
    if (!task) {
        if (secrets)
            secrets_wipe(secrets);
        return -ENOMEM;
    }
    if (step_saves_record(step)) {
        container->unsaved = false;
        container->record.wanted = container->wanted;
    }
    container->step = step;
    task->job.run = run_step;
    task->job.done = step_over;
    task->container = container;
    task->record = container->record;
    if (secrets) {
        task->secrets = *secrets;
        *secrets = (struct secrets){0};
    }
    runtime_submit(container->runtime, &task->job);
    return 0;
}

int container_steps_pin(struct container *container)
{
    struct digest digest;
    int result = digest_parse(container->spec.image, &digest);
    return result < 0 ? result : image_store_pin(container->runtime->settings.images, &digest);
}

void container_steps_unpin(struct container *container)
{
    struct digest digest;
    if (digest_parse(container->spec.image, &digest) == 0)
        image_store_unpin(container->runtime->settings.images, &digest);
}
