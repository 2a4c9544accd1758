/* A small file that only its owner may read: the seed of this peer's key, DIR/identity.key.
 *
 * It is created whole or not at all, is never overwritten, and is refused when others could have
 * read it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define SECRET_FILE_IDENTITY "identity.key" /* in the data directory */

/* Writes and syncs a new file of mode 0600 and its directory. -EEXIST if there is one, or what the
 * system said, with words in `error`. */
int secret_file_create(const char *path, const void *data, size_t size, struct error *error);

/* Reads exactly `size` bytes. -ENOENT; -EPERM if group or others may read or write it; -EBADMSG if
 * it has another size. */
int secret_file_read(const char *path, void *ret, size_t size, struct error *error);
