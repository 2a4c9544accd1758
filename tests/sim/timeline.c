#include "tests/sim/timeline.h"

#include <stdio.h>
#include <stdlib.h>

void *sim_allocate(size_t size)
{
    void *memory = calloc(1, size);
    if (!memory) {
        fputs("simulate: out of memory\n", stderr);
        abort();
    }
    return memory;
}

void *sim_grow(void *memory, size_t count, size_t *capacity, size_t item_size)
{
    if (count < *capacity)
        return memory;
    size_t wanted = *capacity ? 2 * *capacity : 16;
    void *grown = reallocarray(memory, wanted, item_size);
    if (!grown) {
        fputs("simulate: out of memory\n", stderr);
        abort();
    }
    *capacity = wanted;
    return grown;
}

void timeline_init(struct timeline *timeline)
{
    *timeline = (struct timeline){0};
}

void timeline_done(struct timeline *timeline)
{
    for (size_t i = 0; i < timeline->count; i++)
        free(timeline->moments[i].payload);
    free(timeline->moments);
    *timeline = (struct timeline){0};
}

static bool is_before(const struct moment *a, const struct moment *b)
{
    return a->at_ms != b->at_ms ? a->at_ms < b->at_ms : a->order < b->order;
}

static void swap(struct moment *a, struct moment *b)
{
    struct moment moment = *a;
    *a = *b;
    *b = moment;
}

void timeline_at(struct timeline *timeline, int64_t at_ms, timeline_callback *callback,
                 void *context, void *payload)
{
    timeline->moments = sim_grow(timeline->moments, timeline->count, &timeline->capacity,
                                 sizeof(*timeline->moments));
    struct moment *moments = timeline->moments;
    size_t i = timeline->count++;
    moments[i] = (struct moment){
        .at_ms = at_ms > timeline->now_ms ? at_ms : timeline->now_ms,
        .order = timeline->order++,
        .callback = callback,
        .context = context,
        .payload = payload,
    };
    for (; i > 0 && is_before(&moments[i], &moments[(i - 1) / 2]); i = (i - 1) / 2)
        swap(&moments[i], &moments[(i - 1) / 2]);
}

static struct moment take_first(struct timeline *timeline)
{
    struct moment *moments = timeline->moments, first = moments[0];
    moments[0] = moments[--timeline->count];
    for (size_t i = 0;;) {
        size_t least = i, left = 2 * i + 1, right = 2 * i + 2;
        if (left < timeline->count && is_before(&moments[left], &moments[least]))
            least = left;
        if (right < timeline->count && is_before(&moments[right], &moments[least]))
            least = right;
        if (least == i)
            return first;
        swap(&moments[i], &moments[least]);
        i = least;
    }
}

bool timeline_next(struct timeline *timeline, int64_t until_ms)
{
    if (timeline->count == 0 || timeline->moments[0].at_ms > until_ms) {
        timeline->now_ms = until_ms;
        return false;
    }
    struct moment moment = take_first(timeline);
    timeline->now_ms = moment.at_ms;
    moment.callback(moment.context, moment.payload);
    return true;
}
