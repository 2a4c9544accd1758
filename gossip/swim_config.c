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

/* Between sites a round trip takes 100 to 300 ms and a packet in fifty is lost; who is suspected at
 * one site must be able to refute it at all others. So the interval is five times lan's: time for
 * the timeout (twice a slow round trip), a helper's way and its answer's. A suspicion lasts three
 * intervals at least, since a refutation takes some rounds of gossip, each a round trip apart. The
 * dead are tried less often: firewalls count who knocks. One of 20 is probed within 2 to 4 s,
 * accused after 2 more, and dead 3 * 1.3 * 2 s = 8 s later. Measured: 12 s, 340 bytes a second. */
struct swim_config swim_config_wan(void)
{
    struct swim_config config = swim_config_lan();
    config.probe_interval_ms = 2 * SECOND_MS;
    config.probe_timeout_ms = 600;
    config.suspicion_min_multiplier = 3;
    config.suspicion_max_multiplier = 18;
    config.gossip_interval_ms = 300;
    config.gossip_fanout = 4;
    config.sync_interval_ms = 20 * SECOND_MS;
    config.reconnect_min_ms = 5 * SECOND_MS;
    config.reconnect_max_ms = 60 * SECOND_MS;
    return config;
}

/* Each packet is paid for, in money or battery (a modem stays awake for seconds after one), and one
 * in ten is lost. One probe of our own each 5 s, and on average one of somebody else's to answer;
 * few helpers and accusers, little said at a time. A single lost packet costs a round of gossip of
 * a second, so suspicion begins at four intervals: one of 20 is probed within 5 to 15 s, accused
 * after 5 more, and dead 4 * 1.3 * 5 s = 26 s later. Syncs, the largest messages, are two minutes
 * apart; what lost packets carried is asked for by the digests on the packets in between. Measured,
 * with a packet in ten lost: 43 s, at most 75, and 150 bytes a second. */
struct swim_config swim_config_edge(void)
{
    struct swim_config config = swim_config_lan();
    config.probe_interval_ms = 5 * SECOND_MS;
    config.probes = 1;
    config.probe_timeout_ms = 2 * SECOND_MS;
    config.helpers = 2;
    config.suspicion_min_multiplier = 4;
    config.suspicion_max_multiplier = 16;
    config.confirmations = 2;
    config.gossip_interval_ms = 1 * SECOND_MS;
    config.gossip_fanout = 2;
    config.sync_interval_ms = 120 * SECOND_MS;
    config.reconnect_min_ms = 15 * SECOND_MS;
    config.reconnect_max_ms = 10 * 60 * SECOND_MS;
    return config;
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
