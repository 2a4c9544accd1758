/* Who had better not lead, as long as another can (docs/decisions/election-priority.md).
 *
 * A peer judges itself, by what nobody else knows as well; and of the others what all can see, so
 * that the order in which voters stand for election is much the same everywhere.
 */
#include "node/control/agent_private.h"
#include "node/control/voters.h"

/* It drains or leaves, or its disk is nearly full: it would hand the lead over at once. */
static bool would_hand_over(const struct agent *agent, const struct id *id)
{
    const struct intent_peer *peer = intent_peer_find(agent->intent, id);
    const struct view_peer *seen = view_peer_find(&agent->view, id);
    return (peer && peer->state != INTENT_ACTIVE) ||
           (seen && seen->has_disk && voters_disk_is_full(seen->disk.free_bytes));
}

bool agent_is_poor_leader(const struct agent *agent, const struct id *id)
{
    const struct view_peer *seen = view_peer_find(&agent->view, id);
    return would_hand_over(agent, id) || (seen && seen->liveness != VIEW_ALIVE);
}

/* It restarts while the others go on: perhaps it does so again. */
static bool has_just_come(const struct agent *agent)
{
    return agent->has_followed && agent->now_ms - agent->start_ms < AGENT_STEADY_MS;
}

/* Most of the voters that live are reached by detours only, or it is slow itself. */
static bool is_badly_connected(const struct agent *agent)
{
    const struct raft_configuration *configuration = raft_configuration(agent->raft);
    struct swim_counters counters;
    uint32_t direct = 0, live = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct id *id = &configuration->members[i].id;
        struct swim_member member;
        if (id_equal(id, &agent->self) || !raft_configuration_votes(configuration, id) ||
            !swim_member_find(agent->swim, id, &member) || member.state != SWIM_ALIVE)
            continue;
        live++;
        direct += member.path == SWIM_PATH_DIRECT || member.path == SWIM_PATH_LEARNT;
    }
    swim_counters(agent->swim, &counters);
    return 2 * direct < live || counters.health >= AGENT_POOR_HEALTH;
}

void agent_reluctant_tick(struct agent *agent)
{
    if (agent_leads(agent) || agent->now_ms < agent->reluctant_next_ms)
        return;
    agent->reluctant_next_ms = agent->now_ms + AGENT_RELUCTANT_INTERVAL_MS;
    raft_set_reluctant(agent->raft, agent->hands_over || would_hand_over(agent, &agent->self) ||
                                        has_just_come(agent) || is_badly_connected(agent));
}
