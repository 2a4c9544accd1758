/* This peer is about to stop: if it leads, another voter does before it goes, so that a planned
 * stop costs no election (thesis §3.10).
 *
 * Raft gives a transfer up that came to nothing within an election timeout; then the next voter is
 * tried. How long to wait for it all is the node's to say.
 */
#include "node/control/agent_private.h"

static bool can_take_over(const struct agent *agent, const struct id *id)
{
    struct raft_progress_status progress;
    return !id_equal(id, &agent->self) && view_is_alive(&agent->view, id) &&
           raft_configuration_votes(raft_configuration(agent->raft), id) &&
           raft_progress_of(agent->raft, id, &progress) == 0 && progress.recently_active;
}

/* One after the other, the further the more of them were tried, and a poor leader only if there is
 * no other; NULL: nobody can. */
static const struct id *choose(const struct agent *agent)
{
    const struct raft_configuration *configuration = raft_configuration(agent->raft);
    const struct id *poor = NULL;
    for (uint32_t i = 0; i < configuration->count; i++) {
        uint32_t at = (agent->hand_over_tries + i) % configuration->count;
        const struct id *id = &configuration->members[at].id;
        if (!can_take_over(agent, id))
            continue;
        if (!agent_is_poor_leader(agent, id))
            return id;
        poor = poor ? poor : id;
    }
    return poor;
}

void agent_hand_over(struct agent *agent)
{
    agent->hands_over = agent_leads(agent);
}

void agent_hand_over_tick(struct agent *agent)
{
    if (!agent->hands_over || !agent_leads(agent) ||
        !id_is_none(&agent->raft_status.transfer_target))
        return;
    const struct id *successor = choose(agent);
    if (!successor)
        return;
    agent->hand_over_tries++;
    struct raft_input transfer = {
        .type = RAFT_TRANSFER, .now_ms = agent->now_ms, .peer = *successor};
    agent_raft_step(agent, &transfer, NULL, NULL);
}

/* Proposals in this peer's log: whoever made them is told once the successor commits them. */
static bool owes_answers(const struct agent *agent)
{
    size_t at = 0;
    for (const struct pending *pending; (pending = pendings_next(&agent->pendings, &at));)
        if (!pending->is_control && id_is_none(&pending->sent_to))
            return true;
    return false;
}

bool agent_is_handing_over(const struct agent *agent)
{
    if (!agent->hands_over)
        return false;
    if (agent_leads(agent))
        return choose(agent) != NULL;
    return id_is_none(&agent->raft_status.leader) || owes_answers(agent);
}
