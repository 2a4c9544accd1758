/* Garbage: what no reference and no pin leads to. Marked from the roots, then swept. */
#include <errno.h>
#include <time.h>

#include "runtime/image/image_store_internal.h"

struct marking {
    struct image_store *store;
    int64_t keep_s;
    struct digest_set todo;   /* documents to look into */
    struct digest_set blobs;  /* to keep */
    struct digest_set layers; /* to keep, by diff_id */
};

/* Keeps a manifest's blobs, and the unpacked layers if its configuration is here. */
static int mark_manifest(struct marking *marking, struct bytes json)
{
    struct image *image = image_new();
    cleanup_buffer struct buffer config;
    buffer_init(&config);
    int r = image ? image_manifest_parse(json, image, NULL) : -ENOMEM;
    if (r == 0)
        r = digest_set_add(&marking->blobs, &image->config_blob.digest);
    for (size_t i = 0; r == 0 && i < image->layer_count; i++)
        r = digest_set_add(&marking->blobs, &image->layers[i].blob.digest);
    if (r == 0)
        r = blob_store_read(marking->store->blobs, &image->config_blob.digest, IMAGE_JSON_BYTES_MAX,
                            &config, NULL);
    if (r == 0)
        r = image_config_parse(buffer_view(&config), image, NULL);
    for (size_t i = 0; r == 0 && i < image->layer_count; i++)
        r = digest_set_add(&marking->layers, &image->layers[i].diff_id);
    image_free(image);
    return r;
}

static int mark_document(struct marking *marking, const struct digest *digest)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    enum image_document kind;
    int r = digest_set_add(&marking->blobs, digest);
    if (r == 0)
        r = blob_store_read(marking->store->blobs, digest, IMAGE_JSON_BYTES_MAX, &json, NULL);
    if (r == 0)
        r = image_document_kind(buffer_view(&json), &kind, NULL);
    if (r < 0)
        return r;
    if (kind == IMAGE_MANIFEST)
        return mark_manifest(marking, buffer_view(&json));
    struct image_index index = {0};
    r = image_index_parse(buffer_view(&json), &index, NULL);
    for (size_t i = 0; r == 0 && i < index.count; i++) {
        if (!digest_set_has(&marking->blobs, &index.entries[i].blob.digest))
            r = digest_set_add(&marking->todo, &index.entries[i].blob.digest);
    }
    image_index_done(&index);
    return r;
}

/* A document that is missing or makes no sense leads to nothing. Any other failure (no memory, a
 * disk that cannot be read) must end the collection: it would delete what is still in use. */
static bool is_dead_end(int r)
{
    return r == -ENOENT || r == -EBADMSG || r == -E2BIG || r == -ENOTSUP;
}

/* What is young stays, and what it leads to. A time that lies ahead (the clock was set back) is
 * young. */
static int mark_young(struct marking *marking)
{
    const struct blob_store *blobs = marking->store->blobs;
    int64_t since_s = time(NULL) - marking->keep_s;
    struct digest_set all = {0};
    int r = marking->keep_s > 0 ? blob_store_list(blobs, &all, NULL) : 0;
    for (size_t i = 0; r == 0 && i < all.count; i++) {
        if (blob_store_time_s(blobs, &all.items[i]) < since_s)
            continue;
        bool may_lead = blob_store_size(blobs, &all.items[i]) <= IMAGE_JSON_BYTES_MAX;
        r = digest_set_add(may_lead ? &marking->todo : &marking->blobs, &all.items[i]);
    }
    digest_set_done(&all);
    return r;
}

static int mark(struct marking *marking)
{
    const struct image_store *store = marking->store;
    int r = 0;
    for (size_t i = 0; r == 0 && i < store->named_count; i++)
        r = digest_set_add(&marking->todo, &store->named[i].digest);
    for (size_t i = 0; r == 0 && i < store->pin_count; i++)
        r = digest_set_add(&marking->todo, &store->pins[i].digest);
    if (r == 0)
        r = mark_young(marking);
    while (r == 0 && marking->todo.count > 0) {
        struct digest next = marking->todo.items[--marking->todo.count];
        if (digest_set_has(&marking->blobs, &next))
            continue;
        r = mark_document(marking, &next);
        if (is_dead_end(r))
            r = 0;
    }
    return r;
}

static int sweep_blobs(struct marking *marking, int64_t *freed_bytes, struct error *error)
{
    struct digest_set all = {0};
    int r = blob_store_list(marking->store->blobs, &all, error);
    for (size_t i = 0; r == 0 && i < all.count; i++) {
        if (digest_set_has(&marking->blobs, &all.items[i]))
            continue;
        int64_t size_bytes = blob_store_size(marking->store->blobs, &all.items[i]);
        r = blob_store_remove(marking->store->blobs, &all.items[i], error);
        if (r == 0 && size_bytes > 0)
            *freed_bytes += size_bytes;
    }
    digest_set_done(&all);
    return r;
}

static int sweep_layers(struct marking *marking, struct error *error)
{
    struct digest_set all = {0};
    int r = layer_store_list(marking->store->layers, &all, error);
    for (size_t i = 0; r == 0 && i < all.count; i++) {
        if (!digest_set_has(&marking->layers, &all.items[i]))
            r = layer_store_remove(marking->store->layers, &all.items[i], error);
    }
    digest_set_done(&all);
    return r;
}

int image_store_collect_locked(struct image_store *store, int64_t keep_s, int64_t *ret_freed_bytes,
                               struct error *error)
{
    struct marking marking = {.store = store, .keep_s = keep_s};
    int64_t freed_bytes = 0;
    int r = 0;
    if (store->imports == 0) {
        r = mark(&marking);
        if (r < 0)
            error_set_errno(error, r, "find unused images in %s", blob_store_path(store->blobs));
        if (r == 0)
            r = sweep_layers(&marking, error);
        if (r == 0)
            r = sweep_blobs(&marking, &freed_bytes, error);
    }
    digest_set_done(&marking.todo);
    digest_set_done(&marking.blobs);
    digest_set_done(&marking.layers);
    if (r == 0 && ret_freed_bytes)
        *ret_freed_bytes = freed_bytes;
    return r;
}

int image_store_collect(struct image_store *store, int64_t keep_s, int64_t *ret_freed_bytes,
                        struct error *error)
{
    pthread_mutex_lock(&store->mutex);
    int r = image_store_collect_locked(store, keep_s, ret_freed_bytes, error);
    pthread_mutex_unlock(&store->mutex);
    return r;
}

/* Whether all names of an image are of what a registry has, and nothing uses it. */
static bool may_go(const struct image_store *store, const struct digest *digest)
{
    for (size_t i = 0; i < store->named_count; i++)
        if (!store->named[i].is_pulled && digest_equal(&store->named[i].digest, digest))
            return false;
    return !image_store_is_pinned_locked(store, digest);
}

static int forget_oldest_locked(struct image_store *store, struct error *error)
{
    struct digest oldest = {0};
    int64_t oldest_s = -1;
    for (size_t i = 0; i < store->named_count; i++) {
        const struct digest *digest = &store->named[i].digest;
        int64_t time_s = blob_store_time_s(store->blobs, digest);
        if (may_go(store, digest) && (oldest_s < 0 || time_s < oldest_s)) {
            oldest = *digest;
            oldest_s = time_s > 0 ? time_s : 0;
        }
    }
    int r = oldest_s < 0 ? -ENOENT : 0;
    for (size_t i = store->named_count; r == 0 && i-- > 0;)
        if (digest_equal(&store->named[i].digest, &oldest))
            r = image_store_forget_locked(store, i, error);
    return r;
}

int image_store_forget_oldest(struct image_store *store, struct error *error)
{
    pthread_mutex_lock(&store->mutex);
    int r = store->imports > 0 ? -ENOENT : forget_oldest_locked(store, error);
    pthread_mutex_unlock(&store->mutex);
    return r;
}
