/* The leader's word on a rollout: how it goes, and the revision that is wanted from now on. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "consensus/intent_apply.h"

static bool is_final(uint8_t state)
{
    return state == INTENT_ROLLOUT_DONE || state == INTENT_ROLLOUT_ROLLED_BACK ||
           state == INTENT_ROLLOUT_FAILED;
}

int intent_apply_rollout(struct intent_apply *apply, const struct command_rollout *rollout)
{
    struct error *error = &apply->result->error;
    struct intent_service *service = intent_service_find(apply->intent, rollout->service);
    if (!service)
        return intent_refuse_service(apply, rollout->service);
    if (service->removing || service->rollout.id != rollout->rollout)
        return error_set(error, -ESTALE, "%s: another rollout has begun since", service->name);
    if (!intent_revision_find(service, rollout->revision))
        return error_set(error, -ENOENT, "%s has no revision %u", service->name, rollout->revision);
    service->revision = rollout->revision;
    service->rollout.state = rollout->state;
    service->rollout.ended_wall_ms = is_final(rollout->state) ? apply->head->wall_ms : 0;
    if (rollout->reason[0] != '\0')
        memcpy(service->rollout.reason, rollout->reason, sizeof(service->rollout.reason));
    intent_event_add(apply, "rollout", service->name, "revision %u: %s%s%s", rollout->revision,
                     intent_rollout_state_text(rollout->state), rollout->reason[0] ? ": " : "",
                     rollout->reason);
    return 0;
}
