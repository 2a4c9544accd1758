/* Asking for what this peer lacks: when, and whom, so that nobody's work grows with the fleet.
 *
 * Who told us of a head by gossip was told before us and has likely pulled it by now: it is asked
 * first. So the entries go the ways that the head went, and no peer answers more than it told. The
 * leader is spared as long as there are others: at first another voter is asked in its place, then
 * others by chance.
 */
#include "node/control/agent_private.h"

/* Asks soon, but not at once again because of one more word that nothing comes of. */
void agent_feed_pull_soon(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    int64_t at_ms = agent->now_ms + FEED_PULL_DELAY_MS;
    if (at_ms < feed->pulled_at_ms + FEED_RETRY_MS)
        at_ms = feed->pulled_at_ms + FEED_RETRY_MS;
    if (at_ms < feed->pull_at_ms)
        feed->pull_at_ms = at_ms;
}

/* What was asked has nothing, or nothing that is right. */
void agent_feed_ask_another(struct agent *agent)
{
    if (agent_feed_lags(agent))
        agent->feed.pull_at_ms = agent->now_ms + FEED_PULL_DELAY_MS;
}

/* Raft never brings what is of a new epoch. */
static bool awaits_epoch(const struct agent *agent)
{
    const struct feed *feed = &agent->feed;
    uint64_t newest =
        feed->announced.index > feed->hinted_index ? feed->announced.index : feed->hinted_index;
    return intent_epoch_of(newest) > agent->intent->epoch;
}

/* Raft brings it, if this peer takes part and hears from the leader. */
static bool raft_feeds_us(const struct agent *agent)
{
    if (awaits_epoch(agent))
        return false;
    const struct raft_configuration *configuration = raft_configuration(agent->raft);
    return raft_configuration_find(configuration, &agent->self) &&
           agent->now_ms - agent->raft_progress_ms < 2 * FEED_RETRY_MS;
}

static bool is_leader(const struct agent *agent, const struct id *id)
{
    struct id leader = agent_leader(agent);
    const struct feed_head *announced = &agent->feed.announced;
    return id_equal(id, &leader) || (announced->index > 0 && id_equal(id, &announced->signer));
}

static bool lives(const struct agent *agent, const struct id *id)
{
    struct swim_member member;
    return !id_equal(id, &agent->self) && swim_member_find(agent->swim, id, &member) &&
           member.state == SWIM_ALIVE;
}

/* Another live voter than the leader, by chance. */
static bool choose_voter(struct agent *agent, struct id *ret)
{
    const struct raft_configuration *configuration = &agent->intent->configuration;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct id *id = &configuration->members[i].id;
        if (intent_is_voter(agent->intent, id) && lives(agent, id) && !is_leader(agent, id) &&
            random_chance(&agent->random, 1, ++seen))
            *ret = *id;
    }
    return seen > 0;
}

/* Any live peer, by chance; the leader only if it is among those that may be asked now. */
static bool choose_any(struct agent *agent, bool spares_leader, struct id *ret)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < swim_member_count(agent->swim); i++) {
        const struct swim_member member = swim_member_at(agent->swim, i);
        if (member.state != SWIM_ALIVE || id_equal(&member.id, &agent->self) ||
            (spares_leader && is_leader(agent, &member.id)))
            continue;
        if (random_chance(&agent->random, 1, ++seen))
            *ret = member.id;
    }
    return seen > 0;
}

static bool choose_source(struct agent *agent, struct id *ret)
{
    const struct feed *feed = &agent->feed;
    if (feed->tries == 0 && lives(agent, &feed->teller)) {
        if (is_leader(agent, &feed->teller) && choose_voter(agent, ret))
            return true;
        *ret = feed->teller;
        return true;
    }
    bool spares_leader = feed->tries % FEED_LEADER_EACH_TRIES != FEED_LEADER_EACH_TRIES - 1;
    return choose_any(agent, spares_leader, ret) || choose_any(agent, false, ret);
}

static bool is_stale(const struct agent *agent, const struct feed_fetch *fetch)
{
    return agent->now_ms >= fetch->started_ms + FEED_FETCH_MS_MAX ||
           fetch->head.state_index <= agent->intent->applied_index;
}

void agent_feed_pull(struct agent *agent, const struct id *from)
{
    struct feed *feed = &agent->feed;
    struct feed_pull pull = {.index = agent->intent->applied_index};
    struct buffer *bytes = agent_add_send(agent, from, NULL, AGENT_FEED_PULL);
    struct writer writer;
    if (!bytes)
        return;
    if (feed->fetch.head.index > 0 && is_stale(agent, &feed->fetch))
        feed_fetch_done(&feed->fetch);
    if (feed->fetch.head.index > 0) {
        pull.state_index = feed->fetch.head.state_index;
        pull.part = feed_fetch_part(&feed->fetch);
    } else if (feed->wants_state) {
        pull.state_index = feed->announced.state_index;
    }
    writer_init(&writer, bytes);
    feed_pull_write(&writer, &pull);
    if (writer_check(&writer) < 0)
        agent->failed = true;
}

void agent_feed_tick(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    struct id source;
    if (agent->now_ms < feed->pull_at_ms)
        return;
    feed->pulled_at_ms = agent->now_ms;
    feed->pull_at_ms =
        agent->now_ms + (agent_feed_lags(agent) ? FEED_RETRY_MS : FEED_HINT_RETRY_MS);
    if (raft_feeds_us(agent) || !choose_source(agent, &source))
        return;
    feed->tries++;
    agent_feed_pull(agent, &source);
}
