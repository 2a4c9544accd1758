#include "node/store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file_lock.h"
#include "base/log.h"
#include "node/store/store_private.h"

enum {
    TABLES_MAX = 2, /* values, log */
    FILE_MODE = 0600,
    DIRECTORY_MODE = 0700,
    MEBIBYTE = 1024 * 1024,
};

#define FILE_NAME      "store.mdb"
#define NEW_NAME       FILE_NAME ".new"
#define LOCK_SUFFIX    "-lock"
#define LOCK_NAME      "lock"
#define KEY_GENERATION "store.generation"
#define REJOIN_HINT_FMT                                                                            \
    "move the directory of %s away, and join the cluster again as a new peer, with a fresh token"

/* --- Words --- */

int store_error_damaged(const struct store *store, struct error *error, const char *record)
{
    error_set(error, -EBADMSG, "store %s: %s is corrupt: its checksum does not match", store->path,
              record);
    error_hint(error, "check the disk (dmesg), " REJOIN_HINT_FMT, store->path);
    return -EBADMSG;
}

int store_error(const struct store *store, struct error *error, int code, const char *doing)
{
    switch (code) {
    case MDB_MAP_FULL:
        error_set(error, -ENOSPC, "%s to store %s: it has reached its limit of %zu MiB", doing,
                  store->path, store->map_bytes / MEBIBYTE);
        error_hint(error, "what was stored is intact; set a larger store limit and start the peer "
                          "again");
        return -ENOSPC;
    case ENOSPC:
    case EDQUOT:
        error_set(error, -ENOSPC, "%s to store %s: no space left on its file system", doing,
                  store->path);
        error_hint(error, "what was stored is intact; free some space (see: df -h %s)",
                   store->path);
        return -ENOSPC;
    case EIO:
        error_set_errno(error, -EIO, "%s to store %s", doing, store->path);
        error_hint(error, "the disk may be failing: see dmesg; what was stored before is intact");
        return -EIO;
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
    case MDB_PANIC:
        error_set(error, -EBADMSG, "%s to store %s: not a store, or corrupt (%s)", doing,
                  store->path, mdb_strerror(code));
        error_hint(error, "check the disk (dmesg), " REJOIN_HINT_FMT, store->path);
        return -EBADMSG;
    default:
        break;
    }
    int result = code > 0 ? -code : -EIO; /* LMDB's own remaining codes are all misuse or limits */
    return error_set(error, result, "%s to store %s: %s", doing, store->path, mdb_strerror(code));
}

/* --- Opening --- */

static char *join_path(const char *directory, const char *name)
{
    char *path = NULL;
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int lock_directory(struct store *store, const char *directory, struct error *error)
{
    if (mkdir(directory, DIRECTORY_MODE) < 0 && errno != EEXIST)
        return error_set_errno(error, -errno, "create the data directory %s", directory);
    char *path = join_path(directory, LOCK_NAME);
    if (!path)
        return error_set_errno(error, -ENOMEM, "open the data directory %s", directory);
    store->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
    int rc = store->lock_fd < 0 ? -errno : 0;
    free(path);
    if (rc < 0)
        return error_set_errno(error, rc, "open the data directory %s", directory);
    rc = file_lock(store->lock_fd, FILE_LOCK_PATIENCE_MS);
    if (rc == 0)
        return 0;
    if (rc != -EWOULDBLOCK)
        return error_set_errno(error, rc, "lock the data directory %s", directory);
    error_set(error, -EBUSY, "the data directory %s is in use by another consort process",
              directory);
    error_hint(error, "stop that one first, or use another directory");
    return -EBUSY;
}

/* LMDB maps the file: a page beyond a file cut short would be a SIGBUS. Filled with zeros, it is a
 * page that LMDB or the record's checksum refuses. */
static int fill_up(struct store *store)
{
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;
    struct stat file;
    if (mdb_env_info(store->environment, &info) != 0 ||
        mdb_env_stat(store->environment, &stat) != 0 ||
        mdb_env_get_fd(store->environment, &fd) != 0 || fstat(fd, &file) < 0)
        return EIO;
    uint64_t needed = ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    if (needed > store->map_bytes)
        return MDB_MAP_FULL;
    if ((uint64_t)file.st_size < needed && ftruncate(fd, (off_t)needed) < 0)
        return errno;
    return 0;
}

static int open_environment(struct store *store, const char *path)
{
    int code = mdb_env_create(&store->environment);
    if (code == 0)
        code = mdb_env_set_maxdbs(store->environment, TABLES_MAX);
    if (code == 0)
        code = mdb_env_set_mapsize(store->environment, store->map_bytes);
    if (code == 0)
        code = mdb_env_open(store->environment, path, MDB_NOSUBDIR | MDB_NOTLS, FILE_MODE);
    if (code == 0)
        code = fill_up(store);
    return code;
}

static void close_environment(struct store *store)
{
    if (store->environment)
        mdb_env_close(store->environment);
    store->environment = NULL;
}

static int open_tables(struct store *store, unsigned flags)
{
    MDB_txn *transaction;
    int code = mdb_txn_begin(store->environment, NULL, 0, &transaction);
    if (code != 0)
        return code;
    code = mdb_dbi_open(transaction, "values", flags, &store->values);
    if (code == 0)
        code = mdb_dbi_open(transaction, "log", flags, &store->log);
    if (code == 0)
        return mdb_txn_commit(transaction);
    mdb_txn_abort(transaction);
    return code;
}

static int sync_directory(const char *directory)
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int code = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return code;
}

static int make_file(struct store *store, const char *directory, const char *path)
{
    char *lock_path = join_path(directory, NEW_NAME LOCK_SUFFIX);
    if (!lock_path)
        return ENOMEM;
    unlink(path); /* of a try that was cut short */
    int code = open_environment(store, path);
    if (code == 0)
        code = open_tables(store, MDB_CREATE);
    close_environment(store);
    if (code == 0 && rename(path, store->path) < 0)
        code = errno;
    if (code == 0)
        code = sync_directory(directory);
    unlink(lock_path);
    free(lock_path);
    return code;
}

bool store_exists(const char *directory)
{
    struct stat file;
    char *path = join_path(directory, FILE_NAME);
    bool exists = !path || stat(path, &file) == 0 || errno != ENOENT;
    free(path);
    return exists;
}

/* A new file gets its name once it is whole: one of that name that is no store, or an empty one, is
 * never a store that was about to be made, but one that lost what was in it. */
static int make_if_missing(struct store *store, const char *directory)
{
    struct stat file;
    if (stat(store->path, &file) == 0)
        return file.st_size > 0 ? 0 : MDB_INVALID;
    if (errno != ENOENT)
        return errno;
    char *path = join_path(directory, NEW_NAME);
    int code = path ? make_file(store, directory, path) : ENOMEM;
    free(path);
    return code;
}

/* The generation must be durable before anything is said under it, hence the wait for the disk. */
static int increment_generation(struct store *store, struct error *error)
{
    cleanup_buffer struct buffer value = {0};
    uint8_t next[sizeof(uint64_t)];
    int rc = store_get(store, KEY_GENERATION, &value, error);
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (rc == -ENOENT && error)
        *error = (struct error){0}; /* the first start */
    if (rc == 0 && value.size != sizeof(next))
        return store_error_damaged(store, error, "record '" KEY_GENERATION "'");
    uint64_t generation = 0;
    for (size_t i = 0; rc == 0 && i < sizeof(next); i++)
        generation = generation << 8 | value.bytes[i];
    store_log_key(++generation, next);

    struct store_job job = {0};
    store_batch_init(&job.batch);
    store_batch_put(&job.batch, KEY_GENERATION, (struct bytes){next, sizeof(next)});
    job.batch.may_use_reserve = true;
    rc = job.batch.failed;
    if (rc < 0)
        error_set_errno(error, rc, "open store %s", store->path);
    else
        rc = store_commit(store, &(struct store_jobs){&job, &job}, error);
    store_batch_done(&job.batch);
    if (rc == 0)
        store->generation = generation;
    return rc;
}

static int open_all(struct store *store, const struct store_options *options, struct error *error)
{
    int rc = lock_directory(store, options->directory, error);
    if (rc < 0)
        return rc;
    int code = make_if_missing(store, options->directory);
    if (code == 0)
        code = store_check(store);
    if (code == 0)
        code = open_environment(store, store->path);
    if (code == 0)
        code = open_tables(store, 0);
    if (code == MDB_NOTFOUND)
        code = MDB_CORRUPTED; /* a table that is missing is one whose name is damaged */
    if (code != 0)
        return store_error(store, error, code, "open");
    rc = increment_generation(store, error);
    if (rc < 0)
        return rc;
    rc = store_writer_start(store);
    return rc < 0 ? error_set_errno(error, rc, "start the thread of store %s", store->path) : 0;
}

static void on_wake_closed(uv_handle_t *handle)
{
    free(handle->data);
}

/* Frees the store, now or once libuv has let go of its handle. */
static void store_free(struct store *store)
{
    close_environment(store);
    if (store->lock_fd >= 0)
        close(store->lock_fd);
    uv_cond_destroy(&store->has_work);
    uv_mutex_destroy(&store->mutex);
    free(store->path);
    store->wake.data = store;
    if (store->has_wake)
        uv_close((uv_handle_t *)&store->wake, on_wake_closed);
    else
        free(store);
}

int store_open(uv_loop_t *loop, const struct store_options *options, struct store **ret,
               struct error *error)
{
    struct store *store = calloc(1, sizeof(*store));
    if (!store)
        return error_set_errno(error, -ENOMEM, "open the store in %s", options->directory);
    store->loop = loop;
    store->lock_fd = -1;
    store->map_bytes = options->map_bytes ? options->map_bytes : STORE_MAP_BYTES_DEFAULT;
    store->path = join_path(options->directory, FILE_NAME);
    if (!store->path || uv_mutex_init(&store->mutex) < 0) {
        free(store->path);
        free(store);
        return error_set_errno(error, -ENOMEM, "open the store in %s", options->directory);
    }
    if (uv_cond_init(&store->has_work) < 0) {
        uv_mutex_destroy(&store->mutex);
        free(store->path);
        free(store);
        return error_set_errno(error, -ENOMEM, "open the store in %s", options->directory);
    }
    int rc = open_all(store, options, error);
    if (rc < 0) {
        store_free(store);
        return rc;
    }
    *ret = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    store_writer_stop(store);
    store_free(store);
}

uint64_t store_generation(const struct store *store)
{
    return store->generation;
}
