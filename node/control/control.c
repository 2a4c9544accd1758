#include "node/control/control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "node/control/decision.h"
#include "node/control/memory.h"
#include "node/control/world.h"

static const char leader_actor[] = "consort";

struct control {
    struct control_config config;
    struct memory memory;
};

struct control *control_new(const struct control_config *config)
{
    struct control *control = calloc(1, sizeof(*control));
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

static struct command *command_add(struct control_output *output, enum command_type type,
                                   int64_t wall_ms)
{
    struct command *command = &output->commands[output->command_count++];
    *command = (struct command){.head = {.type = (uint8_t)type, .wall_ms = wall_ms}};
    memcpy(command->head.actor, leader_actor, sizeof(leader_actor));
    return command;
}

static int decide_all(struct control *control, struct world *world, struct control_output *output,
                      int64_t wall_ms)
{
    for (size_t i = 0; i < world->service_count; i++) {
        struct decision decision;
        int rc = decision_make(&decision, world, &world->services[i], &control->memory);
        if (rc < 0)
            return rc;
        if (decision.has_rollout)
            command_add(output, COMMAND_ROLLOUT, wall_ms)->rollout = decision.rollout;
    }
    if (world->change_count > 0) {
        struct command *place = command_add(output, COMMAND_PLACE, wall_ms);
        place->place.change_count = world->change_count;
        place->place.changes = take_pointer(world->changes);
    }
    memory_sweep(&control->memory);
    output->next_deadline_ms = world->deadline_ms;
    return 0;
}

int control_step(struct control *control, const struct intent *intent, const struct view *view,
                 int64_t now_ms, int64_t wall_ms, struct control_output *ret)
{
    struct world world;
    struct control_output output = {.next_deadline_ms = INT64_MAX};
    int rc = world_init(&world, intent, view, &control->memory, now_ms);
    if (rc < 0)
        return rc;
    world.exclusive_wait_ms = control->config.exclusive_wait_ms;
    /* a word on each service's rollout, and one batch of placements */
    output.commands = calloc(world.service_count + 1, sizeof(*output.commands));
    rc = output.commands ? decide_all(control, &world, &output, wall_ms) : -ENOMEM;
    world_done(&world);
    if (rc < 0) {
        control_output_done(&output);
        return rc;
    }
    *ret = output;
    return 0;
}

void control_output_done(struct control_output *output)
{
    if (!output)
        return;
    for (size_t i = 0; i < output->command_count; i++)
        command_done(&output->commands[i]);
    free(output->commands);
    *output = (struct control_output){0};
}
