/* The levels that there are. Tests link a table of their own instead of this file. */
#include "consensus/level.h"

#include "consensus/command_codec.h"
#include "consensus/intent_apply.h"

const struct level levels[] = {
    {"0.1.0", command_kinds, COMMAND_VOTERS + 1, intent_apply_command},
    [LEVEL_ADDRESSES - 1] = {.version = "0.1.0"}, /* fields of the spec, and no type */
};

const uint32_t level_newest = sizeof(levels) / sizeof(levels[0]);
