/* What verbs share that pull images. */
#pragma once

#include <jansson.h>

#include "node/cli/cli.h"

/* Has the peer pull an image, showing how far it is on a terminal. `*ret`: see image.pull in
 * docs/api.md; the caller json_decref()s it. */
int image_pull(const struct cli *cli, const char *name, json_t **ret, struct error *error);
