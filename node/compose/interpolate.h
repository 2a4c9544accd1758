/* Variables in Compose files: $VAR, ${VAR}, ${VAR:-default}, ${VAR-default}, ${VAR:?words}, $$. */
#pragma once

#include "base/error.h"
#include "base/text_list.h"

/* Fills in `text` from the environment, then from `extra` ("KEY=VALUE" each). The caller frees
 * `*ret`. -EINVAL with words: a variable that must be set is not, or a brace is missing; a variable
 * that is not set is empty. */
int interpolate(const char *text, const struct text_list *extra, char **ret, struct error *error);

/* Reads "KEY=VALUE" lines, as in .env and env_file, into `ret`. */
int environment_file_read(const char *path, struct text_list *ret, struct error *error);
