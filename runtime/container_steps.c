#include "runtime/container_steps.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>

#include "runtime/image/image_store.h"
#include "runtime/launch.h"

static struct container *of_job(struct job *job)
{
    return (struct container *)(void *)((char *)job - offsetof(struct container, job));
}

static int save(struct container *container)
{
    const struct runtime_settings *settings = &container->runtime->settings;
    int result = container->spec_unsaved ? launch_save_spec(settings, &container->spec, true) : 0;
    if (result == 0)
        result = launch_save_record(settings, container->spec.id, &container->step_record, true);
    return result;
}

static void run_step(struct job *job)
{
    struct container *container = of_job(job);
    const struct runtime_settings *settings = &container->runtime->settings;
    const char *id = container->spec.id;
    int result = 0;
    switch (container->step) {
    case STEP_PREPARE:
        result = launch_prepare(settings, &container->spec, &container->secrets,
                                &container->step_record, &container->new_plan, &container->error);
        break;
    case STEP_START:
        result =
            launch_start(settings, &container->spec, &container->step_record, &container->error);
        break;
    case STEP_COLLECT:
        launch_collect(settings, id, &container->step_record);
        break;
    case STEP_SAVE:
        result = save(container);
        break;
    case STEP_LIMITS:
        if (container->step_record.process.pid != 0)
            result = cgroup_set_limits(settings->instance, id, &container->limits.wanted,
                                       &container->error);
        break;
    case STEP_REMOVE:
        result = launch_remove(settings, id, &container->step_record.ends, &container->error);
        break;
    case STEP_NONE:
        break;
    }
    container->result = result;
}

/* Takes over what a launch or an end changed; the rest of the record is the loop's, and may have
 * changed meanwhile. */
static void merge_record(struct container *container)
{
    struct container_record *record = &container->record;
    const struct container_record *changed = &container->step_record;
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
    struct container *container = of_job(job);
    secrets_wipe(&container->secrets);
    if (container->closing) {
        container->step = STEP_NONE;
        container_free_if_done(container);
        return;
    }
    if (container->step == STEP_SAVE && container->result == 0)
        container->spec_unsaved = false;
    if (container->step == STEP_START || container->step == STEP_COLLECT)
        merge_record(container);
    container_step_done(container);
}

void container_step_begin(struct container *container, enum container_step step)
{
    assert(container->step == STEP_NONE);
    container->step = step;
    container->error = (struct error){0};
    if (step_saves_record(step)) {
        container->unsaved = false;
        container->record.wanted = container->wanted;
    }
    container->step_record = container->record;
    container->job.run = run_step;
    container->job.done = step_over;
    runtime_submit(container->runtime, &container->job);
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
