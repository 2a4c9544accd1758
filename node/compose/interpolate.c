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
    ENVIRONMENT_LINE_BYTES_MAX = 32 * 1024,
};

static const char *look_up(const char *name, const struct text_list *extra)
{
    const char *value = getenv(name);
    size_t length = strlen(name);
    for (size_t i = 0; i < extra->count && !value; i++)
        if (strncmp(extra->items[i], name, length) == 0 && extra->items[i][length] == '=')
            value = extra->items[i] + length + 1;
    return value;
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

/* "VAR", "VAR:-default", "VAR?words" between braces; what stands behind the operator is taken as it
 * is. */
static int substitute(const char *inside, size_t size, const struct text_list *extra,
                      struct buffer *ret, struct error *error)
{
    char name[VARIABLE_BYTES_MAX];
    size_t length = name_length(inside);
    if (length == 0 || length >= sizeof(name) || length > size)
        return error_set(error, -EINVAL, "${%.*s} names no variable", (int)size, inside);
    memcpy(name, inside, length);
    name[length] = '\0';
    const char *value = look_up(name, extra);
    const char *rest = inside + length;
    size_t rest_size = size - length;
    bool empty_counts = rest_size > 0 && rest[0] == ':';
    if (empty_counts) {
        rest++;
        rest_size--;
    }
    bool is_missing = !value || (empty_counts && value[0] == '\0');
    if (rest_size == 0 && !empty_counts)
        return buffer_append_text(ret, value ? value : "");
    if (rest_size == 0 || !strchr("-?+", rest[0]))
        return error_set(error, -EINVAL, "${%.*s}: after the name, :- :? or } is expected",
                         (int)size, inside);
    if (rest[0] == '?' && is_missing)
        return error_set(error, -EINVAL, "the variable %s must be set: %.*s", name,
                         (int)rest_size - 1, rest + 1);
    if ((rest[0] == '-' && is_missing) || (rest[0] == '+' && !is_missing))
        return buffer_append(ret, rest + 1, rest_size - 1);
    return rest[0] == '+' ? 0 : buffer_append_text(ret, value);
}

int interpolate(const char *text, const struct text_list *extra, char **ret, struct error *error)
{
    cleanup_buffer struct buffer out = {0};
    int rc = 0;
    for (const char *at = text; *at && rc == 0;) {
        if (at[0] != '$') {
            size_t run = strcspn(at, "$");
            rc = buffer_append(&out, at, run);
            at += run;
        } else if (at[1] == '$') {
            rc = buffer_append(&out, "$", 1);
            at += 2;
        } else if (at[1] == '{') {
            const char *end = strchr(at, '}');
            if (!end)
                return error_set(error, -EINVAL, "${ without }; write $$ for a dollar sign");
            rc = substitute(at + 2, (size_t)(end - at) - 2, extra, &out, error);
            at = end + 1;
        } else if (name_length(at + 1) > 0) {
            size_t length = name_length(at + 1);
            rc = substitute(at + 1, length, extra, &out, error);
            at += 1 + length;
        } else {
            rc = buffer_append(&out, at++, 1);
        }
    }
    if (rc < 0)
        return rc;
    *ret = buffer_take_text(&out);
    return *ret ? 0 : -ENOMEM;
}

/* Cuts the value out of a line: surrounding quotes and white space go. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    if (length >= 2 && (text[0] == '"' || text[0] == '\'') && text[length - 1] == text[0]) {
        text[length - 1] = '\0';
        text++;
    }
    return text;
}

int environment_file_read(const char *path, struct text_list *ret, struct error *error)
{
    FILE *file = fopen(path, "re");
    int rc = 0;
    if (!file)
        return error_set_errno(error, -errno, "reading %s", path);
    cleanup_free char *line = malloc(ENVIRONMENT_LINE_BYTES_MAX);
    while (rc == 0 && line && fgets(line, ENVIRONMENT_LINE_BYTES_MAX, file)) {
        char *start = trim(line);
        char *equals = strchr(start, '=');
        cleanup_free char *entry = NULL;
        if (start[0] == '#' || !equals)
            continue;
        *equals = '\0';
        rc = asprintf(&entry, "%s=%s", trim(start), trim(equals + 1)) < 0
                 ? -ENOMEM
                 : text_list_add(ret, entry);
    }
    fclose(file);
    return line ? rc : -ENOMEM;
}
