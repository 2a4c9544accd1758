/* This peer's part in the feed: signing as the leader, serving to others, pulling what it lacks. */
#include <errno.h>

#include "node/control/agent_private.h"

static const char head_key[] = "head";

void agent_feed_applied(struct agent *agent, const struct raft_entry *entry)
{
    feed_remember(&agent->feed, entry);
}

/* The announced head becomes the one that we serve, once our intent stands at it. */
static void reach_head(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (feed->announced.index > feed->head.index &&
        feed->announced.index <= agent->intent->applied_index)
        feed->head = feed->announced;
    if (feed->announced.index <= agent->intent->applied_index)
        feed->pull_at_ms = INT64_MAX;
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

void agent_feed_sign(struct agent *agent)
{
    if (agent_leads(agent)) {
        if (feed_head_sign(agent->intent, agent->config.identity, &agent->feed.head) < 0) {
            agent->failed = true;
            return;
        }
        agent->feed.announced = agent->feed.head;
        announce(agent);
    }
    reach_head(agent);
}

/* Only a voter can have led. A peer that lags may not know the newest voters: then any admitted
 * peer's word starts a pull, and the pulled intent itself says whether the signer votes. */
static bool may_sign(const struct intent *intent, const struct id *signer)
{
    const struct intent_peer *peer = intent_peer_find(intent, signer);
    return peer && peer->role == INTENT_PEER && peer->state != INTENT_REVOKED;
}

void agent_feed_head_seen(struct agent *agent, const struct id *from, struct bytes value)
{
    struct feed *feed = &agent->feed;
    struct feed_head head;
    struct reader reader;
    reader_init(&reader, value.data, value.size);
    if (feed_head_read(&reader, &head) < 0 || reader_end(&reader) < 0)
        return;
    if (head.index <= feed->announced.index)
        return;
    bool known = intent_peer_find(agent->intent, &head.signer) != NULL;
    int rc = known && !may_sign(agent->intent, &head.signer)
                 ? -EKEYREJECTED
                 : feed_head_verify(&head, &agent->config.cluster);
    if (rc == -ENOMEM) {
        agent->failed = true; /* gossip says it only once */
        return;
    }
    if (rc < 0) {
        agent_add_event(agent, AGENT_FEED_BAD, from);
        return;
    }
    feed->announced = head;
    reach_head(agent);
    if (feed->announced.index > agent->intent->applied_index && feed->pull_at_ms == INT64_MAX)
        feed->pull_at_ms = agent->now_ms + FEED_PULL_DELAY_MS;
}

/* Raft brings it, if this peer takes part and hears from the leader. */
static bool raft_feeds_us(const struct agent *agent)
{
    const struct raft_configuration *configuration = raft_configuration(agent->raft);
    return raft_configuration_find(configuration, &agent->self) &&
           agent->now_ms - agent->raft_progress_ms < 2 * FEED_RETRY_MS;
}

/* A live peer to ask, any with equal chance: so the work of feeding spreads over the fleet. */
static const struct swim_member *choose_source(struct agent *agent)
{
    const struct swim_member *chosen = NULL;
    uint64_t seen = 0;
    for (size_t i = 0; i < swim_member_count(agent->swim); i++) {
        const struct swim_member *member = swim_member_at(agent->swim, i);
        if (member->state != SWIM_ALIVE || id_equal(&member->id, &agent->self))
            continue;
        if (random_chance(&agent->random, 1, ++seen))
            chosen = member;
    }
    return chosen;
}

void agent_feed_tick(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (agent->now_ms < feed->pull_at_ms)
        return;
    feed->pull_at_ms = agent->now_ms + FEED_RETRY_MS;
    const struct swim_member *source = raft_feeds_us(agent) ? NULL : choose_source(agent);
    if (!source)
        return;
    struct buffer *bytes = agent_add_send(agent, &source->id, &source->address, AGENT_FEED_PULL);
    struct writer writer;
    if (!bytes)
        return;
    writer_init(&writer, bytes);
    writer_u64(&writer, agent->intent->applied_index);
}

static int pull_received(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct reader reader;
    uint64_t index = 0;
    reader_init(&reader, bytes.data, bytes.size);
    reader_u64(&reader, &index);
    if (reader_end(&reader) < 0)
        return -EBADMSG;
    struct buffer *answer = agent_add_send(agent, from, NULL, AGENT_FEED_PUSH);
    return answer ? feed_push_encode(&agent->feed, agent->intent, index, answer) : -ENOMEM;
}

static void store_intent(struct agent *agent)
{
    struct agent_write *write = agent_add_write(agent);
    if (!write || intent_write(agent->intent, &write->intent) < 0)
        agent->failed = true;
}

static int push_received(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct intent *newer;
    struct feed_head head;
    int rc = feed_push_decode(agent->intent, bytes, &newer, &head);
    if (rc == -EKEYREJECTED || (rc == 0 && newer && !may_sign(newer, &head.signer))) {
        if (rc == 0)
            intent_free(newer);
        agent_add_event(agent, AGENT_FEED_BAD, from);
        return 0;
    }
    if (rc < 0)
        return rc;
    if (!newer) {
        if (agent->feed.pull_at_ms != INT64_MAX)
            agent->feed.pull_at_ms = agent->now_ms + FEED_PULL_DELAY_MS; /* ask another */
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
