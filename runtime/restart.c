#include "runtime/restart.h"

static int64_t backoff_ms(const struct container_restart *policy, uint32_t attempts)
{
    int64_t delay_ms = policy->delay_ms > 0 ? policy->delay_ms : RUNTIME_RESTART_DELAY_MS_DEFAULT;
    /* An operator's longer delay is no reason to make it shorter. */
    int64_t max_ms = delay_ms > RUNTIME_BACKOFF_MS_MAX ? delay_ms : RUNTIME_BACKOFF_MS_MAX;
    for (uint32_t i = 0; i < attempts && delay_ms < max_ms; i++)
        delay_ms *= 2;
    return delay_ms < max_ms ? delay_ms : max_ms;
}

enum restart_verdict restart_decide(const struct container_restart *policy, bool failed,
                                    int64_t ran_ms, uint32_t *attempts, int64_t *ret_delay_ms)
{
    if (policy->policy == RESTART_NONE || (policy->policy == RESTART_ON_FAILURE && !failed))
        return RESTART_DONE;
    int64_t window_ms =
        policy->window_ms > 0 ? policy->window_ms : RUNTIME_RESTART_WINDOW_MS_DEFAULT;
    if (ran_ms >= window_ms)
        *attempts = 0;
    if (policy->attempts_max != 0 && *attempts >= policy->attempts_max)
        return RESTART_GIVE_UP;
    *ret_delay_ms = backoff_ms(policy, *attempts);
    if (*attempts < UINT32_MAX)
        (*attempts)++;
    return RESTART_LATER;
}
