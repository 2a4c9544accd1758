/* Who changes the members, hands leadership over, and cuts the log: at the wrong moments too, but
 * never so that it would take a majority of those whose disks are gone. */
#include <string.h>

#include "tests/sim/raft/world.h"

enum {
    CHANGES_MAX = 3,
    VOTERS_MIN = 2,
    WAIT_MS_MIN = 200,
    WAIT_MS_MAX = 1200,
    WAIT_CALM_MS_MAX = 400,
    KEEP_MAX = 12,
};

static uint32_t count_voters(const struct raft_configuration *configuration)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < configuration->count; i++)
        count += (configuration->members[i].parts & RAFT_VOTER) != 0;
    return count;
}

static void propose(struct sim_world *world, struct sim_peer *leader,
                    const struct raft_changes *changes)
{
    int rc = sim_peer_give(
        world, leader, (struct raft_input){.type = RAFT_PROPOSE_CONFIGURATION, .changes = changes});
    sim_trace(world, "operator: %u changes, transition %d, at peer %d: %d", changes->count,
              changes->transition, leader->number, rc);
    if (rc == 0)
        world->counts[SIM_COUNT_CHANGES]++;
}

static bool is_lost_member(const struct sim_world *world,
                           const struct raft_configuration *configuration)
{
    return !id_is_none(&world->lost) && raft_configuration_find(configuration, &world->lost);
}

/* Whose disk is gone is taken out before anything else is done. */
static void replace_lost(struct sim_world *world, struct sim_peer *leader)
{
    struct raft_changes changes = {.count = 1, .members = {{RAFT_REMOVE, world->lost}}};
    struct sim_peer *another = &world->peers[world->lost.bytes[0] - 1];
    if (another->raft && random_chance(&world->random, 1, 2)) {
        changes.members[changes.count++] = (struct raft_change){RAFT_ADD_VOTER, another->id};
    }
    propose(world, leader, &changes);
}

static void change_something(struct sim_world *world, struct sim_peer *leader)
{
    const struct raft_configuration *now = raft_configuration(leader->raft);
    struct raft_configuration after;
    struct raft_changes changes = {
        .count = 1 + (uint32_t)random_below(&world->random, CHANGES_MAX),
        .transition = (enum raft_transition)random_below(&world->random, RAFT_TRANSITIONS),
    };
    for (uint32_t i = 0; i < changes.count; i++) {
        uint64_t number = random_below(&world->random, (uint64_t)world->peer_count);
        changes.members[i].type =
            (enum raft_change_type)random_below(&world->random, RAFT_CHANGE_TYPES);
        changes.members[i].id = world->peers[number].id;
    }
    if (raft_configuration_change(now, &changes, &after) < 0 || count_voters(&after) < VOTERS_MIN)
        return;
    propose(world, leader, &changes);
}

/* As `consort cluster voters N`: newcomers learn first; then one change, joint if it takes several,
 * gives the votes that are missing and takes those that are too many. */
static void change_number(struct sim_world *world, struct sim_peer *leader)
{
    const struct raft_configuration *now = raft_configuration(leader->raft);
    struct raft_changes changes = {.transition = RAFT_TRANSITION_AUTO};
    struct raft_configuration after;
    uint32_t votes = count_voters(now);
    bool teaches = random_chance(&world->random, 1, 2);
    uint64_t first = random_below(&world->random, (uint64_t)world->peer_count);
    for (int i = 0; i < world->peer_count && votes != world->voters_wanted; i++) {
        const struct sim_peer *peer =
            &world->peers[(first + (uint64_t)i) % (uint64_t)world->peer_count];
        bool is_there = peer->raft && peer->paused_until_us <= world->now_us;
        bool does_vote = raft_configuration_votes(now, &peer->id);
        if (does_vote != (votes > world->voters_wanted) || (!does_vote && !is_there))
            continue;
        votes += does_vote ? -1 : 1;
        changes.members[changes.count++] = (struct raft_change){does_vote ? RAFT_REMOVE
                                                                : teaches ? RAFT_ADD_LEARNER
                                                                          : RAFT_ADD_VOTER,
                                                                peer->id};
    }
    if (changes.count == 0) {
        world->voters_wanted = 0;
        return;
    }
    if (raft_configuration_change(now, &changes, &after) == 0)
        propose(world, leader, &changes);
}

static void change_members(struct sim_world *world, struct sim_peer *leader)
{
    const struct raft_configuration *now = raft_configuration(leader->raft);
    if (raft_configuration_is_joint(now)) {
        struct raft_changes leave = {.transition = RAFT_TRANSITION_AUTO};
        if (!now->auto_leave)
            propose(world, leader, &leave);
    } else if (is_lost_member(world, now)) {
        replace_lost(world, leader);
    } else if (!world->is_calm && id_is_none(&world->lost) &&
               (world->options.faults & SIM_MEMBERS)) {
        if (world->voters_wanted == 0 && random_chance(&world->random, 1, 6))
            world->voters_wanted =
                VOTERS_MIN + (uint32_t)random_below(&world->random, SIM_VOTERS_MAX - 1);
        if (world->voters_wanted > 0)
            change_number(world, leader);
        else
            change_something(world, leader);
    }
}

static void transfer(struct sim_world *world, struct sim_peer *leader)
{
    const struct sim_peer *target =
        &world->peers[random_below(&world->random, (uint64_t)world->peer_count)];
    int rc = sim_peer_give(world, leader,
                           (struct raft_input){.type = RAFT_TRANSFER, .peer = target->id});
    sim_trace(world, "operator: transfer from peer %d to %d: %d", leader->number, target->number,
              rc);
    if (rc == 0)
        world->counts[SIM_COUNT_TRANSFERS]++;
}

/* All that any peer knows, or would after a restart, is without who lost its disk. */
static void forget_lost(struct sim_world *world)
{
    if (id_is_none(&world->lost))
        return;
    const struct sim_peer *leader = sim_leader(world);
    if (!leader)
        return;
    const struct raft_configuration *now = raft_configuration(leader->raft);
    if (raft_configuration_find(now, &world->lost) || raft_configuration_is_joint(now) ||
        leader->status.commit + 1 < world->truth_count ||
        leader->status.applied != leader->status.last_index)
        return;
    for (int i = 0; i < world->peer_count; i++) {
        const struct sim_peer *peer = &world->peers[i];
        if (peer->is_spoilt)
            return; /* it might be added again under its old id */
        if (raft_configuration_find(now, &peer->id) &&
            (!peer->raft || raft_configuration_find(raft_configuration(peer->raft), &world->lost)))
            return;
    }
    world->lost = ID_NONE;
}

void sim_operator_move(struct sim_world *world)
{
    forget_lost(world);
    struct sim_peer *leader = sim_leader(world);
    if (leader && leader->paused_until_us > world->now_us)
        leader = NULL;
    if (leader && (world->is_calm || random_chance(&world->random, 2, 3)))
        change_members(world, leader);
    if (leader && leader->raft && !world->is_calm && (world->options.faults & SIM_TRANSFER) &&
        random_chance(&world->random, 1, 4))
        transfer(world, leader);
    struct sim_peer *any = &world->peers[random_below(&world->random, (uint64_t)world->peer_count)];
    if ((world->options.faults & SIM_COMPACT) && random_chance(&world->random, 1, 2) &&
        any->paused_until_us <= world->now_us)
        sim_peer_compact(world, any, random_below(&world->random, KEEP_MAX));
    if (any->raft && !world->is_calm) /* who is so when all calms down stays it */
        raft_set_reluctant(any->raft, random_chance(&world->random, 1, 2));
    sim_schedule(world,
                 world->now_us + sim_draw_us(world, WAIT_MS_MIN,
                                             world->is_calm ? WAIT_CALM_MS_MAX : WAIT_MS_MAX),
                 (struct sim_event){.type = SIM_EVENT_OPERATOR});
}
