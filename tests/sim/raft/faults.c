/* What goes wrong, each for a while, and any number of them at once. */
#include <errno.h>
#include <string.h>

#include "tests/sim/raft/world.h"

enum {
    FAULT_KINDS = 13,
    WAIT_MS_MIN = 20,
    WAIT_MS_MAX = 700,
    LASTS_MS_MIN = 100,
    LASTS_MS_MAX = 4000,
    DELAY_CALM_US = 4 * SIM_MS,
    DELAY_MS_MAX = 400,
    LOSS_PERMILLE_MAX = 300,
    DUPLICATE_PERMILLE_MAX = 150,
    RUBBISH_PERMILLE_MAX = 300, /* of chunks */
};

static const char *const names[FAULT_KINDS] = {
    "loss",  "delay", "duplicate", "partition", "crash",   "spoil",   "slow-disk",
    "drift", "pause", "members",   "transfer",  "compact", "rubbish",
};

void sim_faults_list(char *ret, size_t size)
{
    size_t used = 0;
    *ret = '\0';
    for (int i = 0; i < FAULT_KINDS && used < size; i++)
        used += (size_t)snprintf(ret + used, size - used, "%s%s", i > 0 ? "," : "", names[i]);
}

int sim_faults_parse(const char *text, unsigned *ret)
{
    unsigned faults = 0;
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
        *ret = *text == 'a' ? SIM_FAULTS_ALL : 0;
        return 0;
    }
    while (*text) {
        size_t size = strcspn(text, ",");
        int kind = 0;
        while (kind < FAULT_KINDS &&
               (strlen(names[kind]) != size || strncmp(names[kind], text, size) != 0))
            kind++;
        if (kind == FAULT_KINDS)
            return -EINVAL;
        faults |= 1U << kind;
        text += size + (text[size] == ',');
    }
    *ret = faults;
    return 0;
}

static struct sim_peer *any_peer(struct sim_world *world)
{
    struct sim_peer *leader = sim_leader(world);
    if (leader && random_chance(&world->random, 1, 3))
        return leader;
    return &world->peers[random_below(&world->random, (uint64_t)world->peer_count)];
}

static void lift_later(struct sim_world *world, unsigned fault)
{
    sim_schedule(world, world->now_us + sim_draw_us(world, LASTS_MS_MIN, LASTS_MS_MAX),
                 (struct sim_event){.type = SIM_EVENT_LIFT, .subject = (int)fault});
}

static void heal(struct sim_world *world)
{
    memset(world->is_blocked, 0, sizeof(world->is_blocked));
}

static void partition(struct sim_world *world)
{
    uint64_t sides = 0;
    bool is_one_way = random_chance(&world->random, 1, 3);
    if (random_chance(&world->random, 1, 2))
        sides = UINT64_C(1) << any_peer(world)->number;
    else
        sides = random_u64(&world->random);
    heal(world);
    for (int i = 0; i < world->peer_count; i++)
        for (int k = 0; k < world->peer_count; k++) {
            bool from = sides >> i & 1, to = sides >> k & 1;
            world->is_blocked[i][k] = is_one_way ? from && !to : from != to;
        }
    if (random_chance(&world->random, 1, 4)) /* and one link, as a bad cable does it */
        world->is_blocked[any_peer(world)->number][any_peer(world)->number] = true;
    sim_trace(world, "partition %llx%s", (unsigned long long)sides, is_one_way ? " one way" : "");
    lift_later(world, SIM_PARTITION);
}

static void crash(struct sim_world *world, struct sim_peer *peer)
{
    if (!peer->raft)
        return;
    sim_peer_crash(world, peer);
    int64_t down_us = random_chance(&world->random, 1, 2)
                          ? sim_draw_us(world, 1, 100) /* restarted by systemd */
                          : sim_draw_us(world, 100, LASTS_MS_MAX);
    sim_schedule(world, world->now_us + down_us,
                 (struct sim_event){.type = SIM_EVENT_RESTART,
                                    .subject = peer->number,
                                    .token = ++peer->restart_token});
}

/* Several lose power at the same moment. */
static void crash_some(struct sim_world *world)
{
    if (random_chance(&world->random, 5, 6)) {
        crash(world, any_peer(world));
        return;
    }
    for (int i = 0; i < world->peer_count; i++)
        if (random_chance(&world->random, 2, 3))
            crash(world, &world->peers[i]);
}

/* True if all know the same members, and they can spare this one for ever. */
static bool can_be_lost(struct sim_world *world, const struct sim_peer *peer)
{
    const struct sim_peer *leader = sim_leader(world);
    if (!leader || !id_is_none(&world->lost) || !peer->raft ||
        leader->status.applied != leader->status.last_index)
        return false;
    /* One that leads no more does not know what changes were begun since (seed 14102). */
    for (int i = 0; i < world->peer_count; i++)
        if (world->peers[i].raft && world->peers[i].status.term > leader->status.term)
            return false;
    const struct raft_configuration *now = raft_configuration(leader->raft);
    uint32_t voters = 0;
    if (raft_configuration_is_joint(now))
        return false;
    for (uint32_t i = 0; i < now->count; i++) {
        const struct sim_peer *member = sim_peer_of(world, &now->members[i].id);
        if (!member || !member->raft ||
            !raft_configuration_equal(now, raft_configuration(member->raft)))
            return false;
        voters += (now->members[i].parts & RAFT_VOTER) != 0;
    }
    return voters >= 3 && raft_configuration_find(now, &peer->id);
}

static void spoil(struct sim_world *world)
{
    struct sim_peer *peer = any_peer(world);
    if (!can_be_lost(world, peer))
        return;
    crash(world, peer);
    peer->is_spoilt = sim_store_spoil(&peer->store, &world->random);
    sim_trace(world, "peer %d: a sector of rubbish%s", peer->number,
              peer->is_spoilt ? "" : ", where nothing is");
    if (!peer->is_spoilt)
        return;
    world->lost = peer->id;
    world->counts[SIM_COUNT_SPOILT]++;
}

static void drift(struct sim_world *world)
{
    uint64_t number = random_below(&world->random, (uint64_t)world->peer_count);
    int64_t ppm = (int64_t)random_below(&world->random, 2 * SIM_DRIFT_PPM_MAX) - SIM_DRIFT_PPM_MAX;
    sim_clock_drift(world, &world->peers[number], ppm);
}

static void pause_one(struct sim_world *world)
{
    struct sim_peer *peer = any_peer(world);
    if (!peer->raft)
        return;
    peer->paused_until_us = world->now_us + sim_draw_us(world, 50, 3000);
    sim_trace(world, "peer %d stops for %lld ms", peer->number,
              (long long)(peer->paused_until_us - world->now_us) / SIM_MS);
}

static void break_something(struct sim_world *world, unsigned fault)
{
    struct sim_peer *leader = sim_leader(world);
    switch (fault) {
    case SIM_LOSS:
        world->loss_permille = (unsigned)random_below(&world->random, LOSS_PERMILLE_MAX);
        lift_later(world, fault);
        break;
    case SIM_DELAY:
        world->delay_max_us = sim_draw_us(world, 1, DELAY_MS_MAX);
        lift_later(world, fault);
        break;
    case SIM_DUPLICATE:
        world->duplicate_permille = (unsigned)random_below(&world->random, DUPLICATE_PERMILLE_MAX);
        break;
    case SIM_RUBBISH:
        world->rubbish_permille = (unsigned)random_below(&world->random, RUBBISH_PERMILLE_MAX);
        lift_later(world, fault);
        break;
    case SIM_PARTITION:
        partition(world);
        if (leader && leader->paused_until_us <= world->now_us &&
            random_chance(&world->random, 1, 2))
            sim_peer_give(
                world, leader,
                (struct raft_input){.type = RAFT_UNREACHABLE, .peer = any_peer(world)->id});
        break;
    case SIM_CRASH:
        crash_some(world);
        break;
    case SIM_SPOIL:
        spoil(world);
        break;
    case SIM_SLOW_DISK:
        any_peer(world)->has_slow_disk = true;
        lift_later(world, fault);
        break;
    case SIM_DRIFT:
        drift(world);
        break;
    case SIM_PAUSE:
        pause_one(world);
        break;
    default:
        break;
    }
}

void sim_fault_lift(struct sim_world *world, unsigned fault)
{
    if (fault == SIM_LOSS)
        world->loss_permille = 0;
    else if (fault == SIM_DELAY)
        world->delay_max_us = DELAY_CALM_US;
    else if (fault == SIM_PARTITION)
        heal(world);
    else if (fault == SIM_RUBBISH)
        world->rubbish_permille = 0;
    for (int i = 0; i < world->peer_count && fault == SIM_SLOW_DISK; i++)
        world->peers[i].has_slow_disk = false;
}

void sim_fault_move(struct sim_world *world)
{
    if (world->is_calm)
        return;
    unsigned fault = 1U << random_below(&world->random, FAULT_KINDS);
    if (world->options.faults & fault)
        break_something(world, fault);
    sim_schedule(world, world->now_us + sim_draw_us(world, WAIT_MS_MIN, WAIT_MS_MAX),
                 (struct sim_event){.type = SIM_EVENT_FAULT});
}

void sim_faults_end(struct sim_world *world)
{
    sim_trace(world, "all is calm");
    world->is_calm = true;
    world->duplicate_permille = 0;
    sim_fault_lift(world, SIM_LOSS);
    sim_fault_lift(world, SIM_DELAY);
    sim_fault_lift(world, SIM_PARTITION);
    sim_fault_lift(world, SIM_RUBBISH);
    sim_fault_lift(world, SIM_SLOW_DISK);
    for (int i = 0; i < world->peer_count; i++) {
        world->peers[i].paused_until_us = 0;
        sim_peer_start(world, &world->peers[i]);
    }
}
