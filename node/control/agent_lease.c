/* Leases of exclusive replicas: this peer asks the leader for them, and grants them when it leads.
 *
 * A holder counts its lease from the moment it asked, on its own clock, so a slow answer shortens
 * it and never lengthens it. The leader grants only while no other can lead (the Raft lease, thesis
 * §6.4.1), and moves an exclusive replica only when every lease that may have been granted, by it
 * or by a leader before it, has run out.
 */
#include <errno.h>

#include "node/control/agent_private.h"

static bool holds_exclusive(const struct agent *agent)
{
    for (size_t i = 0; i < agent->intent->replicas.count; i++) {
        const struct intent_replica *replica = agent->intent->replicas.items[i];
        if (!id_equal(&replica->peer, &agent->self) || replica->want != INTENT_RUN)
            continue;
        const struct service_spec *spec = intent_spec_of(agent->intent, replica);
        if (spec && spec->exclusive)
            return true;
    }
    return false;
}

bool agent_lease_is_valid(const struct agent *agent, int64_t now_ms)
{
    return now_ms < agent->lease_until_ms;
}

static void lease_extended(struct agent *agent, int64_t asked_ms)
{
    bool was_valid = agent_lease_is_valid(agent, agent->now_ms);
    int64_t until_ms = asked_ms + agent->config.lease_ms;
    if (until_ms > agent->lease_until_ms)
        agent->lease_until_ms = until_ms;
    if (!was_valid && agent_lease_is_valid(agent, agent->now_ms))
        agent->output->wanted_changed = true;
}

static bool may_grant(const struct agent *agent)
{
    return agent_leads(agent) && raft_leader_lease_valid(agent->raft, agent->now_ms) &&
           agent->intent->applied_term == agent->raft_status.term;
}

static void ask(struct agent *agent)
{
    struct id leader = agent_leader(agent);
    struct writer writer;
    if (id_equal(&leader, &agent->self)) {
        if (may_grant(agent))
            lease_extended(agent, agent->now_ms);
        return;
    }
    struct buffer *bytes =
        id_is_none(&leader) ? NULL : agent_add_send(agent, &leader, NULL, AGENT_LEASE_ASK);
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    writer_i64(&writer, agent->now_ms);
}

void agent_lease_tick(struct agent *agent)
{
    if (agent->lease_until_ms > 0 && !agent_lease_is_valid(agent, agent->now_ms)) {
        agent->lease_until_ms = 0;
        agent->output->wanted_changed = true; /* exclusive replicas must stop now */
    }
    if (agent->now_ms < agent->lease_ask_ms)
        return;
    agent->lease_ask_ms = agent->now_ms + agent->config.lease_ms / AGENT_LEASE_ASKS;
    if (holds_exclusive(agent))
        ask(agent);
}

int64_t agent_lease_deadline(const struct agent *agent)
{
    int64_t deadline = agent->lease_ask_ms;
    if (agent->lease_until_ms > 0 && agent->lease_until_ms < deadline)
        deadline = agent->lease_until_ms;
    return deadline;
}

/* Echoes the asker's time: only it can tell how old that is. A replica that the intent no longer
 * places there gets no further lease. */
int agent_lease_asked(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    struct writer writer;
    int64_t asked_ms = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_i64(&reader, &asked_ms);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    const struct view_peer *peer = view_peer_find(&agent->view, from);
    if (!may_grant(agent) || !peer || peer->liveness == VIEW_DEAD || peer->liveness == VIEW_LEFT)
        return 0;
    struct buffer *answer = agent_add_send(agent, from, NULL, AGENT_LEASE_GRANT);
    if (!answer)
        return -ENOMEM;
    writer_init(&writer, answer);
    writer_i64(&writer, asked_ms);
    return 0;
}

int agent_lease_granted(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    int64_t asked_ms = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_i64(&reader, &asked_ms);
    if (reader_end(&reader) < 0 || asked_ms > agent->now_ms)
        return -EBADMSG;
    if (intent_is_voter(agent->intent, from))
        lease_extended(agent, asked_ms);
    return 0;
}
