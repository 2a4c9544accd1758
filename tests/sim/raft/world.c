#include "tests/sim/raft/world.h"

#include <stdarg.h>
#include <stdlib.h>

void sim_trace(struct sim_world *world, const char *format, ...)
{
    va_list arguments;
    if (!world->options.trace)
        return;
    fprintf(world->options.trace, "%10.3f ms  ", (double)world->now_us / SIM_MS);
    va_start(arguments, format);
    vfprintf(world->options.trace, format, arguments);
    va_end(arguments);
    fputc('\n', world->options.trace);
}

void sim_fail(struct sim_world *world, const char *format, ...)
{
    va_list arguments;
    if (world->has_failed)
        return;
    world->has_failed = true;
    va_start(arguments, format);
    vsnprintf(world->failure, sizeof(world->failure), format, arguments);
    va_end(arguments);
    sim_trace(world, "FAILED: %s", world->failure);
}

/* ---- events ---------------------------------------------------------------------------------- */

static bool comes_before(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

void sim_schedule(struct sim_world *world, int64_t at_us, struct sim_event event)
{
    event.at_us = at_us > world->now_us ? at_us : world->now_us;
    event.order = ++world->order;
    world->events =
        sim_grow(world->events, world->event_count, &world->event_capacity, sizeof(event));
    size_t at = world->event_count++;
    while (at > 0 && comes_before(&event, &world->events[(at - 1) / 2])) {
        world->events[at] = world->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    world->events[at] = event;
}

bool sim_next(struct sim_world *world, struct sim_event *ret)
{
    if (world->event_count == 0)
        return false;
    struct sim_event *events = world->events;
    *ret = events[0];
    struct sim_event last = events[--world->event_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= world->event_count)
            break;
        if (child + 1 < world->event_count && comes_before(&events[child + 1], &events[child]))
            child++;
        if (!comes_before(&events[child], &last))
            break;
        events[at] = events[child];
        at = child;
    }
    events[at] = last;
    world->now_us = ret->at_us;
    return true;
}

int64_t sim_draw_us(struct sim_world *world, int64_t min_ms, int64_t max_ms)
{
    int64_t spread_us = (max_ms - min_ms) * SIM_MS + 1;
    return min_ms * SIM_MS + (int64_t)random_below(&world->random, (uint64_t)spread_us);
}

/* ---- clocks ---------------------------------------------------------------------------------- */

static int64_t clock_us(const struct sim_world *world, const struct sim_peer *peer)
{
    int64_t since_us = world->now_us - peer->clock_since_us;
    return peer->clock_base_us + since_us + since_us * peer->clock_ppm / 1000000;
}

int64_t sim_clock_ms(const struct sim_world *world, const struct sim_peer *peer)
{
    return clock_us(world, peer) / SIM_MS;
}

int64_t sim_clock_at_us(const struct sim_world *world, const struct sim_peer *peer,
                        int64_t local_ms)
{
    int64_t left_us = local_ms * SIM_MS - clock_us(world, peer);
    if (left_us <= 0)
        return world->now_us;
    return world->now_us + left_us * 1000000 / (1000000 + peer->clock_ppm) + 1;
}

void sim_clock_drift(struct sim_world *world, struct sim_peer *peer, int64_t ppm)
{
    peer->clock_base_us = clock_us(world, peer);
    peer->clock_since_us = world->now_us;
    peer->clock_ppm = ppm;
}
