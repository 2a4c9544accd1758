/* A fleet is cut into two halves for so long that each holds the other dead; then the cut heals. */
#include "tests/sim/fleet/experiment.h"

enum {
    WARM_UP_MS = 5000,
    CUT_MS = 60000, /* long enough for the tries to reach the dead to have become rare */
    PATIENCE_MS = 600000,
};

struct partition {
    struct fleet *fleet;
    unsigned seen_wanted; /* how many live members each peer shall see */
    double part_wanted;
};

static bool is_whole(void *context)
{
    const struct partition *partition = context;
    const struct fleet *fleet = partition->fleet;
    unsigned whole = 0;
    for (unsigned i = 0; i < fleet->count; i++)
        whole += swim_live_count(fleet->peers[i].swim) == partition->seen_wanted;
    return whole >= partition->part_wanted * fleet->count;
}

bool experiment_partition(const struct experiment_options *options, struct report *report)
{
    struct fleet fleet;
    struct partition partition = {.fleet = &fleet, .part_wanted = 1};
    int64_t patience_ms = WARM_UP_MS + CUT_MS + PATIENCE_MS;

    fleet_init(&fleet, &options->fleet);
    fleet_run(&fleet, WARM_UP_MS);
    for (unsigned i = 0; i < fleet.count; i++)
        fleet.peers[i].side = i % 2;
    partition.seen_wanted = fleet.count / 2;
    bool is_parted =
        fleet.count % 2 == 0 && fleet_run_until(&fleet, WARM_UP_MS + CUT_MS, is_whole, &partition);
    int64_t parted_ms = fleet.timeline.now_ms - WARM_UP_MS;
    fleet_run(&fleet, WARM_UP_MS + CUT_MS);

    struct fleet_traffic before = fleet_traffic_sum(&fleet);
    for (unsigned i = 0; i < fleet.count; i++)
        fleet.peers[i].side = 0;
    partition.seen_wanted = fleet.count;
    int64_t healed_ms = fleet.timeline.now_ms;
    partition.part_wanted = 0.999;
    fleet_run_until(&fleet, patience_ms, is_whole, &partition);
    int64_t nearly_ms = fleet.timeline.now_ms - healed_ms;
    partition.part_wanted = 1;
    bool is_healed = fleet_run_until(&fleet, patience_ms, is_whole, &partition);
    int64_t all_ms = fleet.timeline.now_ms - healed_ms;
    struct fleet_traffic after = fleet_traffic_sum(&fleet);

    report_begin(report, "partition");
    report_fleet(report, options);
    report_number(report, "halves_hold_each_other_dead", is_parted);
    report_number(report, "parted_after_ms", (double)parted_ms);
    report_number(report, "cut_for_ms", CUT_MS);
    report_number(report, "healed", is_healed);
    report_number(report, "healed_at_99.9_percent_ms", (double)nearly_ms);
    report_number(report, "healed_at_all_ms", (double)all_ms);
    report_number(report, "bytes_per_peer_to_heal",
                  (double)(after.packet_bytes - before.packet_bytes + after.stream_bytes -
                           before.stream_bytes) /
                      fleet.count);
    report_end(report);
    fleet_done(&fleet);
    return options->limit == 0 || (is_parted && is_healed && (double)all_ms < options->limit);
}
