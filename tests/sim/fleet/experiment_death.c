/* A peer dies: when do the others hold it dead? */
#include "tests/sim/fleet/experiment.h"

enum {
    WARM_UP_MS = 5000,
    PATIENCE_MS = 120000,
    BETWEEN_MS = 3000, /* and up to twice that, so that deaths fall anywhere into an interval */
};

struct death {
    struct fleet *fleet;
    unsigned victim;
    struct spread spread;
    unsigned false_deaths;   /* verdicts about the living */
    struct samples first_ms; /* until the first suspicion */
    bool is_suspected;
};

static void on_event(void *context, struct fleet_peer *peer, const struct swim_event *event)
{
    struct death *death = context;
    if (event->type != SWIM_MEMBER_DEAD && event->type != SWIM_MEMBER_SUSPECT)
        return;
    unsigned number = fleet_find(death->fleet, &event->id);
    if (event->type == SWIM_MEMBER_DEAD) {
        if (number == death->victim)
            spread_learnt(&death->spread, peer->number);
        death->false_deaths += death->fleet->peers[number].condition != FLEET_DEAD;
    } else if (number == death->victim && !death->is_suspected) {
        death->is_suspected = true;
        samples_add(&death->first_ms,
                    (double)(death->fleet->timeline.now_ms - death->spread.begun_ms));
    }
}

/* Returns how many never learnt of it. */
static unsigned kill_one(struct death *death, struct spread_samples *samples)
{
    struct fleet *fleet = death->fleet;
    int64_t wait_ms = BETWEEN_MS + (int64_t)random_below(&fleet->random, BETWEEN_MS);
    fleet_run(fleet, fleet->timeline.now_ms + wait_ms);
    do
        death->victim = (unsigned)random_below(&fleet->random, fleet->count);
    while (fleet->peers[death->victim].condition == FLEET_DEAD);

    fleet_kill(fleet, death->victim);
    spread_begin(&death->spread, fleet, death->victim);
    death->is_suspected = false;
    fleet_run_until(fleet, fleet->timeline.now_ms + PATIENCE_MS, spread_is_over, &death->spread);
    spread_samples_add(samples, &death->spread);
    unsigned missing = death->spread.wanted - death->spread.knowing;
    spread_done(&death->spread);
    return missing;
}

bool experiment_death(const struct experiment_options *options, struct report *report)
{
    struct fleet fleet;
    struct spread_samples samples = {0};
    struct death death = {.fleet = &fleet, .victim = options->fleet.peers};
    unsigned deaths = options->repeats, missing = 0;

    if (deaths > options->fleet.peers / 2)
        deaths = options->fleet.peers / 2;
    fleet_init(&fleet, &options->fleet);
    fleet.context = &death;
    fleet.on_event = on_event;
    fleet_run(&fleet, WARM_UP_MS);
    for (unsigned i = 0; i < deaths; i++)
        missing += kill_one(&death, &samples);

    report_begin(report, "death");
    report_fleet(report, options);
    report_number(report, "deaths", deaths);
    report_samples(report, "first_suspected_ms", &death.first_ms);
    report_spread(report, &samples);
    report_number(report, "never_learnt", missing);
    report_number(report, "living_held_dead", death.false_deaths);
    report_end(report);
    double worst_ms = samples_quantile(&samples.nearly_all, FLEET_PERMILLE);
    spread_samples_done(&samples);
    samples_done(&death.first_ms);
    fleet_done(&fleet);
    return options->limit == 0 || (worst_ms < options->limit && missing == 0);
}
