#include "tests/sim/sealed/campaign.h"

#include <string.h>

#include "tests/sim/sealed/rules.h"

enum {
    PHASE_MIN_MS = 2000,
    PHASE_SPREAD_MS = 6000,
    DOWN_MIN_MS = 500,
    DOWN_SPREAD_MS = 25000, /* some are found dead, some come back before */
    DOWN_AT_ONCE_MAX = 3,
    LOOK_MS = 100,
    QUESTIONS_PER_SECOND = 2, /* of each peer, to all victims */
    CALM_BEFORE_MS = 3000,
    CALM_AFTER_MS = 5000,
};

struct campaign_options campaign_defaults(void)
{
    return (struct campaign_options){.peers = 12, .tricks = TRICKS_ALL, .attack_ms = 40000};
}

static unsigned count_down(const struct world *world)
{
    unsigned count = 0;
    for (unsigned i = 0; i < world->count; i++)
        count += world->peers[i].swim == NULL;
    return count;
}

/* A peer dies or restarts at once, or one that is down comes back. */
static void change_somebody(struct world *world, struct random *random)
{
    unsigned number = (unsigned)random_below(random, world->count);
    if (!world->peers[number].swim) {
        world_start(world, number);
    } else if (random_chance(random, 1, 2)) {
        world_stop(world, number);
        world_start(world, number);
    } else if (count_down(world) < DOWN_AT_ONCE_MAX) {
        world_stop(world, number);
    }
}

static unsigned some_tricks(struct random *random, const struct campaign_options *options)
{
    unsigned tricks = options->tricks & (unsigned)random_u64(random);
    return options->all_at_once || tricks == 0 ? options->tricks : tricks;
}

static void attack(struct world *world, struct random *random,
                   const struct campaign_options *options)
{
    int64_t start_ms = world->timeline.now_ms, end_ms = start_ms + options->attack_ms;
    while (world->timeline.now_ms < end_ms && world->failure[0] == 0) {
        attacker_set(world->attacker, some_tricks(random, options));
        int64_t phase_ms = PHASE_MIN_MS + (int64_t)random_below(random, PHASE_SPREAD_MS);
        int64_t phase_end_ms = world->timeline.now_ms + phase_ms;
        while (world->timeline.now_ms < phase_end_ms && world->failure[0] == 0) {
            world_run(world, world->timeline.now_ms + 1 + (int64_t)random_below(random, phase_ms));
            if (!options->is_still)
                change_somebody(world, random);
        }
        bool is_half_over = world->timeline.now_ms - start_ms > options->attack_ms / 2;
        if (options->revokes && is_half_over && !world->peers[0].is_revoked)
            world_revoke(world, 0);
    }
    attacker_set(world->attacker, 0);
    if (world->counters.victims_pings > (uint64_t)(QUESTIONS_PER_SECOND * world->count *
                                                   (world->timeline.now_ms - start_ms) / 1000))
        rules_broken(world, "%llu times victims were asked whether a peer is there",
                     (unsigned long long)world->counters.victims_pings);
    world_say(world, "calm");
}

/* Waits until all is well; -1 if that takes longer than `limit_ms`. */
static int64_t settle(struct world *world, int64_t limit_ms)
{
    int64_t start_ms = world->timeline.now_ms;
    while (!rules_all_well(world)) {
        if (world->timeline.now_ms - start_ms >= limit_ms || world->failure[0] != 0)
            return -1;
        world_run(world, world->timeline.now_ms + LOOK_MS);
    }
    return world->timeline.now_ms - start_ms;
}

static void run(struct world *world, struct random *random, const struct campaign_options *options,
                struct campaign_outcome *ret)
{
    if (settle(world, CAMPAIGN_WARM_MS) < 0)
        rules_broken(world, "the peers don't find each other");
    world_run(world, world->timeline.now_ms + CALM_BEFORE_MS);
    attack(world, random, options);
    ret->settled_ms = settle(world, CAMPAIGN_CALM_MS);
    if (ret->settled_ms < 0)
        rules_broken(world, "all is not well %d s after the attack", CAMPAIGN_CALM_MS / 1000);
    world_run(world, world->timeline.now_ms + CALM_AFTER_MS);
    if (!rules_all_well(world))
        rules_broken(world, "all was well, and is not any more");
}

void campaign_run(uint64_t seed, const struct campaign_options *options,
                  struct campaign_outcome *ret)
{
    struct world world;
    struct random random;
    struct world_options world_options = world_defaults();
    random_init(&random, seed ^ UINT64_C(0x5ea1ed));
    world_options.peers = options->peers;
    world_options.seed = random_u64(&random);
    world_options.loss_permille = options->loss_permille;
    world_options.reorder_permille = (unsigned)random_below(&random, 200);
    world_options.delay_max_ms = 1 + (int64_t)random_below(&random, 20);
    *ret = (struct campaign_outcome){0};
    world_init(&world, &world_options);
    world.is_verbose = options->is_verbose;
    world.attacker = attacker_new(&world, random_u64(&random));
    int64_t start_ms = world.timeline.now_ms;
    run(&world, &random, options, ret);
    ret->has_passed = world.failure[0] == 0;
    ret->ended_ms = (ret->has_passed ? world.timeline.now_ms : world.failed_ms) - start_ms;
    ret->trace = world.trace;
    memcpy(ret->trick_counts, world.attacker->counts, sizeof(ret->trick_counts));
    ret->cookies_used = world.attacker->cookies_used;
    memcpy(ret->failure, world.failure, sizeof(ret->failure));
    struct attacker *attacker = world.attacker;
    world_done(&world);
    ret->counters = world.counters;
    attacker_free(attacker);
}
