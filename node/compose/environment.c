#include "node/compose/environment.h"

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
    ENVIRONMENT_FILE_BYTES_MAX = 1024 * 1024,
};

/* Where in the file's text reading is. */
struct cursor {
    char *at;
    unsigned line, next_line; /* on which the entry begins, and ends */
    const char *problem;      /* what is wrong with it */
};

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

/* Cuts the line off; never NULL. */
static char *take_line(struct cursor *cursor)
{
    char *line = cursor->at, *end = strchr(line, '\n');
    cursor->at = end ? end + 1 : line + strlen(line);
    cursor->next_line++;
    if (end)
        *end = '\0';
    return line;
}

/* In double quotes: what a backslash makes of the letter behind it; 0: both stay. */
static char escaped(char letter)
{
    static const char letters[] = "nrt\"\\";
    static const char meant[] = "\n\r\t\"\\";
    const char *found = letter ? strchr(letters, letter) : NULL;
    return found ? meant[found - letters] : '\0';
}

/* What stands between quotes; `cursor` is at the first. Dollar signs that mean themselves are
 * doubled, as for interpolate(). NULL: a quote is not closed, or something follows it. */
static char *take_quoted(struct cursor *cursor, struct buffer *text)
{
    char quote = *cursor->at++;
    int rc = 0;
    for (; *cursor->at && *cursor->at != quote && rc == 0; cursor->at++) {
        char letter = *cursor->at, other = cursor->at[1];
        cursor->next_line += letter == '\n';
        if (letter == '$' && quote == '\'') {
            rc = buffer_append_text(text, "$$");
        } else if (letter == '\\' && quote == '"' && (other == '$' || escaped(other))) {
            char one = escaped(other);
            rc = one ? buffer_append(text, &one, 1) : buffer_append_text(text, "$$");
            cursor->at++;
        } else {
            rc = buffer_append(text, &letter, 1);
        }
    }
    bool is_closed = *cursor->at == quote;
    if (is_closed)
        cursor->at++;
    const char *rest = trim(take_line(cursor));
    return rc == 0 && is_closed && (!rest[0] || rest[0] == '#') ? buffer_take_text(text) : NULL;
}

/* What stands up to the line's end, without a comment. The caller frees it. */
static char *take_plain(struct cursor *cursor)
{
    char *value = take_line(cursor);
    for (char *hash = value; (hash = strchr(hash, '#')) != NULL; hash++) {
        if (hash > value && !isspace((unsigned char)hash[-1]))
            continue;
        *hash = '\0';
        break;
    }
    return strdup(trim(value));
}

/* The value behind the '=', filled in. */
static int take_value(const struct environment_file *file, struct variables *scope,
                      struct cursor *cursor, char **ret, struct error *error)
{
    cleanup_buffer struct buffer text = {0};
    if (file->is_raw) {
        *ret = strdup(trim(take_line(cursor)));
        return *ret ? 0 : -ENOMEM;
    }
    cursor->at += strspn(cursor->at, " \t");
    bool is_quoted = *cursor->at == '"' || *cursor->at == '\'';
    cleanup_free char *written = is_quoted ? take_quoted(cursor, &text) : take_plain(cursor);
    if (!written && is_quoted)
        cursor->problem = "the value's quotes do not fit";
    if (!written)
        return is_quoted ? -EINVAL : -ENOMEM;
    return interpolate(written, scope, ret, error);
}

/* Adds "NAME=VALUE" in the place of an earlier one. */
static int put(struct text_list *list, const char *name, const char *value)
{
    cleanup_free char *entry = NULL;
    size_t size = strlen(name) + 1;
    if (asprintf(&entry, "%s=%s", name, value) < 0)
        return -ENOMEM;
    if (strlen(entry) > SPEC_TEXT_BYTES_MAX)
        return -EFBIG;
    for (size_t i = 0; i < list->count; i++)
        if (strncmp(list->items[i], entry, size) == 0) {
            free(list->items[i]);
            list->items[i] = take_pointer(entry);
            return 0;
        }
    return text_list_add(list, entry);
}

/* Reads the next entry, or passes over an empty line. */
static int read_entry(const struct environment_file *file, struct variables *scope,
                      struct cursor *cursor, struct error *error)
{
    cleanup_free char *name = NULL;
    cursor->at += strspn(cursor->at, " \t\r");
    size_t size = strcspn(cursor->at, "=\n"), colon = strcspn(cursor->at, ": \t=\n");
    if (cursor->at[colon] == ':' && isblank((unsigned char)cursor->at[colon + 1]))
        size = colon; /* "KEY: VALUE", as Compose takes it too */
    bool has_value = strchr("=:", cursor->at[size]) && cursor->at[size] && *cursor->at != '#';
    if (!has_value) {
        name = strdup(trim(take_line(cursor)));
    } else {
        name = strndup(cursor->at, size);
        cursor->at += size + 1;
    }
    if (!name)
        return -ENOMEM;
    char *key = trim(name);
    if (!has_value && (!key[0] || key[0] == '#'))
        return 0;
    if (strncmp(key, "export", 6) == 0 && isblank((unsigned char)key[6]))
        key = trim(key + 6);
    if (!key[0] || strpbrk(key, " \t")) {
        cursor->problem = "KEY=VALUE is expected";
        return -EINVAL;
    }
    cleanup_free char *value = NULL;
    int rc = has_value ? take_value(file, scope, cursor, &value, error) : 0;
    const char *given = has_value ? value : getenv(key);
    rc = rc == 0 && given ? put(&scope->values, key, given) : rc;
    if (rc == -EFBIG)
        cursor->problem = "the value is too long";
    return rc == -EFBIG ? -EINVAL : rc;
}

static int warn_unset(const struct environment_file *file, const struct variables *scope)
{
    int rc = 0;
    for (size_t i = 0; i < scope->unset.count && rc == 0; i++) {
        cleanup_free char *warning = NULL;
        if (asprintf(&warning, "%s: the variable %s is not set: empty", file->path,
                     scope->unset.items[i]) < 0)
            return -ENOMEM;
        rc = text_list_add(file->warnings, warning);
    }
    return rc;
}

static int read_entries(const struct environment_file *file, char *text, struct variables *scope,
                        struct error *error)
{
    static const char byte_order_mark[] = "\xef\xbb\xbf";
    size_t mark_size = sizeof(byte_order_mark) - 1;
    bool is_marked = strncmp(text, byte_order_mark, mark_size) == 0;
    struct cursor cursor = {.at = text + (is_marked ? mark_size : 0), .next_line = 1};
    struct error why = {0};
    while (*cursor.at) {
        cursor.line = cursor.next_line;
        int rc = read_entry(file, scope, &cursor, &why);
        if (rc == -EINVAL)
            return error_set(error, rc, "%s:%u: %s", file->path, cursor.line,
                             cursor.problem ? cursor.problem : why.message);
        if (rc < 0)
            return error_set_errno(error, rc, "%s:%u", file->path, cursor.line);
    }
    return warn_unset(file, scope);
}

int environment_file_read(const struct environment_file *file, struct text_list *ret,
                          struct error *error)
{
    cleanup_buffer struct buffer content = {0};
    int rc = file_read(file->path, ENVIRONMENT_FILE_BYTES_MAX, &content);
    if (rc < 0)
        return error_set_errno(error, rc, "reading %s", file->path);
    if (content.size > 0 && memchr(content.bytes, '\0', content.size))
        return error_set(error, -EINVAL, "reading %s: there is a NUL byte in it", file->path);
    cleanup_free char *text = buffer_take_text(&content);
    if (!text)
        return error_set_errno(error, -ENOMEM, "reading %s", file->path);
    struct variables scope = {.outer = file->variables};
    rc = read_entries(file, text, &scope, error);
    for (size_t i = 0; i < scope.values.count && rc == 0; i++)
        rc = text_list_add(ret, scope.values.items[i]);
    variables_done(&scope);
    return rc;
}
