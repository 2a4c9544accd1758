/* Who votes: the leader keeps 1, 3 or 5 voters among the active peers, and replaces them by itself.
 *
 * A newcomer is first a learner; once all who shall vote have caught up, one joint change makes
 * them voters and lets the others go, so that the number of voters is never even for long.
 */
#include <assert.h>
#include <stdlib.h>

#include "node/control/agent_private.h"

struct candidate {
    const struct intent_peer *peer;
    bool votes, alive, dead_for_long;
};

static bool is_active_peer(const struct intent_peer *peer)
{
    return peer->role == INTENT_PEER && peer->state == INTENT_ACTIVE;
}

static struct candidate describe(const struct agent *agent, const struct intent_peer *peer)
{
    const struct view_peer *seen = view_peer_find(&agent->view, &peer->id);
    bool self = id_equal(&peer->id, &agent->self);
    struct candidate candidate = {
        .peer = peer,
        .votes = raft_configuration_votes(raft_configuration(agent->raft), &peer->id),
        .alive = self || (seen && seen->liveness == VIEW_ALIVE),
    };
    bool is_dead = !self && (!seen || seen->liveness == VIEW_DEAD || seen->liveness == VIEW_LEFT);
    int64_t since_ms = seen ? seen->since_ms : 0;
    candidate.dead_for_long =
        is_dead && agent->now_ms - since_ms >= (int64_t)agent->config.voter_replace_after_ms;
    return candidate;
}

/* Present voters first, so that nothing changes without need; then who has been here longest. */
static int compare_candidates(const void *a_pointer, const void *b_pointer)
{
    const struct candidate *a = a_pointer, *b = b_pointer;
    if (a->dead_for_long != b->dead_for_long)
        return a->dead_for_long ? 1 : -1;
    if (a->votes != b->votes)
        return a->votes ? -1 : 1;
    if (a->alive != b->alive)
        return a->alive ? -1 : 1;
    if (a->peer->admitted_index != b->peer->admitted_index)
        return a->peer->admitted_index < b->peer->admitted_index ? -1 : 1;
    return id_compare(&a->peer->id, &b->peer->id);
}

static size_t voter_target(size_t active_count, size_t voters_max)
{
    size_t target = active_count % 2 == 1 ? active_count : active_count - 1;
    return target < voters_max ? target : voters_max;
}

/* Picks who shall vote. A dead newcomer is no gain over nobody, so only the living are added. */
static size_t choose_voters(const struct agent *agent, struct id *ret)
{
    size_t active_count = 0, chosen = 0;
    const struct table *peers = &agent->intent->peers;
    struct candidate *candidates = calloc(peers->count + 1, sizeof(*candidates));
    if (!candidates)
        return 0;
    for (size_t i = 0; i < peers->count; i++)
        if (is_active_peer(peers->items[i]))
            candidates[active_count++] = describe(agent, peers->items[i]);
    qsort(candidates, active_count, sizeof(*candidates), compare_candidates);
    size_t target = active_count > 0 ? voter_target(active_count, agent->config.voters_max) : 0;
    for (size_t i = 0; i < active_count && chosen < target; i++)
        if (candidates[i].votes || candidates[i].alive)
            ret[chosen++] = candidates[i].peer->id;
    free(candidates);
    return chosen;
}

static bool is_among(const struct id *id, const struct id *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (id_equal(id, &ids[i]))
            return true;
    return false;
}

static bool has_caught_up(const struct agent *agent, const struct id *id)
{
    struct raft_progress_status progress;
    return raft_progress_of(agent->raft, id, &progress) == 0 && progress.recently_active &&
           progress.match > 0 && /* it has answered */
           progress.match + AGENT_VOTER_LAG_MAX >= agent->raft_status.last_index;
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

static void hand_over(struct agent *agent, const struct id *wanted, size_t wanted_count)
{
    for (size_t i = 0; i < wanted_count; i++) {
        if (!has_caught_up(agent, &wanted[i]))
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
    if (changes.count > 0) {
        propose(agent, &changes);
    } else if (!is_among(&agent->self, wanted, wanted_count)) {
        hand_over(agent, wanted, wanted_count);
    }
}
