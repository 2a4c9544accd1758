#include "node/compose/interpolate.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "consensus/bounds.h"
#include "runtime/file.h"

enum {
    VARIABLE_BYTES_MAX = 256,
    ENVIRONMENT_FILE_BYTES_MAX = 1024 * 1024,
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
    if (memmem(rest, rest_size, "${", 2))
        return error_set(error, -EINVAL, "${%.*s}: a variable within a variable is not supported",
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

/* Cuts white space off both ends. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t length = strlen(text);
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        text[--length] = '\0';
    return text;
}

/* What stands behind the '=': quotes go, and so does a comment (" # …") behind the value. NULL if a
 * quote is not closed, or something follows it. */
static char *value_of(char *text)
{
    char *value = trim(text);
    if (value[0] == '#')
        value[0] = '\0';
    if (value[0] == '"' || value[0] == '\'') {
        char *end = strchr(value + 1, value[0]);
        if (!end)
            return NULL;
        *end = '\0';
        const char *rest = trim(end + 1);
        return rest[0] == '\0' || rest[0] == '#' ? value + 1 : NULL;
    }
    for (char *hash = value; (hash = strchr(hash, '#')) != NULL; hash++) {
        if (!isspace((unsigned char)hash[-1])) /* the first letter is none */
            continue;
        *hash = '\0';
        break;
    }
    return trim(value);
}

/* "KEY=VALUE", perhaps after "export"; or "KEY" alone, whose value comes from the environment. */
static int add_line(char *line, struct text_list *ret, const char **ret_problem)
{
    cleanup_free char *entry = NULL;
    char *name = trim(line);
    if (name[0] == '\0' || name[0] == '#')
        return 0;
    if (strncmp(name, "export", 6) == 0 && isblank((unsigned char)name[6]))
        name = trim(name + 6);
    char *equals = strchr(name, '=');
    if (equals)
        *equals = '\0';
    name = trim(name);
    const char *value = equals ? value_of(equals + 1) : getenv(name);
    *ret_problem = name[0] == '\0' || strpbrk(name, " \t") ? "KEY=VALUE is expected"
                   : equals && !value                      ? "the value's quotes do not fit"
                                                           : NULL;
    if (*ret_problem || !value)
        return *ret_problem ? -EINVAL : 0;
    int length = asprintf(&entry, "%s=%s", name, value);
    if (length < 0)
        return -ENOMEM;
    if (length > SPEC_TEXT_BYTES_MAX)
        *ret_problem = "the value is too long";
    return *ret_problem ? -EINVAL : text_list_add(ret, entry);
}

int environment_file_read(const char *path, struct text_list *ret, struct error *error)
{
    cleanup_buffer struct buffer content = {0};
    int rc = file_read(path, ENVIRONMENT_FILE_BYTES_MAX, &content);
    if (rc < 0)
        return error_set_errno(error, rc, "reading %s", path);
    if (content.size > 0 && memchr(content.bytes, '\0', content.size))
        return error_set(error, -EINVAL, "reading %s: there is a NUL byte in it", path);
    cleanup_free char *text = buffer_take_text(&content);
    char *at = text, *line;
    for (unsigned number = 1; (line = strsep(&at, "\n")) != NULL; number++) {
        const char *problem = NULL;
        rc = add_line(line, ret, &problem);
        if (problem)
            return error_set(error, rc, "%s:%u: %s", path, number, problem);
        if (rc < 0)
            return error_set_errno(error, rc, "%s:%u", path, number);
    }
    return text ? 0 : error_set_errno(error, -ENOMEM, "reading %s", path);
}
