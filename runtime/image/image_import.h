/* Imports images from a file or directory: a `docker save` archive, an OCI archive, or an OCI
 * layout directory; archives plain or compressed with gzip or zstd; one image or many.
 *
 * An archive is read once, in any order of entries: every file goes into the blob store under the
 * digest of what it holds, so nothing in it can lie about its name or write anywhere. Then the
 * index.json (OCI; also when a manifest.json is there, as docker save writes since 25) or the
 * manifest.json (Docker) says which images these are. For Docker's, an OCI manifest is made, the
 * same for the same archive. What no image needs is deleted again, also after a failure.
 *
 * Blocks: node calls it on the thread pool. Thread-safe as image_store.h.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "runtime/image/image_store.h"

struct image_imported {
    char reference[IMAGE_REFERENCE_BYTES_MAX]; /* short form; what it was tagged */
    struct digest digest;
};

/* Imports from `path`. `reference` (may be NULL) names the image instead of the name the archive
 * gives it; needs an archive with one image. Each image must be whole for this machine's platform.
 * The caller frees `*ret` (one entry a tag, in the archive's order) with free(); `ret` and
 * `ret_count` may both be NULL.
 * -EBADMSG for what is no such archive or contradicts itself, -EINVAL if it has no name and none is
 * given, -E2BIG past a bound. After a failure no image of the archive has been tagged. */
int image_import(struct image_store *store, const char *path, const char *reference,
                 struct image_imported **ret, size_t *ret_count, struct error *error);
