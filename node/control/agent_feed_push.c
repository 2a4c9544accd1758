/* Answering what others lack, within bounds; and taking answers, which are believed only as far as
 * their hashes and signatures go. */
#include <errno.h>
#include <string.h>

#include "node/control/agent_private.h"

/* Whether there is something left of what this peer answers in a time. Who is not answered asks
 * another. */
static bool may_serve(struct agent *agent)
{
    struct feed *feed = &agent->feed;
    int64_t passed_ms = agent->now_ms - feed->served_at_ms;
    int64_t full_ms = (int64_t)FEED_SERVE_BURST_BYTES * 1000 / FEED_SERVE_BYTES_PER_SECOND;
    if (passed_ms > 2 * full_ms)
        feed->serve_bytes = FEED_SERVE_BURST_BYTES;
    else
        feed->serve_bytes += passed_ms * FEED_SERVE_BYTES_PER_SECOND / 1000;
    if (feed->serve_bytes > FEED_SERVE_BURST_BYTES)
        feed->serve_bytes = FEED_SERVE_BURST_BYTES;
    feed->served_at_ms = agent->now_ms;
    return feed->serve_bytes > 0;
}

static int pull_received(struct agent *agent, const struct id *from, struct bytes bytes)
{
    static const struct feed nothing;
    struct feed *feed = &agent->feed;
    struct feed_pull pull;
    int rc = feed_pull_read(bytes, &pull);
    if (rc < 0)
        return rc;
    if (pull.index >= feed->head.index && feed->sign_at_ms != INT64_MAX) {
        feed->sign_at_ms = agent->now_ms; /* it waits for what is not signed yet */
        agent_feed_sign(agent);
    }
    bool serves = may_serve(agent);
    struct buffer *answer = agent_add_send(agent, from, NULL, AGENT_FEED_PUSH);
    if (!answer)
        return -ENOMEM;
    rc = feed_push_encode(serves ? feed : &nothing, &pull, answer);
    feed->serve_bytes -=
        answer->size > FEED_SERVE_BYTES_MIN ? (int64_t)answer->size : FEED_SERVE_BYTES_MIN;
    return rc;
}

/* What can't be believed is thrown away, the sender named, and another asked. */
static int refuse(struct agent *agent, const struct id *from, int rc)
{
    if (rc != -EKEYREJECTED && rc != -ESTALE)
        return rc;
    agent_add_event(agent, rc == -ESTALE ? AGENT_FEED_TOO_FAR : AGENT_FEED_BAD, from);
    return 0;
}

/* The intent stands where it stands by `head`, or by entries that lead to it from `before`. */
static void reached(struct agent *agent, const struct feed_head *head,
                    const struct feed_push *entries, uint64_t before)
{
    struct feed *feed = &agent->feed;
    feed->tries = 0;
    feed->head = head->index == agent->intent->applied_index ? *head : (struct feed_head){0};
    if (head->index > feed->announced.index)
        feed->announced = *head;
    agent_feed_store(agent, entries, before);
    agent_feed_reach_head(agent);
    agent_intent_changed(agent);
}

static int copy_intent(const struct intent *intent, struct intent **ret)
{
    cleanup_buffer struct buffer state = {0};
    int rc = intent_write(intent, &state);
    return rc < 0 ? rc : intent_read(buffer_view(&state), ret);
}

/* By entries that nothing is to be learnt from but what they change: who signed the head is
 * believed, and they lead to it. */
static int apply_here(struct agent *agent, const struct feed_push *push)
{
    uint64_t before = agent->intent->applied_index;
    int rc = feed_entries_apply(agent->intent, push, NULL);
    if (rc < 0) {
        agent->failed = true;
        agent_level_fits(agent, &agent->intent->level);
        return rc == -EPROTONOSUPPORT ? 0 : rc;
    }
    feed_entries_remember(&agent->feed, push, before);
    return 0;
}

/* By entries of which it shows only then whether they are to be believed. */
static int apply_to_copy(struct agent *agent, const struct feed_push *push)
{
    uint64_t before = agent->intent->applied_index;
    struct feed_state passed = {0};
    struct intent *newer = NULL;
    int rc = copy_intent(agent->intent, &newer);
    if (rc == 0) {
        rc = feed_entries_apply(newer, push, &passed);
        agent->feed.wants_state |= rc == -EKEYREJECTED;
    }
    if (rc == 0)
        rc = succession_check(agent->intent, newer, &push->head.signer);
    if (rc < 0) {
        intent_free(newer);
        feed_state_done(&passed);
        return rc;
    }
    intent_free(agent->intent);
    agent->intent = newer;
    feed_entries_remember(&agent->feed, push, before);
    if (passed.index > 0) {
        feed_state_done(&agent->feed.state);
        agent->feed.state = passed;
    }
    return 0;
}

static int entries_received(struct agent *agent, const struct id *from,
                            const struct feed_push *push)
{
    const struct feed_head *head = &push->head;
    uint64_t applied = agent->intent->applied_index;
    if (head->index <= applied) {
        agent_feed_ask_another(agent);
        return 0;
    }
    int rc = agent_feed_check_head(agent, head);
    if (rc == 0)
        rc = feed_entries_check(agent->intent, push);
    if (rc == 0) {
        bool is_simple = succession_may_sign(agent->intent, &head->signer) &&
                         !push->has_configuration && head->state_index <= applied;
        rc = is_simple ? apply_here(agent, push) : apply_to_copy(agent, push);
    }
    if (rc < 0)
        return refuse(agent, from, rc);
    if (!agent->failed)
        reached(agent, head, push, applied);
    return 0;
}

/* -EKEYREJECTED: it is not of this cluster, or not as the head says. */
static int read_fetched(const struct agent *agent, struct intent **ret)
{
    const struct feed_fetch *fetch = &agent->feed.fetch;
    struct intent *newer;
    int rc = intent_read(buffer_view(&fetch->bytes), &newer);
    if (rc < 0)
        return rc == -EBADMSG ? -EKEYREJECTED : rc;
    if (!id_equal(&newer->cluster, &agent->intent->cluster) ||
        newer->applied_index != fetch->head.state_index)
        rc = -EKEYREJECTED;
    if (rc == 0)
        rc = succession_check(agent->intent, newer, &fetch->head.signer);
    if (rc < 0) {
        intent_free(newer);
        return rc;
    }
    *ret = newer;
    return 0;
}

/* What was fetched is offered by us, too. */
static void offer_fetched(struct feed *feed)
{
    struct feed_fetch *fetch = &feed->fetch;
    feed_state_done(&feed->state);
    feed->state = (struct feed_state){.index = fetch->head.state_index,
                                      .head = fetch->head,
                                      .bytes = fetch->bytes,
                                      .hashes = fetch->hashes};
    memcpy(feed->state.hash, fetch->head.state_hash, FEED_HASH_BYTES);
    *fetch = (struct feed_fetch){0};
}

static int take_fetched(struct agent *agent, const struct id *from)
{
    struct feed *feed = &agent->feed;
    struct feed_head head = feed->fetch.head;
    struct intent *newer = NULL;
    int rc = read_fetched(agent, &newer);
    if (rc < 0) {
        feed_fetch_done(&feed->fetch);
        agent_feed_ask_another(agent);
        return refuse(agent, from, rc);
    }
    feed->wants_state = false;
    if (newer->epoch > agent->intent->epoch) {
        feed_fetch_done(&feed->fetch);
        agent_epoch_begin(agent, newer, &head, 0);
        return 0;
    }
    intent_free(agent->intent);
    agent->intent = newer;
    feed_forget(feed);
    offer_fetched(feed);
    reached(agent, &head, NULL, 0);
    if (agent_feed_lags(agent))
        agent_feed_pull(agent, from); /* the entries that follow */
    return 0;
}

/* One that is being pulled is not given up for another, unless no more of it comes. */
static int part_received(struct agent *agent, const struct id *from, const struct feed_push *push)
{
    struct feed *feed = &agent->feed;
    struct feed_fetch *fetch = &feed->fetch;
    bool is_busy =
        fetch->head.index > 0 && agent->now_ms < fetch->progress_ms + FEED_FETCH_STALLED_MS;
    bool goes_on = feed_fetch_is_of(fetch, &push->head);
    int rc = 0;
    if (push->head.state_index <= agent->intent->applied_index || (is_busy && !goes_on)) {
        agent_feed_ask_another(agent);
        return 0;
    }
    if (!goes_on)
        rc = agent_feed_check_head(agent, &push->head);
    if (rc == 0)
        rc = goes_on ? feed_fetch_take(fetch, push, agent->now_ms)
                     : feed_fetch_begin(fetch, push, agent->now_ms);
    if (rc == -EAGAIN)
        return 0;
    if (rc < 0) {
        agent_feed_ask_another(agent);
        return refuse(agent, from, rc);
    }
    if (feed_fetch_is_whole(fetch))
        return take_fetched(agent, from);
    feed->pulled_at_ms = agent->now_ms;
    feed->pull_at_ms = agent->now_ms + FEED_RETRY_MS;
    agent_feed_pull(agent, from);
    return 0;
}

static int push_received(struct agent *agent, const struct id *from, struct bytes bytes)
{
    struct feed_push push;
    int rc = feed_push_read(bytes, &push);
    if (rc < 0)
        return rc;
    if (agent->renewal.intent)
        return 0; /* it waits for the disk */
    switch (push.kind) {
    case FEED_PUSH_ENTRIES:
        return entries_received(agent, from, &push);
    case FEED_PUSH_PART:
        return part_received(agent, from, &push);
    case FEED_PUSH_NOTHING:
        break;
    }
    agent_feed_ask_another(agent);
    return 0;
}

int agent_feed_message(struct agent *agent, uint8_t kind, const struct id *from, struct bytes bytes)
{
    return kind == AGENT_FEED_PULL ? pull_received(agent, from, bytes)
                                   : push_received(agent, from, bytes);
}
