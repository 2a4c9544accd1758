/* libarchive, loaded while archives are read or written (base/library.h): with what it needs, XML
 * and Unicode among it, it would be a sixth of an idle peer's memory.
 *
 * libarchive.read_new() is archive_read_new(), and so on, after libarchive_use().
 */
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include "base/library.h"

/* The one with the underscore: errno is a macro. */
#define LIBARCHIVE_FUNCTIONS(each)                                                                 \
    each(archive, _errno)                                                                          \
    each(archive_, entry_clear)                                                                    \
    each(archive_, entry_filetype)                                                                 \
    each(archive_, entry_free)                                                                     \
    each(archive_, entry_gid)                                                                      \
    each(archive_, entry_hardlink)                                                                 \
    each(archive_, entry_mtime)                                                                    \
    each(archive_, entry_mtime_is_set)                                                             \
    each(archive_, entry_mtime_nsec)                                                               \
    each(archive_, entry_new)                                                                      \
    each(archive_, entry_pathname)                                                                 \
    each(archive_, entry_perm)                                                                     \
    each(archive_, entry_set_filetype)                                                             \
    each(archive_, entry_set_mtime)                                                                \
    each(archive_, entry_set_pathname)                                                             \
    each(archive_, entry_set_perm)                                                                 \
    each(archive_, entry_set_size)                                                                 \
    each(archive_, entry_set_symlink)                                                              \
    each(archive_, entry_size)                                                                     \
    each(archive_, entry_symlink)                                                                  \
    each(archive_, entry_uid)                                                                      \
    each(archive_, entry_xattr_next)                                                               \
    each(archive_, entry_xattr_reset)                                                              \
    each(archive_, error_string)                                                                   \
    each(archive_, read_append_filter)                                                             \
    each(archive_, read_data)                                                                      \
    each(archive_, read_data_block)                                                                \
    each(archive_, read_free)                                                                      \
    each(archive_, read_new)                                                                       \
    each(archive_, read_next_header)                                                               \
    each(archive_, read_open)                                                                      \
    each(archive_, read_open_fd)                                                                   \
    each(archive_, read_support_format_raw)                                                        \
    each(archive_, read_support_format_tar)                                                        \
    each(archive_, set_error)                                                                      \
    each(archive_, write_close)                                                                    \
    each(archive_, write_data)                                                                     \
    each(archive_, write_free)                                                                     \
    each(archive_, write_header)                                                                   \
    each(archive_, write_new)                                                                      \
    each(archive_, write_open_fd)                                                                  \
    each(archive_, write_set_bytes_in_last_block)                                                  \
    each(archive_, write_set_format_pax_restricted)

extern struct libarchive {
    LIBARCHIVE_FUNCTIONS(LIBRARY_POINTER)
} libarchive;

int libarchive_use(struct error *error);
void libarchive_release(void);
