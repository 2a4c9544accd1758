/* An ordered table of pointers: sorted, searched by binary search, iterated in key order (which is
 * what keeps the pure cores deterministic). The items' owner frees them.
 *
 * `compare` orders an item against a key; table_insert asks `key_of` for a new item's key.
 */
#pragma once

#include <stddef.h>

struct table {
    void **items;
    size_t count;
    size_t capacity;
    int (*compare)(const void *item, const void *key);
    const void *(*key_of)(const void *item);
};

void table_init(struct table *table, int (*compare)(const void *item, const void *key),
                const void *(*key_of)(const void *item));

/* Frees the table's own memory, not the items. */
void table_done(struct table *table);

/* The item with that key (borrowed), or NULL. */
void *table_find(const struct table *table, const void *key);

/* The index of the first item whose key is not less than `key`; table->count if there is none. */
size_t table_lower_bound(const struct table *table, const void *key);

/* 0, -EEXIST if an item with that key is there, or -ENOMEM; the table is unchanged on failure. */
int table_insert(struct table *table, void *item);

/* Takes the item with that key out and returns it, or NULL. */
void *table_remove(struct table *table, const void *key);
