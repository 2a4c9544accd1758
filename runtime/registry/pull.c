#include "runtime/registry/pull.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "base/cleanup.h"
#include "runtime/image/image.h"
#include "runtime/image/image_reference.h"
#include "runtime/registry/client.h"

enum {
    DOWNLOADS_MAX = 3, /* at a time */
};

struct pull {
    struct blob_store *blobs;
    const struct pull_options *options;
    struct registry_client *client;

    pthread_mutex_t mutex; /* over all that follows */
    struct image_descriptor wanted[IMAGE_LAYERS_MAX + 1];
    size_t wanted_count, next;
    int64_t done_bytes, total_bytes;
    struct error error; /* the first failure; the others end */
};

/* A blob on its way. */
struct download {
    struct pull *pull;
    const struct image_descriptor *blob;
    struct blob_writer *writer;
    int64_t written;
    struct error error;
};

static void add_progress(struct pull *pull, int64_t bytes)
{
    pthread_mutex_lock(&pull->mutex);
    pull->done_bytes += bytes;
    if (pull->options->on_progress)
        pull->options->on_progress(pull->options->context, pull->done_bytes, pull->total_bytes);
    pthread_mutex_unlock(&pull->mutex);
}

static bool has_failed(struct pull *pull)
{
    pthread_mutex_lock(&pull->mutex);
    bool failed = pull->error.code < 0;
    pthread_mutex_unlock(&pull->mutex);
    return failed;
}

static int start_over(struct download *download)
{
    blob_writer_free(download->writer);
    download->writer = NULL;
    add_progress(download->pull, -download->written);
    download->written = 0;
    return blob_writer_new(download->pull->blobs, &download->blob->digest,
                           download->blob->size_bytes, &download->writer, &download->error);
}

static int on_blob_data(void *context, int64_t offset, const void *data, size_t size)
{
    struct download *download = context;
    int rc = 0;
    if (has_failed(download->pull))
        return -ECANCELED;
    if (offset != download->written)
        rc = offset == 0 ? start_over(download) : -EPROTO;
    if (rc == 0)
        rc = blob_writer_write(download->writer, data, size, &download->error);
    if (rc == 0) {
        download->written += (int64_t)size;
        add_progress(download->pull, (int64_t)size);
    }
    return rc;
}

static int fetch_blob(struct pull *pull, const struct image_descriptor *blob, struct error *error)
{
    struct download download = {.pull = pull, .blob = blob};
    char name[DIGEST_TEXT_BYTES];
    digest_format(&blob->digest, name);
    int rc = start_over(&download);
    if (rc == 0)
        rc = registry_client_blob(pull->client, &blob->digest, on_blob_data, &download, error);
    else
        *error = download.error;
    if (rc < 0 && download.error.code < 0)
        *error = download.error; /* the disk's words, not the network's */
    else if (rc < 0 && error->code == 0)
        error_set_errno(error, rc, "blob %s", name);
    if (rc == 0)
        rc = blob_writer_commit(download.writer, NULL, NULL, error);
    blob_writer_free(download.writer);
    return rc;
}

static void *fetch_blobs(void *context)
{
    struct pull *pull = context;
    for (;;) {
        struct error error = {0};
        pthread_mutex_lock(&pull->mutex);
        const struct image_descriptor *blob =
            pull->error.code == 0 && pull->next < pull->wanted_count ? &pull->wanted[pull->next++]
                                                                     : NULL;
        pthread_mutex_unlock(&pull->mutex);
        if (!blob)
            return NULL;
        int rc = fetch_blob(pull, blob, &error);
        pthread_mutex_lock(&pull->mutex);
        if (rc < 0 && pull->error.code == 0)
            pull->error = error;
        pthread_mutex_unlock(&pull->mutex);
    }
}

/* Fetches all that is wanted, in threads; alone, if there can't be any. */
static int fetch_all(struct pull *pull, struct error *error)
{
    pthread_t threads[DOWNLOADS_MAX - 1];
    size_t count = 0;
    while (count < array_count(threads) && count + 1 < pull->wanted_count &&
           pthread_create(&threads[count], NULL, fetch_blobs, pull) == 0)
        count++;
    fetch_blobs(pull);
    for (size_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    if (pull->error.code < 0 && error)
        *error = pull->error;
    return pull->error.code;
}

static void want(struct pull *pull, const struct image_descriptor *blob)
{
    for (size_t i = 0; i < pull->wanted_count; i++)
        if (digest_equal(&pull->wanted[i].digest, &blob->digest))
            return;
    if (blob_store_size(pull->blobs, &blob->digest) == blob->size_bytes)
        return;
    pull->wanted[pull->wanted_count++] = *blob;
    pull->total_bytes += blob->size_bytes;
}

/* Gets a manifest or index, and stores it. `expected` may be NULL. */
static int fetch_document(struct pull *pull, const char *name, const struct digest *expected,
                          struct buffer *ret, struct digest *ret_digest, struct error *error)
{
    char found[DIGEST_TEXT_BYTES], wanted[DIGEST_TEXT_BYTES];
    buffer_clear(ret);
    int rc = registry_client_manifest(pull->client, name, ret, error);
    if (rc < 0)
        return rc;
    digest_of(ret->bytes, ret->size, ret_digest);
    if (expected && !digest_equal(expected, ret_digest)) {
        digest_format(expected, wanted);
        digest_format(ret_digest, found);
        return error_set(error, -EBADMSG, "manifest %s: the bytes that came have digest %s", wanted,
                         found);
    }
    return blob_store_put(pull->blobs, ret->bytes, ret->size, NULL, error);
}

/* Follows indexes to this machine's manifest, which `document` holds at the end. */
static int choose_manifest(struct pull *pull, struct buffer *document, struct error *error)
{
    enum image_document kind = IMAGE_INDEX;
    int rc = 0;
    for (unsigned depth = 0; rc == 0; depth++) {
        rc = image_document_kind(buffer_view(document), &kind, error);
        if (rc < 0 || kind == IMAGE_MANIFEST)
            return rc;
        if (depth == IMAGE_INDEX_DEPTH_MAX)
            return error_set(error, -EBADMSG, "more than %d indexes within each other",
                             IMAGE_INDEX_DEPTH_MAX);
        struct image_index index;
        char name[DIGEST_TEXT_BYTES];
        rc = image_index_parse(buffer_view(document), &index, error);
        if (rc < 0)
            return rc;
        const struct image_index_entry *chosen = image_index_choose(&index);
        struct digest digest = chosen ? chosen->blob.digest : (struct digest){0};
        bool is_there = chosen != NULL;
        image_index_done(&index);
        if (!is_there)
            return error_set(error, -ENOEXEC, "it has nothing for this machine (%s)",
                             image_host_architecture());
        digest_format(&digest, name);
        rc = fetch_document(pull, name, &digest, document, &digest, error);
    }
    return rc;
}

static void want_missing(struct pull *pull, const struct image *image)
{
    pull->wanted_count = 0;
    pull->total_bytes = 0;
    want(pull, &image->config_blob);
    for (size_t i = 0; i < image->layer_count; i++)
        want(pull, &image->layers[i].blob);
}

/* `digest` is the image's, perhaps of an index. */
static int fetch_parts(struct pull *pull, const struct digest *digest, struct bytes manifest,
                       struct error *error)
{
    cleanup_buffer struct buffer config = {0};
    struct image *image = image_new();
    if (!image)
        return error_set_errno(error, -ENOMEM, "reading the manifest");
    int rc = image_manifest_parse(manifest, image, error);
    if (rc == 0) {
        want_missing(pull, image);
        if (pull->wanted_count > 0 && pull->options->on_missing) {
            pull->options->on_missing(pull->options->context, digest);
            want_missing(pull, image);
        }
        add_progress(pull, 0);
        rc = fetch_all(pull, error);
    }
    if (rc == 0)
        rc = blob_store_read(pull->blobs, &image->config_blob.digest, IMAGE_JSON_BYTES_MAX, &config,
                             error);
    if (rc == 0)
        rc = image_config_parse(buffer_view(&config), image, error);
    image_free(image);
    return rc;
}

static void add_hint(int rc, const struct pull_options *options, const char *registry,
                     struct error *error)
{
    if (rc == -EKEYREJECTED)
        error_hint(error, "trust its CA: \"ca\": {\"%s\": \"FILE.pem\"} in %s", registry,
                   options->settings_path);
    else if (rc == -EACCES)
        error_hint(error, "docker login %s at this peer's machine, or \"auths\": {\"%s\": …} in %s",
                   registry, registry, options->settings_path);
    else if (rc == -EIO)
        error_hint(error, "is it reached from this peer's machine? An archive does without it: "
                          "consort image import FILE");
}

int registry_pull(struct blob_store *blobs, const struct pull_options *options,
                  const char *reference, struct digest *ret, struct error *error)
{
    struct image_reference parsed;
    cleanup_buffer struct buffer document = {0};
    char name[IMAGE_TAG_BYTES_MAX];
    struct digest digest;
    int rc = image_reference_parse(reference, &parsed, error);
    if (rc < 0)
        return rc;
    struct pull *pull = calloc(1, sizeof(*pull));
    if (!pull)
        return error_set_errno(error, -ENOMEM, "pulling %s", reference);
    pull->blobs = blobs;
    pull->options = options;
    pthread_mutex_init(&pull->mutex, NULL);
    rc = registry_client_new(&parsed, options->settings_path, options->docker_path, &pull->client,
                             error);
    if (parsed.has_digest)
        digest_format(&parsed.digest, name);
    else
        memcpy(name, parsed.tag, sizeof(name));
    if (rc == 0)
        rc = fetch_document(pull, name, parsed.has_digest ? &parsed.digest : NULL, &document,
                            &digest, error);
    if (rc == 0)
        rc = choose_manifest(pull, &document, error);
    if (rc == 0)
        rc = fetch_parts(pull, &digest, buffer_view(&document), error);
    registry_client_free(pull->client);
    pthread_mutex_destroy(&pull->mutex);
    free(pull);
    if (rc == 0)
        *ret = digest;
    else
        add_hint(rc, options, parsed.registry, error);
    return rc;
}
