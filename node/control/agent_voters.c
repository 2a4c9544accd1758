/* Who votes: the leader keeps 1, 3, 5 or 7 voters among the active peers, and replaces them by
 * itself; voters.c says which.
 *
 * A newcomer is first a learner; once all who shall vote have caught up, one joint change makes
 * them voters and lets the others go, so that the number of voters is never even for long.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/agent_private.h"
#include "node/control/constraint.h"
#include "node/control/voters.h"

static bool is_active_peer(const struct intent_peer *peer)
{
    return peer->role == INTENT_PEER && peer->state == INTENT_ACTIVE;
}

static bool has_caught_up(const struct agent *agent, const struct id *id)
{
    struct raft_progress_status progress;
    return raft_progress_of(agent->raft, id, &progress) == 0 && progress.recently_active &&
           progress.match > 0 && /* it has answered */
           progress.match + AGENT_VOTER_LAG_MAX >= agent->raft_status.last_index;
}

static void set_zone(struct voter_candidate *candidate, const struct intent_peer *peer,
                     const struct view_peer *seen)
{
    static const char key[] = "node.labels.zone";
    if (!seen || !seen->has_capacity)
        return;
    struct bytes zone = constraint_value(key, strlen(key), peer, &seen->capacity);
    if (zone.size < sizeof(candidate->zone) && zone.size > 0)
        memcpy(candidate->zone, zone.data, zone.size);
}

static void describe(const struct agent *agent, const struct raft_configuration *configuration,
                     const struct intent_peer *peer, struct voter_candidate *ret)
{
    const struct view_peer *seen = view_peer_find(&agent->view, &peer->id);
    const struct raft_member *member = raft_configuration_find(configuration, &peer->id);
    bool self = id_equal(&peer->id, &agent->self);
    bool is_dead = !self && (!seen || seen->liveness == VIEW_DEAD || seen->liveness == VIEW_LEFT);
    int64_t here_ms = agent->now_ms - (seen ? seen->since_ms : 0);
    int64_t tries_ms = agent->now_ms - agent->learners_since_ms;
    struct swim_member known = {0};
    *ret = (struct voter_candidate){
        .id = peer->id,
        .admitted_index = peer->admitted_index,
        .is_chooser = self && agent_leads(agent),
        .votes = raft_configuration_votes(configuration, &peer->id),
        .is_alive = self || (seen && seen->liveness == VIEW_ALIVE),
        .is_dead_for_long = is_dead && here_ms >= (int64_t)agent->config.voter_replace_after_ms,
    };
    swim_member_find(agent->swim, &peer->id, &known);
    ret->rtt_us = known.rtt_us;
    ret->has_disk = seen && seen->has_disk;
    ret->disk_free_bytes = seen ? seen->disk.free_bytes : 0;
    ret->is_settled = ret->is_alive && here_ms >= (int64_t)agent->config.voter_settle_ms;
    ret->is_learner = member && !ret->votes;
    ret->has_log = agent_leads(agent) && (self || has_caught_up(agent, &peer->id));
    ret->is_slow = agent_leads(agent) && ret->is_learner && !ret->has_log &&
                   tries_ms >= AGENT_VOTER_CATCH_UP_MS;
    set_zone(ret, peer, seen);
}

/* The caller frees. NULL: out of memory. */
static struct voter_candidate *list_candidates(const struct agent *agent,
                                               const struct raft_configuration *configuration,
                                               size_t *ret_count)
{
    const struct table *peers = &agent->intent->peers;
    struct voter_candidate *candidates = calloc(peers->count + 1, sizeof(*candidates));
    *ret_count = 0;
    for (size_t i = 0; candidates && i < peers->count; i++)
        if (is_active_peer(peers->items[i]))
            describe(agent, configuration, peers->items[i], &candidates[(*ret_count)++]);
    return candidates;
}

/* A voter moves to another zone at most once in a while; one move may take its time. */
static bool may_move(const struct agent *agent)
{
    return agent->is_moving_voter ||
           agent->now_ms - agent->voters_moved_ms >= (int64_t)agent->config.voter_move_ms;
}

uint32_t agent_voters_max(const struct agent *agent)
{
    return agent->intent->voters.max > 0 ? agent->intent->voters.max : agent->config.voters_max;
}

static size_t choose_voters(struct agent *agent, struct id ret[RAFT_MEMBERS_MAX])
{
    bool moves = false;
    size_t count, chosen;
    struct voter_candidate *candidates =
        list_candidates(agent, raft_configuration(agent->raft), &count);
    if (!candidates)
        return 0;
    chosen =
        voters_choose(candidates, count, agent_voters_max(agent), may_move(agent), ret, &moves);
    if (agent->is_moving_voter && !moves)
        agent->voters_moved_ms = agent->now_ms;
    agent->is_moving_voter = moves;
    free(candidates);
    return chosen;
}

void agent_vote_reason(const struct agent *agent, const struct id *id,
                       char ret[VOTERS_REASON_BYTES_MAX + 1])
{
    struct id chosen[RAFT_MEMBERS_MAX];
    size_t count;
    bool moves;
    struct voter_candidate *candidates =
        list_candidates(agent, &agent->intent->configuration, &count);
    ret[0] = '\0';
    if (!candidates)
        return;
    voters_choose(candidates, count, agent_voters_max(agent), agent->is_moving_voter, chosen,
                  &moves);
    voters_reason(candidates, count, agent_voters_max(agent), id, ret);
    free(candidates);
}

static bool is_among(const struct id *id, const struct id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (id_equal(id, &ids[i]))
            return true;
    return false;
}

static void add_change(struct raft_changes *changes, enum raft_change_type type,
                       const struct id *id)
{
    if (changes->count < RAFT_MEMBERS_MAX)
        changes->members[changes->count++] = (struct raft_change){type, *id};
}

/* First step of a change: whoever shall vote and takes no part yet becomes a learner. */
static void add_learners(const struct raft_configuration *configuration, const struct id *wanted,
                         size_t wanted_count, struct raft_changes *changes)
{
    for (size_t i = 0; i < wanted_count; i++)
        if (!raft_configuration_find(configuration, &wanted[i]))
            add_change(changes, RAFT_ADD_LEARNER, &wanted[i]);
}

/* Second step, once all of them have caught up: they vote, and who shall not vote goes. A leader
 * that shall go hands over first, and its successor does the rest. */
static void swap_voters(const struct agent *agent, const struct raft_configuration *configuration,
                        const struct id *wanted, size_t wanted_count, struct raft_changes *changes)
{
    for (size_t i = 0; i < wanted_count; i++) {
        if (raft_configuration_votes(configuration, &wanted[i]))
            continue;
        if (!has_caught_up(agent, &wanted[i])) {
            changes->count = 0;
            return;
        }
        add_change(changes, RAFT_ADD_VOTER, &wanted[i]);
    }
    for (uint32_t i = 0; i < configuration->count; i++) {
        const struct id *id = &configuration->members[i].id;
        if (!is_among(id, wanted, wanted_count) && !id_equal(id, &agent->self))
            add_change(changes, RAFT_REMOVE, id);
    }
}

/* Proposes the change under this leader's seal. Refused while another is under way. */
static void propose(struct agent *agent, struct raft_changes *changes)
{
    uint64_t index, sealed_index = agent->raft_status.last_index + 1;
    struct raft_input input = {.type = RAFT_PROPOSE_CONFIGURATION,
                               .now_ms = agent->now_ms,
                               .changes = changes,
                               .defer_apply = true};
    if (succession_seal(agent->intent, sealed_index, agent->config.identity, changes) < 0 ||
        agent_raft_step(agent, &input, &index, NULL) < 0)
        return; /* tried again at the next look */
    assert(index == sealed_index);
}

/* To the first of those who can take over at once. */
static void hand_over(struct agent *agent, const struct id *wanted, size_t wanted_count)
{
    for (size_t i = 0; i < wanted_count; i++) {
        if (id_equal(&wanted[i], &agent->self) || !has_caught_up(agent, &wanted[i]))
            continue;
        struct raft_input input = {
            .type = RAFT_TRANSFER, .now_ms = agent->now_ms, .peer = wanted[i]};
        if (agent_raft_step(agent, &input, NULL, NULL) == 0)
            return;
    }
}

void agent_voters_tick(struct agent *agent)
{
    const struct raft_configuration *configuration = raft_configuration(agent->raft);
    struct id wanted[RAFT_MEMBERS_MAX];
    struct raft_changes changes = {.transition = RAFT_TRANSITION_AUTO};
    if (raft_configuration_is_joint(configuration))
        return; /* a change is under way */
    size_t wanted_count = choose_voters(agent, wanted);
    if (wanted_count == 0)
        return; /* nobody is left to vote but us */
    bool may_seal = succession_may_sign(agent->intent, &agent->self);
    if (may_seal)
        add_learners(configuration, wanted, wanted_count, &changes);
    if (may_seal && changes.count == 0)
        swap_voters(agent, configuration, wanted, wanted_count, &changes);
    if (changes.count > 0 && changes.members[0].type == RAFT_ADD_LEARNER)
        agent->learners_since_ms = agent->now_ms;
    if (changes.count > 0) {
        propose(agent, &changes);
    } else if (!is_among(&agent->self, wanted, wanted_count)) {
        hand_over(agent, wanted, wanted_count);
    }
}
