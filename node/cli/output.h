/* What verbs print: tables for people, JSON for programs. Control characters in what peers say are
 * shown as '?', so that no name can drive the terminal.
 */
#pragma once

#include "node/cli/json.h"

/* A column: its title, and how a row's cell is made. Without `cell`, the row's `key` is shown as it
 * is. `cell` gets room for CLI_TEXT_BYTES_MAX bytes. */
struct column {
    const char *title;
    const char *key;
    void (*cell)(const json_t *row, const char *key, char *ret);
};

/* Prints a table of the rows (an array of maps), columns as wide as they must be. */
void output_table(const json_t *rows, const struct column *columns, size_t count);

/* As output_table; on a terminal that is too narrow for all columns it leaves out those of the
 * titles in `spare` (NULL after the last), one after the other, until the rest has room. */
void output_table_within(const json_t *rows, const struct column *columns, size_t count,
                         const char *const *spare);

/* As that, appended to `ret`, for a terminal of so many columns (0: as wide as need be). */
void output_format_within(const json_t *rows, const struct column *columns, size_t count,
                          const char *const *spare, unsigned width, struct buffer *ret);

/* As output_table, appended to `ret`; what there is no memory for is missing. */
void output_format_table(const json_t *rows, const struct column *columns, size_t count,
                         struct buffer *ret);

/* Cells for numbers with a unit. */
void cell_size(const json_t *row, const char *key, char *ret);
void cell_age(const json_t *row, const char *key, char *ret);   /* an age in ms, if it is known */
void cell_since(const json_t *row, const char *key, char *ret); /* a wall clock in ms */
void cell_rtt(const json_t *row, const char *key, char *ret);   /* µs, as milliseconds */
void cell_short_id(const json_t *row, const char *key, char *ret);

/* Prints a value as indented JSON and a newline. */
void output_json(const json_t *value);

/* As output_json on one line, for what is followed. Flushed. */
void output_json_line(const json_t *value);

/* Prints text that a peer said, without control characters. */
void output_text(const char *text);
