#include "node/control/view.h"

#include <stdlib.h>

static int peer_compare(const void *item, const void *key)
{
    return id_compare(&((const struct view_peer *)item)->id, key);
}

static const void *peer_key(const void *item)
{
    return &((const struct view_peer *)item)->id;
}

static int replica_compare(const void *item, const void *key)
{
    uint64_t a = ((const struct view_replica *)item)->generation, b = *(const uint64_t *)key;
    return a < b ? -1 : a > b;
}

static const void *replica_key(const void *item)
{
    return &((const struct view_replica *)item)->generation;
}

static int stand_in_compare(const void *item, const void *key)
{
    uint64_t a = ((const struct view_stand_in *)item)->replica.generation;
    uint64_t b = *(const uint64_t *)key;
    return a < b ? -1 : a > b;
}

static const void *stand_in_key(const void *item)
{
    return &((const struct view_stand_in *)item)->replica.generation;
}

void view_init(struct view *view)
{
    table_init(&view->stand_ins, stand_in_compare, stand_in_key);
    table_init(&view->peers, peer_compare, peer_key);
    table_init(&view->replicas, replica_compare, replica_key);
}

static void free_items(struct table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->items[i]);
    table_done(table);
}

void view_done(struct view *view)
{
    if (!view)
        return;
    free_items(&view->peers);
    free_items(&view->replicas);
    free_items(&view->stand_ins);
}

/* Adds an item whose key is set; frees it and returns NULL when out of memory. */
static void *add_item(struct table *table, void *item)
{
    if (item && table_insert(table, item) == 0)
        return item;
    free(item);
    return NULL;
}

struct view_peer *view_peer_get(struct view *view, const struct id *id)
{
    struct view_peer *peer = view_peer_find(view, id);
    if (peer)
        return peer;
    peer = calloc(1, sizeof(*peer));
    if (peer)
        peer->id = *id;
    return add_item(&view->peers, peer);
}

struct view_replica *view_replica_get(struct view *view, uint64_t generation)
{
    struct view_replica *replica = view_replica_find(view, generation);
    if (replica)
        return replica;
    replica = calloc(1, sizeof(*replica));
    if (replica)
        replica->generation = generation;
    return add_item(&view->replicas, replica);
}

struct view_peer *view_peer_find(const struct view *view, const struct id *id)
{
    return table_find(&view->peers, id);
}

bool view_is_alive(const struct view *view, const struct id *id)
{
    const struct view_peer *peer = view_peer_find(view, id);
    return peer && peer->liveness == VIEW_ALIVE;
}

struct view_replica *view_replica_find(const struct view *view, uint64_t generation)
{
    return table_find(&view->replicas, &generation);
}

void view_replica_remove(struct view *view, uint64_t generation)
{
    free(table_remove(&view->replicas, &generation));
    free(table_remove(&view->stand_ins, &generation));
}

struct view_stand_in *view_stand_in_get(struct view *view, uint64_t generation)
{
    struct view_stand_in *stand_in = view_stand_in_find(view, generation);
    if (stand_in)
        return stand_in;
    stand_in = calloc(1, sizeof(*stand_in));
    if (stand_in)
        stand_in->replica.generation = generation;
    return add_item(&view->stand_ins, stand_in);
}

struct view_stand_in *view_stand_in_find(const struct view *view, uint64_t generation)
{
    return table_find(&view->stand_ins, &generation);
}

void view_peer_remove(struct view *view, const struct id *id)
{
    free(table_remove(&view->peers, id));
}

bool view_replica_has_completed(const struct view_replica *replica, const struct service_spec *spec)
{
    return replica && spec && replica->state == VIEW_REPLICA_EXITED && replica->exit_code == 0 &&
           spec->restart.condition != SPEC_RESTART_ANY;
}

bool view_replica_serves(const struct view_replica *replica)
{
    return replica->state == VIEW_REPLICA_RUNNING &&
           (replica->health == VIEW_HEALTH_NONE || replica->health == VIEW_HEALTH_GOOD);
}

int view_holding_compare(const struct view_holding *a, const struct view_holding *b)
{
    if (a->term != b->term)
        return a->term < b->term ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}
