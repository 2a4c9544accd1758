#include "tests/levels/next_level.h"

#include <string.h>

#include "consensus/command_codec.h"
#include "consensus/intent_apply.h"

/* Its body is written as that of a command to remove something. */
static const struct command_kind next_kinds[] = {{command_write_remove, command_read_remove}};

static int apply_next(struct intent_apply *apply, struct command *command)
{
    intent_event_add(apply, "note", command->remove.name, "noted");
    return 0;
}

const struct level levels[] = {
    {"0.1.0", command_kinds, COMMAND_VOTERS + 1, intent_apply_command},
    [LEVEL_ADDRESSES - 1] = {.version = "0.1.0"},
    [NEXT_LEVEL - 1] = {"0.2.0", next_kinds, 1, apply_next},
};

const uint32_t level_newest = NEXT_LEVEL;

struct command next_note(const char *name)
{
    struct command command = {.head = {.type = COMMAND_NOTE}};
    strncpy(command.remove.name, name, sizeof(command.remove.name) - 1);
    return command;
}
