/* The directories of unpacked layers: DIR/<hex of diff_id>/, each unpacked once and shared by every
 * container of every image that has that layer.
 *
 * A layer is unpacked into DIR/.<hex>.tmp, synced with its whole file system, and renamed: a
 * directory with a layer's name is whole, after any crash. Removal renames first, likewise. What
 * starts with a dot is swept at open.
 *
 * Everything blocks: node calls it on the thread pool, through image_store.h. Thread-safe: one
 * thread at a time unpacks or removes a layer, and several do so with several layers.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "runtime/image/blob_store.h"
#include "runtime/image/digest.h"
#include "runtime/image/image.h"

struct layer_store;

/* Opens the store in `dir` (made if it is not there) and sweeps. The caller frees `*ret`. */
int layer_store_open(const char *dir, struct layer_store **ret, struct error *error);
void layer_store_free(struct layer_store *store);

bool layer_store_has(const struct layer_store *store, const struct digest *diff_id);

/* Unpacks the layer from its blob if it is not there yet. */
int layer_store_unpack(struct layer_store *store, const struct blob_store *blobs,
                       const struct image_layer *layer, struct error *error);

/* The layer's directory, whether there or not; the caller frees it. NULL: out of memory. */
char *layer_store_path(const struct layer_store *store, const struct digest *diff_id);

/* 0 also when it is not there. It must not be mounted in any container. */
int layer_store_remove(struct layer_store *store, const struct digest *diff_id,
                       struct error *error);

/* Adds every unpacked layer's diff_id to `ret`. */
int layer_store_list(const struct layer_store *store, struct digest_set *ret, struct error *error);
