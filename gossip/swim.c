#include "gossip/swim.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "gossip/swim_internal.h"

enum {
    US_PER_MS = 1000,
    HEALTH_PAUSED = 1, /* a peer that was paused once may well be slow */
    LATE_PART = 2,     /* of the probe timeout: a step that is later than this was held up */
};

bool swim_config_is_valid(const struct swim_config *config)
{
    if (id_is_none(&config->self) || !config->identity || config->generation == 0 ||
        config->generation == UINT32_MAX || address_is_none(&config->advertised))
        return false;
    if (config->probe_timeout_ms == 0 || config->probe_window_ms <= config->probe_timeout_ms)
        return false;
    if (config->probes == 0 || config->alert_probes < config->probes ||
        config->alert_probes > config->probe_interval_ms)
        return false;
    if (config->suspicion_min_multiplier == 0 ||
        config->suspicion_max_multiplier < config->suspicion_min_multiplier)
        return false;
    if (config->helpers > SWIM_HELPERS_MAX || config->confirmations > SWIM_CONFIRMATIONS_MAX ||
        config->gossip_fanout == 0 || config->gossip_fanout > SWIM_FANOUT_MAX)
        return false;
    if (config->gossip_interval_ms == 0 || config->retransmit_multiplier == 0 ||
        config->sync_interval_ms == 0 || config->reconnect_min_ms == 0 ||
        config->reconnect_max_ms < config->reconnect_min_ms || config->pause_ms == 0)
        return false;
    if (config->packet_bytes_max < SWIM_PACKET_BYTES_MIN ||
        config->packet_bytes_max > SWIM_PACKET_BYTES_LIMIT)
        return false;
    return config->members_max >= 1 && config->members_max <= SWIM_MEMBERS_MAX &&
           config->records_per_owner_max >= 1 &&
           config->records_per_owner_max <= SWIM_RECORDS_PER_OWNER_MAX;
}

int swim_new(const struct swim_config *config, int64_t now_ms, struct swim **ret)
{
    if (!swim_config_is_valid(config))
        return -EINVAL;
    struct swim *swim = calloc(1, sizeof(*swim));
    if (!swim)
        return -ENOMEM;
    swim->config = *config;
    if (config->plain)
        swim->config.confirmations = 0;
    swim->now_ms = now_ms;
    swim->now_us = now_ms * US_PER_MS;
    random_init(&swim->random, config->seed);
    swim_output_init(&swim->pending);
    swim->left_ms = swim->graves_ms = swim->gossip_ms = swim->reach_ms = NEVER_MS;
    swim->tombstone_ms = now_ms + config->tombstone_ms;
    swim->contacts_ms = NEVER_MS;
    swim->reached_ms = now_ms;
    /* Peers that start together should not probe and sync in step. */
    swim->probe_round_ms = now_ms + (int64_t)random_below(&swim->random, config->probe_interval_ms);
    swim->sync_ms = now_ms + (int64_t)random_below(&swim->random, config->sync_interval_ms);
    swim->promised_ms = NEVER_MS;
    sequences_init(swim);
    rumors_init(swim);
    sync_init(swim);

    int rc = 0;
    swim->pool = config->pool;
    swim->owns_pool = !config->pool;
    if (swim->owns_pool)
        rc = fact_pool_new(random_u64(&swim->random), &swim->pool);
    if (rc == 0) {
        swim->sets = fact_pool_sets(swim->pool);
        rc = members_init(swim);
    }
    if (rc < 0) {
        swim_free(swim);
        return rc;
    }
    *ret = swim;
    return 0;
}

void swim_free(struct swim *swim)
{
    if (!swim)
        return;
    members_done(swim);
    rumors_done(swim);
    free(swim->ring);
    free(swim->pings);
    swim_output_done(&swim->pending);
    if (swim->owns_pool)
        fact_pool_free(swim->pool);
    free(swim);
}

/* What was heard before a pause is old: others may have answered their accusers meanwhile. So we
 * ask at once what is new, and whom we suspect; until that can be known, nobody dies by our clock.
 */
static void wake(struct swim *swim)
{
    swim->counters.pauses++;
    swim->sync_ms = swim->now_ms;
    swim->views_agree = false;
    probe_reset(swim);
    health_add(swim, HEALTH_PAUSED);
    for (size_t i = 0; i < swim->doubted_count; i++)
        if (swim->doubted[i]->state == SWIM_SUSPECT)
            probe_start(swim, swim->doubted[i]);
}

/* If this step comes later than promised, we were paused (a suspended machine, a debugger, a
 * starved process): the time that was lost counts neither against others nor for our verdicts. The
 * answers to our probes may wait to be read. */
static void detect_pause(struct swim *swim)
{
    int64_t lost_ms = swim->promised_ms == NEVER_MS ? 0 : swim->now_ms - swim->promised_ms;
    if (swim->config.plain || lost_ms < swim->config.probe_timeout_ms / LATE_PART)
        return;
    if (lost_ms >= swim->config.pause_ms)
        swim->verdicts_ms = swim->now_ms + suspicion_min_ms(swim);
    suspicions_delay(swim, lost_ms);
    swim->reached_ms += lost_ms;
    if (lost_ms >= swim->config.pause_ms)
        wake(swim);
    else
        probes_delay(swim, lost_ms);
}

static int take_input(struct swim *swim, const struct swim_input *input)
{
    swim->teller = ID_NONE;
    if (input->type == SWIM_TICK)
        return 0;
    swim->teller = input->from;
    if (id_equal(&input->from, &swim->config.self) || swim_is_revoked(swim, &input->from))
        return -EPERM;
    struct swim_counters *counters = &swim->counters;
    int rc = 0;
    switch (input->type) {
    case SWIM_PACKET:
        counters->packets_received++;
        counters->packet_bytes_received += input->bytes.size;
        rc = packet_receive(swim, input);
        break;
    case SWIM_STREAM:
        counters->syncs_received++;
        counters->sync_bytes_received += input->bytes.size;
        rc = sync_receive(swim, input);
        break;
    case SWIM_UNREACHED:
        probe_unreached(swim, &input->from);
        break;
    case SWIM_TICK:
        break;
    }
    counters->malformed += rc == -EBADMSG;
    return rc;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int swim_step(struct swim *swim, const struct swim_input *input, struct swim_output *output)
{
    assert(input->now_ms >= swim->now_ms);
    swim->now_ms = input->now_ms;
    swim->now_us = input->now_us > 0 ? input->now_us : input->now_ms * US_PER_MS;
    swim->rc = 0;
    swim_output_begin(swim, output);
    detect_pause(swim);
    int rc = take_input(swim, input);

    members_run(swim);
    probes_run(swim);
    pings_run(swim);
    records_age(swim);
    reach_run(swim);
    paths_run(swim);
    sync_run(swim);
    gossip_run(swim);
    members_run(swim); /* what was just said may have changed when states change */

    int64_t next_ms = earlier(members_deadline(swim), probes_deadline(swim));
    next_ms = earlier(next_ms, earlier(swim->gossip_ms, swim->reach_ms));
    next_ms = earlier(next_ms, pings_deadline(swim));
    next_ms = earlier(next_ms, paths_deadline(swim));
    swim->promised_ms = earlier(next_ms, sync_deadline(swim));
    swim_output_finish(swim, output);
    output->next_deadline_ms = swim->promised_ms;
    return rc < 0 ? rc : swim->rc;
}

size_t swim_member_count(const struct swim *swim)
{
    return swim->members.count;
}

static struct swim_member member_show(const struct swim *swim, const struct member *member)
{
    const struct path *path = path_find(swim, member_id(member));
    return (struct swim_member){
        .id = *member_id(member),
        .address = *member_address(member),
        .state = (enum swim_state)member->state,
        .stream_address = path_stream_address(swim, member),
        .packet_address = path_address(swim, member),
        .path = path ? path->kind : SWIM_PATH_DIRECT,
        .udp_blocked = path && path->udp_blocked,
        .health = member->health,
        .accusers = (uint16_t)member_accusers(member),
        .rtt_us = member->rtt_us,
        .since_ms = member->since_ms,
        .incarnation = member_incarnation(member),
    };
}

struct swim_member swim_member_at(const struct swim *swim, size_t index)
{
    return member_show(swim, member_at(swim, index));
}

bool swim_member_find(const struct swim *swim, const struct id *id, struct swim_member *ret)
{
    const struct member *member = member_find(swim, id);
    if (member)
        *ret = member_show(swim, member);
    return member != NULL;
}

bool swim_member_is_complete(const struct swim *swim, const struct id *owner)
{
    const struct member *member = member_find(swim, owner);
    return member && records_are_complete(member);
}

size_t swim_live_count(const struct swim *swim)
{
    return swim->live_count;
}
