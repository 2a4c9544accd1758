/* Variables in Compose files: $VAR, ${VAR}, ${VAR:-default}, ${VAR-default}, ${VAR:?words}, $$. */
#pragma once

#include "base/error.h"
#include "base/text_list.h"

/* Fills in `text` from the environment, then from `extra` ("KEY=VALUE" each). The caller frees
 * `*ret`. -EINVAL with words: a variable that must be set is not, or a brace is missing; a variable
 * that is not set is empty. */
int interpolate(const char *text, const struct text_list *extra, char **ret, struct error *error);

/* Adds the "KEY=VALUE" lines of a .env or env_file to `ret`: comments and quotes go, and a key
 * alone has its value from the environment. -EINVAL with path and line for what is no such line;
 * else what reading said. */
int environment_file_read(const char *path, struct text_list *ret, struct error *error);
