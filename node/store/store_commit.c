#include <errno.h>
#include <string.h>

#include "node/store/record.h"
#include "node/store/store_private.h"

enum {
    RESERVE_PART = 8, /* of the store, for batches that make room */
    FREE_TABLE = 0,   /* LMDB's own: lists of pages, each begins with how many they are */
};

/* One transaction while batches are applied to it. */
struct commit {
    struct store *store;
    MDB_txn *transaction;
    MDB_cursor *log;
    struct buffer record; /* scratch */
    uint64_t last_index;  /* of the log; 0: empty */
};

/* True when a test asked for this write (or sync) to fail. */
static bool fails_now(struct store *store, unsigned *countdown)
{
    uv_mutex_lock(&store->mutex);
    bool fails = *countdown > 0 && --*countdown == 0;
    uv_mutex_unlock(&store->mutex);
    return fails;
}

static int put_record(struct commit *commit, MDB_dbi table, struct bytes key, struct bytes value,
                      unsigned flags)
{
    if (fails_now(commit->store, &commit->store->fail_write_in))
        return EIO;
    buffer_clear(&commit->record);
    if (record_seal(key, value, &commit->record) < 0)
        return ENOMEM;
    MDB_val key_val = store_val(key), value_val = store_val(buffer_view(&commit->record));
    return mdb_put(commit->transaction, table, &key_val, &value_val, flags);
}

static int delete_value(struct commit *commit, struct bytes key)
{
    MDB_val key_val = store_val(key);
    int code = mdb_del(commit->transaction, commit->store->values, &key_val, NULL);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int delete_values(struct commit *commit, struct bytes prefix)
{
    MDB_cursor *cursor;
    int code = mdb_cursor_open(commit->transaction, commit->store->values, &cursor);
    if (code != 0)
        return code;
    while (code == 0) {
        MDB_val key = store_val(prefix), value;
        code = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
        if (code == 0 &&
            (key.mv_size < prefix.size || memcmp(key.mv_data, prefix.data, prefix.size) != 0))
            break;
        if (code == 0)
            code = mdb_cursor_del(cursor, 0);
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int find_last_index(struct commit *commit)
{
    MDB_val key, value;
    int code = mdb_cursor_get(commit->log, &key, &value, MDB_LAST);
    commit->last_index = 0;
    if (code == MDB_NOTFOUND)
        return 0;
    if (code == 0 && store_log_index(key, &commit->last_index) < 0)
        return MDB_CORRUPTED;
    return code;
}

static int append_entry(struct commit *commit, const struct operation *operation)
{
    uint8_t key[LOG_KEY_BYTES];
    if (commit->last_index != 0 && operation->index != commit->last_index + 1)
        return EINVAL;
    store_log_key(operation->index, key);
    int code = put_record(commit, commit->store->log, (struct bytes){key, sizeof(key)},
                          operation->value, MDB_APPEND);
    if (code == 0)
        commit->last_index = operation->index;
    return code;
}

/* Deletes from the end of the log down to `index`. */
static int truncate_from(struct commit *commit, uint64_t index)
{
    while (commit->last_index != 0 && commit->last_index >= index) {
        MDB_val key, value;
        int code = mdb_cursor_get(commit->log, &key, &value, MDB_LAST);
        if (code == 0)
            code = mdb_cursor_del(commit->log, 0);
        if (code == 0)
            code = find_last_index(commit);
        if (code != 0)
            return code;
    }
    return 0;
}

/* Deletes from the start of the log up to `index`. */
static int compact_to(struct commit *commit, uint64_t index)
{
    for (;;) {
        MDB_val key, value;
        uint64_t first = 0;
        int code = mdb_cursor_get(commit->log, &key, &value, MDB_FIRST);
        if (code == 0 && store_log_index(key, &first) < 0)
            code = MDB_CORRUPTED;
        if (code == MDB_NOTFOUND || (code == 0 && first > index))
            return find_last_index(commit);
        if (code == 0)
            code = mdb_cursor_del(commit->log, 0);
        if (code != 0)
            return code;
    }
}

static int apply(struct commit *commit, const struct operation *operation)
{
    switch (operation->type) {
    case OPERATION_PUT:
        return put_record(commit, commit->store->values, operation->key, operation->value, 0);
    case OPERATION_DELETE:
        return delete_value(commit, operation->key);
    case OPERATION_DELETE_ALL:
        return delete_values(commit, operation->key);
    case OPERATION_APPEND:
        return append_entry(commit, operation);
    case OPERATION_TRUNCATE_FROM:
        return truncate_from(commit, operation->index);
    case OPERATION_COMPACT_TO:
        return compact_to(commit, operation->index);
    }
    return EINVAL;
}

static int apply_jobs(struct commit *commit, const struct store_jobs *jobs)
{
    int code = mdb_cursor_open(commit->transaction, commit->store->log, &commit->log);
    if (code == 0)
        code = find_last_index(commit);
    for (const struct store_job *job = jobs->first; job && code == 0; job = job->next) {
        struct operation operation;
        size_t offset = 0;
        while (code == 0 && store_batch_next(&job->batch, &offset, &operation))
            code = apply(commit, &operation);
    }
    if (commit->log)
        mdb_cursor_close(commit->log);
    return code;
}

static int count_free_pages(struct store *store, size_t *ret)
{
    MDB_txn *transaction;
    MDB_cursor *cursor;
    MDB_val key, pages;
    int code = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &transaction);
    *ret = 0;
    if (code != 0)
        return code;
    code = mdb_cursor_open(transaction, FREE_TABLE, &cursor);
    if (code != 0) {
        mdb_txn_abort(transaction);
        return code;
    }
    while ((code = mdb_cursor_get(cursor, &key, &pages, MDB_NEXT)) == 0) {
        size_t count;
        if (pages.mv_size < sizeof(count)) {
            code = MDB_CORRUPTED;
            break;
        }
        memcpy(&count, pages.mv_data, sizeof(count));
        *ret += count;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(transaction);
    return code == MDB_NOTFOUND ? 0 : code;
}

static bool may_use_reserve(const struct store_jobs *jobs, size_t *ret_bytes)
{
    bool may = false;
    *ret_bytes = 0;
    for (const struct store_job *job = jobs->first; job; job = job->next) {
        may = may || job->batch.may_use_reserve;
        *ret_bytes += job->batch.operations.size;
    }
    return may;
}

/* Refuses what would leave too little room for the batch that makes some. */
static int check_room(struct store *store, const struct store_jobs *jobs)
{
    MDB_envinfo info;
    MDB_stat stat;
    size_t bytes, free_pages, limit = store->map_bytes;
    limit -= limit / RESERVE_PART;
    if (may_use_reserve(jobs, &bytes))
        return 0;
    int code = mdb_env_info(store->environment, &info);
    if (code == 0)
        code = mdb_env_stat(store->environment, &stat);
    if (code != 0)
        return code;
    size_t used = (info.me_last_pgno + 1) * stat.ms_psize;
    if (used <= limit && bytes <= limit - used)
        return 0; /* mostly: nothing need be counted */
    code = count_free_pages(store, &free_pages);
    if (code != 0)
        return code;
    used -= free_pages * stat.ms_psize < used ? free_pages * stat.ms_psize : used;
    return used > limit || bytes > limit - used ? MDB_MAP_FULL : 0;
}

int store_commit(struct store *store, const struct store_jobs *jobs, struct error *error)
{
    struct commit commit = {.store = store};
    int code = check_room(store, jobs);
    if (code == 0)
        code = mdb_txn_begin(store->environment, NULL, 0, &commit.transaction);
    if (code != 0)
        return store_error(store, error, code, "write");
    buffer_init(&commit.record);
    code = apply_jobs(&commit, jobs);
    if (code == 0 && fails_now(store, &store->fail_sync_in))
        code = EIO;
    if (code == 0)
        code = mdb_txn_commit(commit.transaction);
    else
        mdb_txn_abort(commit.transaction);
    buffer_done(&commit.record);
    return code == 0 ? 0 : store_error(store, error, code, "write");
}
