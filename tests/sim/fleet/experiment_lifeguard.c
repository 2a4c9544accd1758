/* The experiments of Lifeguard's paper (Dadgar, Phillips, Currey 2018, section 5) again: some
 * members are stopped again and again, for D ms with I ms between, all at the same times. Who of
 * the healthy members is held dead, and how soon is a real death known? With Lifeguard and, from
 * the same seeds, without (config.plain).
 */
#include <stdlib.h>

#include "tests/sim/fleet/experiment.h"

enum {
    WARM_UP_MS = 5000,
    RUN_MS = 120000,  /* the paper's */
    DEATH_MS = 60000, /* one healthy member dies, this long after the start */
    CALM_MS = 20000,  /* what was begun comes to its end */
    DISTURBED_COUNT = 5,
    DURATION_COUNT = 4,
    INTERVAL_COUNT = 4,
};

static const unsigned disturbed_tried[DISTURBED_COUNT] = {1, 4, 8, 16, 32};
static const int64_t durations_ms[DURATION_COUNT] = {512, 2048, 8192, 32768};
static const int64_t intervals_ms[INTERVAL_COUNT] = {4, 64, 1024, 16384};

/* What one way of doing it came to, over all durations and intervals. */
struct outcome {
    unsigned runs;
    uint64_t false_all;     /* verdicts about healthy members, by anyone */
    uint64_t false_healthy; /* by healthy members: the paper's FP- */
    uint64_t bytes;
    unsigned never_learnt;
    struct spread_samples latency;
};

struct run {
    struct fleet *fleet;
    bool *is_disturbed; /* by number */
    unsigned victim;
    struct spread spread;
    struct outcome *outcome;
};

static void on_event(void *context, struct fleet_peer *peer, const struct swim_event *event)
{
    struct run *run = context;
    if (event->type != SWIM_MEMBER_DEAD)
        return;
    unsigned number = fleet_find(run->fleet, &event->id);
    if (run->fleet->peers[number].condition == FLEET_DEAD) {
        spread_learnt(&run->spread, peer->number);
    } else if (!run->is_disturbed[number]) {
        run->outcome->false_all++;
        run->outcome->false_healthy += !run->is_disturbed[peer->number];
    }
}

static void disturb_all(struct run *run, enum fleet_condition anomaly, int64_t duration_ms)
{
    for (unsigned i = 0; i < run->fleet->count; i++)
        if (run->is_disturbed[i])
            fleet_disturb(run->fleet, i, anomaly, duration_ms);
}

static void die(struct run *run)
{
    struct fleet *fleet = run->fleet;
    do
        run->victim = (unsigned)random_below(&fleet->random, fleet->count);
    while (run->is_disturbed[run->victim]);
    fleet_kill(fleet, run->victim);
    spread_begin(&run->spread, fleet, run->victim);
    for (unsigned i = 0; i < fleet->count; i++) { /* the healthy ones count */
        if (!run->is_disturbed[i])
            continue;
        run->spread.wanted -= !run->spread.knows[i];
        run->spread.knows[i] = true;
    }
}

static void run_one(const struct experiment_options *options, unsigned disturbed,
                    int64_t duration_ms, int64_t interval_ms, struct outcome *outcome)
{
    struct fleet fleet;
    struct run run = {.fleet = &fleet, .outcome = outcome};
    fleet_init(&fleet, &options->fleet);
    run.is_disturbed = sim_allocate(fleet.count);
    for (unsigned left = disturbed; left > 0;) {
        unsigned number = (unsigned)random_below(&fleet.random, fleet.count);
        left -= !run.is_disturbed[number];
        run.is_disturbed[number] = true;
    }
    fleet.context = &run;
    fleet.on_event = on_event;
    fleet_run(&fleet, WARM_UP_MS);
    uint64_t bytes = fleet_traffic_sum(&fleet).packet_bytes;
    bool is_dead = false;
    while (fleet.timeline.now_ms < WARM_UP_MS + RUN_MS) {
        int64_t end_ms = fleet.timeline.now_ms + duration_ms + interval_ms;
        disturb_all(&run, options->anomaly, duration_ms);
        if (!is_dead && end_ms >= WARM_UP_MS + DEATH_MS) {
            if (fleet.timeline.now_ms < WARM_UP_MS + DEATH_MS)
                fleet_run(&fleet, WARM_UP_MS + DEATH_MS);
            die(&run);
            is_dead = true;
        }
        fleet_run(&fleet, end_ms);
    }
    outcome->bytes += fleet_traffic_sum(&fleet).packet_bytes - bytes;
    fleet_run(&fleet, fleet.timeline.now_ms + CALM_MS);
    outcome->runs++;
    outcome->never_learnt += run.spread.wanted - run.spread.knowing;
    if (run.spread.all_ms >= 0)
        spread_samples_add(&outcome->latency, &run.spread);
    spread_done(&run.spread);
    free(run.is_disturbed);
    fleet_done(&fleet);
}

static void run_all(struct experiment_options options, unsigned disturbed, bool plain,
                    struct outcome *outcome)
{
    options.fleet.config.plain = plain;
    uint64_t first_seed = options.fleet.seed;
    for (unsigned repeat = 0; repeat < options.repeats; repeat++) {
        for (size_t i = 0; i < DURATION_COUNT * INTERVAL_COUNT; i++) {
            int64_t duration_ms = durations_ms[i / INTERVAL_COUNT];
            if (options.duration_ms != 0 && options.duration_ms != duration_ms)
                continue;
            options.fleet.seed = first_seed + repeat * DURATION_COUNT * INTERVAL_COUNT + i;
            run_one(&options, disturbed, duration_ms, intervals_ms[i % INTERVAL_COUNT], outcome);
        }
    }
}

/* How many times fewer; one is counted where there is none. */
static double factor(uint64_t plain, uint64_t lifeguard)
{
    return (double)plain / (lifeguard > 0 ? (double)lifeguard : 1);
}

static void report_outcome(struct report *report, const char *heading, struct outcome *outcome)
{
    report_heading(report, heading);
    report_number(report, "runs", outcome->runs);
    report_number(report, "false", (double)outcome->false_all);
    report_number(report, "false_at_healthy", (double)outcome->false_healthy);
    report_number(report, "megabytes_sent", (double)outcome->bytes / 1e6);
    report_spread(report, &outcome->latency);
    report_number(report, "never_learnt", outcome->never_learnt);
    report_heading(report, NULL);
}

bool experiment_lifeguard(const struct experiment_options *options, struct report *report)
{
    uint64_t plain_all = 0, plain_healthy = 0, lifeguard_all = 0, lifeguard_healthy = 0;
    for (size_t i = 0; i < DISTURBED_COUNT; i++) {
        unsigned disturbed = disturbed_tried[i];
        struct outcome with = {0}, without = {0};
        if ((options->disturbed != 0 && options->disturbed != disturbed) ||
            disturbed > options->fleet.peers / 2)
            continue;
        run_all(*options, disturbed, false, &with);
        run_all(*options, disturbed, true, &without);
        report_begin(report, "lifeguard");
        report_fleet(report, options);
        report_number(report, "disturbed", disturbed);
        report_outcome(report, "lifeguard", &with);
        report_outcome(report, "plain", &without);
        report_end(report);
        lifeguard_all += with.false_all;
        lifeguard_healthy += with.false_healthy;
        plain_all += without.false_all;
        plain_healthy += without.false_healthy;
        spread_samples_done(&with.latency);
        spread_samples_done(&without.latency);
    }
    report_begin(report, "lifeguard total");
    report_number(report, "plain_false", (double)plain_all);
    report_number(report, "lifeguard_false", (double)lifeguard_all);
    report_number(report, "times_fewer", factor(plain_all, lifeguard_all));
    report_number(report, "plain_false_at_healthy", (double)plain_healthy);
    report_number(report, "lifeguard_false_at_healthy", (double)lifeguard_healthy);
    report_number(report, "times_fewer_at_healthy", factor(plain_healthy, lifeguard_healthy));
    report_end(report);
    return options->limit == 0 || factor(plain_all, lifeguard_all) >= options->limit;
}
