/* Nothing happens: what does that cost? */
#include "tests/sim/fleet/experiment.h"

enum {
    WARM_UP_MS = 30000,
    MEASURED_MS = 60000,
    MS_PER_SECOND = 1000,
};

bool experiment_idle(const struct experiment_options *options, struct report *report)
{
    struct fleet fleet;
    fleet_init(&fleet, &options->fleet);
    fleet_run(&fleet, WARM_UP_MS);
    struct fleet_traffic before = fleet_traffic_sum(&fleet);
    fleet_run(&fleet, WARM_UP_MS + MEASURED_MS);
    struct fleet_traffic after = fleet_traffic_sum(&fleet);
    double peer_seconds = (double)fleet.count * MEASURED_MS / MS_PER_SECOND;
    double packets = (double)(after.packet_bytes - before.packet_bytes) / peer_seconds;
    double streams = (double)(after.stream_bytes - before.stream_bytes) / peer_seconds;

    report_begin(report, "idle");
    report_fleet(report, options);
    report_number(report, "bytes_per_second", packets + streams);
    report_number(report, "bytes_per_second_in_packets", packets);
    report_number(report, "bytes_per_second_in_streams", streams);
    report_number(report, "packets_per_second",
                  (double)(after.packets - before.packets) / peer_seconds);
    report_number(report, "bytes_per_packet",
                  packets * peer_seconds / (double)(after.packets - before.packets));
    report_number(report, "steps_per_second", (double)(after.steps - before.steps) / peer_seconds);
    report_end(report);
    fleet_done(&fleet);
    return options->limit == 0 || packets + streams < options->limit;
}
