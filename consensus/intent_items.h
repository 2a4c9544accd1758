/* Reading the tables of the intent: each item is made, read, and put at the end of its table. */
#pragma once

#include <errno.h>
#include <stdlib.h>

#include "base/reader.h"
#include "base/table.h"

/* Puts an item that was read at the end of its table, or refuses it: false, and it is still the
 * caller's. */
static inline bool intent_item_append(struct reader *reader, struct table *table, void *item)
{
    if (reader_check(reader) < 0)
        return false;
    if (table_lower_bound(table, table->key_of(item)) != table->count) {
        reader_refuse(reader);
        return false;
    }
    int rc = table_insert(table, item);
    if (rc == -ENOMEM)
        reader_refuse_memory(reader);
    else if (rc < 0)
        reader_refuse(reader);
    return rc == 0;
}

/* Zeroed memory for the next item; fails the reader when there is none. */
static inline void *intent_item_new(struct reader *reader, size_t bytes)
{
    void *item = reader_check(reader) == 0 ? calloc(1, bytes) : NULL;
    if (!item && reader_check(reader) == 0)
        reader_refuse_memory(reader);
    return item;
}
