/* This peer's part in the feed: what the newest head is, and signing it as the leader. Asking
 * others is agent_feed_pull.c, answering and taking answers agent_feed_push.c. */
#include <errno.h>

#include "node/control/agent_private.h"

static const char head_key[] = "head";

void agent_feed_applied(struct agent *agent, const struct raft_entry *entry)
{
    struct feed *feed = &agent->feed;
    feed_remember(feed, entry);
    feed->new_entries++;
    feed->new_bytes += entry->data.size;
    feed->hashed_bytes += INTENT_CHAIN_BYTES + 3 * sizeof(uint64_t) + entry->data.size;
}

bool agent_feed_lags(const struct agent *agent)
{
    return agent->feed.announced.index > agent->intent->applied_index;
}

bool agent_feed_may_lag(const struct agent *agent)
{
    return agent_feed_lags(agent) || agent->feed.hinted_index > agent->intent->applied_index;
}

void agent_feed_reach_head(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (agent_feed_lags(agent) && !succession_may_sign(agent->intent, &feed->announced.signer))
        feed->announced = feed->head;
    if (feed->announced.index > feed->head.index && !agent_feed_lags(agent))
        feed->head = feed->announced;
    if (feed_state_is(&feed->state, &feed->head))
        feed->state.head = feed->head;
    if (!agent_feed_may_lag(agent))
        feed->pull_at_ms = INT64_MAX;
    if (agent->intent_is_old && feed->announced.index > 0 && !agent_feed_may_lag(agent)) {
        agent->intent_is_old = false;
        agent->output->wanted_changed = true;
        if (feed->stored.is_damaged)
            agent_feed_store_whole(agent);
    }
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
    agent_feed_reach_head(agent);
}

/* Whether a whole intent is to be offered anew: this leader has not yet, or those who begin from
 * the one that is offered would soon not find the entries that follow. */
static bool offer_is_due(const struct agent *agent)
{
    const struct feed *feed = &agent->feed;
    size_t first;
    if (feed->state_term != agent->raft_status.term ||
        feed->new_entries >= FEED_STATE_EACH_ENTRIES || feed->new_bytes >= FEED_STATE_EACH_BYTES)
        return true;
    uint64_t applied = agent->intent->applied_index;
    return feed->state.index > 0 && feed->state.index < applied &&
           !feed_remembers(feed, feed->state.index, applied, &first);
}

/* -ENOMEM. One that is too large to be offered is not. */
static int offer(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    struct feed_state state = {0};
    if (!offer_is_due(agent))
        return 0;
    int rc = feed_state_make(agent->intent, &state);
    if (rc < 0 && rc != -EFBIG)
        return rc;
    feed_state_done(&feed->state);
    feed->state = state;
    feed->state_term = agent->raft_status.term;
    feed->new_entries = feed->new_bytes = 0;
    feed->hashed_bytes += state.bytes.size;
    return 0;
}

/* Signs what was committed: at once if it is a while since the last time, else then, for all that
 * is committed until that, since each head goes through the whole fleet. */
void agent_feed_sign(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    if (agent->now_ms < feed->sign_at_ms)
        return;
    feed->sign_at_ms = INT64_MAX;
    if (!agent_leads(agent))
        return;
    if (offer(agent) < 0 ||
        feed_head_sign(agent->intent, &feed->state, agent->config.identity, &feed->head) < 0) {
        agent->failed = true;
        return;
    }
    feed->state.head = feed->head;
    feed->signed_at_ms = agent->now_ms;
    if (feed->head.index > feed->announced.index) /* else there is a newer epoch */
        feed->announced = feed->head;
    announce(agent);
    agent_feed_reach_head(agent);
}

int64_t agent_feed_deadline(const struct agent *agent)
{
    const struct feed *feed = &agent->feed;
    return feed->sign_at_ms < feed->pull_at_ms ? feed->sign_at_ms : feed->pull_at_ms;
}

int agent_feed_check_head(const struct agent *agent, const struct feed_head *head)
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
    int rc = agent_feed_check_head(agent, &head);
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
    if (votes) {
        feed->announced = head;
        feed->teller = agent->heard_from;
        feed->tries = 0;
    } else {
        feed->hinted_index = head.index;
    }
    agent_feed_reach_head(agent);
    if (agent_feed_may_lag(agent))
        agent_feed_pull_soon(agent);
}
