#include "runtime/image/blob_store.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file_lock.h"
#include "runtime/bounds.h"
#include "runtime/image/disk.h"
#include "runtime/tree.h"

enum {
    TEMPORARY_NAME_BYTES = 40, /* a 64-bit number; a child's has its pid and a dash before it */
};

static const char layout_text[] = "{\"imageLayoutVersion\":\"1.0.0\"}\n";

struct blob_store {
    char *path;
    int fd;
    int blobs_fd;     /* blobs/sha256 */
    int temporary_fd; /* tmp */
    int lock_fd;
    pid_t child;                      /* 0: this process has the lock */
    atomic_uint_fast64_t temporaries; /* written since the store was opened; makes their names */
};

struct blob_writer {
    const struct blob_store *store; /* borrowed */
    int fd;
    char name[TEMPORARY_NAME_BYTES];
    struct digest_hasher hasher;
    int64_t size_bytes;
    int64_t size_bytes_max;
    bool size_is_exact;
    bool digest_is_expected;
    struct digest expected;
};

static int lock_store(struct blob_store *store, struct error *error)
{
    store->lock_fd = openat(store->fd, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (store->lock_fd < 0)
        return error_set_errno(error, -errno, "open %s/lock", store->path);
    int r = file_lock(store->lock_fd, FILE_LOCK_PATIENCE_MS);
    if (r == 0)
        return 0;
    if (r != -EWOULDBLOCK)
        return error_set_errno(error, r, "lock %s/lock", store->path);
    error_set(error, -EBUSY, "image store %s: another process has it open", store->path);
    error_hint(error, "is a peer running with this data directory? See: systemctl status consort");
    return -EBUSY;
}

static int sweep_entry(void *context, const char *name)
{
    const struct blob_store *store = context;
    return tree_remove(store->temporary_fd, name);
}

static int open_directories(struct blob_store *store)
{
    cleanup_close int blobs_fd = -1;
    int r = disk_open_directory(store->fd, "blobs", &blobs_fd);
    if (r == 0)
        r = disk_open_directory(blobs_fd, "sha256", &store->blobs_fd);
    if (r == 0)
        r = disk_open_directory(store->fd, "tmp", &store->temporary_fd);
    if (r == 0 && store->child == 0)
        r = disk_each_entry(store->temporary_fd, sweep_entry, store);
    if (r == 0 && faccessat(store->fd, "oci-layout", F_OK, 0) < 0)
        r = disk_replace_file(store->fd, "oci-layout", layout_text, sizeof(layout_text) - 1);
    return r;
}

static int open_store(const char *dir, pid_t child, struct blob_store **ret, struct error *error)
{
    struct blob_store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_set_errno(error, -ENOMEM, "image store %s", dir);
    store->fd = store->blobs_fd = store->temporary_fd = store->lock_fd = -1;
    store->child = child;
    store->path = strdup(dir);
    int r = store->path ? disk_open_directory(AT_FDCWD, dir, &store->fd) : -ENOMEM;
    if (r < 0) {
        error_set_errno(error, r, "open image store %s", dir);
        goto out;
    }
    r = child == 0 ? lock_store(store, error) : 0;
    if (r < 0)
        goto out;
    r = open_directories(store);
    if (r < 0) {
        error_set_errno(error, r, "set up image store %s", dir);
        goto out;
    }
    *ret = store;
    return 0;
out:
    blob_store_free(store);
    return r;
}

int blob_store_open(const char *dir, struct blob_store **ret, struct error *error)
{
    return open_store(dir, 0, ret, error);
}

int blob_store_open_beside(const char *dir, struct blob_store **ret, struct error *error)
{
    return open_store(dir, getpid(), ret, error);
}

/* The temporary files of one child. */
struct child_sweep {
    struct blob_store *store;
    char prefix[TEMPORARY_NAME_BYTES];
};

static int sweep_entry_of_child(void *context, const char *name)
{
    struct child_sweep *sweep = context;
    if (strncmp(name, sweep->prefix, strlen(sweep->prefix)) == 0)
        unlinkat(sweep->store->temporary_fd, name, 0);
    return 0;
}

void blob_store_sweep_child(struct blob_store *store, pid_t child)
{
    struct child_sweep sweep = {.store = store};
    snprintf(sweep.prefix, sizeof(sweep.prefix), "%jd-", (intmax_t)child);
    disk_each_entry(store->temporary_fd, sweep_entry_of_child, &sweep);
}

void blob_store_free(struct blob_store *store)
{
    if (!store)
        return;
    int fds[] = {store->blobs_fd, store->temporary_fd, store->lock_fd, store->fd};
    for (size_t i = 0; i < array_count(fds); i++)
        cleanup_close_fd(&fds[i]);
    free(store->path);
    free(store);
}

const char *blob_store_path(const struct blob_store *store)
{
    return store->path;
}

int blob_store_fd(const struct blob_store *store)
{
    return store->fd;
}

static int status_of(const struct blob_store *store, const struct digest *digest, struct stat *ret)
{
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(digest, name);
    if (fstatat(store->blobs_fd, name, ret, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    return S_ISREG(ret->st_mode) ? 0 : -ENOENT;
}

int64_t blob_store_size(const struct blob_store *store, const struct digest *digest)
{
    struct stat status;
    int r = status_of(store, digest, &status);
    return r < 0 ? r : status.st_size;
}

int64_t blob_store_time_s(const struct blob_store *store, const struct digest *digest)
{
    struct stat status;
    int r = status_of(store, digest, &status);
    return r < 0 ? r : status.st_mtime;
}

void blob_store_touch(const struct blob_store *store, const struct digest *digest)
{
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(digest, name);
    utimensat(store->blobs_fd, name, NULL, AT_SYMLINK_NOFOLLOW);
}

bool blob_store_has(const struct blob_store *store, const struct digest *digest)
{
    return blob_store_size(store, digest) >= 0;
}

int blob_store_open_blob(const struct blob_store *store, const struct digest *digest, int *ret_fd,
                         int64_t *ret_size_bytes, struct error *error)
{
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(digest, name);
    cleanup_close int fd = openat(store->blobs_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return error_set_errno(error, -errno, "open blob sha256:%s in %s", name, store->path);
    if (ret_size_bytes)
        *ret_size_bytes = status.st_size;
    *ret_fd = take_fd(fd);
    return 0;
}

int blob_store_read(const struct blob_store *store, const struct digest *digest, size_t max_bytes,
                    struct buffer *ret, struct error *error)
{
    cleanup_close int fd = -1;
    int r = blob_store_open_blob(store, digest, &fd, NULL, error);
    if (r < 0)
        return r;
    char name[DIGEST_TEXT_BYTES];
    digest_format(digest, name);
    size_t before = ret->size;
    r = disk_read_all(fd, max_bytes, ret);
    if (r < 0)
        return error_set_errno(error, r, "read blob %s in %s", name, store->path);
    struct digest found;
    digest_of(ret->bytes + before, ret->size - before, &found);
    if (!digest_equal(&found, digest)) {
        ret->size = before;
        error_set(error, -EBADMSG, "blob %s in %s is damaged on disk", name, store->path);
        error_hint(error, "check the disk, then import or pull the image again");
        return -EBADMSG;
    }
    return 0;
}

int blob_store_put(struct blob_store *store, const void *data, size_t size_bytes,
                   struct digest *ret, struct error *error)
{
    struct blob_writer *writer = NULL;
    int r = blob_writer_new(store, NULL, (int64_t)size_bytes, &writer, error);
    if (!writer)
        return r;
    r = blob_writer_write(writer, data, size_bytes, error);
    if (r == 0)
        r = blob_writer_commit(writer, ret, NULL, error);
    blob_writer_free(writer);
    return r;
}

int blob_store_remove(const struct blob_store *store, const struct digest *digest,
                      struct error *error)
{
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(digest, name);
    if (unlinkat(store->blobs_fd, name, 0) < 0 && errno != ENOENT)
        return error_set_errno(error, -errno, "remove blob sha256:%s from %s", name, store->path);
    return 0;
}

static int list_entry(void *context, const char *name)
{
    struct digest digest;
    /* What is no digest was put here by somebody else: not ours to touch. */
    return digest_parse_hex(name, &digest) < 0 ? 0 : digest_set_add(context, &digest);
}

int blob_store_list(const struct blob_store *store, struct digest_set *ret, struct error *error)
{
    int r = disk_each_entry(store->blobs_fd, list_entry, ret);
    return r < 0 ? error_set_errno(error, r, "list the blobs in %s", store->path) : 0;
}

int blob_writer_new(struct blob_store *store, const struct digest *expected,
                    int64_t expected_size_bytes, struct blob_writer **ret, struct error *error)
{
    if (expected_size_bytes > BLOB_BYTES_MAX)
        return error_set(error, -EFBIG, "write a blob to %s: %jd bytes are more than the limit",
                         store->path, (intmax_t)expected_size_bytes);
    struct blob_writer *writer = calloc(1, sizeof(*writer));
    if (!writer)
        return error_set_errno(error, -ENOMEM, "write a blob to %s", store->path);
    writer->store = store;
    writer->size_is_exact = expected_size_bytes >= 0;
    writer->size_bytes_max = writer->size_is_exact ? expected_size_bytes : BLOB_BYTES_MAX;
    writer->digest_is_expected = expected != NULL;
    if (expected)
        writer->expected = *expected;
    digest_hasher_init(&writer->hasher);
    uint64_t number = atomic_fetch_add(&store->temporaries, 1);
    if (store->child == 0)
        snprintf(writer->name, sizeof(writer->name), "%ju", (uintmax_t)number);
    else
        snprintf(writer->name, sizeof(writer->name), "%jd-%ju", (intmax_t)store->child,
                 (uintmax_t)number);
    writer->fd = openat(store->temporary_fd, writer->name,
                        O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (writer->fd < 0) {
        int r = error_set_errno(error, -errno, "write a blob to %s", store->path);
        free(writer);
        return r;
    }
    *ret = writer;
    return 0;
}

void blob_writer_free(struct blob_writer *writer)
{
    if (!writer)
        return;
    close(writer->fd);
    if (writer->name[0])
        unlinkat(writer->store->temporary_fd, writer->name, 0);
    free(writer);
}

int blob_writer_write(struct blob_writer *writer, const void *data, size_t size_bytes,
                      struct error *error)
{
    assert(writer->name[0]);
    if (size_bytes > (uint64_t)(writer->size_bytes_max - writer->size_bytes))
        return error_set(error, -EFBIG, "write a blob to %s: it has more than %jd bytes",
                         writer->store->path, (intmax_t)writer->size_bytes_max);
    int r = disk_write_all(writer->fd, data, size_bytes);
    if (r < 0)
        return error_set_errno(error, r, "write a blob to %s", writer->store->path);
    digest_hasher_update(&writer->hasher, data, size_bytes);
    writer->size_bytes += (int64_t)size_bytes;
    return 0;
}

int blob_writer_commit(struct blob_writer *writer, struct digest *ret, int64_t *ret_size_bytes,
                       struct error *error)
{
    assert(writer->name[0]);
    const struct blob_store *store = writer->store;
    struct digest digest;
    digest_hasher_final(&writer->hasher, &digest);
    char found[DIGEST_TEXT_BYTES], expected[DIGEST_TEXT_BYTES];
    digest_format(&digest, found);
    if (writer->size_is_exact && writer->size_bytes != writer->size_bytes_max)
        return error_set(error, -EBADMSG, "blob %s: %jd bytes came, but %jd were announced", found,
                         (intmax_t)writer->size_bytes, (intmax_t)writer->size_bytes_max);
    if (writer->digest_is_expected && !digest_equal(&digest, &writer->expected)) {
        digest_format(&writer->expected, expected);
        return error_set(error, -EBADMSG, "blob %s: the bytes that came have digest %s", expected,
                         found);
    }
    char name[DIGEST_HEX_BYTES];
    digest_format_hex(&digest, name);
    /* A blob that is there already is replaced: the new one was just verified, the old one may have
     * rotted. */
    if (fsync(writer->fd) < 0 ||
        renameat(store->temporary_fd, writer->name, store->blobs_fd, name) < 0)
        return error_set_errno(error, -errno, "store blob %s in %s", found, store->path);
    writer->name[0] = '\0';
    if (fsync(store->blobs_fd) < 0)
        return error_set_errno(error, -errno, "store blob %s in %s", found, store->path);
    if (ret)
        *ret = digest;
    if (ret_size_bytes)
        *ret_size_bytes = writer->size_bytes;
    return 0;
}
