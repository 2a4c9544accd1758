#include "runtime/image/image_save.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/image/image_json.h"
#include "runtime/libarchive.h"

struct save {
    struct archive *archive;
    const struct blob_store *blobs;
    const struct image *image;
    char name[IMAGE_REFERENCE_BYTES_MAX]; /* "hello:1"; "" for an image that was named by digest */
    struct digest_set written;
};

static int write_failed(const struct save *save, struct error *error)
{
    int code = libarchive._errno(save->archive);
    return error_set(error, code > 0 ? -code : -EIO, "writing the archive: %s",
                     libarchive.error_string(save->archive));
}

static int begin_file(const struct save *save, const char *path, int64_t size, struct error *error)
{
    struct archive_entry *entry = libarchive.entry_new();
    if (!entry)
        return error_set_errno(error, -ENOMEM, "writing the archive");
    libarchive.entry_set_pathname(entry, path);
    libarchive.entry_set_size(entry, size);
    libarchive.entry_set_filetype(entry, AE_IFREG);
    libarchive.entry_set_perm(entry, 0644);
    int rc = libarchive.write_header(save->archive, entry);
    libarchive.entry_free(entry);
    return rc == ARCHIVE_OK ? 0 : write_failed(save, error);
}

static int write_data(const struct save *save, const void *data, size_t size, struct error *error)
{
    return libarchive.write_data(save->archive, data, size) == (la_ssize_t)size
               ? 0
               : write_failed(save, error);
}

static int write_text(const struct save *save, const char *path, const char *text,
                      struct error *error)
{
    size_t size = strlen(text);
    int rc = begin_file(save, path, (int64_t)size, error);
    return rc < 0 ? rc : write_data(save, text, size, error);
}

static void blob_path(const struct digest *digest, char *ret, size_t capacity)
{
    char hex[DIGEST_HEX_BYTES];
    digest_format_hex(digest, hex);
    snprintf(ret, capacity, "blobs/sha256/%s", hex);
}

/* Writes a blob once: layers may be the same. */
static int write_blob(struct save *save, const struct digest *digest, struct error *error)
{
    static const size_t chunk_bytes = IMAGE_COPY_CHUNK_BYTES;
    char path[DIGEST_HEX_BYTES + 16];
    cleanup_close int fd = -1;
    int64_t size = 0;
    if (digest_set_has(&save->written, digest))
        return 0;
    cleanup_free uint8_t *chunk = malloc(chunk_bytes);
    if (!chunk || digest_set_add(&save->written, digest) < 0)
        return error_set_errno(error, -ENOMEM, "writing the archive");
    int rc = blob_store_open_blob(save->blobs, digest, &fd, &size, error);
    blob_path(digest, path, sizeof(path));
    if (rc == 0)
        rc = begin_file(save, path, size, error);
    while (rc == 0 && size > 0) {
        ssize_t got = read(fd, chunk, chunk_bytes);
        if (got <= 0)
            return error_set_errno(error, got < 0 ? -errno : -EIO, "reading %s", path);
        rc = write_data(save, chunk, (size_t)got, error);
        size -= got;
    }
    return rc;
}

/* What was json_pack()ed, as a file. Takes it over. */
static int write_json(const struct save *save, const char *path, json_t *json, struct error *error)
{
    cleanup_json json_t *held = json;
    cleanup_free char *text = held ? json_dumps(held, JSON_COMPACT) : NULL;
    return text ? write_text(save, path, text, error)
                : error_set_errno(error, -ENOMEM, "writing %s", path);
}

static int write_index(const struct save *save, struct error *error)
{
    char digest[DIGEST_TEXT_BYTES];
    int64_t size = blob_store_size(save->blobs, &save->image->digest);
    json_t *entry;
    digest_format(&save->image->digest, digest);
    entry = json_pack("{s:s, s:s, s:I}", "mediaType", image_document_type(IMAGE_MANIFEST), "digest",
                      digest, "size", (json_int_t)size);
    if (save->name[0])
        json_object_set_new(entry, "annotations",
                            json_pack("{s:s, s:s}", "org.opencontainers.image.ref.name", save->name,
                                      "io.containerd.image.name", save->name));
    return write_json(save, "index.json",
                      json_pack("{s:i, s:s, s:[o]}", "schemaVersion", 2, "mediaType",
                                image_document_type(IMAGE_INDEX), "manifests", entry),
                      error);
}

static int write_docker_manifest(const struct save *save, struct error *error)
{
    char path[DIGEST_HEX_BYTES + 16];
    json_t *layers = json_array(), *tags = json_array();
    for (size_t i = 0; i < save->image->layer_count; i++) {
        blob_path(&save->image->layers[i].blob.digest, path, sizeof(path));
        json_array_append_new(layers, json_string(path));
    }
    if (save->name[0])
        json_array_append_new(tags, json_string(save->name));
    blob_path(&save->image->config_blob.digest, path, sizeof(path));
    return write_json(
        save, "manifest.json",
        json_pack("[{s:s, s:o, s:o}]", "Config", path, "RepoTags", tags, "Layers", layers), error);
}

static int write_all(struct save *save, struct error *error)
{
    int rc = write_text(save, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", error);
    if (rc == 0)
        rc = write_index(save, error);
    if (rc == 0)
        rc = write_docker_manifest(save, error);
    if (rc == 0)
        rc = write_blob(save, &save->image->digest, error);
    if (rc == 0)
        rc = write_blob(save, &save->image->config_blob.digest, error);
    for (size_t i = 0; rc == 0 && i < save->image->layer_count; i++)
        rc = write_blob(save, &save->image->layers[i].blob.digest, error);
    if (rc == 0 && libarchive.write_close(save->archive) != ARCHIVE_OK)
        rc = write_failed(save, error);
    return rc;
}

static int write_archive(struct save *save, int fd, struct error *error)
{
    save->archive = libarchive.write_new();
    if (!save->archive)
        return error_set_errno(error, -ENOMEM, "writing the archive");
    int rc = 0;
    if (libarchive.write_set_format_pax_restricted(save->archive) != ARCHIVE_OK ||
        libarchive.write_open_fd(save->archive, fd) != ARCHIVE_OK)
        rc = write_failed(save, error);
    if (rc == 0)
        rc = write_all(save, error);
    libarchive.write_free(save->archive);
    digest_set_done(&save->written);
    return rc;
}

int image_save(struct image_store *store, const char *text, int fd, struct error *error)
{
    struct digest digest;
    struct image *image = NULL;
    struct image_reference reference;
    struct save save = {.blobs = image_store_blobs(store)};
    int rc = image_store_resolve(store, text, &digest, error);
    if (rc < 0)
        return rc;
    bool is_digest = digest_parse(text, &(struct digest){0}) == 0;
    if (!is_digest && image_reference_parse(text, &reference, NULL) == 0 && reference.tag[0])
        image_reference_format(&reference, save.name);
    rc = image_store_pin(store, &digest);
    if (rc < 0)
        return error_set_errno(error, rc, "saving %s", text);
    rc = image_store_load(store, &digest, &image, error);
    save.image = image;
    if (rc == 0 && (rc = libarchive_use(error)) == 0) {
        rc = write_archive(&save, fd, error);
        libarchive_release();
    }
    image_free(image);
    image_store_unpin(store, &digest);
    if (rc < 0)
        error_prefix(error, "saving %s", text);
    return rc;
}
