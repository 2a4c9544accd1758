#include "runtime/plan.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char default_path[] =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

int signal_parse(const char *text, int *ret)
{
    char *end;
    long number = strtol(text, &end, 10);
    if (end != text && *end == '\0') {
        if (number < 1 || number > RUNTIME_SIGNAL_MAX)
            return -EINVAL;
        *ret = (int)number;
        return 0;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (int signal = 1; signal < NSIG; signal++) {
        const char *name = sigabbrev_np(signal);
        if (name && strcasecmp(name, text) == 0) {
            *ret = signal;
            return 0;
        }
    }
    if (strncasecmp(text, "RTMIN+", 6) != 0)
        return -EINVAL;
    number = strtol(text + 6, &end, 10);
    if (end == text + 6 || *end != '\0' || number < 0 || number > SIGRTMAX - SIGRTMIN)
        return -EINVAL;
    *ret = SIGRTMIN + (int)number;
    return 0;
}

static size_t name_length(const char *assignment)
{
    return strcspn(assignment, "=");
}

bool environment_has(const struct text_list *environment, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < environment->count; i++)
        if (name_length(environment->items[i]) == length &&
            strncmp(environment->items[i], name, length) == 0)
            return true;
    return false;
}

/* Sets NAME=value in a list of such, in place of an earlier one of that name. */
static int environment_set(struct text_list *environment, const char *assignment)
{
    size_t length = name_length(assignment);
    for (size_t i = 0; i < environment->count; i++) {
        char *old = environment->items[i];
        if (name_length(old) != length || strncmp(old, assignment, length) != 0)
            continue;
        char *copy = strdup(assignment);
        if (!copy)
            return -ENOMEM;
        free(old);
        environment->items[i] = copy;
        return 0;
    }
    return text_list_add(environment, assignment);
}

static int append(struct text_list *list, const struct text_list *from)
{
    int result = 0;
    for (size_t i = 0; i < from->count && result == 0; i++)
        result = text_list_add(list, from->items[i]);
    return result;
}

static int plan_command(struct container_plan *plan, const struct container_spec *spec,
                        const struct image_config *image)
{
    bool own_entrypoint = spec->entrypoint.count > 0 || spec->entrypoint_clear;
    int result = append(&plan->argv, own_entrypoint ? &spec->entrypoint : &image->entrypoint);
    if (result < 0)
        return result;
    if (spec->command.count > 0)
        return append(&plan->argv, &spec->command);
    return own_entrypoint ? 0 : append(&plan->argv, &image->command);
}

static int plan_environment(struct container_plan *plan, const struct container_spec *spec,
                            const struct image_config *image)
{
    int result = text_list_add(&plan->environment, default_path);
    for (size_t i = 0; i < image->environment.count && result == 0; i++)
        if (strchr(image->environment.items[i], '='))
            result = environment_set(&plan->environment, image->environment.items[i]);
    for (size_t i = 0; i < spec->environment.count && result == 0; i++)
        result = environment_set(&plan->environment, spec->environment.items[i]);
    return result;
}

static int64_t first_ms(int64_t own, int64_t images, int64_t otherwise)
{
    if (own > 0)
        return own;
    return images > 0 ? images : otherwise;
}

/* Docker's way to write a check: "CMD" and arguments, "CMD-SHELL" and a line, or "NONE". */
static int plan_image_check(struct text_list *command, const struct text_list *test)
{
    if (test->count < 2)
        return 0;
    if (strcmp(test->items[0], "CMD-SHELL") == 0) {
        int result = text_list_add(command, "/bin/sh");
        if (result == 0)
            result = text_list_add(command, "-c");
        return result < 0 ? result : text_list_add(command, test->items[1]);
    }
    int result = 0;
    for (size_t i = 1; i < test->count && result == 0; i++)
        result = text_list_add(command, test->items[i]);
    return result;
}

static int plan_health(struct container_plan *plan, const struct container_spec *spec,
                       const struct image_health *image)
{
    const struct container_health *own = &spec->health;
    struct container_health *health = &plan->health;
    if (own->disabled)
        return 0;
    int result = 0;
    health->probe_port = own->probe_port;
    if (own->probe_path && !(health->probe_path = strdup(own->probe_path)))
        return -ENOMEM;
    if (own->command.count > 0)
        result = append(&health->command, &own->command);
    else if (own->probe_port == 0)
        result = plan_image_check(&health->command, &image->test);
    health->interval_ms =
        first_ms(own->interval_ms, image->interval_ms, RUNTIME_HEALTH_INTERVAL_MS_DEFAULT);
    health->timeout_ms =
        first_ms(own->timeout_ms, image->timeout_ms, RUNTIME_HEALTH_TIMEOUT_MS_DEFAULT);
    health->start_period_ms = first_ms(own->start_period_ms, image->start_period_ms, 0);
    health->start_interval_ms = first_ms(own->start_interval_ms, image->start_interval_ms,
                                         RUNTIME_HEALTH_START_INTERVAL_MS_DEFAULT);
    health->retries = own->retries > 0 ? own->retries : image->retries;
    if (health->retries == 0)
        health->retries = RUNTIME_HEALTH_RETRIES_DEFAULT;
    return result;
}

static const char *first_text(const char *own, const char *images, const char *otherwise)
{
    if (own && *own)
        return own;
    return images && *images ? images : otherwise;
}

static int plan_make(struct container_plan *plan, const struct container_spec *spec,
                     const struct image_config *image, struct error *error)
{
    plan->working_dir = strdup(first_text(spec->working_dir, image->working_dir, "/"));
    plan->user = strdup(first_text(spec->user, image->user, ""));
    plan->stop_signal = spec->stop_signal;
    if (plan->stop_signal == 0) {
        const char *name = first_text(NULL, image->stop_signal, "SIGTERM");
        if (signal_parse(name, &plan->stop_signal) < 0)
            return error_set(error, -EINVAL, "the image's stop signal \"%s\" is unknown", name);
    }
    int result = plan->working_dir && plan->user ? 0 : -ENOMEM;
    if (result == 0)
        result = plan_command(plan, spec, image);
    if (result == 0)
        result = plan_environment(plan, spec, image);
    if (result == 0)
        result = plan_health(plan, spec, &image->health);
    if (result < 0)
        return error_set_errno(error, result, "cannot put its command together");
    if (plan->argv.count == 0)
        return error_set(error, -EINVAL, "neither the image nor the service says what to run");
    return 0;
}

int container_plan_make(const struct container_spec *spec, const struct image_config *image,
                        struct container_plan *ret, struct error *error)
{
    struct container_plan plan = {0};
    int result = plan_make(&plan, spec, image, error);
    if (result < 0)
        container_plan_done(&plan);
    else
        *ret = plan;
    return result;
}

void container_plan_done(struct container_plan *plan)
{
    text_list_done(&plan->argv);
    text_list_done(&plan->environment);
    text_list_done(&plan->health.command);
    free(plan->health.probe_path);
    free(plan->working_dir);
    free(plan->user);
    *plan = (struct container_plan){0};
}
