#include "base/text_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bounds.h"

int text_list_add(struct text_list *list, const char *text)
{
    if (list->count >= BASE_TEXT_LIST_ITEMS_MAX)
        return -E2BIG;
    char **items = realloc(list->items, (list->count + 2) * sizeof(*items));
    if (!items)
        return -ENOMEM;
    list->items = items;
    char *copy = strdup(text);
    items[list->count] = copy;
    if (!copy)
        return -ENOMEM;
    items[++list->count] = NULL;
    return 0;
}

int text_list_copy(struct text_list *list, const struct text_list *from)
{
    struct text_list copy = {0};
    for (size_t i = 0; i < from->count; i++) {
        int result = text_list_add(&copy, from->items[i]);
        if (result < 0) {
            text_list_done(&copy);
            return result;
        }
    }
    text_list_done(list);
    *list = copy;
    return 0;
}

void text_list_done(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){0};
}
