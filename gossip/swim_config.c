#include "gossip/swim.h"

#include <stdlib.h>

enum {
    SECOND_MS = 1000,
    HOUR_MS = 3600 * SECOND_MS,
};

/* Each peer is probed by its neighbour every other interval, however large the fleet, and by others
 * in between: after 0.4 s in the middle, and 1.2 s at most. 0.4 s later it is accused; of 20 peers
 * a suspicion lasts twice that times log10(21) = 1.3, within which second opinions come. That makes
 * 1.8 s and less than three. While somebody is suspected, three times as many probes find out who
 * else has died. Probing costs a peer 3.3 packets a second, its own and its answers. */
struct swim_config swim_config_lan(void)
{
    return (struct swim_config){
        .probe_interval_ms = 600,
        .probes = 1,
        .alert_probes = 3,
        .probe_timeout_ms = 150,
        .probe_window_ms = 400,
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
 * one site must be able to refute it at all others. So the window is five times lan's: time for
 * the timeout (twice a slow round trip), a helper's way and its answer's. A suspicion lasts three
 * windows at least, since a refutation takes some rounds of gossip, each a round trip apart. The
 * dead are tried less often: firewalls count who knocks. One of 20 is probed within 4 s,
 * accused after 2 more, and dead 3 * 1.3 * 2 s = 8 s later. Measured: 10 to 12.5 s, 80 bytes a
 * second. */
struct swim_config swim_config_wan(void)
{
    struct swim_config config = swim_config_lan();
    config.probe_interval_ms = 2 * SECOND_MS;
    config.alert_probes = 2;
    config.probe_timeout_ms = 600;
    config.probe_window_ms = 2 * SECOND_MS;
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
 * a second, so suspicion begins at four windows: one of 20 is probed within 10 s, accused
 * after 5 more, and dead 4 * 1.3 * 5 s = 26 s later. Syncs, the largest messages, are two minutes
 * apart; what lost packets carried is asked for by the digests on the packets in between. More
 * probes for a suspect's sake are not worth it here. Measured, with a packet in ten lost: 33 to
 * 41 s, and 40 bytes a second. */
struct swim_config swim_config_edge(void)
{
    struct swim_config config = swim_config_lan();
    config.probe_interval_ms = 5 * SECOND_MS;
    config.alert_probes = 1;
    config.probe_timeout_ms = 2 * SECOND_MS;
    config.probe_window_ms = 5 * SECOND_MS;
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
