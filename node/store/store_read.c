#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "node/store/record.h"
#include "node/store/store_private.h"

enum {
    RECORD_NAME_BYTES = STORE_KEY_BYTES_MAX + 32,
};

/* A read transaction with one cursor. */
struct walk {
    MDB_txn *transaction;
    MDB_cursor *cursor;
};

void store_log_key(uint64_t index, uint8_t ret[LOG_KEY_BYTES])
{
    for (size_t i = LOG_KEY_BYTES; i-- > 0; index >>= 8)
        ret[i] = (uint8_t)index;
}

int store_log_index(MDB_val key, uint64_t *ret)
{
    if (key.mv_size != LOG_KEY_BYTES)
        return -EBADMSG;
    uint64_t index = 0;
    for (size_t i = 0; i < LOG_KEY_BYTES; i++)
        index = index << 8 | ((const uint8_t *)key.mv_data)[i];
    *ret = index;
    return 0;
}

static int walk_begin(struct store *store, MDB_dbi table, struct walk *walk, struct error *error)
{
    *walk = (struct walk){0};
    int code = mdb_txn_begin(store->environment, NULL, MDB_RDONLY, &walk->transaction);
    if (code == 0)
        code = mdb_cursor_open(walk->transaction, table, &walk->cursor);
    if (code == 0)
        return 0;
    mdb_txn_abort(walk->transaction);
    return store_error(store, error, code, "read");
}

static void walk_end(struct walk *walk)
{
    mdb_cursor_close(walk->cursor);
    mdb_txn_abort(walk->transaction);
}

static int open_value(struct store *store, MDB_val key, MDB_val sealed, struct bytes *ret,
                      struct error *error)
{
    char name[RECORD_NAME_BYTES];
    if (record_open(store_bytes(key), store_bytes(sealed), ret) == 0)
        return 0;
    snprintf(name, sizeof(name), "record '%.*s'", (int)key.mv_size, (const char *)key.mv_data);
    return store_error_damaged(store, error, name);
}

int store_get(struct store *store, const char *key, struct buffer *ret, struct error *error)
{
    struct walk walk;
    struct bytes value;
    int rc = walk_begin(store, store->values, &walk, error);
    if (rc < 0)
        return rc;
    MDB_val key_val = store_val(bytes_of_text(key)), sealed;
    int code = mdb_cursor_get(walk.cursor, &key_val, &sealed, MDB_SET);
    if (code == MDB_NOTFOUND)
        rc = error_set(error, -ENOENT, "store %s: no record '%s'", store->path, key);
    else if (code != 0)
        rc = store_error(store, error, code, "read");
    else
        rc = open_value(store, key_val, sealed, &value, error);
    if (rc == 0 && buffer_append(ret, value.data, value.size) < 0)
        rc = error_set_errno(error, -ENOMEM, "store %s: read record '%s'", store->path, key);
    walk_end(&walk);
    return rc;
}

static int visit_value(struct store *store, MDB_val key, MDB_val sealed,
                       int (*visit)(void *context, const char *key, struct bytes value),
                       void *context, struct error *error)
{
    char name[STORE_KEY_BYTES_MAX + 1];
    struct bytes value;
    if (key.mv_size > STORE_KEY_BYTES_MAX)
        return store_error_damaged(store, error, "the table of values");
    memcpy(name, key.mv_data, key.mv_size);
    name[key.mv_size] = '\0';
    int rc = open_value(store, key, sealed, &value, error);
    return rc < 0 ? rc : visit(context, name, value);
}

int store_each(struct store *store, const char *prefix,
               int (*visit)(void *context, const char *key, struct bytes value), void *context,
               struct error *error)
{
    struct walk walk;
    size_t prefix_size = strlen(prefix);
    int rc = walk_begin(store, store->values, &walk, error);
    if (rc < 0)
        return rc;
    MDB_val key = store_val(bytes_of_text(prefix)), sealed;
    int code = mdb_cursor_get(walk.cursor, &key, &sealed, prefix_size ? MDB_SET_RANGE : MDB_FIRST);
    while (code == 0 && rc == 0) {
        if (key.mv_size < prefix_size || memcmp(key.mv_data, prefix, prefix_size) != 0)
            break;
        rc = visit_value(store, key, sealed, visit, context, error);
        if (rc == 0)
            code = mdb_cursor_get(walk.cursor, &key, &sealed, MDB_NEXT);
    }
    walk_end(&walk);
    if (code != 0 && code != MDB_NOTFOUND)
        return store_error(store, error, code, "read");
    return rc;
}

static int read_index(struct walk *walk, MDB_cursor_op operation, uint64_t *ret)
{
    MDB_val key, value;
    int code = mdb_cursor_get(walk->cursor, &key, &value, operation);
    if (code == MDB_NOTFOUND)
        *ret = 0;
    else if (code == 0 && store_log_index(key, ret) < 0)
        return MDB_CORRUPTED;
    return code == MDB_NOTFOUND ? 0 : code;
}

int store_log_bounds(struct store *store, uint64_t *ret_first, uint64_t *ret_last,
                     struct error *error)
{
    struct walk walk;
    uint64_t first, last;
    int rc = walk_begin(store, store->log, &walk, error);
    if (rc < 0)
        return rc;
    int code = read_index(&walk, MDB_FIRST, &first);
    if (code == 0)
        code = read_index(&walk, MDB_LAST, &last);
    walk_end(&walk);
    if (code != 0)
        return store_error(store, error, code, "read");
    *ret_first = first;
    *ret_last = last;
    return 0;
}

/* Checks and visits one entry, which must be `expected` unless that is 0. */
static int visit_entry(struct store *store, MDB_val key, MDB_val sealed, uint64_t expected,
                       int (*visit)(void *context, uint64_t index, struct bytes entry),
                       void *context, struct error *error)
{
    char name[RECORD_NAME_BYTES];
    struct bytes entry;
    uint64_t index;
    if (store_log_index(key, &index) < 0)
        return store_error_damaged(store, error, "the table of log entries");
    if (expected != 0 && index != expected)
        return error_set(error, -EBADMSG, "store %s: log entry %" PRIu64 " is missing", store->path,
                         expected);
    snprintf(name, sizeof(name), "log entry %" PRIu64, index);
    if (record_open(store_bytes(key), store_bytes(sealed), &entry) < 0)
        return store_error_damaged(store, error, name);
    return visit(context, index, entry);
}

int store_log_each(struct store *store, uint64_t first_index,
                   int (*visit)(void *context, uint64_t index, struct bytes entry), void *context,
                   struct error *error)
{
    struct walk walk;
    uint8_t start[LOG_KEY_BYTES];
    uint64_t expected = 0;
    int rc = walk_begin(store, store->log, &walk, error);
    if (rc < 0)
        return rc;
    store_log_key(first_index, start);
    MDB_val key = {sizeof(start), start}, sealed;
    int code = mdb_cursor_get(walk.cursor, &key, &sealed, MDB_SET_RANGE);
    while (code == 0 && rc == 0) {
        rc = visit_entry(store, key, sealed, expected, visit, context, error);
        if (rc != 0 || store_log_index(key, &expected) < 0)
            break;
        expected++;
        code = mdb_cursor_get(walk.cursor, &key, &sealed, MDB_NEXT);
    }
    walk_end(&walk);
    if (code != 0 && code != MDB_NOTFOUND)
        return store_error(store, error, code, "read");
    return rc;
}

int store_log_damaged(struct store *store, uint64_t first_index, uint64_t *ret_index,
                      struct error *error)
{
    struct walk walk;
    uint8_t start[LOG_KEY_BYTES];
    uint64_t index, expected = 0, damaged = 0;
    int rc = walk_begin(store, store->log, &walk, error);
    if (rc < 0)
        return rc;
    store_log_key(first_index, start);
    MDB_val key = {sizeof(start), start}, sealed;
    int code = mdb_cursor_get(walk.cursor, &key, &sealed, MDB_SET_RANGE);
    for (; code == 0; code = mdb_cursor_get(walk.cursor, &key, &sealed, MDB_NEXT)) {
        struct bytes entry;
        if (store_log_index(key, &index) < 0 || (expected != 0 && index != expected)) {
            rc = store_error_damaged(store, error, "the table of log entries");
            break;
        }
        if (record_open(store_bytes(key), store_bytes(sealed), &entry) < 0)
            damaged = index;
        expected = index + 1;
    }
    walk_end(&walk);
    if (code != 0 && code != MDB_NOTFOUND)
        return store_error(store, error, code, "read");
    if (rc == 0)
        *ret_index = damaged;
    return rc;
}
