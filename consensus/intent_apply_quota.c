/* Setting what a stack's services may have together. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/intent_apply.h"

static bool is_nothing(const struct intent_quota *quota)
{
    return quota->replicas == 0 && quota->cpu_millis == 0 && quota->memory_bytes == 0;
}

static bool is_same(const struct intent_quota *a, const struct intent_quota *b)
{
    return a->replicas == b->replicas && a->cpu_millis == b->cpu_millis &&
           a->memory_bytes == b->memory_bytes;
}

static void tell(struct intent_apply *apply, const struct intent_quota *quota)
{
    if (is_nothing(quota))
        intent_event_add(apply, "quota", quota->stack, "no quota any more");
    else
        intent_event_add(apply, "quota", quota->stack,
                         "%" PRIu32 " replicas, %" PRIu64 " thousandths of a cpu, %" PRIu64
                         " bytes of memory (0: no limit)",
                         quota->replicas, quota->cpu_millis, quota->memory_bytes);
}

/* Puts a new quota in; the one that is there is changed in place. */
static int put(struct intent_apply *apply, const struct intent_quota *quota)
{
    struct intent *intent = apply->intent;
    struct intent_quota *present = table_find(&intent->quotas, quota->stack);
    if (present && is_nothing(quota)) {
        table_remove(&intent->quotas, quota->stack);
        free(present);
        return 0;
    }
    if (present) {
        *present = *quota;
        return 0;
    }
    struct intent_quota *added = malloc(sizeof(*added));
    if (!added)
        return -ENOMEM;
    *added = *quota;
    int rc = table_insert(&intent->quotas, added);
    if (rc < 0)
        free(added);
    return rc;
}

int intent_apply_quota(struct intent_apply *apply, const struct command_quota *change)
{
    struct error *error = &apply->result->error;
    const struct intent_quota *present = intent_quota_find(apply->intent, change->stack);
    struct intent_quota wanted = present ? *present : (struct intent_quota){0};
    struct intent_quota before = wanted;
    if (!intent_name_is_valid(change->stack))
        return error_set(error, -EINVAL, "\"%s\" can't be a stack's name", change->stack);
    memcpy(wanted.stack, change->stack, sizeof(wanted.stack));
    if (change->has_replicas)
        wanted.replicas = change->replicas;
    if (change->has_cpu)
        wanted.cpu_millis = change->cpu_millis;
    if (change->has_memory)
        wanted.memory_bytes = change->memory_bytes;
    if (is_same(&before, &wanted)) {
        apply->result->unchanged = true;
        return 0;
    }
    if (!present && apply->intent->quotas.count == INTENT_QUOTAS_MAX)
        return error_set(error, -ENOSPC, "the cluster can hold %d quotas", INTENT_QUOTAS_MAX);
    wanted.wall_ms = apply->head->wall_ms;
    snprintf(wanted.actor, sizeof(wanted.actor), "%s", apply->head->actor);
    int rc = put(apply, &wanted);
    if (rc == 0)
        tell(apply, &wanted);
    return rc;
}
