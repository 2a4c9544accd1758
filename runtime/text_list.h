/* A list of texts that owns them: arguments, environment variables, labels, layers' paths.
 *
 * Start from zeroes; text_list_done() frees. At most RUNTIME_LIST_MAX texts.
 */
#pragma once

#include <stddef.h>

struct text_list {
    char **items; /* a NULL stands behind the last once it holds any, as execve() wants */
    size_t count;
};

/* Appends a copy of `text`: 0, -ENOMEM, or -E2BIG past RUNTIME_LIST_MAX. */
int text_list_add(struct text_list *list, const char *text);

/* Copies `from` into `list`, which holds nothing. 0 or -ENOMEM. */
int text_list_copy(struct text_list *list, const struct text_list *from);
void text_list_done(struct text_list *list);
