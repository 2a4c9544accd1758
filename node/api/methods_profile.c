/* How patiently the peers watch one another: seen and set, for the whole cluster. */
#include <errno.h>
#include <inttypes.h>

#include "node/api/describe.h"

enum {
    PROFILE_KEYS = 10,
    PROFILE_TEXT_BYTES = 16,
};

/* A value that was set on top of the profile, or nil. */
static void put_set(struct writer *writer, const char *key, uint32_t value)
{
    writer_text(writer, key);
    if (value != 0)
        writer_u64(writer, value);
    else
        writer_nil(writer);
}

static void method_profile(struct api_call *call, struct bytes params)
{
    const struct intent_gossip *gossip = &agent_intent(call->peer->agent)->gossip;
    const struct swim_config *in_force = swim_config_in_force(agent_swim(call->peer->agent));
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    writer_init(&writer, &result);
    writer_map(&writer, PROFILE_KEYS);
    put_text(&writer, "profile", intent_profile_text(gossip->profile));
    put_set(&writer, "probe_interval_ms_set", gossip->probe_interval_ms);
    put_set(&writer, "suspicion_set", gossip->suspicion);
    put_set(&writer, "fanout_set", gossip->fanout);
    put_u64(&writer, "probe_interval_ms", in_force->probe_interval_ms);
    put_u64(&writer, "probe_timeout_ms", in_force->probe_timeout_ms);
    put_u64(&writer, "suspicion", in_force->suspicion_min_multiplier);
    put_u64(&writer, "fanout", in_force->gossip_fanout);
    put_text(&writer, "actor", gossip->actor[0] != '\0' ? gossip->actor : NULL);
    put_i64(&writer, "since_wall_ms", gossip->wall_ms);
    api_answer(call, &result);
}

/* Values of more than 32 bits are refused as what they are cut to, which is out of bounds. */
static bool optional_value(struct bytes params, const char *key, uint32_t *ret)
{
    uint64_t value;
    if (!frame_u64(params, key, &value))
        return false;
    *ret = value > UINT32_MAX ? UINT32_MAX : (uint32_t)value;
    return true;
}

static void method_profile_set(struct api_call *call, struct bytes params)
{
    struct command command = {.head.type = COMMAND_GOSSIP};
    struct command_gossip *gossip = &command.gossip;
    char text[PROFILE_TEXT_BYTES] = "";
    struct reader reader;
    gossip->has_profile =
        frame_find(params, "profile", &reader) && reader_peek(&reader) != READER_NIL;
    frame_text(params, "profile", text, sizeof(text));
    if (gossip->has_profile && intent_profile_parse(text, &gossip->profile) < 0) {
        api_fail_with(call, -EINVAL, "profiles are lan, wan and edge",
                      "there is no such profile%s%s", text[0] != '\0' ? ": " : "", text);
        return;
    }
    gossip->has_probe_interval =
        optional_value(params, "probe_interval_ms", &gossip->probe_interval_ms);
    gossip->has_suspicion = optional_value(params, "suspicion", &gossip->suspicion);
    gossip->has_fanout = optional_value(params, "fanout", &gossip->fanout);
    propose_for(call, &command, answer_unchanged);
}

const struct api_entry api_profile_methods[] = {
    {"cluster.profile", ROLE_VIEWER, API_OF_INTENT, method_profile},
    {"cluster.profile.set", ROLE_ADMIN, API_IN_CLUSTER, method_profile_set},
    {0},
};
