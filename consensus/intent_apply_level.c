/* The level at which the state is (consensus/level.h): raised, never lowered. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "consensus/intent_apply.h"
#include "consensus/level.h"

bool intent_version_is_valid(const char *version)
{
    return intent_name_is_valid(version) && strlen(version) <= INTENT_VERSION_BYTES_MAX;
}

int intent_refuse_level(struct error *error, uint32_t level, const struct intent_level *agreed)
{
    error_set(error, -EPROTONOSUPPORT,
              "this change is of level %" PRIu32
              " of the cluster's state, which is at level %" PRIu32
              " until all peers know a higher one",
              level, agreed->number);
    error_hint(error, "see which peers are too old, and upgrade consort there: consort status");
    return -EPROTONOSUPPORT;
}

int intent_apply_level(struct intent_apply *apply, const struct command_level *raise)
{
    struct intent_level *level = &apply->intent->level;
    char number[16];
    if (raise->level.number <= level->number) {
        apply->result->unchanged = true;
        return 0;
    }
    if (raise->next_serial != apply->intent->next_serial)
        return error_set(&apply->result->error, -ESTALE,
                         "somebody was admitted meanwhile, who may be older");
    *level = raise->level;
    if (level->number > level_newest) {
        apply->is_outdated = true;
        return -EPROTONOSUPPORT;
    }
    snprintf(number, sizeof(number), "%" PRIu32, level->number);
    intent_event_add(apply, "level", number,
                     "all peers know level %" PRIu32
                     " of the cluster's state, which is in force from now on: none older than "
                     "consort %s can take part",
                     level->number, level->version);
    return 0;
}
