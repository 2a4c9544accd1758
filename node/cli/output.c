#include "node/cli/output.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/id.h"
#include "node/cli/bounds.h"
#include "node/cli/quantity.h"

enum {
    COLUMN_GAP = 3,
    COLUMNS_MAX = 16,
    MS_PER_SECOND = 1000,
};

/* Characters, not bytes: continuation bytes of UTF-8 take no place. */
static int text_width(const char *text)
{
    int width = 0;
    for (; *text != '\0'; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void clean(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = '?';
}

static void plain_cell(const json_t *row, const char *key, char *ret)
{
    const json_t *value = json_object_get(row, key);
    if (json_is_string(value))
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%s", json_string_value(value));
    else if (json_is_integer(value))
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%lld", (long long)json_integer_value(value));
    else if (json_is_boolean(value))
        snprintf(ret, CLI_TEXT_BYTES_MAX, "%s", json_is_true(value) ? "yes" : "no");
    else
        ret[0] = '\0';
}

static void make_cell(const json_t *row, const struct column *column, char *ret)
{
    ret[0] = '\0';
    (column->cell ? column->cell : plain_cell)(row, column->key, ret);
    clean(ret);
    if (ret[0] == '\0')
        snprintf(ret, CLI_TEXT_BYTES_MAX, "-");
}

static void append_cell(struct buffer *ret, const char *text, int width, bool is_last)
{
    if (is_last)
        buffer_printf(ret, "%s\n", text);
    else
        buffer_printf(ret, "%s%*s", text, width - text_width(text) + COLUMN_GAP, "");
}

static void measure(const json_t *rows, const struct column *columns, size_t count,
                    int ret_widths[COLUMNS_MAX])
{
    char cell[CLI_TEXT_BYTES_MAX];
    for (size_t c = 0; c < count; c++)
        ret_widths[c] = text_width(columns[c].title);
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (size_t c = 0; c < count; c++) {
            make_cell(json_array_get(rows, r), &columns[c], cell);
            int width = text_width(cell);
            ret_widths[c] = width > ret_widths[c] ? width : ret_widths[c];
        }
    }
}

static int sum_up(const int *widths, size_t count)
{
    int sum = 0;
    for (size_t c = 0; c < count; c++)
        sum += widths[c] + (c + 1 < count ? COLUMN_GAP : 0);
    return sum;
}

static size_t find_column(const struct column *columns, size_t count, const char *title)
{
    size_t c = 0;
    while (c < count && strcmp(columns[c].title, title) != 0)
        c++;
    return c;
}

void output_format_within(const json_t *rows, const struct column *columns, size_t count,
                          const char *const *spare, unsigned width, struct buffer *ret)
{
    struct column kept[COLUMNS_MAX];
    int widths[COLUMNS_MAX];
    char cell[CLI_TEXT_BYTES_MAX];
    memcpy(kept, columns, count * sizeof(*kept));
    measure(rows, kept, count, widths);
    while (width > 0 && spare && *spare && sum_up(widths, count) > (int)width) {
        size_t c = find_column(kept, count, *spare++);
        if (c == count)
            continue;
        count--;
        memmove(&kept[c], &kept[c + 1], (count - c) * sizeof(*kept));
        memmove(&widths[c], &widths[c + 1], (count - c) * sizeof(*widths));
    }
    for (size_t c = 0; c < count; c++)
        append_cell(ret, kept[c].title, widths[c], c + 1 == count);
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (size_t c = 0; c < count; c++) {
            make_cell(json_array_get(rows, r), &kept[c], cell);
            append_cell(ret, cell, widths[c], c + 1 == count);
        }
    }
}

void output_format_table(const json_t *rows, const struct column *columns, size_t count,
                         struct buffer *ret)
{
    output_format_within(rows, columns, count, NULL, 0, ret);
}

void output_table_within(const json_t *rows, const struct column *columns, size_t count,
                         const char *const *spare)
{
    cleanup_buffer struct buffer text = {0};
    struct winsize size;
    bool is_terminal = isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0;
    output_format_within(rows, columns, count, spare, is_terminal ? size.ws_col : 0, &text);
    fwrite(text.bytes, 1, text.size, stdout);
}

void output_table(const json_t *rows, const struct column *columns, size_t count)
{
    output_table_within(rows, columns, count, NULL);
}

void cell_size(const json_t *row, const char *key, char *ret)
{
    quantity_format_size((uint64_t)json_number(row, key), ret);
}

void cell_age(const json_t *row, const char *key, char *ret)
{
    if (json_is_integer(json_object_get(row, key)))
        quantity_format_age(json_number(row, key), ret);
}

void cell_since(const json_t *row, const char *key, char *ret)
{
    struct timespec now;
    json_int_t then = json_number(row, key);
    if (then == 0)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    quantity_format_age((int64_t)now.tv_sec * MS_PER_SECOND - then, ret);
}

void cell_rtt(const json_t *row, const char *key, char *ret)
{
    json_int_t rtt_us = json_number(row, key);
    if (rtt_us > 0)
        quantity_format_rtt((uint64_t)rtt_us, ret);
}

void cell_short_id(const json_t *row, const char *key, char *ret)
{
    snprintf(ret, ID_SHORT_TEXT_BYTES, "%s", json_text(row, key));
}

static void dump(const json_t *value, size_t flags)
{
    cleanup_free char *text = json_dumps(value, flags | JSON_ENCODE_ANY);
    if (text)
        puts(text);
}

void output_json(const json_t *value)
{
    dump(value, JSON_INDENT(2));
}

void output_json_line(const json_t *value)
{
    dump(value, JSON_COMPACT);
    fflush(stdout);
}

void output_text(const char *text)
{
    for (; *text != '\0'; text++)
        putchar(((unsigned char)*text < ' ' && *text != '\n' && *text != '\t') || *text == 0x7f
                    ? '?'
                    : *text);
}
