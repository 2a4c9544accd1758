#include "runtime/image/image_import.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "runtime/image/disk.h"
#include "runtime/image/image_json.h"
#include "runtime/image/import_archive.h"
#include "runtime/image/layer_stream.h"

struct import {
    struct image_store *store;
    struct blob_store *blobs;
    const char *reference;         /* given by the caller, or NULL */
    int layout_fd;                 /* the directory of an OCI layout, or -1 */
    struct import_archive archive; /* what an archive holds, if it is one */
    struct image_imported *imported;
    size_t imported_count;
    size_t image_count; /* an image may have several names */
    size_t unnamed;     /* images that the archive gives no name that could be used */
    struct error *error;
};

/* Notes that an image shall get a name, once all of them are known to be whole. */
static int add_name(struct import *import, const char *name, const struct digest *digest)
{
    struct image_reference reference;
    int r = image_reference_parse(name, &reference, import->error);
    if (r == 0 && !*reference.tag)
        r = error_set(import->error, -EINVAL, "image '%s': a digest is no name", name);
    if (r < 0)
        return r;
    struct image_imported *imported =
        reallocarray(import->imported, import->imported_count + 1, sizeof(*imported));
    if (!imported)
        return error_set_errno(import->error, -ENOMEM, "import an image");
    import->imported = imported;
    imported += import->imported_count++;
    *imported = (struct image_imported){.digest = *digest};
    image_reference_format(&reference, imported->reference);
    return 0;
}

/* Reads a file of the archive or directory, by its name there. */
static int read_named(struct import *import, const char *name, struct buffer *ret)
{
    int r;
    if (import->layout_fd >= 0) {
        r = disk_read_file(import->layout_fd, name, IMAGE_JSON_BYTES_MAX, ret);
        return r < 0 ? error_set_errno(import->error, r, "%s", name) : 0;
    }
    struct image_descriptor blob;
    r = import_archive_find(&import->archive, name, &blob);
    if (r < 0)
        return error_set(import->error, r, "it has no file %s", name);
    return blob_store_read(import->blobs, &blob.digest, IMAGE_JSON_BYTES_MAX, ret, import->error);
}

static bool has_named(struct import *import, const char *name)
{
    struct image_descriptor blob;
    if (import->layout_fd >= 0)
        return faccessat(import->layout_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
    return import_archive_find(&import->archive, name, &blob) == 0;
}

/* Copies a blob from the layout's directory, if it has it. An archive's blobs are all here already.
 */
static int copy_blob(struct import *import, const struct image_descriptor *blob)
{
    if (import->layout_fd < 0 || blob_store_has(import->blobs, &blob->digest))
        return 0;
    char path[sizeof("blobs/sha256/") + DIGEST_HEX_BYTES] = "blobs/sha256/";
    digest_format_hex(&blob->digest, path + strlen(path));
    cleanup_close int fd =
        openat(import->layout_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_set_errno(import->error, -errno, "open %s", path);
    cleanup_free char *chunk = malloc(IMAGE_COPY_CHUNK_BYTES);
    if (!chunk)
        return error_set_errno(import->error, -ENOMEM, "copy %s", path);
    struct blob_writer *writer = NULL;
    int r = blob_writer_new(import->blobs, &blob->digest, blob->size_bytes, &writer, import->error);
    while (r == 0) {
        ssize_t size = read(fd, chunk, IMAGE_COPY_CHUNK_BYTES);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            r = error_set_errno(import->error, -errno, "read %s", path);
        if (size <= 0)
            break;
        r = blob_writer_write(writer, chunk, (size_t)size, import->error);
    }
    if (r == 0)
        r = blob_writer_commit(writer, NULL, NULL, import->error);
    blob_writer_free(writer);
    return r;
}

/* Copies what a document leads to, and adds to `todo` the documents among that. */
static int copy_from_document(struct import *import, struct bytes json, struct digest_set *todo)
{
    enum image_document kind;
    struct image_index index = {0};
    int r = image_document_kind(json, &kind, import->error);
    if (r == 0 && kind == IMAGE_INDEX) {
        r = image_index_parse(json, &index, import->error);
        for (size_t i = 0; r == 0 && i < index.count; i++) {
            r = copy_blob(import, &index.entries[i].blob);
            if (r == 0 && digest_set_add(todo, &index.entries[i].blob.digest) < 0)
                r = error_set_errno(import->error, -ENOMEM, "import an image");
        }
        image_index_done(&index);
        return r;
    }
    if (r < 0)
        return r;
    struct image *image = image_new();
    if (!image)
        return error_set_errno(import->error, -ENOMEM, "import an image");
    /* Attestations and other artifacts, which builders put beside images, are left behind. */
    if (image_manifest_parse(json, image, NULL) == 0) {
        r = copy_blob(import, &image->config_blob);
        for (size_t i = 0; r == 0 && i < image->layer_count; i++)
            r = copy_blob(import, &image->layers[i].blob);
    }
    image_free(image);
    return r;
}

/* Copies an image from the layout's directory with all that it leads to and that is there. */
static int copy_image(struct import *import, const struct image_descriptor *blob)
{
    struct digest_set todo = {0}, done = {0};
    int r = copy_blob(import, blob);
    if (r == 0 && digest_set_add(&todo, &blob->digest) < 0)
        r = error_set_errno(import->error, -ENOMEM, "import an image");
    while (r == 0 && todo.count > 0) {
        struct digest next = todo.items[--todo.count];
        if (digest_set_has(&done, &next) || !blob_store_has(import->blobs, &next))
            continue;
        cleanup_buffer struct buffer json;
        buffer_init(&json);
        r = blob_store_read(import->blobs, &next, IMAGE_JSON_BYTES_MAX, &json, import->error);
        if (r == 0)
            r = copy_from_document(import, buffer_view(&json), &todo);
        if (r == 0 && digest_set_add(&done, &next) < 0)
            r = error_set_errno(import->error, -ENOMEM, "import an image");
    }
    digest_set_done(&todo);
    digest_set_done(&done);
    return r;
}

/* Checks that this machine could run the image: it parses, and nothing is missing. */
static int check_whole(struct import *import, const struct digest *digest)
{
    struct image_descriptor *missing = NULL;
    size_t missing_count = 0;
    struct image *image = NULL;
    int r = image_missing_blobs(import->store, digest, &missing, &missing_count, import->error);
    if (r == 0 && missing_count > 0) {
        char text[DIGEST_TEXT_BYTES];
        digest_format(&missing[0].digest, text);
        r = error_set(import->error, -EBADMSG, "it lacks blob %s", text);
    }
    if (r == 0)
        r = image_store_load(import->store, digest, &image, import->error);
    image_free(image);
    free(missing);
    return r;
}

/* The name in an entry's annotations, if it is one: many tools write the tag alone. */
static bool is_full_name(const char *name)
{
    struct image_reference reference;
    return strpbrk(name, ":/") && image_reference_parse(name, &reference, NULL) == 0 &&
           *reference.tag;
}

static int import_oci(struct import *import, struct bytes json)
{
    struct image_index index;
    int r = image_index_parse(json, &index, import->error);
    if (r < 0)
        return r;
    for (size_t i = 0; r == 0 && i < index.count; i++) {
        const struct image_index_entry *entry = &index.entries[i];
        r = copy_image(import, &entry->blob);
        if (r == 0)
            r = check_whole(import, &entry->blob.digest);
        if (r < 0)
            break;
        import->image_count++;
        if (import->reference)
            r = add_name(import, import->reference, &entry->blob.digest);
        else if (is_full_name(entry->name))
            r = add_name(import, entry->name, &entry->blob.digest);
        else
            import->unnamed++;
    }
    image_index_done(&index);
    return r;
}

/* Sets one layer of an image from `docker save`. */
static int find_docker_layer(struct import *import, const char *name, struct image_layer *layer)
{
    int r = import_archive_find(&import->archive, name, &layer->blob);
    if (r < 0)
        return error_set(import->error, -EBADMSG, "manifest.json names a layer that is not there");
    cleanup_close int fd = -1;
    r = blob_store_open_blob(import->blobs, &layer->blob.digest, &fd, NULL, import->error);
    if (r < 0)
        return r;
    r = layer_sniff(fd, &layer->compression);
    return r < 0 ? error_set_errno(import->error, r, "read a layer") : 0;
}

static int find_docker_blobs(struct import *import, const json_t *object, struct image *image)
{
    struct text_list layers = {0};
    const char *config = NULL;
    int r = image_json_text(object, "Config", &config, import->error);
    if (r == 0)
        r = image_json_list(object, "Layers", &layers, import->error);
    if (r == 0 &&
        (!config || import_archive_find(&import->archive, config, &image->config_blob) < 0))
        r = error_set(import->error, -EBADMSG,
                      "manifest.json names a configuration that is not there");
    if (r == 0 && (layers.count == 0 || layers.count > IMAGE_LAYERS_MAX))
        r = error_set(import->error, layers.count ? -E2BIG : -EBADMSG,
                      "manifest.json: an image of %zu layers", layers.count);
    for (size_t i = 0; r == 0 && i < layers.count; i++)
        r = find_docker_layer(import, layers.items[i], &image->layers[i]);
    image->layer_count = layers.count;
    text_list_done(&layers);
    return r;
}

/* Reads the configuration, and checks what can be checked of the layers without unpacking them. */
static int check_docker_layers(struct import *import, struct image *image)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    int r = blob_store_read(import->blobs, &image->config_blob.digest, IMAGE_JSON_BYTES_MAX, &json,
                            import->error);
    if (r == 0)
        r = image_config_parse(buffer_view(&json), image, import->error);
    for (size_t i = 0; r == 0 && i < image->layer_count; i++) {
        const struct image_layer *layer = &image->layers[i];
        if (layer->compression == LAYER_TAR && !digest_equal(&layer->diff_id, &layer->blob.digest))
            r = error_set(import->error, -EBADMSG,
                          "layer %zu is not the one that the image's configuration names", i);
    }
    return r;
}

static int name_docker_image(struct import *import, const json_t *object,
                             const struct digest *digest)
{
    struct text_list tags = {0};
    int r = 0;
    import->image_count++;
    if (import->reference)
        return add_name(import, import->reference, digest);
    r = image_json_list(object, "RepoTags", &tags, import->error);
    if (r == 0 && tags.count == 0)
        import->unnamed++;
    for (size_t i = 0; r == 0 && i < tags.count; i++)
        r = add_name(import, tags.items[i], digest);
    text_list_done(&tags);
    return r;
}

static int import_docker_image(struct import *import, const json_t *object)
{
    cleanup_buffer struct buffer manifest;
    buffer_init(&manifest);
    struct digest digest;
    struct image *image = image_new();
    int r = image ? find_docker_blobs(import, object, image)
                  : error_set_errno(import->error, -ENOMEM, "import an image");
    if (r == 0)
        r = check_docker_layers(import, image);
    if (r == 0 && image_manifest_write(image, &manifest) < 0)
        r = error_set_errno(import->error, -ENOMEM, "import an image");
    if (r == 0)
        r = blob_store_put(import->blobs, manifest.bytes, manifest.size, &digest, import->error);
    if (r == 0)
        r = check_whole(import, &digest);
    if (r == 0)
        r = name_docker_image(import, object, &digest);
    image_free(image);
    return r;
}

static int import_docker(struct import *import, struct bytes json)
{
    cleanup_json json_t *document = NULL;
    int r = image_json_parse(json, "manifest.json", &document, import->error);
    if (r < 0)
        return r;
    size_t count = json_array_size(document);
    if (count == 0 || count > IMAGE_INDEX_ENTRIES_MAX)
        return error_set(import->error, count ? -E2BIG : -EBADMSG, "manifest.json: %zu images",
                         count);
    for (size_t i = 0; r == 0 && i < count; i++)
        r = import_docker_image(import, json_array_get(document, i));
    return r;
}

/* Forgets what one description said, to read another of the same images. */
static void forget_names(struct import *import)
{
    free(import->imported);
    import->imported = NULL;
    import->imported_count = import->image_count = import->unnamed = 0;
}

static int import_images(struct import *import)
{
    cleanup_buffer struct buffer json;
    buffer_init(&json);
    bool docker = import->layout_fd < 0 && has_named(import, "manifest.json");
    int r = 0;
    if (has_named(import, "index.json")) {
        r = read_named(import, "index.json", &json);
        if (r == 0)
            r = import_oci(import, buffer_view(&json));
        /* docker save writes both descriptions, and sometimes names images in its own only. */
        if (r < 0 || !docker || import->unnamed == 0)
            return r;
        forget_names(import);
        buffer_clear(&json);
    } else if (!docker) {
        error_set(import->error, -EBADMSG, "it has neither index.json nor manifest.json");
        error_hint(import->error,
                   "import takes what 'docker save', 'podman save', 'skopeo copy' and "
                   "'buildctl' write, not the archive of a file system");
        return -EBADMSG;
    }
    r = read_named(import, "manifest.json", &json);
    return r < 0 ? r : import_docker(import, buffer_view(&json));
}

static int check_names(struct import *import)
{
    if (import->image_count == 0)
        return error_set(import->error, -EBADMSG, "it has no image");
    if (import->reference && import->image_count > 1)
        return error_set(import->error, -EINVAL, "it has %zu images, so they cannot all be '%s'",
                         import->image_count, import->reference);
    if (import->unnamed > 0) {
        error_set(import->error, -EINVAL, "it does not say what its image is called");
        error_hint(import->error, "give the name: consort image import FILE NAME[:TAG]");
        return -EINVAL;
    }
    return 0;
}

static int import_from(struct import *import, const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(import->error, -errno, "open it");
    int r = 0;
    if (S_ISDIR(status.st_mode))
        import->layout_fd = fd;
    else if (S_ISREG(status.st_mode))
        r = import_archive_read(fd, import->blobs, &import->archive, import->error);
    else
        r = error_set(import->error, -EINVAL, "it is neither a file nor a directory");
    if (r == 0)
        r = import_images(import);
    if (r == 0)
        r = check_names(import);
    for (size_t i = 0; r == 0 && i < import->imported_count; i++)
        r = image_store_tag(import->store, import->imported[i].reference,
                            &import->imported[i].digest, import->error);
    return r;
}

int image_import(struct image_store *store, const char *path, const char *reference,
                 struct image_imported **ret, size_t *ret_count, struct error *error)
{
    struct import import = {
        .store = store,
        .blobs = image_store_blobs(store),
        .reference = reference,
        .layout_fd = -1,
        .error = error,
    };
    image_store_import_begin(store);
    int r = import_from(&import, path);
    image_store_import_end(store);
    import_archive_done(&import.archive);
    if (r < 0)
        error_prefix(error, "import %s", path);
    /* What is left over is collected later if it cannot be now: the import itself is done. */
    image_store_collect(store, r < 0 ? 0 : IMAGE_KEEP_S, NULL, NULL);
    if (r == 0 && ret) {
        *ret = take_pointer(import.imported);
        *ret_count = import.imported_count;
    }
    free(import.imported);
    return r;
}
