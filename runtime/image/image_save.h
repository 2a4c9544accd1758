/* Writes an image as an archive: an OCI layout that Docker, too, can load (it has a manifest.json
 * beside the index.json). Of an image for several platforms, this machine's. image_import() of it
 * gives the same image under the same name.
 *
 * Blocks: node calls it on the thread pool. Thread-safe as image_store.h.
 */
#pragma once

#include "base/error.h"
#include "runtime/image/image_store.h"

/* Writes the image that `text` names (see image_store_resolve()) to `fd`, in the order of a file.
 * -ENOENT: it is not here, or not whole; what writing says. */
int image_save(struct image_store *store, const char *text, int fd, struct error *error);
