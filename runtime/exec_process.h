/* The OCI runtime's process.json for a command run inside a container: the container's own process,
 * with its user, groups, limits and capabilities (unless `options` say others), but other words to
 * run.
 *
 * Both files lie in the container's run directory, in memory: reading and writing them blocks on no
 * disk. Looking up a user reads the image's /etc/passwd and /etc/group, which the container's start
 * has read before.
 */
#pragma once

#include "runtime/runtime.h"

/* Reads `process_path`, which the launch wrote, and writes `ret_path`. A user is looked up in
 * `rootfs`; their groups and home are theirs. -ENOENT for one whom the image does not
 * know. */
int exec_process_write(const char *process_path, const char *rootfs,
                       const struct exec_options *options, const char *ret_path,
                       struct error *error);
