#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/image/image_store_internal.h"
#include "runtime/libarchive.h"

/* Goes from `digest` through indexes to this machine's manifest: 0 with its bytes in `json`, or 1
 * with the first document that is not here in `ret_missing`. */
static int find_manifest(struct image_store *store, const struct digest *digest,
                         struct buffer *json, struct image_descriptor *ret_missing,
                         struct error *error)
{
    struct image_descriptor next = {.digest = *digest, .size_bytes = -1};
    for (int depth = 0; depth < IMAGE_INDEX_DEPTH_MAX; depth++) {
        if (!blob_store_has(store->blobs, &next.digest)) {
            *ret_missing = next;
            return 1;
        }
        buffer_clear(json);
        enum image_document kind;
        int r = blob_store_read(store->blobs, &next.digest, IMAGE_JSON_BYTES_MAX, json, error);
        if (r == 0)
            r = image_document_kind(buffer_view(json), &kind, error);
        if (r < 0 || kind == IMAGE_MANIFEST)
            return r;
        struct image_index index = {0};
        r = image_index_parse(buffer_view(json), &index, error);
        if (r < 0)
            return r;
        const struct image_index_entry *entry = image_index_choose(&index);
        if (entry)
            next = entry->blob;
        image_index_done(&index);
        if (!entry) {
            error_set(error, -ENOEXEC, "it has nothing for linux/%s", image_host_architecture());
            error_hint(error,
                       "build it for linux/%s too, or keep the service off this machine by a "
                       "placement constraint",
                       image_host_architecture());
            return -ENOEXEC;
        }
    }
    return error_set(error, -EBADMSG, "more than %d indexes within one another",
                     IMAGE_INDEX_DEPTH_MAX);
}

static int missing_error(const struct digest *digest, struct error *error)
{
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    error_set(error, -ENOENT, "its blob %s is not here", text);
    error_hint(error, "import or pull the image again");
    return -ENOENT;
}

static void name_image(const struct digest *digest, struct error *error)
{
    char text[DIGEST_SHORT_TEXT_BYTES];
    digest_format_short(digest, text);
    error_prefix(error, "image %s", text);
}

int image_store_load(struct image_store *store, const struct digest *digest, struct image **ret,
                     struct error *error)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    struct image_descriptor missing;
    struct image *image = image_new();
    if (!image)
        return error_set_errno(error, -ENOMEM, "read an image");
    int r = find_manifest(store, digest, &json, &missing, error);
    if (r == 1)
        r = missing_error(&missing.digest, error);
    if (r == 0)
        r = image_manifest_parse(buffer_view(&json), image, error);
    buffer_clear(&json);
    if (r == 0 && !blob_store_has(store->blobs, &image->config_blob.digest))
        r = missing_error(&image->config_blob.digest, error);
    if (r == 0)
        r = blob_store_read(store->blobs, &image->config_blob.digest, IMAGE_JSON_BYTES_MAX, &json,
                            error);
    if (r == 0)
        r = image_config_parse(buffer_view(&json), image, error);
    if (r < 0) {
        image_free(image);
        name_image(digest, error);
        return r;
    }
    *ret = image;
    return 0;
}

/* All blobs of the manifest in `image` that are not here, each once. */
static size_t list_missing(struct image_store *store, const struct image *image,
                           struct image_descriptor *ret)
{
    size_t count = 0;
    for (size_t i = 0; i <= image->layer_count; i++) {
        const struct image_descriptor *blob =
            i == 0 ? &image->config_blob : &image->layers[i - 1].blob;
        bool known = blob_store_has(store->blobs, &blob->digest);
        for (size_t j = 0; !known && j < count; j++)
            known = digest_equal(&ret[j].digest, &blob->digest);
        if (!known)
            ret[count++] = *blob;
    }
    return count;
}

int image_missing_blobs(struct image_store *store, const struct digest *digest,
                        struct image_descriptor **ret, size_t *ret_count, struct error *error)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    cleanup_free struct image_descriptor *list = calloc(IMAGE_LAYERS_MAX + 1, sizeof(*list));
    struct image *image = image_new();
    size_t count = 0;
    if (!list || !image) {
        image_free(image);
        return error_set_errno(error, -ENOMEM, "read an image");
    }
    int r = find_manifest(store, digest, &json, list, error);
    if (r == 1) {
        count = 1;
        r = 0;
    } else if (r == 0) {
        r = image_manifest_parse(buffer_view(&json), image, error);
        if (r == 0)
            count = list_missing(store, image, list);
    }
    image_free(image);
    if (r < 0) {
        name_image(digest, error);
        return r;
    }
    *ret = count > 0 ? take_pointer(list) : NULL;
    *ret_count = count;
    return 0;
}

struct unpacking {
    struct image_store *store;
    const struct image *image;
    pthread_mutex_t mutex; /* guards all below */
    size_t next;
    int result;
    struct error error; /* of the first failure; the others end */
};

static void *unpack_layers(void *context)
{
    struct unpacking *unpacking = context;
    const struct image *image = unpacking->image;
    struct error error = {0};
    int r = 0;
    for (;;) {
        pthread_mutex_lock(&unpacking->mutex);
        if (r < 0 && unpacking->result == 0) {
            unpacking->result = r;
            unpacking->error = error;
        }
        size_t i = unpacking->result == 0 ? unpacking->next++ : image->layer_count;
        pthread_mutex_unlock(&unpacking->mutex);
        if (i >= image->layer_count)
            return NULL;
        r = layer_store_unpack(unpacking->store->layers, unpacking->store->blobs, &image->layers[i],
                               &error);
    }
}

/* As many threads as there are processors to keep busy; alone, if there can't be any. */
static int unpack_all(struct image_store *store, const struct image *image, struct error *error)
{
    struct unpacking unpacking = {.store = store, .image = image};
    int r = libarchive_use(error); /* loaded once for all layers */
    if (r < 0)
        return r;
    pthread_t threads[IMAGE_UNPACKED_AT_ONCE_MAX - 1];
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    size_t count = 0;
    pthread_mutex_init(&unpacking.mutex, NULL);
    while (count < array_count(threads) && count + 1 < image->layer_count &&
           (long)count + 1 < processors &&
           pthread_create(&threads[count], NULL, unpack_layers, &unpacking) == 0)
        count++;
    unpack_layers(&unpacking);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&unpacking.mutex);
    libarchive_release();
    if (unpacking.result < 0 && error)
        *error = unpacking.error;
    return unpacking.result;
}

/* Then no thread is needed: a look at each. */
static bool is_unpacked(struct image_store *store, const struct image *image)
{
    for (size_t i = 0; i < image->layer_count; i++)
        if (!layer_store_has(store->layers, &image->layers[i].diff_id))
            return false;
    return true;
}

int image_store_unpack(struct image_store *store, const struct image *image,
                       struct text_list *paths, struct error *error)
{
    int r = is_unpacked(store, image) ? 0 : unpack_all(store, image, error);
    for (size_t i = 0; r == 0 && i < image->layer_count; i++) {
        cleanup_free char *path = layer_store_path(store->layers, &image->layers[i].diff_id);
        r = path ? text_list_add(paths, path) : -ENOMEM;
        if (r < 0)
            error_set_errno(error, r, "list the layers");
    }
    if (r < 0) {
        text_list_done(paths);
        name_image(&image->digest, error);
    }
    return r;
}
