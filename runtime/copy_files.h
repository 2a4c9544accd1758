/* Files and directories as a tar archive, both ways: what `consort cp` does at its two ends.
 *
 * One end is a container's root, and hostile: a path is resolved by the kernel inside `root_fd`
 * (openat2 with RESOLVE_IN_ROOT), so that no link leads out of it, and of an archive nothing is
 * made but below its destination. Only directories, regular files and symbolic links are copied;
 * what is in /proc and /sys is not. Owners are not kept: what is made belongs to whoever makes it.
 *
 * Both block, and belong on a thread of their own. They do not close `archive_fd`.
 */
#pragma once

#include "base/error.h"

/* Writes `path` to `archive_fd`, under its last name; "/" and what ends with "/." under ".". A link
 * that the path itself names is copied as one. -ENOENT, -EPERM in /proc or /sys, -EPIPE. */
int copy_files_out(int root_fd, const char *path, int archive_fd, struct error *error);

/* Makes what is in the archive: in `path` if that is a directory, else as `path`, whose parent must
 * be one; then all of the archive must be below one name, as copy_files_out() has it. Files that
 * are there are overwritten. -ENOENT; -EBADMSG for no archive; -EPERM in /proc or /sys. What was
 * made before a failure stays. */
int copy_files_in(int root_fd, const char *path, int archive_fd, struct error *error);
