#include "node/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/plan.h"

struct control {
    struct control_config config;
    struct memory memory;
};

struct control *control_new(const struct control_config *config, int64_t now_ms)
{
    struct control *control = calloc(1, sizeof(*control));
    (void)now_ms; /* every clock in memory starts when it is first looked at */
    if (!control)
        return NULL;
    control->config = *config;
    memory_init(&control->memory);
    return control;
}

void control_free(struct control *control)
{
    if (!control)
        return;
    memory_done(&control->memory);
    free(control);
}

static struct command *add_command(struct control_output *output, enum command_type type,
                                   int64_t wall_ms)
{
    struct command *command = &output->commands[output->command_count++];
    *command = (struct command){.head = {.type = (uint8_t)type, .wall_ms = wall_ms}};
    snprintf(command->head.actor, sizeof(command->head.actor), "consort");
    return command;
}

static int plan_all(struct control *control, struct world *world, int64_t wall_ms,
                    struct control_output *output)
{
    for (size_t i = 0; i < world->service_count; i++) {
        struct world_service *service = &world->services[i];
        struct plan_verdict verdict = {0};
        struct memory_service *memory = memory_service_get(
            &control->memory, service->intent->name, service->intent->rollout.id);
        int rc = memory ? plan_service(world, service, memory, &verdict) : -ENOMEM;
        if (rc < 0)
            return rc;
        if (verdict.changes)
            add_command(output, COMMAND_ROLLOUT, wall_ms)->rollout = verdict.rollout;
    }
    if (world->change_count > 0) {
        struct command *place = add_command(output, COMMAND_PLACE, wall_ms);
        place->place.changes = world->changes;
        place->place.change_count = world->change_count;
        world->changes = NULL; /* the command owns them */
    }
    return 0;
}

int control_step(struct control *control, const struct intent *intent, const struct view *view,
                 int64_t now_ms, int64_t wall_ms, struct control_output *ret)
{
    struct world world;
    struct control_output output = {0};
    output.commands = calloc(intent->services.count + 1, sizeof(*output.commands));
    int rc = output.commands ? world_init(&world, intent, view, &control->memory, now_ms) : -ENOMEM;
    if (rc < 0) {
        free(output.commands);
        return rc;
    }
    world.exclusive_wait_ms = control->config.exclusive_wait_ms;
    rc = plan_all(control, &world, wall_ms, &output);
    output.next_deadline_ms = world.deadline_ms;
    world_done(&world);
    if (rc < 0) {
        control_output_done(&output);
        return rc;
    }
    memory_sweep(&control->memory);
    *ret = output;
    return 0;
}

void control_output_done(struct control_output *output)
{
    for (size_t i = 0; i < output->command_count; i++)
        command_done(&output->commands[i]);
    free(output->commands);
    *output = (struct control_output){0};
}
