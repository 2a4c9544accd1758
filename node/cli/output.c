#include "node/cli/output.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

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

void output_format_table(const json_t *rows, const struct column *columns, size_t count,
                         struct buffer *ret)
{
    int widths[COLUMNS_MAX] = {0};
    char cell[CLI_TEXT_BYTES_MAX];
    for (size_t c = 0; c < count; c++)
        widths[c] = text_width(columns[c].title);
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (size_t c = 0; c < count; c++) {
            make_cell(json_array_get(rows, r), &columns[c], cell);
            int width = text_width(cell);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t c = 0; c < count; c++)
        append_cell(ret, columns[c].title, widths[c], c + 1 == count);
    for (size_t r = 0; r < json_array_size(rows); r++) {
        for (size_t c = 0; c < count; c++) {
            make_cell(json_array_get(rows, r), &columns[c], cell);
            append_cell(ret, cell, widths[c], c + 1 == count);
        }
    }
}

void output_table(const json_t *rows, const struct column *columns, size_t count)
{
    cleanup_buffer struct buffer text = {0};
    output_format_table(rows, columns, count, &text);
    fwrite(text.bytes, 1, text.size, stdout);
}

void cell_size(const json_t *row, const char *key, char *ret)
{
    quantity_format_size((uint64_t)json_number(row, key), ret);
}

void cell_age(const json_t *row, const char *key, char *ret)
{
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
