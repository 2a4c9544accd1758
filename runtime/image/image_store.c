#include <assert.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/disk.h"
#include "runtime/image/image_json.h"
#include "runtime/image/image_store_internal.h"

static const char index_name[] = "index.json";

/* Where `reference` is among the named, or where it belongs. */
static size_t find_named(const struct image_store *store, const char *reference, bool *ret_found)
{
    size_t low = 0, high = store->named_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(store->named[middle].reference, reference) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < store->named_count && strcmp(store->named[low].reference, reference) == 0;
    return low;
}

static int insert_named(struct image_store *store, size_t index, const char *reference,
                        const struct digest *digest)
{
    struct image_named *named =
        reallocarray(store->named, store->named_count + 1, sizeof(*store->named));
    if (!named)
        return -ENOMEM;
    store->named = named;
    memmove(named + index + 1, named + index, (store->named_count - index) * sizeof(*named));
    named[index] = (struct image_named){.digest = *digest};
    memcpy(named[index].reference, reference, strlen(reference) + 1);
    store->named_count++;
    return 0;
}

static void erase_named(struct image_store *store, size_t index)
{
    store->named_count--;
    memmove(store->named + index, store->named + index + 1,
            (store->named_count - index) * sizeof(*store->named));
}

static int read_references(struct image_store *store, struct error *error)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    int r = disk_read_file(blob_store_fd(store->blobs), index_name, IMAGE_JSON_BYTES_MAX, &json);
    if (r == -ENOENT)
        return 0;
    struct image_index index = {0};
    if (r < 0)
        error_set_errno(error, r, "read it");
    else
        r = image_index_parse(buffer_view(&json), &index, error);
    for (size_t i = 0; r == 0 && i < index.count; i++) {
        struct image_reference reference;
        char text[IMAGE_REFERENCE_BYTES_MAX];
        if (image_reference_parse(index.entries[i].name, &reference, NULL) < 0 || !*reference.tag)
            continue; /* somebody else's entry; it has no name by which we could find it */
        image_reference_format(&reference, text);
        bool found;
        size_t at = find_named(store, text, &found);
        if (!found)
            r = insert_named(store, at, text, &index.entries[i].blob.digest);
        if (!found && r == 0)
            store->named[at].is_pulled = index.entries[i].is_pulled;
        if (r < 0)
            error_set_errno(error, r, "read it");
    }
    image_index_done(&index);
    if (r < 0) {
        error_prefix(error, "%s/%s", blob_store_path(store->blobs), index_name);
        error_hint(error,
                   "move that file away, restart, and tag the images again: their blobs stay");
    }
    return r;
}

static json_t *named_json(const struct image_store *store, const struct image_named *named)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    enum image_document kind = IMAGE_MANIFEST;
    /* A type that cannot be told any more does no harm: the blob itself is asked whenever it
     * counts. */
    if (blob_store_read(store->blobs, &named->digest, IMAGE_JSON_BYTES_MAX, &json, NULL) == 0)
        image_document_kind(buffer_view(&json), &kind, NULL);
    char digest[DIGEST_TEXT_BYTES];
    digest_format(&named->digest, digest);
    return json_pack("{s:s, s:s, s:I, s:{s:s, s:s*}}", "mediaType", image_document_type(kind),
                     "digest", digest, "size", (json_int_t)json.size, "annotations",
                     "org.opencontainers.image.ref.name", named->reference, IMAGE_PULLED_ANNOTATION,
                     named->is_pulled ? "yes" : NULL);
}

static int write_references(const struct image_store *store, struct error *error)
{
    cleanup_json json_t *document = json_pack("{s:i, s:s, s:[]}", "schemaVersion", 2, "mediaType",
                                              image_document_type(IMAGE_INDEX), "manifests");
    json_t *manifests = json_object_get(document, "manifests");
    bool whole = manifests;
    for (size_t i = 0; whole && i < store->named_count; i++)
        whole = json_array_append_new(manifests, named_json(store, &store->named[i])) == 0;
    cleanup_free char *text = whole ? json_dumps(document, JSON_INDENT(1)) : NULL;
    int r = text ? disk_replace_file(blob_store_fd(store->blobs), index_name, text, strlen(text))
                 : -ENOMEM;
    if (r < 0)
        error_set_errno(error, r, "write %s/%s", blob_store_path(store->blobs), index_name);
    return r;
}

static int open_layers(const char *dir, struct layer_store **ret, struct error *error)
{
    cleanup_free char *layers_dir = NULL;
    if (asprintf(&layers_dir, "%s/layers", dir) < 0) {
        layers_dir = NULL;
        return error_set_errno(error, -ENOMEM, "image store %s", dir);
    }
    return layer_store_open(layers_dir, ret, error);
}

int image_store_open(const char *dir, struct image_store **ret, struct error *error)
{
    struct image_store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_set_errno(error, -ENOMEM, "image store %s", dir);
    pthread_mutex_init(&store->mutex, NULL);
    int r = blob_store_open(dir, &store->blobs, error);
    if (r == 0)
        r = open_layers(dir, &store->layers, error);
    if (r == 0)
        r = read_references(store, error);
    if (r < 0) {
        image_store_free(store);
        return r;
    }
    *ret = store;
    return 0;
}

void image_store_free(struct image_store *store)
{
    if (!store)
        return;
    layer_store_free(store->layers);
    blob_store_free(store->blobs);
    free(store->named);
    free(store->pins);
    pthread_mutex_destroy(&store->mutex);
    free(store);
}

struct blob_store *image_store_blobs(struct image_store *store)
{
    return store->blobs;
}

static int not_here(const char *text, struct error *error)
{
    error_set(error, -ENOENT, "image %s: not on this machine", text);
    error_hint(error, "see what is there: consort image ls; add one: consort image import FILE");
    return -ENOENT;
}

int image_store_resolve(struct image_store *store, const char *text, struct digest *ret,
                        struct error *error)
{
    struct image_reference reference = {0};
    int r = 0;
    reference.has_digest = digest_parse(text, &reference.digest) == 0;
    if (!reference.has_digest)
        r = image_reference_parse(text, &reference, error);
    if (r < 0)
        return r;
    if (reference.has_digest) {
        if (!blob_store_has(store->blobs, &reference.digest))
            return not_here(text, error);
        *ret = reference.digest;
        return 0;
    }
    char name[IMAGE_REFERENCE_BYTES_MAX];
    image_reference_format(&reference, name);
    bool found;
    pthread_mutex_lock(&store->mutex);
    size_t index = find_named(store, name, &found);
    if (found)
        *ret = store->named[index].digest;
    pthread_mutex_unlock(&store->mutex);
    return found ? 0 : not_here(name, error);
}

/* Parses what shall be or is a name, which needs a tag. */
static int parse_name(const char *text, char ret[IMAGE_REFERENCE_BYTES_MAX], struct error *error)
{
    struct image_reference reference;
    int r = image_reference_parse(text, &reference, error);
    if (r < 0)
        return r;
    if (!*reference.tag)
        return error_set(error, -EINVAL, "image '%s': a digest is no name; give NAME:TAG", text);
    image_reference_format(&reference, ret);
    return 0;
}

static int tag_locked(struct image_store *store, const char *name, const struct digest *digest,
                      bool is_pulled, struct error *error)
{
    bool found;
    size_t index = find_named(store, name, &found);
    struct image_named before = {0};
    if (found) {
        before = store->named[index];
        store->named[index].digest = *digest;
    } else if (store->named_count >= IMAGE_INDEX_ENTRIES_MAX) {
        return error_set(error, -E2BIG, "tag image %s: this machine has %d names already", name,
                         IMAGE_INDEX_ENTRIES_MAX);
    } else if (insert_named(store, index, name, digest) < 0) {
        return error_set_errno(error, -ENOMEM, "tag image %s", name);
    }
    store->named[index].is_pulled = is_pulled;
    blob_store_touch(store->blobs, digest);
    int r = write_references(store, error);
    if (r < 0 && found)
        store->named[index] = before;
    else if (r < 0)
        erase_named(store, index);
    return r;
}

static int tag(struct image_store *store, const char *reference, const struct digest *digest,
               bool is_pulled, struct error *error)
{
    char name[IMAGE_REFERENCE_BYTES_MAX];
    int r = parse_name(reference, name, error);
    if (r < 0)
        return r;
    pthread_mutex_lock(&store->mutex);
    if (blob_store_has(store->blobs, digest))
        r = tag_locked(store, name, digest, is_pulled, error);
    else
        r = not_here(reference, error);
    pthread_mutex_unlock(&store->mutex);
    return r;
}

int image_store_tag(struct image_store *store, const char *reference, const struct digest *digest,
                    struct error *error)
{
    return tag(store, reference, digest, false, error);
}

int image_store_tag_pulled(struct image_store *store, const char *reference,
                           const struct digest *digest, struct error *error)
{
    return tag(store, reference, digest, true, error);
}

static struct image_pin *find_pin(const struct image_store *store, const struct digest *digest)
{
    for (size_t i = 0; i < store->pin_count; i++) {
        if (digest_equal(&store->pins[i].digest, digest))
            return &store->pins[i];
    }
    return NULL;
}

bool image_store_is_pinned_locked(const struct image_store *store, const struct digest *digest)
{
    return find_pin(store, digest) != NULL;
}

int image_store_forget_locked(struct image_store *store, size_t index, struct error *error)
{
    struct image_named forgotten = store->named[index];
    erase_named(store, index);
    int r = write_references(store, error);
    if (r < 0) {
        /* It was there a moment ago, so the memory is, too. */
        int inserted = insert_named(store, index, forgotten.reference, &forgotten.digest);
        assert(inserted == 0);
        store->named[index].is_pulled = forgotten.is_pulled;
    }
    return r;
}

static int remove_locked(struct image_store *store, const char *name, struct error *error)
{
    bool found;
    size_t index = find_named(store, name, &found);
    if (!found)
        return not_here(name, error);
    struct digest digest = store->named[index].digest;
    size_t names = 0;
    for (size_t i = 0; i < store->named_count; i++)
        names += digest_equal(&store->named[i].digest, &digest);
    if (names == 1 && find_pin(store, &digest)) {
        error_set(error, -EBUSY, "image %s: a container on this machine uses it", name);
        error_hint(error, "'consort ps' shows the containers; remove their service first");
        return -EBUSY;
    }
    int r = image_store_forget_locked(store, index, error);
    return r < 0 ? r : image_store_collect_locked(store, 0, NULL, error);
}

int image_store_remove(struct image_store *store, const char *reference, struct error *error)
{
    char name[IMAGE_REFERENCE_BYTES_MAX];
    int r = parse_name(reference, name, error);
    if (r < 0)
        return r;
    pthread_mutex_lock(&store->mutex);
    r = remove_locked(store, name, error);
    pthread_mutex_unlock(&store->mutex);
    return r;
}

/* A path with a comma could not be told from two. */
static void list_volumes(const struct image *image, char ret[IMAGE_VOLUMES_BYTES_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < image->config.volumes.count; i++) {
        const char *path = image->config.volumes.items[i];
        size_t length = strlen(path) + (used > 0);
        if (strchr(path, ',') || length >= IMAGE_VOLUMES_BYTES_MAX - used)
            continue;
        snprintf(ret + used, IMAGE_VOLUMES_BYTES_MAX - used, "%s%s", used > 0 ? "," : "", path);
        used += length;
    }
}

int image_store_list(struct image_store *store, struct image_summary **ret, size_t *ret_count,
                     struct error *error)
{
    pthread_mutex_lock(&store->mutex);
    size_t count = store->named_count;
    struct image_summary *list = calloc(count + 1, sizeof(*list));
    for (size_t i = 0; list && i < count; i++) {
        memcpy(list[i].reference, store->named[i].reference, sizeof(list[i].reference));
        list[i].digest = store->named[i].digest;
    }
    pthread_mutex_unlock(&store->mutex);
    if (!list)
        return error_set_errno(error, -ENOMEM, "list images");
    for (size_t i = 0; i < count; i++) {
        struct image *image = NULL;
        struct image_descriptor *missing = NULL;
        size_t missing_count = 0;
        if (image_store_load(store, &list[i].digest, &image, NULL) < 0)
            continue;
        list[i].size_bytes = image->size_bytes;
        list[i].created_wall_s = image->config.created_wall_s;
        list_volumes(image, list[i].volumes);
        list[i].complete =
            image_missing_blobs(store, &list[i].digest, &missing, &missing_count, NULL) == 0 &&
            missing_count == 0;
        free(missing);
        image_free(image);
    }
    *ret = list;
    *ret_count = count;
    return 0;
}

int image_store_pin(struct image_store *store, const struct digest *digest)
{
    pthread_mutex_lock(&store->mutex);
    int r = 0;
    struct image_pin *pin = find_pin(store, digest);
    if (!pin) {
        struct image_pin *pins =
            reallocarray(store->pins, store->pin_count + 1, sizeof(*store->pins));
        if (pins) {
            store->pins = pins;
            pin = &pins[store->pin_count++];
            *pin = (struct image_pin){.digest = *digest};
        }
    }
    if (pin)
        pin->count++;
    else
        r = -ENOMEM;
    pthread_mutex_unlock(&store->mutex);
    return r;
}

void image_store_unpin(struct image_store *store, const struct digest *digest)
{
    pthread_mutex_lock(&store->mutex);
    struct image_pin *pin = find_pin(store, digest);
    assert(pin);
    if (--pin->count == 0) {
        blob_store_touch(store->blobs, digest); /* it was in use until now */
        *pin = store->pins[--store->pin_count];
    }
    pthread_mutex_unlock(&store->mutex);
}

void image_store_import_begin(struct image_store *store)
{
    pthread_mutex_lock(&store->mutex);
    store->imports++;
    pthread_mutex_unlock(&store->mutex);
}

void image_store_import_end(struct image_store *store)
{
    pthread_mutex_lock(&store->mutex);
    assert(store->imports > 0);
    store->imports--;
    pthread_mutex_unlock(&store->mutex);
}
