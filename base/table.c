#include "base/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

void table_init(struct table *table, int (*compare)(const void *item, const void *key),
                const void *(*key_of)(const void *item))
{
    *table = (struct table){.compare = compare, .key_of = key_of};
}

void table_done(struct table *table)
{
    if (!table)
        return;
    free(table->items);
    table->items = NULL;
    table->count = table->capacity = 0;
}

size_t table_lower_bound(const struct table *table, const void *key)
{
    size_t low = 0, high = table->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (table->compare(table->items[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void *table_find(const struct table *table, const void *key)
{
    size_t index = table_lower_bound(table, key);
    if (index == table->count || table->compare(table->items[index], key) != 0)
        return NULL;
    return table->items[index];
}

int table_insert(struct table *table, void *item)
{
    const void *key = table->key_of(item);
    size_t index = table_lower_bound(table, key);
    if (index < table->count && table->compare(table->items[index], key) == 0)
        return -EEXIST;
    if (table->count == table->capacity) {
        size_t capacity = table->capacity ? 2 * table->capacity : 8;
        if (capacity > SIZE_MAX / sizeof(*table->items))
            return -ENOMEM;
        void **items = realloc(table->items, capacity * sizeof(*items));
        if (!items)
            return -ENOMEM;
        table->items = items;
        table->capacity = capacity;
    }
    memmove(table->items + index + 1, table->items + index,
            (table->count - index) * sizeof(*table->items));
    table->items[index] = item;
    table->count++;
    return 0;
}

void *table_remove(struct table *table, const void *key)
{
    size_t index = table_lower_bound(table, key);
    if (index == table->count || table->compare(table->items[index], key) != 0)
        return NULL;
    void *item = table->items[index];
    table->count--;
    memmove(table->items + index, table->items + index + 1,
            (table->count - index) * sizeof(*table->items));
    return item;
}
