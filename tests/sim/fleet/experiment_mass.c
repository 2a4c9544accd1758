/* 30 % of the peers die in the same instant. */
#include <stdlib.h>

#include "tests/sim/fleet/experiment.h"

enum {
    WARM_UP_MS = 5000,
    PATIENCE_MS = 300000,
    DYING_PERCENT = 30,
};

struct mass {
    struct fleet *fleet;
    unsigned *known; /* by number: how many of the victims it holds dead */
    unsigned victims;
    struct spread spread;
    unsigned false_deaths, false_suspicions;
};

static void on_event(void *context, struct fleet_peer *peer, const struct swim_event *event)
{
    struct mass *mass = context;
    if (event->type != SWIM_MEMBER_DEAD && event->type != SWIM_MEMBER_SUSPECT)
        return;
    const struct fleet_peer *accused = &mass->fleet->peers[fleet_find(mass->fleet, &event->id)];
    bool is_victim = accused->condition == FLEET_DEAD;
    if (event->type == SWIM_MEMBER_SUSPECT) {
        mass->false_suspicions += !is_victim;
        return;
    }
    mass->false_deaths += !is_victim;
    if (is_victim && ++mass->known[peer->number] == mass->victims)
        spread_learnt(&mass->spread, peer->number);
}

bool experiment_mass(const struct experiment_options *options, struct report *report)
{
    struct fleet fleet;
    struct spread_samples samples = {0};
    struct mass mass = {.fleet = &fleet,
                        .known = sim_allocate(options->fleet.peers * sizeof(unsigned))};
    fleet_init(&fleet, &options->fleet);
    fleet.context = &mass;
    fleet_run(&fleet, WARM_UP_MS);
    mass.victims = fleet.count * DYING_PERCENT / 100;
    for (unsigned left = mass.victims; left > 0;) {
        unsigned number = (unsigned)random_below(&fleet.random, fleet.count);
        left -= fleet.peers[number].condition != FLEET_DEAD;
        fleet_kill(&fleet, number);
    }
    fleet.on_event = on_event;
    spread_begin(&mass.spread, &fleet, fleet.count);
    fleet_run_until(&fleet, fleet.timeline.now_ms + PATIENCE_MS, spread_is_over, &mass.spread);
    spread_samples_add(&samples, &mass.spread);

    report_begin(report, "mass");
    report_fleet(report, options);
    report_number(report, "victims", mass.victims);
    report_spread(report, &samples);
    report_number(report, "never_learnt_all", mass.spread.wanted - mass.spread.knowing);
    report_number(report, "living_suspected", mass.false_suspicions);
    report_number(report, "living_held_dead", mass.false_deaths);
    report_end(report);
    double all_ms = samples_quantile(&samples.all, FLEET_PERMILLE);
    spread_samples_done(&samples);
    spread_done(&mass.spread);
    free(mass.known);
    fleet_done(&fleet);
    return options->limit == 0 ||
           (all_ms >= 0 && all_ms < options->limit && mass.false_deaths == 0);
}
