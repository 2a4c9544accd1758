#include "tests/sim/containers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "node/control/stand_in.h"
#include "tests/sim/cluster.h"

enum {
    DRAIN_MS = 1000, /* REPLICA_DRAIN_MS of node/peer/replicas.c */
    FETCH_MS_MAX = 300,
    START_MS_MAX = 400,
    HEALTH_MS_MAX = 500,
    CRASH_MS_MAX = 300,
    BACKOFF_MS = 500,
    STOP_MS_MIN = 10,
    STUBBORN_PART = 6, /* one in so many hears no signal and uses all of its grace */
};

static int compare_generation(const void *item, const void *key)
{
    uint64_t a = ((const struct container *)item)->generation, b = *(const uint64_t *)key;
    return a < b ? -1 : a > b;
}

static const void *generation_of(const void *item)
{
    return &((const struct container *)item)->generation;
}

void containers_init(struct containers *containers)
{
    *containers = (struct containers){0};
    table_init(&containers->table, compare_generation, generation_of);
}

void containers_done(struct containers *containers)
{
    for (size_t i = 0; i < containers->table.count; i++)
        free(containers->table.items[i]);
    table_done(&containers->table);
}

struct plan {
    uint64_t generation, version;
};

static void advance(void *context, void *payload);

/* Whatever was planned for it before does not happen. */
static void plan(struct machine *machine, struct container *container, int64_t wait_ms)
{
    struct plan *next = sim_allocate(sizeof(*next));
    container->version = ++machine->containers.next_version;
    *next = (struct plan){container->generation, container->version};
    timeline_at(&machine->cluster->timeline, machine->cluster->timeline.now_ms + wait_ms, advance,
                machine, next);
}

static int64_t up_to(struct machine *machine, int64_t most_ms)
{
    return 1 + (int64_t)random_below(&machine->random, (uint64_t)most_ms);
}

static void publish(struct machine *machine, struct container *container,
                    enum view_replica_state state, enum view_health health)
{
    struct view_replica told = {.generation = container->generation,
                                .state = (uint8_t)state,
                                .health = (uint8_t)health,
                                .restarts = container->restarts};
    if (container->is_bad && container->restarts > 0)
        snprintf(told.detail, sizeof(told.detail), "no such table");
    container->told = told;
    if (!machine->agent)
        return;
    trace_line(machine->cluster, "%s container %s.%llu state=%u health=%u", machine->name,
               container->service, (unsigned long long)container->generation, told.state,
               told.health);
    if (agent_publish_replica(machine->agent, machine_now_ms(machine), &told) < 0)
        cluster_fail(machine->cluster, "%s can't publish a replica", machine->name);
    machine_wake(machine);
}

static void set_alive(struct machine *machine, struct container *container, bool is_alive)
{
    container->is_alive = is_alive;
    if (is_alive)
        invariants_container_runs(machine->cluster, machine, container);
}

static void forget(struct machine *machine, struct container *container)
{
    if (machine->agent)
        agent_withdraw_replica(machine->agent, machine_now_ms(machine), container->generation);
    trace_line(machine->cluster, "%s container %s.%llu is removed", machine->name,
               container->service, (unsigned long long)container->generation);
    table_remove(&machine->containers.table, &container->generation);
    free(container);
    machine_reconcile_soon(machine);
    machine_wake(machine);
}

static void start(struct machine *machine, struct container *container)
{
    container->phase = CONTAINER_STARTING;
    container->is_healthy = false;
    publish(machine, container, VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE);
    plan(machine, container, up_to(machine, START_MS_MAX));
}

static void run(struct machine *machine, struct container *container)
{
    container->phase = CONTAINER_RUNNING;
    set_alive(machine, container, true);
    publish(machine, container, VIEW_REPLICA_RUNNING,
            container->has_health ? VIEW_HEALTH_STARTING : VIEW_HEALTH_NONE);
    if (container->is_bad)
        plan(machine, container, up_to(machine, CRASH_MS_MAX));
    else if (container->has_health)
        plan(machine, container, up_to(machine, HEALTH_MS_MAX));
}

static void crash(struct machine *machine, struct container *container)
{
    set_alive(machine, container, false);
    if (!machine->agent) {
        container->phase = CONTAINER_EXITED;
        return;
    }
    container->phase = CONTAINER_BACKOFF;
    container->restarts++;
    publish(machine, container, VIEW_REPLICA_BACKOFF, VIEW_HEALTH_NONE);
    plan(machine, container, BACKOFF_MS);
}

static void become_healthy(struct machine *machine, struct container *container)
{
    container->is_healthy = true;
    if (container->drained_at_ms == 0)
        publish(machine, container, VIEW_REPLICA_RUNNING, VIEW_HEALTH_GOOD);
}

static void advance(void *context, void *payload)
{
    struct machine *machine = context;
    struct plan *planned = payload;
    struct container *container = table_find(&machine->containers.table, &planned->generation);
    if (!container || container->version != planned->version) {
        free(planned);
        return;
    }
    if (machine_defer(machine, advance, payload))
        return;
    free(planned);
    switch (container->phase) {
    case CONTAINER_WAITING:
        start(machine, container);
        break;
    case CONTAINER_STARTING:
        run(machine, container);
        break;
    case CONTAINER_RUNNING:
        if (container->is_bad)
            crash(machine, container);
        else
            become_healthy(machine, container);
        break;
    case CONTAINER_BACKOFF:
        if (machine->agent)
            start(machine, container);
        else
            container->phase = CONTAINER_EXITED;
        break;
    case CONTAINER_STOPPING:
        set_alive(machine, container, false);
        if (machine->agent)
            forget(machine, container);
        else
            container->phase = CONTAINER_EXITED;
        break;
    case CONTAINER_EXITED:
        break;
    }
}

static void want(void *context, const struct agent_wanted *wanted)
{
    struct machine *machine = context;
    struct table *table = &machine->containers.table;
    struct container *container = table_find(table, &wanted->replica->generation);
    if (container) {
        container->is_wanted = true;
        return;
    }
    container = sim_allocate(sizeof(*container));
    container->generation = wanted->replica->generation;
    container->slot = wanted->replica->slot;
    container->is_wanted = true;
    container->is_exclusive = wanted->spec->exclusive;
    container->is_duplicated = service_spec_is_duplicated(wanted->spec);
    container->is_bad = strncmp(wanted->spec->image, "bad", 3) == 0;
    container->has_health = wanted->spec->health.is_set;
    container->stop_grace_ms = wanted->spec->stop_grace_ms;
    snprintf(container->service, sizeof(container->service), "%s", wanted->service->name);
    if (table_insert(table, container) < 0)
        abort();
    publish(machine, container, VIEW_REPLICA_PENDING, VIEW_HEALTH_NONE);
    plan(machine, container, up_to(machine, FETCH_MS_MAX));
}

/* is_drained() of node/peer/replicas.c. */
static bool is_drained(struct machine *machine, struct container *container)
{
    int64_t now_ms = machine_now_ms(machine);
    const struct intent_replica *known =
        intent_replica_find(agent_intent(machine->agent), container->generation);
    const struct service_spec *spec =
        known ? intent_spec_of(agent_intent(machine->agent), known) : NULL;
    if ((spec && spec->exclusive) || container->told.state != VIEW_REPLICA_RUNNING)
        return container->drained_at_ms == 0 || now_ms >= container->drained_at_ms;
    container->drained_at_ms = now_ms + DRAIN_MS;
    publish(machine, container, VIEW_REPLICA_STOPPING, (enum view_health)container->told.health);
    machine_reconcile_at(machine, container->drained_at_ms);
    return false;
}

static void stop(struct machine *machine, struct container *container)
{
    int64_t stop_ms = STOP_MS_MIN + up_to(machine, container->stop_grace_ms / 4 + 1);
    if (random_chance(&machine->random, 1, STUBBORN_PART))
        stop_ms = container->stop_grace_ms;
    container->phase = CONTAINER_STOPPING;
    publish(machine, container, VIEW_REPLICA_STOPPING, VIEW_HEALTH_NONE);
    plan(machine, container, container->is_alive ? stop_ms : 1);
}

/* The lease of an exclusive replica is broken on purpose: see enum sabotage. */
static bool is_kept_by_sabotage(const struct machine *machine, const struct container *container)
{
    if (machine->cluster->sabotage == SABOTAGE_NEVER_STOP)
        return true;
    const struct intent_replica *known =
        intent_replica_find(agent_intent(machine->agent), container->generation);
    return machine->cluster->sabotage == SABOTAGE_IGNORE_LEASE && container->is_exclusive &&
           known && known->want == INTENT_RUN;
}

static void remove_unwanted(struct machine *machine)
{
    struct table *table = &machine->containers.table;
    for (size_t i = table->count; i-- > 0;) {
        struct container *container = table->items[i];
        if (container->is_wanted || container->phase == CONTAINER_STOPPING ||
            is_kept_by_sabotage(machine, container))
            continue;
        if (container->phase == CONTAINER_WAITING)
            forget(machine, container);
        else if (is_drained(machine, container))
            stop(machine, container);
    }
}

void containers_reconcile(struct machine *machine)
{
    struct table *table = &machine->containers.table;
    for (size_t i = 0; i < table->count; i++)
        ((struct container *)table->items[i])->is_wanted = false;
    if (machine->phase != MACHINE_GONE)
        agent_wanted(machine->agent, machine_now_ms(machine), want, machine);
    remove_unwanted(machine);
}

void containers_orphan(struct machine *machine)
{
    struct table *table = &machine->containers.table;
    for (size_t i = table->count; i-- > 0;) {
        struct container *container = table->items[i];
        if (container->phase != CONTAINER_WAITING)
            continue;
        table_remove(table, &container->generation);
        free(container);
    }
}

/* adopt_stand_in() of node/peer/replicas.c. */
static void adopt_stand_in(struct machine *machine, const struct container *container)
{
    if (stand_in_is(container->generation))
        agent_adopt_stand_in(machine->agent, container->generation, container->service,
                             container->slot);
}

void containers_adopt(struct machine *machine)
{
    struct table *table = &machine->containers.table;
    for (size_t i = 0; i < table->count; i++) {
        struct container *container = table->items[i];
        container->drained_at_ms = 0;
        adopt_stand_in(machine, container);
        if (container->phase == CONTAINER_STOPPING)
            container->phase = container->is_alive ? CONTAINER_RUNNING : CONTAINER_EXITED;
        switch (container->phase) {
        case CONTAINER_RUNNING:
            publish(machine, container, VIEW_REPLICA_RUNNING,
                    container->has_health ? VIEW_HEALTH_STARTING : VIEW_HEALTH_NONE);
            if (container->has_health || container->is_bad)
                plan(machine, container, up_to(machine, HEALTH_MS_MAX));
            break;
        case CONTAINER_EXITED:
            crash(machine, container);
            break;
        case CONTAINER_STARTING:
            publish(machine, container, VIEW_REPLICA_STARTING, VIEW_HEALTH_NONE);
            break;
        case CONTAINER_BACKOFF:
            publish(machine, container, VIEW_REPLICA_BACKOFF, VIEW_HEALTH_NONE);
            break;
        case CONTAINER_WAITING:
        case CONTAINER_STOPPING:
            break;
        }
    }
}

void containers_lose(struct machine *machine)
{
    containers_done(&machine->containers);
    uint64_t version = machine->containers.next_version;
    containers_init(&machine->containers);
    machine->containers.next_version = version;
}

void containers_crash_one(struct machine *machine, uint64_t pick)
{
    struct table *table = &machine->containers.table;
    for (size_t i = 0; i < table->count; i++) {
        struct container *container = table->items[(pick + i) % table->count];
        if (container->phase != CONTAINER_RUNNING)
            continue;
        trace_line(machine->cluster, "%s container %s.%llu crashes", machine->name,
                   container->service, (unsigned long long)container->generation);
        container->version = 0; /* nothing that was planned for it happens */
        crash(machine, container);
        return;
    }
}
