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
#define LIBARCHIVE_FUNCTIONS(FUNCTION)                                                             \
    FUNCTION(archive, _errno)                                                                      \
    FUNCTION(archive_, entry_clear)                                                                \
    FUNCTION(archive_, entry_filetype)                                                             \
    FUNCTION(archive_, entry_free)                                                                 \
    FUNCTION(archive_, entry_gid)                                                                  \
    FUNCTION(archive_, entry_hardlink)                                                             \
    FUNCTION(archive_, entry_mtime)                                                                \
    FUNCTION(archive_, entry_mtime_is_set)                                                         \
    FUNCTION(archive_, entry_mtime_nsec)                                                           \
    FUNCTION(archive_, entry_new)                                                                  \
    FUNCTION(archive_, entry_pathname)                                                             \
    FUNCTION(archive_, entry_perm)                                                                 \
    FUNCTION(archive_, entry_set_filetype)                                                         \
    FUNCTION(archive_, entry_set_mtime)                                                            \
    FUNCTION(archive_, entry_set_pathname)                                                         \
    FUNCTION(archive_, entry_set_perm)                                                             \
    FUNCTION(archive_, entry_set_size)                                                             \
    FUNCTION(archive_, entry_set_symlink)                                                          \
    FUNCTION(archive_, entry_size)                                                                 \
    FUNCTION(archive_, entry_symlink)                                                              \
    FUNCTION(archive_, entry_uid)                                                                  \
    FUNCTION(archive_, entry_xattr_next)                                                           \
    FUNCTION(archive_, entry_xattr_reset)                                                          \
    FUNCTION(archive_, error_string)                                                               \
    FUNCTION(archive_, read_append_filter)                                                         \
    FUNCTION(archive_, read_data)                                                                  \
    FUNCTION(archive_, read_data_block)                                                            \
    FUNCTION(archive_, read_free)                                                                  \
    FUNCTION(archive_, read_new)                                                                   \
    FUNCTION(archive_, read_next_header)                                                           \
    FUNCTION(archive_, read_open)                                                                  \
    FUNCTION(archive_, read_open_fd)                                                               \
    FUNCTION(archive_, read_support_format_raw)                                                    \
    FUNCTION(archive_, read_support_format_tar)                                                    \
    FUNCTION(archive_, set_error)                                                                  \
    FUNCTION(archive_, write_close)                                                                \
    FUNCTION(archive_, write_data)                                                                 \
    FUNCTION(archive_, write_free)                                                                 \
    FUNCTION(archive_, write_header)                                                               \
    FUNCTION(archive_, write_new)                                                                  \
    FUNCTION(archive_, write_open_fd)                                                              \
    FUNCTION(archive_, write_set_bytes_in_last_block)                                              \
    FUNCTION(archive_, write_set_format_pax_restricted)

extern struct libarchive {
    LIBARCHIVE_FUNCTIONS(LIBRARY_POINTER)
} libarchive;

int libarchive_use(struct error *error);
void libarchive_release(void);
