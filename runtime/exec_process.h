/* The OCI runtime's process.json for a command run inside a container: the container's own process,
 * with its user, groups, limits and capabilities, but other words to run.
 *
 * Both files lie in the container's run directory, in memory: reading and writing them blocks on no
 * disk.
 */
#pragma once

#include "runtime/runtime.h"

/* Reads `process_path`, which the launch wrote, and writes `ret_path`. -ENOENT if it is not there:
 * an older daemon launched the container; -EINVAL for a user that is not "uid[:gid]". */
int exec_process_write(const char *process_path, const struct exec_options *options,
                       const char *ret_path);
