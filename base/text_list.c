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

void text_list_write(struct writer *writer, const struct text_list *list)
{
    writer_array(writer, list->count);
    for (size_t i = 0; i < list->count; i++)
        writer_text(writer, list->items[i]);
}

void text_list_read(struct reader *reader, uint32_t items_max, size_t text_bytes_max,
                    struct text_list *ret)
{
    uint32_t count = 0;
    if (reader_array(reader, &count) < 0)
        return;
    if (count > items_max) {
        reader_refuse(reader);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        char *text = NULL;
        if (reader_dup_text(reader, &text, text_bytes_max) < 0)
            return;
        int rc = text_list_add(ret, text);
        free(text);
        if (rc < 0) {
            if (rc == -ENOMEM)
                reader_refuse_memory(reader);
            else
                reader_refuse(reader);
            return;
        }
    }
}

void text_list_done(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){0};
}
