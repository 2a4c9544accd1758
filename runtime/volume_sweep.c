#include "runtime/volume_sweep.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/text_list.h"
#include "runtime/container.h"
#include "runtime/tree.h"
#include "runtime/volume.h"

struct sweep_job {
    struct job job;
    struct text_list names;
};

/* What was taken out of use has a dot before its name: no volume's begins with one. */
static bool is_taken_out(const char *name)
{
    return name[0] == '.' && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static void remove_one(const struct runtime_settings *settings, const char *name)
{
    struct path path = path_anonymous(settings, name);
    int result = tree_remove_path(path.text);
    if (result < 0)
        log_warning("an anonymous volume that nobody needs can't be removed: %s: %s", path.text,
                    strerror(-result));
}

static void list_and_remove(struct job *job)
{
    struct sweep_job *sweep = (struct sweep_job *)job;
    const struct runtime_settings *settings = &job->runtime->settings;
    struct path path = path_anonymous(settings, "");
    DIR *directory = opendir(path.text);
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        if (is_taken_out(entry->d_name))
            remove_one(settings, entry->d_name);
        else if (entry->d_name[0] != '.' && text_list_add(&sweep->names, entry->d_name) < 0)
            break; /* the rest another time */
    }
    closedir(directory);
}

static bool is_mounted(const struct runtime *runtime, const char *name)
{
    for (size_t i = 0; i < runtime->containers.count; i++) {
        const struct container_spec *spec =
            &((const struct container *)runtime->containers.items[i])->spec;
        for (size_t j = 0; j < spec->mount_count; j++)
            if (spec->mounts[j].is_anonymous && strcmp(spec->mounts[j].source, name) == 0)
                return true;
    }
    return false;
}

/* On the loop's thread, so that no container can begin to use it between the question and this. */
static bool take_out(const struct runtime *runtime, const char *name)
{
    char hidden[VOLUME_NAME_MAX + 2];
    snprintf(hidden, sizeof(hidden), ".%s", name);
    struct path from = path_anonymous(&runtime->settings, name);
    struct path to = path_anonymous(&runtime->settings, hidden);
    return rename(from.text, to.text) == 0;
}

static void wake_after(struct runtime *runtime, uint64_t delay_ms);

static void decide(struct job *job)
{
    struct sweep_job *sweep = (struct sweep_job *)job;
    struct runtime *runtime = job->runtime;
    bool has_taken_out = false, has_kept = false;
    for (size_t i = 0; i < sweep->names.count && !runtime->closing; i++) {
        const char *name = sweep->names.items[i];
        if (strlen(name) > VOLUME_NAME_MAX || is_mounted(runtime, name))
            continue;
        if (runtime->needs_volume(runtime->context, name))
            has_kept = true;
        else
            has_taken_out = take_out(runtime, name) || has_taken_out;
    }
    text_list_done(&sweep->names);
    free(sweep);
    if (has_taken_out)
        wake_after(runtime, 0);
    else if (has_kept)
        wake_after(runtime, RUNTIME_VOLUME_SWEEP_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct runtime *runtime = timer->data;
    struct sweep_job *sweep = calloc(1, sizeof(*sweep));
    if (!sweep) {
        wake_after(runtime, RUNTIME_VOLUME_SWEEP_MS);
        return;
    }
    sweep->job = (struct job){.run = list_and_remove, .done = decide};
    runtime_submit(runtime, &sweep->job);
}

static void wake_after(struct runtime *runtime, uint64_t delay_ms)
{
    if (!runtime->closing && runtime->needs_volume)
        uv_timer_start(&runtime->volume_timer, on_timer, delay_ms, 0);
}

void volume_sweep_soon(struct runtime *runtime)
{
    wake_after(runtime, RUNTIME_VOLUME_SWEEP_SOON_MS);
}

void volume_sweep_init(struct runtime *runtime)
{
    uv_timer_init(runtime->loop, &runtime->volume_timer);
    runtime->volume_timer.data = runtime;
    runtime_hold(runtime); /* the timer's; given back when it is closed */
}

static void timer_closed(uv_handle_t *handle)
{
    runtime_release(handle->data);
}

void volume_sweep_close(struct runtime *runtime)
{
    uv_close((uv_handle_t *)&runtime->volume_timer, timer_closed);
}
