/* What the leader does beyond Raft: it has control decide, and proposes what control decided. */
#include "node/control/agent_private.h"

/* Nothing is decided before an entry of this leader's own term is applied (only then is its intent
 * complete), nor while earlier decisions are on their way through the log. */
static bool may_decide(const struct agent *agent)
{
    return agent->control && agent->intent->applied_term == agent->raft_status.term &&
           agent->control_outstanding == 0;
}

static void decide(struct agent *agent)
{
    struct control_output output = {.next_deadline_ms = INT64_MAX};
    agent->control_due = false;
    if (control_step(agent->control, agent->intent, &agent->view, agent->now_ms, agent->wall_ms,
                     &output) < 0) {
        agent->failed = true;
        return;
    }
    agent->control_deadline_ms = output.next_deadline_ms;
    for (size_t i = 0; i < output.command_count; i++) {
        if (agent_propose_control(agent, &output.commands[i]) < 0) {
            agent->control_due =
                true; /* busy or no longer leading: decided anew at the next step */
            break;
        }
    }
    control_output_done(&output);
}

/* Nothing is due while nothing may be decided: what makes that possible is a step of its own. */
int64_t agent_lead_deadline(const struct agent *agent)
{
    if (!may_decide(agent))
        return INT64_MAX;
    return agent->control_deadline_ms < agent->voters_deadline_ms ? agent->control_deadline_ms
                                                                  : agent->voters_deadline_ms;
}

void agent_lead_tick(struct agent *agent)
{
    if (!may_decide(agent))
        return;
    if (agent->control_due || agent->now_ms >= agent->control_deadline_ms)
        decide(agent);
    agent_names_propose(agent);
    if (agent->now_ms >= agent->voters_deadline_ms) {
        agent->voters_deadline_ms = agent->now_ms + AGENT_VOTER_INTERVAL_MS;
        agent_voters_tick(agent);
        agent_level_raise(agent);
    }
}
