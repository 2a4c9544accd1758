/* Names of a layer's entries, and opening what they name without ever leaving the layer.
 *
 * A name is cleaned as text first: leading slashes and "." go, ".." is refused. Then its parent is
 * opened beneath the layer's directory by the kernel (openat2 with RESOLVE_BENEATH and
 * RESOLVE_NO_SYMLINKS), so even a symbolic link that an earlier entry made leads nowhere.
 */
#pragma once

#include <stdbool.h>

#include "runtime/bounds.h"

struct layer_path {
    char text[LAYER_PATH_BYTES_MAX];   /* relative, "usr/bin/env"; "" is the layer itself */
    const char *name;                  /* its last component, within `text` */
    char parent[LAYER_PATH_BYTES_MAX]; /* "usr/bin"; "" is the layer itself */
};

/* Cleans the name of an entry or the target of a hard link. -EBADMSG with "..", or a component
 * longer than a file system takes; -E2BIG past LAYER_DEPTH_MAX or LAYER_PATH_BYTES_MAX. */
int layer_path_parse(const char *text, struct layer_path *ret);

/* True if any component above the last starts with `prefix`. */
bool layer_path_passes(const struct layer_path *path, const char *prefix);

/* Opens the directory `path` ("" is the layer's own) beneath `layer_fd`. -ELOOP if a symbolic link
 * is on the way, -ENOTDIR, -ENOENT. */
int layer_open_directory(int layer_fd, const char *path, int *ret_fd);
