/* How patiently the peers watch one another, for all of the cluster. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "consensus/intent_apply.h"

static const char *const profile_texts[] = {"lan", "wan", "edge"};

const char *intent_profile_text(uint8_t profile)
{
    return profile < array_count(profile_texts) ? profile_texts[profile] : "unknown";
}

int intent_profile_parse(const char *text, uint8_t *ret)
{
    for (size_t i = 0; i < array_count(profile_texts); i++) {
        if (strcmp(text, profile_texts[i]) == 0) {
            *ret = (uint8_t)i;
            return 0;
        }
    }
    return -EINVAL;
}

static bool is_interval(uint32_t value_ms)
{
    return value_ms == 0 ||
           (value_ms >= INTENT_PROBE_INTERVAL_MS_MIN && value_ms <= INTENT_PROBE_INTERVAL_MS_MAX);
}

bool intent_gossip_is_valid(const struct intent_gossip *gossip)
{
    return gossip->profile <= INTENT_PROFILE_EDGE && is_interval(gossip->probe_interval_ms) &&
           gossip->suspicion <= INTENT_SUSPICION_MAX && gossip->fanout <= INTENT_FANOUT_MAX;
}

static int refuse(struct intent_apply *apply, const struct intent_gossip *wanted)
{
    struct error *error = &apply->result->error;
    if (!is_interval(wanted->probe_interval_ms))
        error_set(error, -EINVAL, "a probe interval of %" PRIu32 " ms can't be",
                  wanted->probe_interval_ms);
    else if (wanted->suspicion > INTENT_SUSPICION_MAX)
        error_set(error, -EINVAL, "a suspicion of %" PRIu32 " can't be", wanted->suspicion);
    else
        error_set(error, -EINVAL, "a fanout of %" PRIu32 " can't be", wanted->fanout);
    error_hint(error,
               "probe intervals are %d ms to %d s, suspicions 1 to %d, fanouts 1 to %d; 0: the "
               "profile's own",
               INTENT_PROBE_INTERVAL_MS_MIN, INTENT_PROBE_INTERVAL_MS_MAX / 1000,
               INTENT_SUSPICION_MAX, INTENT_FANOUT_MAX);
    return -EINVAL;
}

static bool is_same(const struct intent_gossip *a, const struct intent_gossip *b)
{
    return a->profile == b->profile && a->probe_interval_ms == b->probe_interval_ms &&
           a->suspicion == b->suspicion && a->fanout == b->fanout;
}

/* ", fanout 4"; nothing for what is the profile's own. */
static void value_words(const char *name, uint32_t value, const char *unit, char *ret,
                        size_t capacity)
{
    size_t length = strlen(ret);
    if (value != 0)
        snprintf(ret + length, capacity - length, ", %s %" PRIu32 "%s", name, value, unit);
}

static void tell(struct intent_apply *apply, uint8_t before, const struct intent_gossip *now)
{
    char words[INTENT_PLACE_REASON_BYTES_MAX + 1] = "";
    value_words("probe interval", now->probe_interval_ms, " ms", words, sizeof(words));
    value_words("suspicion", now->suspicion, "", words, sizeof(words));
    value_words("fanout", now->fanout, "", words, sizeof(words));
    intent_event_add(apply, "gossip", intent_profile_text(now->profile), "profile %s%s, was %s",
                     intent_profile_text(now->profile), words, intent_profile_text(before));
}

int intent_apply_gossip(struct intent_apply *apply, const struct command_gossip *change)
{
    struct intent_gossip *gossip = &apply->intent->gossip, wanted = *gossip;
    if (change->has_profile)
        wanted = (struct intent_gossip){.profile = change->profile};
    if (change->has_probe_interval)
        wanted.probe_interval_ms = change->probe_interval_ms;
    if (change->has_suspicion)
        wanted.suspicion = change->suspicion;
    if (change->has_fanout)
        wanted.fanout = change->fanout;
    if (!intent_gossip_is_valid(&wanted))
        return refuse(apply, &wanted);
    if (is_same(&wanted, gossip)) {
        apply->result->unchanged = true;
        return 0;
    }
    wanted.wall_ms = apply->head->wall_ms;
    snprintf(wanted.actor, sizeof(wanted.actor), "%s", apply->head->actor);
    tell(apply, gossip->profile, &wanted);
    *gossip = wanted;
    return 0;
}
