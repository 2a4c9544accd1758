#include "tests/etcd/script.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

enum {
    SCRIPT_BYTES_MAX = 16 * 1024 * 1024,
};

static void *or_die(void *pointer)
{
    if (!pointer)
        abort();
    return pointer;
}

void lines_add(struct lines *lines, const char *text, size_t size)
{
    lines->items = or_die(reallocarray(lines->items, lines->count + 1, sizeof(char *)));
    lines->items[lines->count++] = or_die(strndup(text, size));
}

void lines_addf(struct lines *lines, const char *format, ...)
{
    cleanup_free char *text = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (size < 0)
        abort();
    lines_add(lines, text, (size_t)size);
}

void lines_clear(struct lines *lines)
{
    for (size_t i = 0; i < lines->count; i++)
        free(lines->items[i]);
    free(lines->items);
    *lines = (struct lines){0};
}

int script_open(struct script *script, const char *path)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return -errno;
    char *text = or_die(malloc(SCRIPT_BYTES_MAX));
    size_t size = fread(text, 1, SCRIPT_BYTES_MAX - 1, file);
    int rc = ferror(file) ? -EIO : !feof(file) ? -E2BIG : 0;
    fclose(file);
    if (rc < 0) {
        free(text);
        return rc;
    }
    text[size] = '\0';
    *script = (struct script){.path = path, .text = text, .position = text};
    return 0;
}

void script_close(struct script *script)
{
    free(script->text);
    *script = (struct script){0};
}

/* Takes the next line, without its end; NULL behind the last one. */
static char *next_line(struct script *script)
{
    if (*script->position == '\0')
        return NULL;
    char *line = script->position;
    char *end = strchrnul(line, '\n');
    script->position = *end ? end + 1 : end;
    *end = '\0';
    script->line++;
    return line;
}

static bool is_blank(const char *line)
{
    return line[strspn(line, " \t\r")] == '\0';
}

/* Splits at blanks, but not those in brackets. */
static void split(const char *text, struct lines *ret)
{
    while (*text) {
        int depth = 0;
        text += strspn(text, " \t\r");
        const char *end = text;
        while (*end && (depth > 0 || !isspace((unsigned char)*end))) {
            depth += (*end == '(') - (*end == ')');
            end++;
        }
        if (end > text)
            lines_add(ret, text, (size_t)(end - text));
        text = end;
    }
}

static void read_output(struct script *script, struct directive *directive)
{
    directive->output_line = script->line + 1;
    char *line = next_line(script);
    bool is_long = line && strcmp(line, "----") == 0;
    if (is_long) {
        directive->output_line++;
        line = next_line(script);
    }
    for (; line; line = next_line(script)) {
        if (is_long ? strcmp(line, "----") == 0 : is_blank(line))
            break;
        lines_add(&directive->output, line, strlen(line));
    }
    if (is_long)
        next_line(script); /* the second "----" */
}

bool script_next(struct script *script, struct directive *ret)
{
    char *line;
    do {
        line = next_line(script);
    } while (line && (is_blank(line) || line[0] == '#'));
    if (!line)
        return false;
    *ret = (struct directive){.text = or_die(strdup(line)), .line = script->line};
    split(line, &ret->words);
    while ((line = next_line(script)) && strcmp(line, "----") != 0)
        if (line[0] != '#')
            lines_add(&ret->input, line, strlen(line));
    if (line)
        read_output(script, ret);
    return true;
}

void directive_done(struct directive *directive)
{
    free(directive->text);
    lines_clear(&directive->words);
    lines_clear(&directive->input);
    lines_clear(&directive->output);
    *directive = (struct directive){0};
}

const char *directive_name(const struct directive *directive)
{
    return directive->words.count > 0 ? directive->words.items[0] : "";
}

const char *directive_option(const struct directive *directive, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 1; i < directive->words.count; i++) {
        const char *word = directive->words.items[i];
        if (strncmp(word, name, size) == 0 && word[size] == '=')
            return word + size + 1;
    }
    return NULL;
}

bool directive_flag(const struct directive *directive, const char *name, bool otherwise)
{
    const char *value = directive_option(directive, name);
    return value ? strcmp(value, "true") == 0 : otherwise;
}

uint64_t directive_number(const struct directive *directive, const char *name, uint64_t otherwise)
{
    const char *value = directive_option(directive, name);
    return value ? strtoull(value, NULL, 10) : otherwise;
}

struct numbers directive_arguments(const struct directive *directive)
{
    struct numbers numbers = {0};
    for (size_t i = 1; i < directive->words.count && numbers.count < SCRIPT_NUMBERS_MAX; i++)
        if (isdigit((unsigned char)directive->words.items[i][0]))
            numbers.items[numbers.count++] = strtoull(directive->words.items[i], NULL, 10);
    return numbers;
}

struct numbers numbers_of(const char *text)
{
    struct numbers numbers = {0};
    while (*text && numbers.count < SCRIPT_NUMBERS_MAX) {
        if (isdigit((unsigned char)*text)) {
            char *end;
            numbers.items[numbers.count++] = strtoull(text, &end, 10);
            text = end;
        } else {
            if (*text == '_')
                numbers.items[numbers.count++] = 0;
            text++;
        }
    }
    return numbers;
}
