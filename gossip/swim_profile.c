/* Other timings for a running instance: what is under way must neither be cut short nor forgotten.
 */
#include <errno.h>

#include "gossip/swim_internal.h"

enum {
    /* How many of the slower profile's syncs pass until the word of a change has come to all. */
    PATIENCE_SYNCS = 2,
};

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t later(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static bool is_outside(uint32_t value, uint32_t min, uint32_t max)
{
    return value != 0 && (value < min || value > max);
}

static uint32_t scaled(uint32_t value, uint64_t part, uint64_t whole)
{
    uint64_t result = value * part / whole;
    return result > 0 ? (uint32_t)result : 1;
}

int swim_config_tune(struct swim_config *config, const struct swim_tuning *tuning)
{
    if (is_outside(tuning->probe_interval_ms, SWIM_PROBE_INTERVAL_MS_MIN,
                   SWIM_PROBE_INTERVAL_MS_MAX) ||
        is_outside(tuning->suspicion, 1, SWIM_SUSPICION_MAX) ||
        is_outside(tuning->fanout, 1, SWIM_FANOUT_MAX))
        return -EINVAL;
    uint64_t interval_ms = tuning->probe_interval_ms;
    if (interval_ms != 0) {
        config->probe_window_ms =
            scaled(config->probe_window_ms, interval_ms, config->probe_interval_ms);
        /* How long a round trip takes is the network's, not the rhythm's: it does not grow. */
        if (interval_ms < config->probe_interval_ms)
            config->probe_timeout_ms =
                scaled(config->probe_timeout_ms, interval_ms, config->probe_interval_ms);
        config->probe_interval_ms = (uint32_t)interval_ms;
    }
    if (tuning->suspicion != 0) {
        config->suspicion_max_multiplier =
            config->suspicion_max_multiplier * tuning->suspicion / config->suspicion_min_multiplier;
        config->suspicion_min_multiplier = tuning->suspicion;
    }
    if (tuning->fanout != 0)
        config->gossip_fanout = tuning->fanout;
    return 0;
}

void swim_config_take_timings(struct swim_config *config, const struct swim_config *timings)
{
    config->probe_interval_ms = timings->probe_interval_ms;
    config->probes = timings->probes;
    config->alert_probes = timings->alert_probes;
    config->probe_timeout_ms = timings->probe_timeout_ms;
    config->probe_window_ms = timings->probe_window_ms;
    config->helpers = timings->helpers;
    config->suspicion_min_multiplier = timings->suspicion_min_multiplier;
    config->suspicion_max_multiplier = timings->suspicion_max_multiplier;
    config->confirmations = timings->confirmations;
    config->gossip_interval_ms = timings->gossip_interval_ms;
    config->gossip_fanout = timings->gossip_fanout;
    config->retransmit_multiplier = timings->retransmit_multiplier;
    config->sync_interval_ms = timings->sync_interval_ms;
    config->reconnect_min_ms = timings->reconnect_min_ms;
    config->reconnect_max_ms = timings->reconnect_max_ms;
}

/* Remembers how patient we were so far. */
static void keep_patience(struct swim *swim, const struct swim_config *before)
{
    struct patience *patience = &swim->patience;
    int64_t sync_ms = later(before->sync_interval_ms, swim->config.sync_interval_ms);
    int64_t min_ms = (int64_t)before->probe_window_ms * before->suspicion_min_multiplier;
    int64_t max_ms = (int64_t)before->probe_window_ms * before->suspicion_max_multiplier;
    bool was_patient = swim->now_ms < patience->until_ms;
    patience->min_ms = was_patient ? later(patience->min_ms, min_ms) : min_ms;
    patience->max_ms = was_patient ? later(patience->max_ms, max_ms) : max_ms;
    patience->until_ms = later(patience->until_ms, swim->now_ms + PATIENCE_SYNCS * sync_ms);
}

/* Those under way get a whole new wait: their answers have time under either profile. */
static void retime_probes(struct swim *swim)
{
    const struct swim_config *config = &swim->config;
    int64_t patience = 1 + swim->health;
    for (size_t i = 0; i < SWIM_PROBES_MAX; i++) {
        struct probe *probe = &swim->probes[i];
        if (probe->relay_ms != NEVER_MS)
            probe->relay_ms = swim->now_ms + config->probe_timeout_ms * patience;
        probe->fail_ms = swim->now_ms + config->probe_window_ms * patience;
    }
    /* All hear of the change at about the same time, and should not probe in step from then on. */
    int64_t round_ms =
        swim->now_ms + (int64_t)random_below(&swim->random, config->probe_interval_ms);
    swim->probe_round_ms = earlier(swim->probe_round_ms, round_ms);
}

static void retime_reach(struct swim *swim)
{
    uint32_t max_ms = swim->config.reconnect_max_ms;
    for (size_t i = 0; i < swim->doubted_count; i++) {
        struct suspicion *suspicion = swim->doubted[i]->suspicion;
        if (suspicion->reconnect_backoff_ms <= max_ms)
            continue;
        suspicion->reconnect_ms = earlier(
            suspicion->reconnect_ms, swim->now_ms + (int64_t)random_below(&swim->random, max_ms));
        suspicion->reconnect_backoff_ms = max_ms;
    }
    for (size_t i = 0; i < swim->seed_count; i++) {
        struct seed *seed = &swim->seeds[i];
        if (seed->backoff_ms <= max_ms)
            continue;
        seed->next_ms =
            earlier(seed->next_ms, swim->now_ms + (int64_t)random_below(&swim->random, max_ms));
        seed->backoff_ms = max_ms;
    }
    reach_soon(swim);
}

const struct swim_config *swim_config_in_force(const struct swim *swim)
{
    return &swim->config;
}

int swim_set_profile(struct swim *swim, int64_t now_ms, const struct swim_config *timings)
{
    struct swim_config before = swim->config, after = swim->config;
    swim_config_take_timings(&after, timings);
    if (!swim_config_is_valid(&after))
        return -EINVAL;
    swim->now_ms = now_ms;
    swim->config = after;
    keep_patience(swim, &before);
    suspicions_keep_pace(swim);
    retime_probes(swim);
    retime_reach(swim);
    if (swim->gossip_ms != NEVER_MS)
        swim->gossip_ms = earlier(swim->gossip_ms, now_ms + after.gossip_interval_ms);
    int64_t sync_ms = now_ms + (int64_t)random_below(&swim->random, after.sync_interval_ms);
    swim->sync_ms = earlier(swim->sync_ms, sync_ms);
    swim->repair.due_ms = earlier(swim->repair.due_ms, sync_ms);
    return 0;
}
