/* What the files of the image store share: image_store.c keeps references and pins, image_load.c
 * reads and unpacks images, image_collect.c finds and deletes garbage.
 */
#pragma once

#include <pthread.h>

#include "runtime/image/image_store.h"
#include "runtime/image/layer_store.h"

struct image_named {
    char reference[IMAGE_REFERENCE_BYTES_MAX]; /* short form */
    struct digest digest;
    bool is_pulled; /* by this name from a registry, which has it, as far as is known */
};

struct image_pin {
    struct digest digest;
    unsigned count;
};

struct image_store {
    struct blob_store *blobs;
    struct layer_store *layers;
    pthread_mutex_t mutex;     /* guards all below */
    struct image_named *named; /* in order of reference */
    size_t named_count;
    struct image_pin *pins;
    size_t pin_count;
    unsigned imports; /* under way; nothing is collected meanwhile */
};

/* image_store_collect() with the mutex held. */
int image_store_collect_locked(struct image_store *store, int64_t keep_s, int64_t *ret_freed_bytes,
                               struct error *error);

/* Takes the name at that place away, with the mutex held; it stays if that can't be written. */
int image_store_forget_locked(struct image_store *store, size_t index, struct error *error);
bool image_store_is_pinned_locked(const struct image_store *store, const struct digest *digest);
