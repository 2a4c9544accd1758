/* How many of the peers vote, for all of the cluster. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "consensus/intent_apply.h"

bool intent_voters_max_is_valid(uint32_t max)
{
    return max % 2 == 1 && max <= INTENT_VOTERS_MAX;
}

int intent_apply_voters(struct intent_apply *apply, const struct command_voters *change)
{
    struct intent_voters *voters = &apply->intent->voters;
    struct error *error = &apply->result->error;
    if (!intent_voters_max_is_valid(change->max)) {
        error_set(error, -EINVAL, "%" PRIu32 " voters can't be", change->max);
        error_hint(error, "1, 3, 5 or 7 can vote: an even number bears no more losses than the odd "
                          "one below it, and more than 7 only make each change slower");
        return -EINVAL;
    }
    if (voters->max == change->max) {
        apply->result->unchanged = true;
        return 0;
    }
    char number[INTENT_KIND_BYTES_MAX + 1];
    snprintf(number, sizeof(number), "%" PRIu32, change->max);
    if (voters->max == 0)
        intent_event_add(apply, "voters", number, "at most %s vote", number);
    else
        intent_event_add(apply, "voters", number, "at most %s vote, were %" PRIu32, number,
                         voters->max);
    *voters = (struct intent_voters){.max = change->max, .wall_ms = apply->head->wall_ms};
    snprintf(voters->actor, sizeof(voters->actor), "%s", apply->head->actor);
    return 0;
}
