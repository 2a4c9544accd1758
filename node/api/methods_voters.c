/* How many of the peers vote: seen and set, for the whole cluster. */
#include <errno.h>

#include "node/api/describe.h"
#include "node/control/voters.h"

enum {
    VOTERS_KEYS = 5,
};

static void method_voters(struct api_call *call, struct bytes params)
{
    const struct agent *agent = call->peer->agent;
    const struct intent_voters *voters = &agent_intent(agent)->voters;
    struct agent_status status;
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    agent_status(agent, &status);
    writer_init(&writer, &result);
    writer_map(&writer, VOTERS_KEYS);
    put_u64(&writer, "max", agent_voters_max(agent));
    put_u64(&writer, "voters", status.voter_count);
    put_u64(&writer, "live_voters", status.live_voter_count);
    put_text(&writer, "actor", voters->actor[0] != '\0' ? voters->actor : NULL);
    put_i64(&writer, "since_wall_ms", voters->wall_ms);
    api_answer(call, &result);
}

static void method_voters_set(struct api_call *call, struct bytes params)
{
    struct command command = {.head.type = COMMAND_VOTERS};
    uint64_t max;
    if (!frame_u64(params, "max", &max)) {
        api_fail_with(call, -EINVAL, NULL, "how many shall vote?");
        return;
    }
    command.voters.max = max > UINT32_MAX ? UINT32_MAX : (uint32_t)max; /* refused all the same */
    propose_for(call, &command, answer_unchanged);
}

const struct api_entry api_voters_methods[] = {
    {"cluster.voters", ROLE_VIEWER, API_OF_INTENT, method_voters},
    {"cluster.voters.set", ROLE_ADMIN, API_IN_CLUSTER, method_voters_set},
    {0},
};
