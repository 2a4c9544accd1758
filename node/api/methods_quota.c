/* What stacks may have: seen and set. */
#include <errno.h>

#include "node/api/describe.h"

enum {
    QUOTA_KEYS = 9,
};

static void put_quota(struct writer *writer, const struct intent *intent,
                      const struct intent_quota *quota)
{
    struct intent_usage used = intent_usage_of(intent, quota->stack);
    writer_map(writer, QUOTA_KEYS);
    put_text(writer, "stack", quota->stack);
    put_u64(writer, "replicas", quota->replicas);
    put_u64(writer, "replicas_used", used.replicas);
    put_u64(writer, "cpu_millis", quota->cpu_millis);
    put_u64(writer, "cpu_millis_used", used.cpu_millis);
    put_u64(writer, "memory_bytes", quota->memory_bytes);
    put_u64(writer, "memory_bytes_used", used.memory_bytes);
    put_text(writer, "actor", quota->actor);
    put_i64(writer, "wall_ms", quota->wall_ms);
}

static void method_quota_ls(struct api_call *call, struct bytes params)
{
    const struct intent *intent = agent_intent(call->peer->agent);
    cleanup_buffer struct buffer result = {0};
    struct writer writer;
    (void)params;
    writer_init(&writer, &result);
    writer_map(&writer, 1);
    writer_text(&writer, "quotas");
    writer_array(&writer, intent->quotas.count);
    for (size_t i = 0; i < intent->quotas.count; i++)
        put_quota(&writer, intent, intent->quotas.items[i]);
    api_answer(call, &result);
}

static void method_quota_set(struct api_call *call, struct bytes params)
{
    struct command command = {.head.type = COMMAND_QUOTA};
    struct command_quota *quota = &command.quota;
    uint64_t replicas = 0;
    if (!frame_text(params, "stack", quota->stack, sizeof(quota->stack))) {
        api_fail_with(call, -EINVAL, NULL, "a stack's name is missing, or too long");
        return;
    }
    quota->has_replicas = frame_u64(params, "replicas", &replicas);
    quota->has_cpu = frame_u64(params, "cpu_millis", &quota->cpu_millis);
    quota->has_memory = frame_u64(params, "memory_bytes", &quota->memory_bytes);
    if (!quota->has_replicas && !quota->has_cpu && !quota->has_memory) {
        api_fail_with(call, -EINVAL, NULL, "a quota of what: replicas, cpus or memory?");
        return;
    }
    if (replicas > INTENT_REPLICAS_MAX) {
        api_fail_with(call, -EINVAL, NULL, "more than %d replicas", INTENT_REPLICAS_MAX);
        return;
    }
    quota->replicas = (uint32_t)replicas;
    propose_for(call, &command, answer_unchanged);
}

const struct api_entry api_quota_methods[] = {
    {"quota.set", ROLE_ADMIN, true, method_quota_set},
    {"quota.ls", ROLE_VIEWER, true, method_quota_ls},
    {0},
};
