/* The profile that was agreed on for gossip becomes this peer's timings. */
#include <assert.h>

#include "node/control/agent_private.h"

_Static_assert((int)INTENT_PROBE_INTERVAL_MS_MIN == (int)SWIM_PROBE_INTERVAL_MS_MIN &&
                   (int)INTENT_PROBE_INTERVAL_MS_MAX == (int)SWIM_PROBE_INTERVAL_MS_MAX &&
                   (int)INTENT_SUSPICION_MAX == (int)SWIM_SUSPICION_MAX &&
                   (int)INTENT_FANOUT_MAX == (int)SWIM_FANOUT_MAX,
               "what intent allows is what gossip can do");

/* What is in force at lan without more is what the node was configured with. */
static struct swim_config profile_config(const struct agent *agent, uint8_t profile)
{
    switch ((enum intent_profile)profile) {
    case INTENT_PROFILE_WAN:
        return swim_config_wan();
    case INTENT_PROFILE_EDGE:
        return swim_config_edge();
    case INTENT_PROFILE_LAN:
        break;
    }
    return agent->config.swim;
}

static struct swim_config agreed_timings(const struct agent *agent)
{
    const struct intent_gossip *gossip = &agent->intent->gossip;
    struct swim_config timings = profile_config(agent, gossip->profile);
    struct swim_tuning tuning = {gossip->probe_interval_ms, gossip->suspicion, gossip->fanout};
    int rc = swim_config_tune(&timings, &tuning);
    assert(rc == 0); /* see intent_gossip_is_valid() */
    return timings;
}

void agent_gossip_start(struct agent *agent, struct swim_config *config)
{
    struct swim_config timings = agreed_timings(agent);
    swim_config_take_timings(config, &timings);
    agent->gossip = agent->intent->gossip;
}

void agent_gossip_changed(struct agent *agent)
{
    const struct intent_gossip *wanted = &agent->intent->gossip, *is = &agent->gossip;
    if (wanted->profile == is->profile && wanted->probe_interval_ms == is->probe_interval_ms &&
        wanted->suspicion == is->suspicion && wanted->fanout == is->fanout)
        return;
    struct swim_config timings = agreed_timings(agent);
    int rc = swim_set_profile(agent->swim, agent->now_ms, &timings);
    assert(rc == 0);
    agent->gossip = *wanted;
    agent->swim_due = true;
}
