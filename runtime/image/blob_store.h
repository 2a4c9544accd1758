/* The blobs of all images on this machine, named by their digest, in an OCI image layout:
 *
 *     DIR/oci-layout              {"imageLayoutVersion":"1.0.0"}
 *     DIR/blobs/sha256/<hex>      a manifest, a configuration or a layer
 *     DIR/tmp/                    what is being written; swept when the store is opened
 *     DIR/lock                    held while the store is open, so that one process has it
 *
 * A blob is hashed while it is written to a temporary file, synced, and renamed to its name only if
 * its digest and size are what was asked for. So whatever has a name is whole, after any crash.
 *
 * Everything blocks on the disk: node calls it on the thread pool (uv_queue_work). Thread-safe: the
 * store changes only the disk after opening, and files appear and disappear atomically. One
 * writer belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"
#include "runtime/image/digest.h"

struct blob_store;
struct blob_writer;

/* Opens the store in `dir` (made if it is not there), and sweeps half-written blobs. -EBUSY when
 * another process has it open. The caller frees `*ret`. */
int blob_store_open(const char *dir, struct blob_store **ret, struct error *error);

/* As blob_store_open(), for a child of the process that has it open: no lock is taken and nothing
 * swept. */
int blob_store_open_beside(const char *dir, struct blob_store **ret, struct error *error);

/* Removes what a child, which has ended, left half-written. */
void blob_store_sweep_child(struct blob_store *store, pid_t child);

void blob_store_free(struct blob_store *store);

/* The store's directory, as a path (borrowed) and as a descriptor (borrowed). */
const char *blob_store_path(const struct blob_store *store);
int blob_store_fd(const struct blob_store *store);

bool blob_store_has(const struct blob_store *store, const struct digest *digest);

/* A blob's size, or -ENOENT. */
int64_t blob_store_size(const struct blob_store *store, const struct digest *digest);

/* When it was stored or last touched, by the wall clock; or -ENOENT. */
int64_t blob_store_time_s(const struct blob_store *store, const struct digest *digest);

/* It is in use now. Nothing happens if it is not there. */
void blob_store_touch(const struct blob_store *store, const struct digest *digest);

/* Opens a blob for reading; the caller closes `*ret_fd`. `ret_size_bytes` may be NULL. -ENOENT if
 * the store has no such blob. */
int blob_store_open_blob(const struct blob_store *store, const struct digest *digest, int *ret_fd,
                         int64_t *ret_size_bytes, struct error *error);

/* Reads a whole small blob, a manifest or a configuration, into `ret` (appended) and checks its
 * digest again, so that bit rot never reaches a parser. -E2BIG above `max_bytes`, -EBADMSG when the
 * bytes on disk are no longer those of the digest, -ENOENT. */
int blob_store_read(const struct blob_store *store, const struct digest *digest, size_t max_bytes,
                    struct buffer *ret, struct error *error);

/* Stores a small blob that is in memory. `ret` (may be NULL) is its digest. */
int blob_store_put(struct blob_store *store, const void *data, size_t size_bytes,
                   struct digest *ret, struct error *error);

/* 0 also when it is not there. Readers that have it open can go on reading. */
int blob_store_remove(const struct blob_store *store, const struct digest *digest,
                      struct error *error);

/* Adds every blob's digest to `ret`. */
int blob_store_list(const struct blob_store *store, struct digest_set *ret, struct error *error);

/* Starts a blob. `expected` may be NULL (any digest will do) and `expected_size_bytes` negative
 * (any size up to BLOB_BYTES_MAX). The caller frees `*ret`, which drops what was not committed. */
int blob_writer_new(struct blob_store *store, const struct digest *expected,
                    int64_t expected_size_bytes, struct blob_writer **ret, struct error *error);
void blob_writer_free(struct blob_writer *writer);

/* -EFBIG as soon as there is more than was expected; after any failure only free is allowed. */
int blob_writer_write(struct blob_writer *writer, const void *data, size_t size_bytes,
                      struct error *error);

/* Syncs and names the blob. -EBADMSG when its size or digest is not the expected one. `ret` and
 * `ret_size_bytes` may be NULL. Having the blob already is no error. */
int blob_writer_commit(struct blob_writer *writer, struct digest *ret, int64_t *ret_size_bytes,
                       struct error *error);
