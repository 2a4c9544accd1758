#include "node/peer/happenings.h"

struct happening *happenings_add(struct happenings *happenings, int64_t wall_ms)
{
    struct happening *next = &happenings->items[happenings->count++ % HAPPENINGS_MAX];
    *next = (struct happening){.number = happenings->count, .wall_ms = wall_ms};
    return next;
}

const struct happening *happenings_after(const struct happenings *happenings, uint64_t number)
{
    uint64_t count = happenings->count;
    uint64_t forgotten = count > HAPPENINGS_MAX ? count - HAPPENINGS_MAX : 0;
    uint64_t before = number > forgotten ? number : forgotten;
    return before < count ? &happenings->items[before % HAPPENINGS_MAX] : NULL;
}
