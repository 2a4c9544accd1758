/* Going over to a new epoch: because an operator recovers at this peer, or since the feed brought
 * it.
 *
 * Raft begins anew then, from the intent: what its log held beyond belongs to an epoch that is
 * over. All is in one write, and nothing is said of the new epoch before that is on the disk.
 */
#include <errno.h>
#include <stdlib.h>

#include "node/control/agent_private.h"

bool agent_epoch_fits(const struct agent *agent, const struct raft_message *message)
{
    return !agent->renewal.intent && intent_epoch_of(message->term) == agent->intent->epoch;
}

/* What Raft is to begin from. Nobody has voted in the epoch's first term, and this peer in none of
 * its terms: it heard of the epoch just now. */
static struct raft_snapshot snapshot_of(const struct intent *intent, struct bytes state,
                                        struct raft_hard_state *ret_hard_state)
{
    *ret_hard_state =
        (struct raft_hard_state){.term = intent->applied_term, .commit = intent->applied_index};
    return (struct raft_snapshot){.index = intent->applied_index,
                                  .term = intent->applied_term,
                                  .configuration = intent->configuration,
                                  .data = state};
}

void agent_epoch_begin(struct agent *agent, struct intent *intent, const struct feed_head *head,
                       uint64_t request)
{
    struct agent_write *write = agent_add_write(agent);
    agent->renewal = (struct agent_renewal){.intent = intent, .request = request};
    if (head)
        agent->renewal.head = *head;
    if (!write || intent_write(intent, &write->intent) < 0) {
        agent->failed = true;
        return;
    }
    write->sequence = AGENT_EPOCH_SEQUENCE;
    write->hard_state_changed = write->has_snapshot = true;
    write->snapshot = snapshot_of(intent, buffer_view(&write->intent), &write->hard_state);
    agent_feed_stored_by_raft(agent, write);
    agent->held_count = 0; /* votes and acknowledgements of an epoch that is over */
    agent->raft_deadline_ms = INT64_MAX;
}

static int renew_raft(struct agent *agent)
{
    cleanup_buffer struct buffer state = {0};
    struct raft_hard_state hard_state;
    struct raft *old = agent->raft;
    int rc = intent_write(agent->intent, &state);
    if (rc < 0)
        return rc;
    struct raft_snapshot snapshot = snapshot_of(agent->intent, buffer_view(&state), &hard_state);
    const struct raft_stored stored = {.hard_state = hard_state,
                                       .snapshot = &snapshot,
                                       .log_index = snapshot.index,
                                       .log_term = snapshot.term};
    rc = agent_raft_start(agent, &stored, agent->now_ms);
    if (rc == 0)
        raft_free(old);
    return rc;
}

static void tell(struct agent *agent)
{
    const struct intent *intent = agent->intent;
    for (size_t i = intent->succession_count; i-- > 0;) {
        if (!intent_is_recovery(&intent->successions[i]))
            continue;
        agent_add_event(agent, AGENT_EPOCH, &intent->successions[i].configuration.members[0].id);
        return;
    }
}

void agent_epoch_stored(struct agent *agent)
{
    struct agent_renewal renewal = agent->renewal;
    if (!renewal.intent)
        return;
    intent_free(agent->intent);
    agent->intent = renewal.intent;
    intent_free(agent->verified);
    agent->verified = NULL;
    agent_lost_free(agent->lost); /* what it promised in the old epoch binds nobody */
    agent->lost = NULL;
    agent->intent_is_old = false;
    agent->renewal = (struct agent_renewal){0};
    if (renew_raft(agent) < 0) {
        agent->failed = true;
        return;
    }
    agent->raft_deadline_ms = agent->now_ms;
    agent->raft_progress_ms = agent->now_ms - INT32_MAX;
    agent->shown_index = 0;
    agent->campaign_at_ms = INT64_MAX;
    agent->lease_until_ms = 0;
    agent->lease_floor_ms = agent->now_ms;
    feed_forget(&agent->feed);
    feed_state_done(&agent->feed.state);
    agent->feed.head = (struct feed_head){0};
    if (renewal.head.index == agent->intent->applied_index)
        agent->feed.head = renewal.head;
    if (renewal.head.index > agent->feed.announced.index)
        agent->feed.announced = renewal.head;
    agent_members_read_again(agent);
    agent_pending_refuse(agent);
    agent_read_lost(agent);
    agent_role_changed(agent);
    agent_leader_changed(agent);
    agent->feed.sign_at_ms = agent->now_ms;
    agent_feed_reached(agent);
    agent_feed_sign(agent);
    tell(agent);
    agent_intent_changed(agent);
    if (renewal.head.index == 0)
        agent_answer(agent, renewal.request, 0, NULL, NULL);
}

/* Those that are in the log count as agreed on: others may have been told that they are. */
static int apply_tail(const struct agent *agent, struct intent *intent)
{
    uint64_t last = agent_log_tail(agent);
    for (uint64_t i = intent->applied_index + 1; i <= last; i++) {
        struct intent_result result = {0};
        struct id admitted;
        int rc = feed_apply_entry(intent, raft_entry_at(agent->raft, i), &result, &admitted);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int recovered(struct agent *agent, const struct agent_recovery *asked, struct intent **ret)
{
    cleanup_buffer struct buffer state = {0};
    struct intent_recovery recovery = {.voter = agent->self,
                                       .revokes_the_others = asked->revokes_the_others,
                                       .wall_ms = agent->wall_ms};
    struct intent *intent = NULL;
    __builtin_memcpy(recovery.actor, asked->actor, sizeof(recovery.actor));
    int rc = succession_recovery_seal(&agent->config.cluster, agent->intent->epoch + 1,
                                      &agent->self, agent->config.identity, &recovery.seal);
    if (rc == 0 && asked->seal)
        recovery.seal = *asked->seal;
    if (rc == 0 && !asked->revokes_the_others)
        rc = succession_recovery_check(agent->intent, &agent->self, &recovery.seal);
    if (rc == 0)
        rc = intent_write(agent->intent, &state);
    if (rc == 0)
        rc = intent_read(buffer_view(&state), &intent);
    if (rc == 0)
        rc = apply_tail(agent, intent);
    if (rc == 0)
        rc = intent_recover(intent, &recovery);
    if (rc != 0) {
        intent_free(intent);
        return rc;
    }
    feed_chain_recovered(intent, &recovery.seal);
    *ret = intent;
    return 0;
}

void agent_recover(struct agent *agent, uint64_t request, const struct agent_recovery *recovery)
{
    struct intent *intent;
    struct raft_input tick = {.type = RAFT_TICK, .now_ms = agent->now_ms};
    agent_raft_step(agent, &tick, NULL, NULL); /* at a start, what is agreed on is applied here */
    if (agent->renewal.intent) {
        agent_answer(agent, request, -EBUSY, "a new epoch begins already", NULL);
        return;
    }
    int rc = recovered(agent, recovery, &intent);
    if (rc == 0)
        agent_epoch_begin(agent, intent, NULL, request);
    else if (rc == -EKEYREJECTED && recovery->seal)
        agent_answer(agent, request, rc,
                     "no peer would believe that: the key is neither the cluster's root key nor "
                     "that of an admin or a voter",
                     NULL);
    else if (rc == -EKEYREJECTED)
        agent_answer(agent, request, rc, "this peer does not vote: no other would believe it",
                     "recover at a voter; or give the cluster's own key: --root-key FILE");
    else if (rc == -EINVAL)
        agent_answer(agent, request, rc, "this peer has left or was revoked", NULL);
    else
        agent_answer(agent, request, rc, "the new epoch can't be made", NULL);
}
