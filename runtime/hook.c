#include "runtime/hook.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "runtime/container.h"

/* `exit_code` as an exec's; `output` is the beginning of what it printed. */
typedef void hook_done(struct container *container, int exit_code, const char *output);

struct hook_run {
    struct container *container;
    hook_done *on_done;
    struct runtime_exec *exec;
    struct buffer output;
};

static void on_output(void *context, bool is_error, struct bytes output)
{
    struct hook_run *run = context;
    size_t room = RUNTIME_HEALTH_OUTPUT_BYTES_MAX - run->output.size;
    (void)is_error;
    buffer_append(&run->output, output.data, output.size < room ? output.size : room);
}

static void on_exit_code(void *context, int exit_code)
{
    struct hook_run *run = context;
    char output[RUNTIME_HEALTH_OUTPUT_BYTES_MAX + 1];
    size_t size = run->output.size;
    if (size > 0)
        memcpy(output, run->output.bytes, size);
    while (size > 0 && (output[size - 1] == '\n' || output[size - 1] == '\r'))
        size--;
    output[size] = '\0';
    run->on_done(run->container, exit_code, output);
}

static int run(struct container *container, const struct container_hook *hook, hook_done *on_done,
               struct error *error)
{
    struct hook_run *run = calloc(1, sizeof(*run));
    if (!run)
        return error_set_errno(error, -ENOMEM, "running a hook");
    run->container = container;
    run->on_done = on_done;
    buffer_init(&run->output);
    struct exec_options options = {
        .argv = (const char *const *)hook->command.items,
        .environment = (const char *const *)hook->environment.items,
        .user = hook->user,
        .working_dir = hook->working_dir,
        .privileged = hook->privileged,
    };
    struct exec_callbacks callbacks = {
        .context = run, .on_output = on_output, .on_exit = on_exit_code};
    int result = runtime_exec(container->runtime, container->spec.id, &options, &callbacks,
                              &run->exec, error);
    if (result < 0) {
        if (error->code == 0)
            error_set_errno(error, result, "it can't be run");
        free(run);
        return result;
    }
    runtime_exec_end_input(run->exec);
    container->hook = run;
    return 0;
}

void hooks_end(struct container *container)
{
    struct hook_run *run = container->hook;
    if (!run)
        return;
    container->hook = NULL;
    runtime_exec_close(run->exec);
    buffer_done(&run->output);
    free(run);
}

static void describe(char *ret, size_t capacity, const char *what,
                     const struct container_hook *hook, int exit_code, const char *output)
{
    snprintf(ret, capacity, "%s: %.100s: exit code %d%s%s", what, hook->command.items[0], exit_code,
             *output ? ": " : "", output);
}

/* ---- After its start ---- */

static const char failed[] = "stopped, for its post_start failed";

bool hooks_remain(const struct container *container)
{
    return container->record.hooks_done < container->spec.post_start.count;
}

static void on_start_hook_done(struct container *container, int exit_code, const char *output)
{
    struct container_record *record = &container->record;
    if (exit_code != 0) {
        describe(container->condemned, sizeof(container->condemned), failed,
                 &container->spec.post_start.items[record->hooks_done], exit_code, output);
    } else {
        record->hooks_done++;
        container->unsaved = true; /* before the next begins */
    }
    hooks_end(container);
    container_advance(container);
}

bool hooks_advance_start(struct container *container)
{
    struct error error = {0};
    if (!hooks_remain(container))
        return false;
    const struct container_hook *hook =
        &container->spec.post_start.items[container->record.hooks_done];
    if (run(container, hook, on_start_hook_done, &error) < 0) {
        snprintf(container->condemned, sizeof(container->condemned), "%s: %.600s", failed,
                 error.message);
        container->advance_again = true;
    }
    return true;
}

/* ---- Before its end ---- */

static void advance_stop(struct container *container);

static void on_stop_hook_done(struct container *container, int exit_code, const char *output)
{
    char words[RUNTIME_CONDEMNED_BYTES];
    if (exit_code != 0) {
        describe(words, sizeof(words), "its pre_stop failed",
                 &container->spec.pre_stop.items[container->stop_hooks_done], exit_code, output);
        log_warning("container %s: %s", container->spec.id, words);
    }
    container->stop_hooks_done++;
    hooks_end(container);
    advance_stop(container);
}

static void advance_stop(struct container *container)
{
    const struct container_hooks *hooks = &container->spec.pre_stop;
    for (; container->stop_hooks_done < hooks->count; container->stop_hooks_done++) {
        struct error error = {0};
        if (run(container, &hooks->items[container->stop_hooks_done], on_stop_hook_done, &error) ==
            0)
            return;
        log_warning("container %s: its pre_stop failed: %s", container->spec.id, error.message);
    }
    container_send_stop_signal(container);
}

void hooks_begin_stop(struct container *container)
{
    container->stop_hooks_done = 0;
    advance_stop(container);
}
