/* The leader's process is gone: an election without waiting for its heartbeats to stay away.
 *
 * The word comes from the leader's machine itself, which refuses connections. Raft forgets the
 * leader (so this peer would vote for another), and the voters stand for election one after the
 * other, poor leaders last and else in the order of their ids, each with time enough to win before
 * the next: were all to stand at once, votes would be split and a whole election timeout lost. Each
 * stands more than once: who has the most of the log may have asked before the others knew, and is
 * the only one to win.
 *
 * Should the leader live after all, its next heartbeat is obeyed as before, and nobody else's vote
 * is won meanwhile: those that hear it don't answer a pre-vote. Once a term, so that a leader that
 * can be heard and not be dialed is not forgotten again and again.
 */
#include "node/control/agent_private.h"

static bool stands_before(const struct agent *agent, const struct id *a, const struct id *b)
{
    bool a_is_poor = agent_is_poor_leader(agent, a), b_is_poor = agent_is_poor_leader(agent, b);
    return a_is_poor != b_is_poor ? b_is_poor : id_compare(a, b) < 0;
}

/* How many voters other than the leader stand before this peer, and how many there are. */
static int64_t rank(const struct agent *agent, const struct id *leader, int64_t *ret_count)
{
    const struct raft_configuration *configuration = raft_configuration(agent->raft);
    int64_t before = 0, count = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct id *id = &configuration->members[i].id;
        bool stands = !id_equal(id, leader) && raft_configuration_votes(configuration, id);
        count += stands;
        before += stands && stands_before(agent, id, &agent->self);
    }
    *ret_count = count;
    return before;
}

void agent_gone(struct agent *agent, const struct id *id)
{
    struct id leader = agent->raft_status.leader;
    uint64_t term = agent->raft_status.term;
    struct raft_input forget = {.type = RAFT_FORGET_LEADER, .now_ms = agent->now_ms};
    if (!id_equal(&leader, id) || agent_leads(agent) || agent->gone_term == term ||
        agent_raft_step(agent, &forget, NULL, NULL) < 0)
        return;
    agent->gone_term = term;
    if (!raft_configuration_votes(raft_configuration(agent->raft), &agent->self))
        return;
    int64_t voters, before = rank(agent, &leader, &voters);
    agent->campaign_at_ms =
        agent->now_ms + AGENT_GONE_CAMPAIGN_MS + before * AGENT_GONE_CAMPAIGN_EACH_MS;
    agent->campaign_each_ms = voters * AGENT_GONE_CAMPAIGN_EACH_MS;
    agent->campaigns_left = AGENT_GONE_CAMPAIGNS;
}

void agent_gone_tick(struct agent *agent)
{
    struct raft_input campaign = {.type = RAFT_CAMPAIGN, .now_ms = agent->now_ms};
    if (agent->now_ms < agent->campaign_at_ms)
        return;
    agent->campaign_at_ms = INT64_MAX;
    if (agent->raft_status.term != agent->gone_term || !id_is_none(&agent->raft_status.leader))
        return;
    if (--agent->campaigns_left > 0)
        agent->campaign_at_ms = agent->now_ms + agent->campaign_each_ms;
    agent_raft_step(agent, &campaign, NULL, NULL);
}
