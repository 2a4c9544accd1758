/* Small files of the runtime's own: written whole or not at all, read with a bound.
 *
 * All of it blocks on the disk and belongs on a worker thread, but for files in /proc and /sys,
 * which the kernel answers at once.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"

/* Makes `path` and the directories above it, as needed, each with `mode`. */
int file_make_directories(const char *path, mode_t mode);

/* Puts a file with that content in the place of whatever is there: all of it or nothing, whenever
 * the process ends. `synced`: also if the machine loses its power; else it may then be the old one,
 * or empty. */
int file_replace(const char *path, mode_t mode, const void *data, size_t size_bytes, bool synced);

/* Writes without syncing to a file that is made or emptied first. */
int file_write(const char *path, mode_t mode, const void *data, size_t size_bytes);

/* Writes all of it to a descriptor. */
int file_write_all(int fd, const void *data, size_t size_bytes);

/* Opens a path inside a root that is hostile: links lead where they do for whoever has that root,
 * and never out of it (openat2's RESOLVE_IN_ROOT, no magic links). Flags are open()'s; O_CLOEXEC is
 * added. */
int file_open_inside(int root_fd, const char *path, uint64_t flags, int *ret_fd);

/* Writes `text` to a file that is there, as the kernel's small interfaces want: in one write(). */
int file_write_setting(const char *path, const char *text);

/* Appends the content to `ret`: -EFBIG if there is more than `max_bytes`. */
int file_read(const char *path, size_t max_bytes, struct buffer *ret);

/* Reads the start of a file into `ret`, NUL-terminated, without the newline at the end. Returns 0
 * or a negative errno. */
int file_read_text(const char *path, char *ret, size_t capacity);

/* Reads a decimal number, as in most files of /proc and /sys; -EINVAL for anything else. */
int file_read_u64(const char *path, uint64_t *ret);

/* Prints a path into `ret` of `capacity` bytes; the programmer promises that it fits PATH_MAX-sized
 * buffers, for every part of our paths is bounded when the configuration is checked. */
void path_format(char *ret, size_t capacity, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

enum {
    PATH_BYTES = 1024, /* any path that the runtime makes, with the NUL */
};
