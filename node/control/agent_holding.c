/* What each peer holds, said by gossip while most voters are gone: so that an operator who has to
 * recover does it where nothing, or least, is lost. */
#include "node/control/agent_private.h"

static const char holding_key[] = "holding";

bool agent_is_holding_key(struct bytes key)
{
    return bytes_equal(key, bytes_of_text(holding_key));
}

/* The log goes on from what is applied if it has the same entry there (log matching, §5.3): the
 * feed may have brought this peer past a log that others have replaced. */
uint64_t agent_log_tail(const struct agent *agent)
{
    const struct intent *intent = agent->intent;
    const struct raft_entry *entry = raft_entry_at(agent->raft, intent->applied_index);
    const struct raft_snapshot *snapshot = raft_snapshot(agent->raft);
    uint64_t term = 0;
    if (entry)
        term = entry->term;
    else if (snapshot && snapshot->index == intent->applied_index)
        term = snapshot->term;
    bool goes_on = term == intent->applied_term &&
                   raft_configuration_votes(&intent->configuration, &agent->self) &&
                   agent->raft_status.last_index > intent->applied_index;
    return goes_on ? agent->raft_status.last_index : 0;
}

void agent_holding(const struct agent *agent, struct view_holding *ret)
{
    uint64_t tail = agent_log_tail(agent);
    *ret = (struct view_holding){.applied = agent->intent->applied_index,
                                 .index = agent->intent->applied_index,
                                 .term = agent->intent->applied_term};
    if (tail > 0) {
        ret->index = tail;
        ret->term = agent->raft_status.last_term;
    }
}

bool agent_most_voters_are_gone(const struct agent *agent)
{
    const struct raft_configuration *configuration = &agent->intent->configuration;
    unsigned voters = 0, alive = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct id *id = &configuration->members[i].id;
        const struct view_peer *peer = view_peer_find(&agent->view, id);
        if (!raft_configuration_votes(configuration, id))
            continue;
        voters++;
        alive += id_equal(id, &agent->self) ||
                 (peer && peer->liveness != VIEW_DEAD && peer->liveness != VIEW_LEFT);
    }
    return alive * 2 <= voters;
}

static void say(struct agent *agent, const struct view_holding *holding)
{
    cleanup_buffer struct buffer value = {0};
    if (view_holding_encode(holding, &value) < 0 ||
        swim_publish(agent->swim, agent->now_ms, SWIM_TABLE_FEED, bytes_of_text(holding_key),
                     buffer_view(&value)) < 0)
        return; /* tried again at the next look */
    agent->says_holding = true;
    agent->said_holding = *holding;
}

void agent_holding_tick(struct agent *agent)
{
    struct view_holding holding;
    if (agent->now_ms < agent->holding_next_ms)
        return;
    agent->holding_next_ms = agent->now_ms + AGENT_HOLDING_INTERVAL_MS;
    bool shall_say = agent_most_voters_are_gone(agent);
    agent_holding(agent, &holding);
    bool is_news = !agent->says_holding || holding.applied != agent->said_holding.applied ||
                   view_holding_compare(&holding, &agent->said_holding) != 0;
    if (shall_say && is_news)
        say(agent, &holding);
    else if (!shall_say && agent->says_holding &&
             swim_withdraw(agent->swim, agent->now_ms, SWIM_TABLE_FEED,
                           bytes_of_text(holding_key)) == 0)
        agent->says_holding = false;
}

void agent_holding_seen(struct agent *agent, const struct id *owner, struct bytes value)
{
    struct view_holding holding;
    if (view_holding_decode(value, &holding) < 0)
        return;
    struct view_peer *peer = view_peer_get(&agent->view, owner);
    if (!peer) {
        agent->failed = true;
        return;
    }
    peer->holding = holding;
    peer->has_holding = true;
}

void agent_holding_withdrawn(struct agent *agent, const struct id *owner)
{
    struct view_peer *peer = view_peer_find(&agent->view, owner);
    if (peer)
        peer->has_holding = false;
}
