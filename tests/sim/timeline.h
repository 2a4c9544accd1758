/* Virtual time: what will happen, in order, until nothing more is due.
 *
 * Moments at the same millisecond come in the order in which they were planned, so a run is the
 * same each time. Everything of tests/sim/ happens inside such a moment.
 *
 *     timeline_at(&timeline, timeline.now_ms + 5, deliver, network, message);
 *     while (timeline_next(&timeline, until_ms)) …
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What happens; it takes over `payload` (NULL, or memory of malloc). */
typedef void timeline_callback(void *context, void *payload);

struct moment {
    int64_t at_ms;
    uint64_t order;
    timeline_callback *callback;
    void *context, *payload;
};

struct timeline {
    int64_t now_ms;
    struct moment *moments; /* a binary heap, the earliest first */
    size_t count, capacity;
    uint64_t order;
};

void timeline_init(struct timeline *timeline);

/* What never came to pass is freed. */
void timeline_done(struct timeline *timeline);

void timeline_at(struct timeline *timeline, int64_t at_ms, timeline_callback *callback,
                 void *context, void *payload);

/* Does the next thing that is due by `until_ms`. False, and the time is `until_ms`, if there is
 * none. */
bool timeline_next(struct timeline *timeline, int64_t until_ms);

/* A simulator without memory has nothing to say: these end the process instead of failing. */
void *sim_allocate(size_t size);
void *sim_grow(void *memory, size_t count, size_t *capacity, size_t item_size);
