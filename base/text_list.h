/* A list of texts: argument vectors, environments, labels. Zeroed memory is an empty list.
 *
 * Once the list holds any item, a NULL stands behind the last one, as execve() wants it.
 */
#pragma once

#include <stddef.h>

struct text_list {
    char **items; /* owned, each owned */
    size_t count;
};

/* Appends a copy of `text`. -E2BIG past BASE_TEXT_LIST_ITEMS_MAX, or -ENOMEM; the list is unchanged
 * then. */
int text_list_add(struct text_list *list, const char *text);

/* Replaces the contents of `list` by copies of `from`'s. -ENOMEM leaves the list as it was. */
int text_list_copy(struct text_list *list, const struct text_list *from);

/* Frees the items; the list is empty afterwards. */
void text_list_done(struct text_list *list);
