#include "node/control/pending.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "node/control/bounds.h"

enum {
    CAPACITY_MIN = 16,
};

void pendings_done(struct pendings *pendings)
{
    free(pendings->items);
    *pendings = (struct pendings){0};
}

/* Moves all to the front of the array, without the gaps. */
static void close_gaps(struct pendings *pendings)
{
    size_t kept = 0;
    for (size_t i = pendings->first; i < pendings->end; i++)
        if (!pendings->items[i].is_over)
            pendings->items[kept++] = pendings->items[i];
    assert(kept == pendings->count);
    pendings->first = 0;
    pendings->end = kept;
}

int pendings_reserve(struct pendings *pendings)
{
    if (pendings->count == AGENT_PENDING_MAX)
        return -EBUSY;
    if (pendings->end < pendings->capacity)
        return 0;
    if (pendings->count < pendings->capacity / 2) {
        close_gaps(pendings);
        return 0;
    }
    size_t capacity = pendings->capacity ? 2 * pendings->capacity : CAPACITY_MIN;
    struct pending *items = reallocarray(pendings->items, capacity, sizeof(*items));
    if (!items)
        return -ENOMEM;
    pendings->items = items;
    pendings->capacity = capacity;
    return 0;
}

struct pending *pendings_add(struct pendings *pendings)
{
    assert(pendings->end < pendings->capacity);
    struct pending *pending = &pendings->items[pendings->end++];
    *pending = (struct pending){0};
    pendings->count++;
    return pending;
}

void pendings_drop(struct pendings *pendings, struct pending *pending)
{
    assert(!pending->is_over);
    pending->is_over = true;
    pendings->count--;
    while (pendings->first < pendings->end && pendings->items[pendings->first].is_over)
        pendings->first++;
    if (pendings->first == pendings->end)
        pendings->first = pendings->end = 0;
}

struct pending *pendings_next(const struct pendings *pendings, size_t *at)
{
    if (*at < pendings->first)
        *at = pendings->first;
    while (*at < pendings->end && pendings->items[*at].is_over)
        ++*at;
    return *at < pendings->end ? &pendings->items[(*at)++] : NULL;
}
