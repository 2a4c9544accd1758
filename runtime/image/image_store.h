/* The images on this machine: blobs, the references that name them, and their unpacked layers.
 *
 *     DIR/blobs/…      see blob_store.h
 *     DIR/index.json   the references, as an OCI layout has them
 *     DIR/layers/…     see layer_store.h
 *
 * A reference names the digest of a manifest, or of an index with several platforms, so that a
 * fleet of mixed machines shares one; image_store_load() follows it to this machine's manifest.
 *
 * What is neither named nor pinned is garbage, and image_store_collect() deletes it. Node pins the
 * digest of every container's image while that container exists: from before it looks for missing
 * blobs, and, after a restart, for each container it finds again before the first collection. Pins
 * are in memory and counted.
 *
 * Everything blocks on the disk: node calls it on the thread pool (uv_queue_work). Thread-safe: one
 * mutex guards references and pins, and is not held while a layer is unpacked. The layers of an
 * image are unpacked several at once, in threads of their own; whoever waits for a layer that
 * another thread is unpacking finds it done.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/text_list.h"
#include "runtime/image/blob_store.h"
#include "runtime/image/digest.h"
#include "runtime/image/image.h"
#include "runtime/image/image_reference.h"

struct image_store;

/* Opens the store in `dir` (made with mode 0700), sweeping what a crash left half done. -EBUSY when
 * another process has it. The caller frees `*ret`. */
int image_store_open(const char *dir, struct image_store **ret, struct error *error);
void image_store_free(struct image_store *store);

/* For writing blobs that arrive from elsewhere (borrowed). Pin what they belong to first. */
struct blob_store *image_store_blobs(struct image_store *store);

/* What `text` names: a reference ("hello", "hello:1", "hello@sha256:…") or a digest ("sha256:…").
 * -ENOENT if there is no such image here; -EINVAL if it is not a reference. */
int image_store_resolve(struct image_store *store, const char *text, struct digest *ret,
                        struct error *error);

/* Names the manifest or index `digest`, whose blob must be here, `reference`; takes the name from
 * what had it before. */
int image_store_tag(struct image_store *store, const char *reference, const struct digest *digest,
                    struct error *error);

/* The same for what was pulled from a registry under that name: under pressure, it may go. */
int image_store_tag_pulled(struct image_store *store, const char *reference,
                           const struct digest *digest, struct error *error);

/* Takes the name away, and collects what is garbage then. -ENOENT; -EBUSY if it is the last name of
 * an image that is pinned. */
int image_store_remove(struct image_store *store, const char *reference, struct error *error);

struct image_summary {
    char reference[IMAGE_REFERENCE_BYTES_MAX]; /* short form, "hello:latest" */
    struct digest digest;                      /* what the reference names */
    int64_t size_bytes;     /* of this platform's blobs; 0 if they are not all here */
    int64_t created_wall_s; /* by whoever built it; 0 if unknown */
    bool complete;          /* all blobs are here */
    char volumes[IMAGE_VOLUMES_BYTES_MAX]; /* "/data,/logs": where it keeps data, as far as fits */
};

/* All references in order; the caller frees `*ret` with free(). */
int image_store_list(struct image_store *store, struct image_summary **ret, size_t *ret_count,
                     struct error *error);

/* Keeps an image, here or about to arrive, from being collected or removed. Counted. -ENOMEM. */
int image_store_pin(struct image_store *store, const struct digest *digest);
void image_store_unpin(struct image_store *store, const struct digest *digest);

/* Deletes blobs and layers that no reference, no pin and nothing younger than `keep_s` leads to:
 * what was stored, named or in use since then. Does nothing while an import is under way (it
 * collects when it ends). `ret_freed_bytes` may be NULL. */
int image_store_collect(struct image_store *store, int64_t keep_s, int64_t *ret_freed_bytes,
                        struct error *error);

/* Takes away the names of the image that was not in use for the longest, of those that were pulled
 * from a registry, have no other name and are not pinned, for image_store_collect(). -ENOENT: there
 * is none. */
int image_store_forget_oldest(struct image_store *store, struct error *error);

/* Reads this machine's manifest and configuration of the image with that digest. The caller frees
 * `*ret` with image_free(). -ENOENT if a blob is missing (see image_missing_blobs), -EBADMSG if one
 * makes no sense, -ENOEXEC if the image has nothing for this machine's platform. */
int image_store_load(struct image_store *store, const struct digest *digest, struct image **ret,
                     struct error *error);

/* Unpacks the layers that are not unpacked yet and gives their directories, lowest first, for
 * rootfs_mount(). `paths` is empty before the call and on failure. */
int image_store_unpack(struct image_store *store, const struct image *image,
                       struct text_list *paths, struct error *error);

/* What is missing of an image, as far as that can be known: first the manifest or index itself,
 * then this platform's manifest, then configuration and layers. So fetch, and ask again until
 * nothing is missing. A size of -1 is not known. The caller frees `*ret` with free(); it is NULL,
 * and `*ret_count` 0, when the image is complete. */
int image_missing_blobs(struct image_store *store, const struct digest *digest,
                        struct image_descriptor **ret, size_t *ret_count, struct error *error);

/* Between these two nothing is collected: an import writes blobs before anything names them. */
void image_store_import_begin(struct image_store *store);
void image_store_import_end(struct image_store *store);
