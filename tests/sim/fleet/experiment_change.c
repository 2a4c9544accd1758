/* A peer says something new: when do the others know? */
#include <string.h>

#include "tests/sim/fleet/experiment.h"

enum {
    WARM_UP_MS = 5000,
    PATIENCE_MS = 120000,
    BETWEEN_MS = 1000,
};

struct change {
    struct fleet *fleet;
    unsigned owner;
    uint64_t version; /* the last one before the change */
    struct spread spread;
};

static void on_event(void *context, struct fleet_peer *peer, const struct swim_event *event)
{
    struct change *change = context;
    const struct id *owner = &change->fleet->peers[change->owner].identity.id;
    if (event->type == SWIM_RECORD_CHANGED && change->spread.knows &&
        event->version > change->version && id_equal(&event->id, owner))
        spread_learnt(&change->spread, peer->number);
}

/* Returns how many never learnt of it. */
static unsigned change_one(struct change *change, unsigned round, struct spread_samples *samples)
{
    struct fleet *fleet = change->fleet;
    struct bytes key = bytes_of_text("load");
    char text[64] = "a record of a usual size, with the round in its first byte ....";
    struct swim_record record = {0};
    int64_t wait_ms = BETWEEN_MS + (int64_t)random_below(&fleet->random, BETWEEN_MS);
    fleet_run(fleet, fleet->timeline.now_ms + wait_ms);

    change->owner = (unsigned)random_below(&fleet->random, fleet->count);
    struct fleet_peer *owner = &fleet->peers[change->owner];
    swim_record_find(owner->swim, &owner->identity.id, SWIM_TABLE_CAPACITY, key, &record);
    change->version = record.version;
    memcpy(text, &round, sizeof(round));
    spread_begin(&change->spread, fleet, change->owner);
    swim_publish(owner->swim, fleet->timeline.now_ms, SWIM_TABLE_CAPACITY, key,
                 (struct bytes){(const uint8_t *)text, sizeof(text)});
    fleet_tick(fleet, change->owner);
    fleet_run_until(fleet, fleet->timeline.now_ms + PATIENCE_MS, spread_is_over, &change->spread);
    spread_samples_add(samples, &change->spread);
    unsigned missing = change->spread.wanted - change->spread.knowing;
    spread_done(&change->spread);
    change->spread.knows = NULL;
    return missing;
}

bool experiment_change(const struct experiment_options *options, struct report *report)
{
    struct fleet fleet;
    struct spread_samples samples = {0};
    struct change change = {.fleet = &fleet};
    unsigned missing = 0;

    fleet_init(&fleet, &options->fleet);
    fleet.context = &change;
    fleet.on_event = on_event;
    fleet_run(&fleet, WARM_UP_MS);
    for (unsigned i = 0; i < options->repeats; i++)
        missing += change_one(&change, i, &samples);

    report_begin(report, "change");
    report_fleet(report, options);
    report_number(report, "changes", options->repeats);
    report_spread(report, &samples);
    report_number(report, "never_learnt", missing);
    report_end(report);
    double worst_ms = samples_quantile(&samples.nearly_all, FLEET_PERMILLE);
    spread_samples_done(&samples);
    fleet_done(&fleet);
    return options->limit == 0 || (worst_ms < options->limit && missing == 0);
}
