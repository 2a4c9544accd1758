/* Consort as it will be: with one more level of the cluster's state, which adds a type of command.
 * Linked instead of consensus/level.c, by tests in which old and new are side by side.
 *
 * A note changes nothing; it is written down, by the name that it has.
 */
#pragma once

#include "consensus/command.h"

enum {
    NEXT_LEVEL = 3,
    COMMAND_NOTE = COMMAND_VOTERS + 1,
};

/* A note of that name, up to INTENT_SERVICE_NAME_BYTES_MAX long. */
struct command next_note(const char *name);
