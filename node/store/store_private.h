/* What the store's files share: store.c opens and closes, store_check.c looks at the file before
 * that, store_read.c reads; store_batch.c builds batches;
 * store_commit.c applies them to LMDB; store_writer.c is the thread that does so. */
#pragma once

#include <lmdb.h>

#include "node/store/store.h"

enum {
    LOG_KEY_BYTES = 8, /* an index in network order, so that LMDB sorts by it */
};

enum operation_type {
    OPERATION_PUT,
    OPERATION_DELETE,
    OPERATION_DELETE_ALL,
    OPERATION_APPEND,
    OPERATION_TRUNCATE_FROM,
    OPERATION_COMPACT_TO,
};

/* One step of a batch; `key` and `value` borrow from the batch. */
struct operation {
    enum operation_type type;
    uint64_t index;
    struct bytes key;
    struct bytes value;
};

/* A batch on its way through the writer. */
struct store_job {
    struct store_batch batch;
    void (*callback)(void *context, int result, const struct error *error);
    void *context;
    int result;
    struct store_job *next;
};

struct store_jobs {
    struct store_job *first, *last;
};

struct store {
    char *path; /* of the LMDB file */
    int lock_fd;
    size_t map_bytes;
    MDB_env *environment;
    MDB_dbi values, log;
    uint64_t generation;

    uv_loop_t *loop;
    uv_async_t wake; /* the writer has finished something; keeps the loop alive while it works */
    bool has_wake;
    size_t outstanding; /* jobs whose callback has not come; the loop's thread only */
    uv_thread_t thread;
    uv_mutex_t mutex; /* guards all that follows */
    uv_cond_t has_work;
    bool is_running, is_stopping;
    struct store_jobs waiting, done;
    int broken; /* a commit failed, and its callbacks have not come yet */
    struct error broken_why;
    uint64_t commits;
    unsigned fail_write_in, fail_sync_in;
};

/* Reads the operation at *offset of the batch and moves *offset behind it; false at the end. */
bool store_batch_next(const struct store_batch *batch, size_t *offset, struct operation *ret);

/* Applies the jobs' batches in one transaction and syncs. On failure nothing is changed. */
int store_commit(struct store *store, const struct store_jobs *jobs, struct error *error);

/* store_check.c: 0 if the file holds together, or LMDB itself will say why not; else MDB_CORRUPTED,
 * or an errno. */
int store_check(const struct store *store);

/* Starts and stops the writer. Stopping waits, and gives every job its callback. */
int store_writer_start(struct store *store);
void store_writer_stop(struct store *store);

/* Records what LMDB's `code` means, as words with the path and what to do: returns a negative
 * errno. */
int store_error(const struct store *store, struct error *error, int code, const char *doing);
int store_error_damaged(const struct store *store, struct error *error, const char *record);

static inline MDB_val store_val(struct bytes bytes)
{
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static inline struct bytes store_bytes(MDB_val value)
{
    return (struct bytes){value.mv_data, value.mv_size};
}

void store_log_key(uint64_t index, uint8_t ret[LOG_KEY_BYTES]);

/* The index in a log key; -EBADMSG if it is none. */
int store_log_index(MDB_val key, uint64_t *ret);
