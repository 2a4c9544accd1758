/* Scripts in the form that etcd's tests have: a directive, lines of input, "----", and what etcd's
 * library printed.
 *
 *     # a comment
 *     add-nodes 3 voters=(1,2,3) index=10 prevote=true
 *     ----
 *     ok
 *
 * A word with `=` is an option, the others are arguments; a value in brackets is a list. The output
 * ends with an empty line, or, if it begins with a second "----", with a line of two of those. This
 * is a tool of tests: what can't be allocated ends the process.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    SCRIPT_NUMBERS_MAX = 64, /* in one list or among a directive's arguments */
};

struct lines {
    char **items;
    size_t count;
};

void lines_add(struct lines *lines, const char *text, size_t size);
void lines_addf(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lines_clear(struct lines *lines);

struct numbers {
    uint64_t items[SCRIPT_NUMBERS_MAX];
    size_t count;
};

struct directive {
    char *text; /* the first line as it stands */
    struct lines words;
    struct lines input;
    struct lines output;
    size_t line;        /* of the directive, from 1 */
    size_t output_line; /* of the output's first line */
};

struct script {
    const char *path; /* borrowed */
    char *text;
    char *position;
    size_t line;
};

/* Reads the whole file. 0 or a negative errno. */
int script_open(struct script *script, const char *path);
void script_close(struct script *script);

/* The next directive, which the caller releases with directive_done() before the next call; false
 * at the end of the script. */
bool script_next(struct script *script, struct directive *ret);
void directive_done(struct directive *directive);

/* "campaign" of "campaign 1". */
const char *directive_name(const struct directive *directive);

/* The value of `name=value`, or NULL. */
const char *directive_option(const struct directive *directive, const char *name);
bool directive_flag(const struct directive *directive, const char *name, bool otherwise);
uint64_t directive_number(const struct directive *directive, const char *name, uint64_t otherwise);

/* All arguments that are numbers. */
struct numbers directive_arguments(const struct directive *directive);

/* The numbers in a text such as "(1,2,3)", "(1 2)" or "3"; `_` counts as 0. */
struct numbers numbers_of(const char *text);
