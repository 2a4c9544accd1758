/* Suspects and the dead in a heap: the one whose deadline is next is in front. So a step looks at
 * those whose time has come, however many others there are. Each knows its place.
 */
#include "gossip/swim_internal.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CAPACITY_MIN = 8,
};

static int64_t deadline_at(const struct swim *swim, size_t place)
{
    return swim->doubted[place]->suspicion->deadline_ms;
}

static void put_at(struct swim *swim, size_t place, struct member *member)
{
    swim->doubted[place] = member;
    member->suspicion->place = (uint32_t)place;
}

static size_t move_up(struct swim *swim, size_t place)
{
    struct member *member = swim->doubted[place];
    while (place > 0) {
        size_t above = (place - 1) / 2;
        if (deadline_at(swim, above) <= member->suspicion->deadline_ms)
            break;
        put_at(swim, place, swim->doubted[above]);
        place = above;
    }
    put_at(swim, place, member);
    return place;
}

static void move_down(struct swim *swim, size_t place)
{
    struct member *member = swim->doubted[place];
    for (;;) {
        size_t below = 2 * place + 1;
        if (below >= swim->doubted_count)
            break;
        if (below + 1 < swim->doubted_count &&
            deadline_at(swim, below + 1) < deadline_at(swim, below))
            below++;
        if (deadline_at(swim, below) >= member->suspicion->deadline_ms)
            break;
        put_at(swim, place, swim->doubted[below]);
        place = below;
    }
    put_at(swim, place, member);
}

int doubted_add(struct swim *swim, struct member *member)
{
    if (swim->doubted_count == swim->doubted_capacity) {
        size_t capacity = swim->doubted_capacity ? 2 * swim->doubted_capacity : CAPACITY_MIN;
        struct member **doubted = reallocarray(swim->doubted, capacity, sizeof(struct member *));
        if (!doubted)
            return -ENOMEM;
        swim->doubted = doubted;
        swim->doubted_capacity = capacity;
    }
    put_at(swim, swim->doubted_count++, member);
    move_up(swim, member->suspicion->place);
    return 0;
}

void doubted_remove(struct swim *swim, struct member *member)
{
    size_t place = member->suspicion->place;
    struct member *last = swim->doubted[--swim->doubted_count];
    if (last == member)
        return;
    put_at(swim, place, last);
    doubted_move(swim, last);
}

void doubted_move(struct swim *swim, struct member *member)
{
    move_down(swim, move_up(swim, member->suspicion->place));
}

void doubted_sort(struct swim *swim)
{
    for (size_t place = swim->doubted_count / 2; place-- > 0;)
        move_down(swim, place);
}
