#include "node/control/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int replica_compare(const void *item, const void *key)
{
    uint64_t a = ((const struct memory_replica *)item)->generation, b = *(const uint64_t *)key;
    return a < b ? -1 : a > b;
}

static const void *replica_key(const void *item)
{
    return &((const struct memory_replica *)item)->generation;
}

static int service_compare(const void *item, const void *key)
{
    return strcmp(((const struct memory_service *)item)->name, key);
}

static const void *service_key(const void *item)
{
    return ((const struct memory_service *)item)->name;
}

void memory_init(struct memory *memory)
{
    table_init(&memory->replicas, replica_compare, replica_key);
    table_init(&memory->services, service_compare, service_key);
}

static void free_items(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->items[i]);
    table_done(table);
}

void memory_done(struct memory *memory)
{
    free_items(&memory->replicas);
    free_items(&memory->services);
}

struct memory_replica *memory_replica_get(struct memory *memory, uint64_t generation)
{
    struct memory_replica *replica = table_find(&memory->replicas, &generation);
    if (!replica) {
        replica = malloc(sizeof(*replica));
        if (!replica)
            return NULL;
        *replica = (struct memory_replica){
            .generation = generation,
            .serving_since_ms = MEMORY_NEVER,
            .absent_since_ms = MEMORY_NEVER,
            .peer_away_since_ms = MEMORY_NEVER,
        };
        if (table_insert(&memory->replicas, replica) < 0) {
            free(replica);
            return NULL;
        }
    }
    replica->is_in_use = true;
    return replica;
}

struct memory_service *memory_service_get(struct memory *memory, const char *name, uint64_t rollout)
{
    struct memory_service *service = table_find(&memory->services, name);
    if (!service) {
        service = calloc(1, sizeof(*service));
        if (!service)
            return NULL;
        snprintf(service->name, sizeof(service->name), "%s", name);
        service->batch_ended_ms = MEMORY_NEVER;
        if (table_insert(&memory->services, service) < 0) {
            free(service);
            return NULL;
        }
    }
    service->is_in_use = true;
    if (service->rollout != rollout) {
        service->rollout = rollout;
        service->batch_is_open = false;
        service->batch_ended_ms = MEMORY_NEVER;
    }
    return service;
}

/* Drops the items for which `keep` says no, and has it clear its mark on the others. */
static void sweep(struct table *table, bool (*keep)(void *item))
{
    size_t kept = 0;
    for (size_t i = 0; i < table->count; i++) {
        if (keep(table->items[i]))
            table->items[kept++] = table->items[i];
        else
            free(table->items[i]);
    }
    table->count = kept;
}

static bool keep_replica(void *item)
{
    struct memory_replica *replica = item;
    bool keep = replica->is_in_use;
    replica->is_in_use = false;
    return keep;
}

static bool keep_service(void *item)
{
    struct memory_service *service = item;
    bool keep = service->is_in_use;
    service->is_in_use = false;
    return keep;
}

void memory_sweep(struct memory *memory)
{
    sweep(&memory->replicas, keep_replica);
    sweep(&memory->services, keep_service);
}
