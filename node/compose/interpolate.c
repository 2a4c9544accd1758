#include "node/compose/interpolate.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"

enum {
    VARIABLE_BYTES_MAX = 256,
    VARIABLE_DEPTH_MAX = 8,
};

const char *variables_find(const struct variables *variables, const char *name)
{
    const char *value = getenv(name);
    size_t length = strlen(name);
    for (size_t i = 0; i < variables->values.count && !value; i++) {
        const char *item = variables->values.items[i];
        if (strncmp(item, name, length) == 0 && item[length] == '=')
            value = item + length + 1;
    }
    return value || !variables->outer ? value : variables_find(variables->outer, name);
}

int variables_set(struct variables *variables, const char *name, const char *value)
{
    cleanup_free char *item = NULL;
    if (asprintf(&item, "%s=%s", name, value) < 0)
        return -ENOMEM;
    return text_list_add(&variables->values, item);
}

int variables_copy(const struct variables *from, struct variables *ret)
{
    *ret = (struct variables){0};
    return text_list_copy(&ret->values, &from->values);
}

void variables_done(struct variables *variables)
{
    text_list_done(&variables->values);
    text_list_done(&variables->unset);
    text_list_done(&variables->warnings);
}

static int note_unset(struct variables *variables, const char *name)
{
    for (size_t i = 0; i < variables->unset.count; i++)
        if (strcmp(variables->unset.items[i], name) == 0)
            return 0;
    int rc = text_list_add(&variables->unset, name);
    return rc == -E2BIG ? 0 : rc; /* enough was said */
}

static size_t name_length(const char *text)
{
    size_t length = 0;
    if (isdigit((unsigned char)text[0]))
        return 0;
    while (isalnum((unsigned char)text[length]) || text[length] == '_')
        length++;
    return length;
}

static int fill_in(const char *text, size_t size, struct variables *variables, int depth,
                   struct buffer *ret, struct error *error);

/* "VAR", "VAR:-default", "VAR?words" between braces. */
static int substitute(const char *inside, size_t size, struct variables *variables, int depth,
                      struct buffer *ret, struct error *error)
{
    char name[VARIABLE_BYTES_MAX];
    size_t length = name_length(inside);
    if (length == 0 || length >= sizeof(name) || length > size)
        return error_set(error, -EINVAL, "${%.*s} names no variable", (int)size, inside);
    memcpy(name, inside, length);
    name[length] = '\0';
    const char *value = variables_find(variables, name);
    const char *rest = inside + length;
    size_t rest_size = size - length;
    bool empty_counts = rest_size > 0 && rest[0] == ':';
    if (empty_counts) {
        rest++;
        rest_size--;
    }
    bool is_missing = !value || (empty_counts && value[0] == '\0');
    if (rest_size == 0 && !empty_counts) {
        int rc = value ? 0 : note_unset(variables, name);
        return rc < 0 ? rc : buffer_append_text(ret, value ? value : "");
    }
    if (rest_size == 0 || !strchr("-?+", rest[0]))
        return error_set(error, -EINVAL, "${%.*s}: after the name, :- :? or } is expected",
                         (int)size, inside);
    if (rest[0] == '?' && is_missing)
        return error_set(error, -EINVAL, "the variable %s must be set: %.*s", name,
                         (int)rest_size - 1, rest + 1);
    if ((rest[0] == '-' && is_missing) || (rest[0] == '+' && !is_missing))
        return fill_in(rest + 1, rest_size - 1, variables, depth + 1, ret, error);
    return rest[0] == '+' ? 0 : buffer_append_text(ret, value);
}

/* How many bytes stand before the brace that closes what `text` is the inside of; -1 if none does.
 */
static ssize_t inside_size(const char *text, size_t size)
{
    int depth = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '$' && i + 1 < size && text[i + 1] == '{')
            depth++;
        else if (text[i] == '}' && depth-- == 0)
            return (ssize_t)i;
    }
    return -1;
}

static int fill_in(const char *text, size_t size, struct variables *variables, int depth,
                   struct buffer *ret, struct error *error)
{
    int rc = 0;
    if (depth > VARIABLE_DEPTH_MAX)
        return error_set(error, -EINVAL, "variables within variables, more than %d deep",
                         VARIABLE_DEPTH_MAX);
    for (size_t at = 0; at < size && rc == 0;) {
        const char *here = text + at, *dollar = memchr(here, '$', size - at);
        size_t left = size - at, run = dollar ? (size_t)(dollar - here) : left;
        if (run > 0) {
            rc = buffer_append(ret, here, run);
            at += run;
        } else if (left > 1 && here[1] == '$') {
            rc = buffer_append(ret, "$", 1);
            at += 2;
        } else if (left > 1 && here[1] == '{') {
            ssize_t inside = inside_size(here + 2, left - 2);
            if (inside < 0)
                return error_set(error, -EINVAL, "${ without }; write $$ for a dollar sign");
            rc = substitute(here + 2, (size_t)inside, variables, depth, ret, error);
            at += (size_t)inside + 3;
        } else if (left > 1 && name_length(here + 1) > 0) {
            size_t length = name_length(here + 1);
            if (length > left - 1)
                length = left - 1;
            rc = substitute(here + 1, length, variables, depth, ret, error);
            at += 1 + length;
        } else {
            rc = buffer_append(ret, here, 1);
            at++;
        }
    }
    return rc;
}

int interpolate(const char *text, struct variables *variables, char **ret, struct error *error)
{
    cleanup_buffer struct buffer out = {0};
    int rc = fill_in(text, strlen(text), variables, 0, &out, error);
    if (rc < 0)
        return rc;
    *ret = buffer_take_text(&out);
    return *ret ? 0 : -ENOMEM;
}
