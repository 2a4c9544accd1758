/* This peer's part in the feed: signing as the leader, serving to others, pulling what it lacks. */
#include <errno.h>

#include "node/control/agent_private.h"

static const char head_key[] = "head";

void agent_feed_applied(struct agent *agent, const struct raft_entry *entry)
{
    feed_remember(&agent->feed, entry);
}

static bool lags(const struct agent *agent)
{
    return agent->feed.announced.index > agent->intent->applied_index;
}

static bool may_lag(const struct agent *agent)
{
    return lags(agent) || agent->feed.hinted_index > agent->intent->applied_index;
}

/* The announced head becomes the one that we serve, once our intent stands at it; it is forgotten
 * if its signer turns out not to vote any more, lest a head that is made up hides the true ones. */
static void reach_head(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (lags(agent) && !succession_may_sign(agent->intent, &feed->announced.signer))
        feed->announced = feed->head;
    if (feed->announced.index > feed->head.index && !lags(agent))
        feed->head = feed->announced;
    if (!may_lag(agent))
        feed->pull_at_ms = INT64_MAX;
    if (agent->intent_is_old && feed->announced.index > 0 && !may_lag(agent)) {
        agent->intent_is_old = false;
        agent->output->wanted_changed = true;
    }
}

/* Asks soon, but not at once again because of one more word that nothing comes of. */
static void pull_soon(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    int64_t at_ms = agent->now_ms + FEED_PULL_DELAY_MS;
    if (at_ms < feed->pulled_at_ms + FEED_RETRY_MS)
        at_ms = feed->pulled_at_ms + FEED_RETRY_MS;
    if (at_ms < feed->pull_at_ms)
        feed->pull_at_ms = at_ms;
}

/* The leader says in gossip what the newest head is. Its record stands also when it dies; a new
 * leader commits an entry of its own and so signs a newer one. */
static void announce(struct agent *agent)
{
    cleanup_buffer struct buffer value = {0};
    struct writer writer;
    writer_init(&writer, &value);
    feed_head_write(&writer, &agent->feed.head);
    if (writer_check(&writer) < 0 || swim_publish(agent->swim, agent->now_ms, SWIM_TABLE_FEED,
                                                  bytes_of_text(head_key), buffer_view(&value)) < 0)
        agent->failed = true;
}

void agent_feed_reached(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    int64_t at_ms = feed->signed_at_ms + FEED_SIGN_EACH_MS;
    if (agent_leads(agent) && feed->sign_at_ms == INT64_MAX)
        feed->sign_at_ms = at_ms > agent->now_ms ? at_ms : agent->now_ms;
    reach_head(agent);
}

/* Signs what was committed: at once if it is a while since the last time, else then, for all that
 * is committed until that. For it takes the whole intent's bytes, and each head goes through the
 * whole fleet. */
void agent_feed_sign(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (agent->now_ms < feed->sign_at_ms)
        return;
    feed->sign_at_ms = INT64_MAX;
    if (!agent_leads(agent))
        return;
    if (feed_head_sign(agent->intent, agent->config.identity, &feed->head) < 0) {
        agent->failed = true;
        return;
    }
    feed->signed_at_ms = agent->now_ms;
    if (feed->head.index > feed->announced.index) /* else there is a newer epoch */
        feed->announced = feed->head;
    announce(agent);
    reach_head(agent);
}

int64_t agent_feed_deadline(const struct agent *agent)
{
    const struct feed *feed = &agent->feed;
    return feed->sign_at_ms < feed->pull_at_ms ? feed->sign_at_ms : feed->pull_at_ms;
}

/* -EKEYREJECTED, if it is nobody's word or that of one who can't come to vote; or -ENOMEM. */
static int check_head(const struct agent *agent, const struct feed_head *head)
{
    const struct intent_peer *signer = intent_peer_find(agent->intent, &head->signer);
    if (signer && (signer->role != INTENT_PEER || signer->state == INTENT_REVOKED))
        return -EKEYREJECTED;
    return feed_head_verify(head, &agent->config.cluster);
}

/* A word of one who votes, as far as we know, is taken for true. Another may vote by now, if we
 * lag: its word is reason to ask, and what comes must itself show that (succession_check). */
void agent_feed_head_seen(struct agent *agent, const struct id *from, struct bytes value)
{
    struct feed *feed = &agent->feed;
    struct feed_head head;
    struct reader reader;
    reader_init(&reader, value.data, value.size);
    if (feed_head_read(&reader, &head) < 0 || reader_end(&reader) < 0)
        return;
    bool votes = succession_may_sign(agent->intent, &head.signer);
    uint64_t newest = votes ? feed->announced.index : agent->intent->applied_index;
    if (head.index <= newest)
        return;
    int rc = check_head(agent, &head);
    if (rc == -ENOMEM) {
        agent->failed = true; /* gossip says it only once */
        return;
    }
    if (rc < 0) {
        agent_add_event(agent, AGENT_FEED_BAD, from);
        return;
    }
    if (votes && !agent_level_fits(agent, &(struct intent_level){.number = head.level}))
        return;
    if (votes)
        feed->announced = head;
    else
        feed->hinted_index = head.index;
    reach_head(agent);
    if (may_lag(agent))
        pull_soon(agent);
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

/* A live peer to ask, any with equal chance: so the work of feeding spreads over the fleet. */
static bool choose_source(struct agent *agent, struct swim_member *ret)
{
    uint64_t seen = 0;
    for (size_t i = 0; i < swim_member_count(agent->swim); i++) {
        const struct swim_member member = swim_member_at(agent->swim, i);
        if (member.state != SWIM_ALIVE || id_equal(&member.id, &agent->self))
            continue;
        if (random_chance(&agent->random, 1, ++seen))
            *ret = member;
    }
    return seen > 0;
}

void agent_feed_pull(struct agent *agent, const struct id *from)
{
    struct buffer *bytes = agent_add_send(agent, from, NULL, AGENT_FEED_PULL);
    struct writer writer;
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    writer_u64(&writer, agent->intent->applied_index);
}

void agent_feed_tick(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (agent->now_ms < feed->pull_at_ms)
        return;
    feed->pulled_at_ms = agent->now_ms;
    feed->pull_at_ms = agent->now_ms + (lags(agent) ? FEED_RETRY_MS : FEED_HINT_RETRY_MS);
    struct swim_member source;
    if (!raft_feeds_us(agent) && choose_source(agent, &source))
        agent_feed_pull(agent, &source.id);
}

static int pull_received(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    uint64_t index = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_u64(&reader, &index);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    if (index >= agent->feed.head.index && agent->feed.sign_at_ms != INT64_MAX) {
        agent->feed.sign_at_ms = agent->now_ms; /* it waits for what is not signed yet */
        agent_feed_sign(agent);
    }
    struct buffer *answer = agent_add_send(agent, from, NULL, AGENT_FEED_PUSH);
    return answer ? feed_push_encode(&agent->feed, agent->intent, index, answer) : -ENOMEM;
}

static void store_intent(struct agent *agent)
{
    struct agent_write *write = agent_add_write(agent);
    if (!write || intent_write(agent->intent, &write->intent) < 0)
        agent->failed = true;
}

/* What can't be believed is thrown away, and the sender named. */
static int refuse(struct agent *agent, const struct id *from, struct intent *newer, int rc)
{
    intent_free(newer);
    if (rc != -EKEYREJECTED && rc != -ESTALE)
        return rc;
    agent_add_event(agent, rc == -ESTALE ? AGENT_FEED_TOO_FAR : AGENT_FEED_BAD, from);
    return 0;
}

static int push_received(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct intent *newer = NULL;
    struct feed_head head;
    if (agent->renewal.intent)
        return 0; /* it waits for the disk */
    int rc = feed_push_decode(agent->intent, bytes, &newer, &head);
    if (rc == 0 && !newer) {
        if (lags(agent))
            agent->feed.pull_at_ms = agent->now_ms + FEED_PULL_DELAY_MS; /* ask another */
        return 0;
    }
    if (rc == 0)
        rc = succession_check(agent->intent, newer, &head.signer);
    if (rc < 0)
        return refuse(agent, from, newer, rc);
    if (newer->epoch > agent->intent->epoch) {
        agent_epoch_begin(agent, newer, &head, 0);
        return 0;
    }
    intent_free(agent->intent);
    agent->intent = newer;
    feed_forget(&agent->feed);
    agent->feed.head = head;
    if (head.index > agent->feed.announced.index)
        agent->feed.announced = head;
    reach_head(agent);
    store_intent(agent);
    agent_intent_changed(agent);
    return 0;
}

int agent_feed_message(struct agent *agent, uint8_t kind, const struct id *from, struct bytes bytes)
{
    return kind == AGENT_FEED_PULL ? pull_received(agent, from, bytes)
                                   : push_received(agent, from, bytes);
}
