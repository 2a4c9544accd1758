/* Looking things up in the table of levels. */
#include "consensus/level.h"

uint32_t level_of_type(uint8_t type, const struct command_kind **ret_kind)
{
    size_t first = 0;
    for (uint32_t level = 1; level <= level_newest; level++) {
        const struct level *known = &levels[level - 1];
        if (type - first < known->kind_count) {
            *ret_kind = &known->kinds[type - first];
            return level;
        }
        first += known->kind_count;
    }
    return 0;
}

const char *level_version(uint32_t level)
{
    return level >= 1 && level <= level_newest ? levels[level - 1].version : "";
}
