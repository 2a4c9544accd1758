/* The level of the cluster's state, as the agent keeps to it: the leader raises it once all know a
 * higher one, and a peer that does not know the one in force stops. */
#include <stdio.h>
#include <string.h>

#include "consensus/level.h"
#include "node/control/agent_private.h"
#include "node/control/level.h"

void agent_level_raise(struct agent *agent)
{
    const struct intent *intent = agent->intent;
    if (agent->config.level <= intent->level.number)
        return; /* all beyond is left to a leader that knows it */
    uint32_t level = level_of_all(intent, &agent->view);
    if (level > agent->config.level)
        level = agent->config.level;
    if (level <= intent->level.number)
        return;
    struct command command = {.head = {.type = COMMAND_LEVEL, .wall_ms = agent->wall_ms},
                              .level = {.level.number = level, .next_serial = intent->next_serial}};
    memcpy(command.head.actor, "consort", sizeof("consort"));
    snprintf(command.level.level.version, sizeof(command.level.level.version), "%s",
             level_version(level));
    agent_propose_control(agent, &command); /* if it fails: at the next look */
}

bool agent_level_fits(struct agent *agent, const struct intent_level *level)
{
    if (level->number <= agent->config.level)
        return true;
    agent->outdated = *level;
    agent->failed = true;
    return false;
}

const struct intent_level *agent_outdated(const struct agent *agent)
{
    return agent->outdated.number > 0 ? &agent->outdated : NULL;
}
