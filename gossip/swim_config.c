#include "gossip/swim.h"

#include <stdlib.h>

enum {
    SECOND_MS = 1000,
    HOUR_MS = 3600 * SECOND_MS,
};

/* Each of 20 peers is probed by one of the others in 6 intervals out of 7 (of 19 peers with two
 * probes each, none hits one of 19 with a chance of (18/19)^38 = 0.13), and accused one interval
 * later; second opinions take another, within which the suspicion has begun to run: it lasts two
 * intervals times log10(21) = 1.3. That makes two seconds, and less than three with one miss. */
struct swim_config swim_config_lan(void)
{
    return (struct swim_config){
        .probe_interval_ms = 400,
        .probes = 2,
        .probe_timeout_ms = 150,
        .helpers = 3,
        .suspicion_min_multiplier = 2,
        .suspicion_max_multiplier = 12,
        .confirmations = 3,
        .gossip_interval_ms = 100,
        .gossip_fanout = 3,
        .retransmit_multiplier = 3,
        .sync_interval_ms = 4 * SECOND_MS,
        .reconnect_min_ms = 2 * SECOND_MS,
        .reconnect_max_ms = 30 * SECOND_MS,
        .pause_ms = 1 * SECOND_MS,
        .tombstone_ms = 10 * 60 * SECOND_MS,
        .forget_left_ms = 1 * HOUR_MS,
        .forget_dead_ms = 72 * HOUR_MS,
        .packet_bytes_max = SESSION_PAYLOAD_BYTES_MAX,
        .members_max = SWIM_MEMBERS_MAX,
        .records_per_owner_max = SWIM_RECORDS_PER_OWNER_MAX,
    };
}

void swim_output_init(struct swim_output *output)
{
    *output = (struct swim_output){0};
    buffer_init(&output->arena);
}

void swim_output_done(struct swim_output *output)
{
    if (!output)
        return;
    free(output->messages);
    free(output->events);
    buffer_done(&output->arena);
    *output = (struct swim_output){0};
}
