/* Quotas: what a stack's services have together, and whether a change asks for more than they may.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "consensus/intent_apply.h"

static uint64_t add(uint64_t a, uint64_t b)
{
    return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

static uint64_t multiply(uint64_t a, uint64_t b)
{
    return a != 0 && b > UINT64_MAX / a ? UINT64_MAX : a * b;
}

const struct intent_quota *intent_quota_find(const struct intent *intent, const char *stack)
{
    return table_find(&intent->quotas, stack);
}

/* A global service has a replica on each peer that belongs to the cluster. */
static uint64_t replicas_of(const struct intent *intent, const struct service_spec *spec,
                            uint32_t replicas)
{
    if (spec->mode != SPEC_GLOBAL)
        return replicas;
    uint64_t count = 0;
    for (size_t i = 0; i < intent->peers.count; i++) {
        const struct intent_peer *peer = intent->peers.items[i];
        count += peer->role == INTENT_PEER && intent_peer_is_member(peer);
    }
    return count;
}

void intent_usage_add(const struct intent *intent, const struct service_spec *spec,
                      uint32_t replicas, struct intent_usage *usage)
{
    const struct spec_resources *resources = &spec->resources;
    uint64_t count = replicas_of(intent, spec, replicas);
    uint64_t cpu =
        resources->cpu_limit_millis ? resources->cpu_limit_millis : resources->cpu_reserved_millis;
    uint64_t memory = resources->memory_limit_bytes ? resources->memory_limit_bytes
                                                    : resources->memory_reserved_bytes;
    usage->replicas = add(usage->replicas, count);
    usage->cpu_millis = add(usage->cpu_millis, multiply(count, cpu));
    usage->memory_bytes = add(usage->memory_bytes, multiply(count, memory));
}

struct intent_usage intent_usage_without(const struct intent *intent, const char *stack,
                                         const struct intent_service *left_out)
{
    struct intent_usage usage = {0};
    for (size_t i = 0; i < intent->services.count; i++) {
        const struct intent_service *service = intent->services.items[i];
        if (service == left_out || service->removing || strcmp(service->stack, stack) != 0)
            continue;
        const struct intent_revision *wanted = intent_revision_find(service, service->revision);
        intent_usage_add(intent, &wanted->spec, service->replicas, &usage);
    }
    return usage;
}

struct intent_usage intent_usage_of(const struct intent *intent, const char *stack)
{
    return intent_usage_without(intent, stack, NULL);
}

int intent_quota_check_limits(struct intent_apply *apply, const char *stack, const char *full_name,
                              const struct service_spec *spec)
{
    const struct intent_quota *quota = intent_quota_find(apply->intent, stack);
    const struct spec_resources *resources = &spec->resources;
    struct error *error = &apply->result->error;
    const char *what = NULL;
    if (!quota)
        return 0;
    if (quota->cpu_millis != 0 && resources->cpu_limit_millis + resources->cpu_reserved_millis == 0)
        what = "cpus";
    else if (quota->memory_bytes != 0 && resources->memory_limit_bytes == 0 &&
             resources->memory_reserved_bytes == 0)
        what = "memory";
    if (!what)
        return 0;
    error_set(error, -EDQUOT, "%s has no limit of %s, and the stack %s has a quota of that",
              full_name, what, stack);
    error_hint(error, "say deploy.resources.limits.%s", what);
    return -EDQUOT;
}

/* Whoever is over a quota already may still ask for less. */
static bool is_over(uint64_t quota, uint64_t used, uint64_t asked)
{
    return quota != 0 && asked > quota && asked > used;
}

int intent_quota_check(struct intent_apply *apply, const char *stack,
                       const struct intent_usage *asked)
{
    const struct intent_quota *quota = intent_quota_find(apply->intent, stack);
    struct error *error = &apply->result->error;
    if (!quota)
        return 0;
    struct intent_usage used = intent_usage_of(apply->intent, stack);
    if (is_over(quota->replicas, used.replicas, asked->replicas))
        error_set(error, -EDQUOT,
                  "the stack %s may have %" PRIu32 " replicas by its quota; it has %" PRIu64
                  ", and would have %" PRIu64,
                  stack, quota->replicas, used.replicas, asked->replicas);
    else if (is_over(quota->cpu_millis, used.cpu_millis, asked->cpu_millis))
        error_set(error, -EDQUOT,
                  "the stack %s may have %g cpus by its quota; it has %g, and would have %g", stack,
                  (double)quota->cpu_millis / 1000, (double)used.cpu_millis / 1000,
                  (double)asked->cpu_millis / 1000);
    else if (is_over(quota->memory_bytes, used.memory_bytes, asked->memory_bytes))
        error_set(error, -EDQUOT,
                  "the stack %s may have %" PRIu64 " MiB of memory by its quota; it has %" PRIu64
                  ", and would have %" PRIu64,
                  stack, quota->memory_bytes >> 20, used.memory_bytes >> 20,
                  asked->memory_bytes >> 20);
    else
        return 0;
    error_hint(error, "see consort quota ls; an admin changes it: consort quota set %s", stack);
    return -EDQUOT;
}

int intent_quota_check_service(struct intent_apply *apply, const struct intent_service *service,
                               const struct service_spec *spec, uint32_t replicas)
{
    struct intent_usage asked = intent_usage_without(apply->intent, service->stack, service);
    intent_usage_add(apply->intent, spec, replicas, &asked);
    return intent_quota_check(apply, service->stack, &asked);
}
