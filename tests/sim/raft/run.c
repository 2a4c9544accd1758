#include <stdlib.h>
#include <string.h>

#include "tests/sim/raft/world.h"

enum {
    SETTLE_MS_MAX = 40 * 1000, /* by then all must work again */
    /* Without pre-votes it is chance that ends a race of two candidates through the terms, of whom
     * the one behind alone can win. */
    SETTLE_BY_CHANCE_MS_MAX = 400 * 1000,
    STEPS_MAX = 1000 * 1000, /* some two hundred times what a run takes */
    CHECK_BUDGET = 2 * 1000 * 1000,
    DRAWN_VOTERS_MIN = 3,
    DRAWN_LEARNERS_MAX = 2,
};

/* What this seed's peers are set to, and which faults it leaves out: with all of them all the time
 * little would ever be agreed on. */
static void draw_profile(struct sim_world *world)
{
    struct random *random = &world->random;
    unsigned left_out = random_chance(random, 1, 3)
                            ? 0
                            : (unsigned)random_u64(random) & (unsigned)random_u64(random);
    world->options.faults &= ~left_out;
    raft_config_init(&world->config, &ID_NONE, 0);
    world->config.snapshot_timeout_ms = 400 + (int64_t)random_below(random, 2000);
    world->config.message_bytes_max = 100 + random_below(random, 1500);
    world->config.inflight_max = 1 + (uint32_t)random_below(random, 12);
    world->config.chunk_bytes = 8 + random_below(random, sizeof(struct sim_machine));
    world->config.chunks_max = 1 + (uint32_t)random_below(random, RAFT_CHUNKS_INFLIGHT_MAX);
    world->config.verify = sim_peer_verify;
    world->config.verify_context = world;
    world->config.uncommitted_bytes_max = 2000 + random_below(random, 20000);
    world->config.pre_vote = random_chance(random, 7, 8);
    world->config.read_by_lease = random_chance(random, 1, 2);
    if (world->options.voters == 0)
        world->options.voters =
            DRAWN_VOTERS_MIN + (int)random_below(random, SIM_VOTERS_MAX - DRAWN_VOTERS_MIN + 1);
    if (world->options.learners < 0)
        world->options.learners = (int)random_below(random, DRAWN_LEARNERS_MAX + 1);
}

static void start(struct sim_world *world)
{
    struct raft_configuration first = {0};
    int members = world->options.voters + world->options.learners;
    world->peer_count = members + SIM_SPARES;
    world->delay_max_us = 4 * SIM_MS;
    world->truth_count = 2; /* index 0, and the first snapshot's */
    world->truth_capacity = 64;
    world->truth = calloc(world->truth_capacity, sizeof(*world->truth));
    if (!world->truth)
        abort();
    world->truth[1] = (struct sim_truth){.term = 1, .digest = 1};
    for (int i = 0; i < members; i++)
        first.members[first.count++] = (struct raft_member){
            {{(uint8_t)(i + 1)}}, i < world->options.voters ? RAFT_VOTER : RAFT_LEARNER};
    for (int i = 0; i < world->peer_count; i++) {
        sim_peer_init(world, i, i < members, &first);
        sim_peer_start(world, &world->peers[i]);
    }
    sim_clients_start(world);
    sim_schedule(world, 2 * SIM_S, (struct sim_event){.type = SIM_EVENT_OPERATOR});
    sim_schedule(world, SIM_S, (struct sim_event){.type = SIM_EVENT_FAULT});
}

/* Whose event it is, if a peer that may be stopped. */
static const struct sim_peer *owner(const struct sim_world *world, const struct sim_event *event)
{
    switch (event->type) {
    case SIM_EVENT_MESSAGE:
        return &world->peers[event->packet->to];
    case SIM_EVENT_TICK:
    case SIM_EVENT_STORED:
        return &world->peers[event->subject];
    default:
        return NULL;
    }
}

static void handle(struct sim_world *world, struct sim_event *event)
{
    struct sim_peer *peer = &world->peers[event->subject % SIM_PEERS_MAX];
    switch (event->type) {
    case SIM_EVENT_MESSAGE:
        sim_deliver(world, event->packet);
        break;
    case SIM_EVENT_TICK:
        if (event->token == peer->tick_token)
            sim_peer_give(world, peer, (struct raft_input){.type = RAFT_TICK});
        break;
    case SIM_EVENT_STORED:
        if (event->token == peer->stored_token)
            sim_peer_stored(world, peer);
        break;
    case SIM_EVENT_RESTART:
        if (event->token == peer->restart_token)
            sim_peer_start(world, peer);
        break;
    case SIM_EVENT_CLIENT:
        if (event->token == world->clients[event->subject].token)
            sim_client_move(world, event->subject);
        break;
    case SIM_EVENT_OPERATOR:
        sim_operator_move(world);
        break;
    case SIM_EVENT_FAULT:
        sim_fault_move(world);
        break;
    case SIM_EVENT_LIFT:
        if (!world->is_calm)
            sim_fault_lift(world, (unsigned)event->subject);
        break;
    }
}

static void run_one(struct sim_world *world, struct sim_event *event)
{
    const struct sim_peer *stopped = owner(world, event);
    if (stopped && stopped->paused_until_us > world->now_us) {
        sim_schedule(world, stopped->paused_until_us, *event);
        return;
    }
    handle(world, event);
    sim_packet_free(event->packet);
}

/* True once everybody's work is done and all members are in the same state. */
static bool has_settled(struct sim_world *world)
{
    const struct sim_peer *leader = sim_leader(world);
    if (!leader || leader->status.applied + 1 != world->truth_count ||
        leader->status.last_index != leader->status.applied)
        return false;
    for (int i = 0; i < SIM_CLIENTS; i++)
        if (world->clients[i].done_when_calm != 3 || world->clients[i].is_waiting)
            return false;
    const struct raft_configuration *members = raft_configuration(leader->raft);
    if (raft_configuration_is_joint(members) || !id_is_none(&world->lost))
        return false;
    for (uint32_t i = 0; i < members->count; i++) {
        const struct sim_peer *peer = sim_peer_of(world, &members->members[i].id);
        if (!peer || !peer->raft || peer->machine.applied != leader->machine.applied)
            return false;
    }
    return true;
}

static int64_t settle_ms_max(const struct sim_world *world)
{
    return world->config.pre_vote ? SETTLE_MS_MAX : SETTLE_BY_CHANCE_MS_MAX;
}

static void say_unsettled(struct sim_world *world)
{
    const struct sim_peer *leader = sim_leader(world);
    int waiting = 0, behind = 0;
    for (int i = 0; i < SIM_CLIENTS; i++)
        waiting += world->clients[i].done_when_calm != 3;
    for (int i = 0; leader && i < world->peer_count; i++)
        behind += raft_configuration_find(raft_configuration(leader->raft), &world->peers[i].id) &&
                  world->peers[i].machine.applied != leader->machine.applied;
    sim_fail(world,
             "liveness: %lld s after the last fault leader %d applied %llu of %llu; %d members are "
             "behind, %d clients wait%s%s",
             (long long)settle_ms_max(world) / 1000, leader ? leader->number : -1,
             leader ? (unsigned long long)leader->status.applied : 0,
             (unsigned long long)world->truth_count - 1, behind, waiting,
             leader && raft_configuration_is_joint(raft_configuration(leader->raft)) ? ", joint"
                                                                                     : "",
             id_is_none(&world->lost) ? "" : ", who lost its disk is a member");
}

static void check_history(struct sim_world *world)
{
    struct linear_verdict verdict;
    sim_clients_end(world);
    switch (linear_check(&world->history, CHECK_BUDGET, &verdict)) {
    case LINEAR_YES:
        break;
    case LINEAR_NO:
        sim_fail(world,
                 "not linearizable: register %llu, client %u %s %llu, called at %llu, returned at "
                 "%llu",
                 (unsigned long long)verdict.object, verdict.stuck.client,
                 verdict.stuck.type == LINEAR_READ ? "read" : "wrote",
                 (unsigned long long)verdict.stuck.value, (unsigned long long)verdict.stuck.call,
                 (unsigned long long)verdict.stuck.returns);
        break;
    case LINEAR_UNDECIDED:
        sim_fail(world, "the history of register %llu is too hard to check",
                 (unsigned long long)verdict.object);
        break;
    }
}

bool sim_run(struct sim_world *world, uint64_t seed, const struct sim_options *options)
{
    struct sim_event event;
    *world = (struct sim_world){.options = *options, .seed = seed};
    random_init(&world->random, seed);
    draw_profile(world);
    start(world);
    int64_t calm_us = options->duration_us;
    int64_t end_us = calm_us + settle_ms_max(world) * SIM_MS;
    while (!world->has_failed && sim_next(world, &event)) {
        if (!world->is_calm && world->now_us >= calm_us)
            sim_faults_end(world);
        run_one(world, &event);
        if (world->is_calm && event.type == SIM_EVENT_OPERATOR && has_settled(world))
            break;
        if (world->now_us >= end_us)
            say_unsettled(world);
        if (world->steps > STEPS_MAX)
            sim_fail(world, "liveness: peers go round in circles");
    }
    if (!world->has_failed)
        check_history(world);
    return !world->has_failed;
}

void sim_done(struct sim_world *world)
{
    for (int i = 0; i < world->peer_count; i++)
        sim_peer_done(&world->peers[i]);
    for (size_t i = 0; i < world->event_count; i++)
        sim_packet_free(world->events[i].packet);
    free(world->events);
    free(world->truth);
    free(world->entries.slots);
    free(world->leaders.slots);
    free(world->votes.slots);
    free(world->reads.slots);
    linear_done(&world->history);
}
