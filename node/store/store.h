/* What a peer must not forget, in one LMDB environment in its data directory: Raft's hard state and
 * log, snapshots, and small named values (certificate chain, newest intent, other peers'
 * addresses).
 *
 * Values are opaque here. Each is stored with a checksum over its key and bytes, so that a damaged
 * one is found and named, not believed. Writes are batches: all of a batch or nothing of it, in the
 * order they were given. Commits run on a thread of the store's own (in libuv's pool a vote would
 * wait behind the hashing of images). While one is under way, later batches wait and then share the
 * next (group commit): one sync for many.
 *
 *     store_batch_put(&batch, STORE_KEY_HARD_STATE, bytes);
 *     store_batch_append(&batch, index, entry);
 *     store_write(store, &batch, on_durable, context);
 *
 * One process at a time may have a data directory open.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "base/buffer.h"
#include "base/error.h"
#include "node/bounds.h"

#define STORE_KEY_HARD_STATE "raft.hard_state"
#define STORE_KEY_SNAPSHOT   "raft.snapshot"
#define STORE_KEY_INTENT     "intent.applied"
#define STORE_KEY_CHAIN      "identity.chain"
#define STORE_KEY_SPENT      "identity.spent" /* the id of the key that has left its cluster */

struct store;

/* A batch under construction: plain memory, opened with store_batch_init. */
struct store_batch {
    struct buffer operations; /* store.c's own encoding */
    size_t count;
    int failed; /* the first failure (-ENOMEM, -E2BIG, -EINVAL) sticks; store_write returns it */
    bool may_use_reserve; /* it makes room, or is tiny and needed to start */
};

struct store_options {
    const char *directory; /* created with mode 0700 if it is not there; copied */
    size_t map_bytes;      /* the file never grows over this; 0: STORE_MAP_BYTES_DEFAULT. The last
                              eighth of it is kept for batches that cut the log: also deleting
                              takes new pages, and a full store must not stay full */
};

/* Opens or creates the store, increments the generation and syncs that. Blocks: for start-up. A
 * negative errno with path, cause and what to type next in `error`: -EBUSY another process has it,
 * -EBADMSG not a store or damaged, -ENOSPC, -EIO, -EACCES, -ENOMEM. */
int store_open(uv_loop_t *loop, const struct store_options *options, struct store **ret,
               struct error *error);

/* Waits for the commit under way; batches not yet begun fail with -ECANCELED. Their callbacks come
 * from inside this call, which must not come from one. The directory is free for the next store
 * when this returns; the memory goes from the loop. NULL is accepted. */
void store_close(struct store *store);

/* Whether there is a store in that directory, or something in its place: false only for certain. */
bool store_exists(const char *directory);

/* How often this store was opened: 1 the first time. */
uint64_t store_generation(const struct store *store);

/* Reads one value (appended to `ret`), as of the last commit. -ENOENT; -EBADMSG with words if the
 * record is damaged; -ENOMEM. Blocks for a disk read at most: for start-up and rare use. */
int store_get(struct store *store, const char *key, struct buffer *ret, struct error *error);

/* Calls `visit` for each key (NUL-terminated, borrowed) that starts with `prefix`, in byte order. A
 * result other than 0 ends the walk and is returned. Errors as store_get. */
int store_each(struct store *store, const char *prefix,
               int (*visit)(void *context, const char *key, struct bytes value), void *context,
               struct error *error);

/* The first and last index of the log as of the last commit; 0 and 0 if it is empty. */
int store_log_bounds(struct store *store, uint64_t *ret_first, uint64_t *ret_last,
                     struct error *error);

/* Visits the log's entries from `first_index` on, in order. A gap or a damaged entry is -EBADMSG
 * with its index in words. */
int store_log_each(struct store *store, uint64_t first_index,
                   int (*visit)(void *context, uint64_t index, struct bytes entry), void *context,
                   struct error *error);

/* The last of the log's entries from `first_index` on that is damaged, 0 if none is: what is behind
 * it can be visited. A gap, which nobody can tell the end of, is -EBADMSG. */
int store_log_damaged(struct store *store, uint64_t first_index, uint64_t *ret_index,
                      struct error *error);

void store_batch_init(struct store_batch *batch);
void store_batch_done(struct store_batch *batch);

/* Operations are done in the order they were added; bytes are copied. Keys are text of 1 to
 * STORE_KEY_BYTES_MAX bytes; values hold at most STORE_VALUE_BYTES_MAX. */
void store_batch_put(struct store_batch *batch, const char *key, struct bytes value);
void store_batch_delete(struct store_batch *batch, const char *key); /* none there is fine */
/* Deletes each key that starts with `prefix`, of which no more is looked at than the key. */
void store_batch_delete_all(struct store_batch *batch, const char *prefix);

/* Appends a log entry: to an empty log at any index from 1, else right after the last one. */
void store_batch_append(struct store_batch *batch, uint64_t index, struct bytes entry);
/* Removes the log's entries at `index` and after it. */
void store_batch_truncate_from(struct store_batch *batch, uint64_t index);
/* Removes the log's entries up to and including `index`: a snapshot holds them. */
void store_batch_compact_to(struct store_batch *batch, uint64_t index);

/* Writes the batch, whose contents pass to the store (the batch is empty afterwards, also on
 * failure). `callback` comes from the loop, in order: result 0 once it is durable, or a negative
 * errno with words, and nothing of the batch is stored. A failed commit fails all that shared it,
 * and all that were given before its callbacks came, since they may build on it; then the store
 * goes on. -ENOMEM, or the batch's own failure: then no callback comes. */
int store_write(struct store *store, struct store_batch *batch,
                void (*callback)(void *context, int result, const struct error *error),
                void *context);

/* How many commits have been made durable since it was opened, each of one batch or more. */
uint64_t store_commits(struct store *store);

/* For tests: the `writes`th put and the `syncs`th commit from now fail with -EIO; 0: never. */
void store_fail_after(struct store *store, unsigned writes, unsigned syncs);
