#include "runtime/image/layer_store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "runtime/image/disk.h"
#include "runtime/image/layer.h"
#include "runtime/tree.h"

enum {
    TEMPORARY_NAME_BYTES = DIGEST_HEX_BYTES + 5, /* ".<hex>.tmp" */
};

struct layer_store {
    char *path;
    int fd;
    pthread_mutex_t mutex; /* guards the claims */
    pthread_cond_t released;
    struct claim *claims; /* layers that are being unpacked or removed, each by one thread */
};

struct claim {
    struct digest diff_id;
    struct claim *next;
};

static bool is_claimed(const struct layer_store *store, const struct digest *diff_id)
{
    const struct claim *claim = store->claims;
    while (claim && !digest_equal(&claim->diff_id, diff_id))
        claim = claim->next;
    return claim != NULL;
}

/* Waits until nobody else changes that layer. `ret` is the caller's until release_layer(). */
static void claim_layer(struct layer_store *store, const struct digest *diff_id, struct claim *ret)
{
    pthread_mutex_lock(&store->mutex);
    while (is_claimed(store, diff_id))
        pthread_cond_wait(&store->released, &store->mutex);
    *ret = (struct claim){*diff_id, store->claims};
    store->claims = ret;
    pthread_mutex_unlock(&store->mutex);
}

static void release_layer(struct layer_store *store, struct claim *claim)
{
    pthread_mutex_lock(&store->mutex);
    struct claim **link = &store->claims;
    while (*link != claim)
        link = &(*link)->next;
    *link = claim->next;
    pthread_cond_broadcast(&store->released);
    pthread_mutex_unlock(&store->mutex);
}

static void temporary_name(const struct digest *diff_id, char ret[TEMPORARY_NAME_BYTES])
{
    char hex[DIGEST_HEX_BYTES];
    digest_format_hex(diff_id, hex);
    snprintf(ret, TEMPORARY_NAME_BYTES, ".%s.tmp", hex);
}

static int sweep_entry(void *context, const char *name)
{
    const struct layer_store *store = context;
    return name[0] == '.' ? tree_remove(store->fd, name) : 0;
}

int layer_store_open(const char *dir, struct layer_store **ret, struct error *error)
{
    struct layer_store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_set_errno(error, -ENOMEM, "layer store %s", dir);
    store->fd = -1;
    pthread_mutex_init(&store->mutex, NULL);
    pthread_cond_init(&store->released, NULL);
    store->path = strdup(dir);
    int r = store->path ? disk_open_directory(AT_FDCWD, dir, &store->fd) : -ENOMEM;
    if (r == 0)
        r = disk_each_entry(store->fd, sweep_entry, store);
    if (r < 0) {
        layer_store_free(store);
        return error_set_errno(error, r, "open layer store %s", dir);
    }
    *ret = store;
    return 0;
}

void layer_store_free(struct layer_store *store)
{
    if (!store)
        return;
    cleanup_close_fd(&store->fd);
    pthread_mutex_destroy(&store->mutex);
    pthread_cond_destroy(&store->released);
    free(store->path);
    free(store);
}

bool layer_store_has(const struct layer_store *store, const struct digest *diff_id)
{
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(diff_id, name);
    return faccessat(store->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Unpacks into the temporary directory and names it. */
static int unpack_new(struct layer_store *store, const struct blob_store *blobs,
                      const struct image_layer *layer, struct error *error)
{
    char temporary[TEMPORARY_NAME_BYTES], name[DIGEST_HEX_BYTES];
    temporary_name(&layer->diff_id, temporary);
    digest_format_hex(&layer->diff_id, name);
    cleanup_close int blob_fd = -1;
    cleanup_close int directory_fd = -1;
    int r = blob_store_open_blob(blobs, &layer->blob.digest, &blob_fd, NULL, error);
    if (r < 0)
        return r;
    r = tree_remove(store->fd, temporary);
    if (r == 0)
        r = disk_open_directory(store->fd, temporary, &directory_fd);
    /* Without an entry of its own, the root of a file system is open to all. */
    if (r == 0 && fchmod(directory_fd, 0755) < 0)
        r = -errno;
    if (r < 0)
        return error_set_errno(error, r, "unpack a layer to %s/%s", store->path, temporary);
    r = layer_unpack(blob_fd, directory_fd, &layer->diff_id, error);
    if (r < 0)
        return r;
    /* One syncfs() is far cheaper than an fsync() for every file. */
    if (syncfs(directory_fd) < 0 || renameat(store->fd, temporary, store->fd, name) < 0 ||
        fsync(store->fd) < 0)
        return error_set_errno(error, -errno, "store layer %s/%s", store->path, name);
    return 0;
}

int layer_store_unpack(struct layer_store *store, const struct blob_store *blobs,
                       const struct image_layer *layer, struct error *error)
{
    struct claim claim;
    int r = 0;
    claim_layer(store, &layer->diff_id, &claim);
    if (!layer_store_has(store, &layer->diff_id)) {
        r = unpack_new(store, blobs, layer, error);
        if (r < 0) {
            char temporary[TEMPORARY_NAME_BYTES];
            temporary_name(&layer->diff_id, temporary);
            tree_remove(store->fd, temporary); /* else it is swept at the next open */
        }
    }
    release_layer(store, &claim);
    return r;
}

char *layer_store_path(const struct layer_store *store, const struct digest *diff_id)
{
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(diff_id, name);
    char *path;
    return asprintf(&path, "%s/%s", store->path, name) < 0 ? NULL : path;
}

int layer_store_remove(struct layer_store *store, const struct digest *diff_id, struct error *error)
{
    char temporary[TEMPORARY_NAME_BYTES], name[DIGEST_HEX_BYTES];
    temporary_name(diff_id, temporary);
    digest_format_hex(diff_id, name);
    struct claim claim;
    claim_layer(store, diff_id, &claim);
    int r = tree_remove(store->fd, temporary);
    if (r == 0 && renameat(store->fd, name, store->fd, temporary) < 0 && errno != ENOENT)
        r = -errno;
    if (r == 0)
        r = tree_remove(store->fd, temporary);
    release_layer(store, &claim);
    return r < 0 ? error_set_errno(error, r, "remove layer %s/%s", store->path, name) : 0;
}

static int list_entry(void *context, const char *name)
{
    struct digest diff_id;
    return digest_parse_hex(name, &diff_id) < 0 ? 0 : digest_set_add(context, &diff_id);
}

int layer_store_list(const struct layer_store *store, struct digest_set *ret, struct error *error)
{
    int r = disk_each_entry(store->fd, list_entry, ret);
    return r < 0 ? error_set_errno(error, r, "list the layers in %s", store->path) : 0;
}
