/* Files and directories of the image store, named within an open directory and never through a
 * symbolic link, since strangers fill what is below (file.h is for paths of our own). Files are so
 * written that a crash at any moment leaves either the old or the new. All block.
 */
#pragma once

#include <stddef.h>

#include "base/buffer.h"

/* Makes the directory `name` in `parent_fd` (AT_FDCWD for a path) with mode 0700 unless it is
 * there, and opens it without following a symbolic link. */
int disk_open_directory(int parent_fd, const char *name, int *ret_fd);

int disk_write_all(int fd, const void *data, size_t size_bytes);

/* Puts `data` into the file `name` of a directory by way of a synced temporary file. */
int disk_replace_file(int directory_fd, const char *name, const void *data, size_t size_bytes);

/* Appends all that `fd` has from its start; -E2BIG above `max_bytes`. */
int disk_read_all(int fd, size_t max_bytes, struct buffer *ret);

/* As disk_read_all, for a regular file by name; -ENOENT if there is none. */
int disk_read_file(int directory_fd, const char *name, size_t max_bytes, struct buffer *ret);

/* Calls `each` for every entry of a directory but "." and ".."; stops at the first that returns
 * other than 0, and returns that. `each` may remove the entry. */
int disk_each_entry(int directory_fd, int (*each)(void *context, const char *name), void *context);
