/* A list of texts: argument vectors, environments, labels. Zeroed memory is an empty list.
 *
 * Once the list holds any item, a NULL stands behind the last one, as execve() wants it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/writer.h"

struct text_list {
    char **items; /* owned, each owned */
    size_t count;
};

/* Appends a copy of `text`. -E2BIG past BASE_TEXT_LIST_ITEMS_MAX, or -ENOMEM; the list is unchanged
 * then. */
int text_list_add(struct text_list *list, const char *text);

/* Replaces the contents of `list` by copies of `from`'s. -ENOMEM leaves the list as it was. */
int text_list_copy(struct text_list *list, const struct text_list *from);

/* As an array of texts. The reader fails at more than `items_max` items, or at a text of more than
 * `text_bytes_max`; what was read so far is in `ret` then. */
void text_list_write(struct writer *writer, const struct text_list *list);
void text_list_read(struct reader *reader, uint32_t items_max, size_t text_bytes_max,
                    struct text_list *ret);

/* Frees the items; the list is empty afterwards. */
void text_list_done(struct text_list *list);
