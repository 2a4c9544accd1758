/* Variables in Compose files: $VAR, ${VAR}, ${VAR:-default}, ${VAR-default}, ${VAR:+other},
 * ${VAR+other}, ${VAR:?words}, ${VAR?words}, $$. What stands behind the operator may hold
 * variables itself.
 */
#pragma once

#include "base/error.h"
#include "base/text_list.h"

/* Where values come from: the environment, then `values`, the first that has the name, then
 * `outer`. Zeroed memory is none. */
struct variables {
    struct text_list values;       /* "KEY=VALUE" each, of .env files */
    struct text_list unset;        /* names that were asked for in vain, each once */
    struct text_list warnings;     /* for the operator */
    const struct variables *outer; /* borrowed; may be NULL */
};

/* The variable that has the stack's name. */
#define PROJECT_VARIABLE "COMPOSE_PROJECT_NAME"

/* Borrowed; NULL: it is not set. */
const char *variables_find(const struct variables *variables, const char *name);

/* Adds a value, which loses against those that are there. */
int variables_set(struct variables *variables, const char *name, const char *value);

/* A copy of `from`'s values for what is included, with no names unset. -ENOMEM leaves nothing. */
int variables_copy(const struct variables *from, struct variables *ret);
void variables_done(struct variables *variables);

/* Fills in `text`. The caller frees `*ret`. -EINVAL with words: a variable that must be set is not,
 * or a brace is missing; a variable that is not set is empty, and its name in `unset`. */
int interpolate(const char *text, struct variables *variables, char **ret, struct error *error);
