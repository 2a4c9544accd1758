/* A peer's store as node/store has it, on a disk that can fail: LMDB, copy-on-write, with two meta
 * pages that take turns, and records under checksums (node/store/record.c, the code that ships).
 *
 * Batches wait while a commit is under way and share the next one. A commit writes new pages, syncs
 * them, and then one sector of the other meta page: so a crash in the middle leaves the old state
 * or the new one, whichever pages were reordered or lost before. Rubbish in a sector is what
 * copy-on-write can't help: of a meta page, LMDB refuses it; of a record, its checksum does; of a
 * page that is free, nobody notices or need.
 */
#pragma once

#include "base/random.h"
#include "consensus/raft.h"

/* What one step wants stored, as peer_store_write() does it, all or nothing. */
struct sim_batch {
    uint64_t sequence; /* 0: nobody waits for it */
    bool has_hard_state;
    struct raft_hard_state hard_state;
    struct raft_snapshot *snapshot; /* owned, or NULL */
    uint64_t discard_through;       /* with a snapshot: the log behind this stays; 0: it goes */
    uint64_t truncate_from;
    struct raft_entry *entries; /* owned, with their data */
    size_t entry_count;
};

struct sim_record {
    uint8_t *bytes; /* checksum, then the value; NULL: no record */
    size_t size;
};

struct sim_store {
    struct sim_record hard_state, snapshot;
    struct sim_record *log; /* from log_index + 1 on */
    size_t log_count, log_capacity;
    uint64_t log_index, log_term; /* the last entry that was discarded */
    uint64_t transaction;         /* of the newest meta page */
    bool meta_is_rubbish[2];
    struct sim_batch *waiting; /* in order; the first `committing` are in the commit under way */
    size_t waiting_count, waiting_capacity, committing;
    /* The same, for checks: what would be read after a crash now. */
    struct raft_hard_state durable;
    uint64_t snapshot_index;
};

void sim_store_init(struct sim_store *store);
void sim_store_done(struct sim_store *store);

/* Takes over what the batch owns. */
void sim_store_queue(struct sim_store *store, struct sim_batch *batch);

/* Begins a commit of all that waits; false if one is under way or nothing waits. */
bool sim_store_begin(struct sim_store *store);

/* The commit under way is on the disk; returns its last sequence, 0 if nobody waits. */
uint64_t sim_store_finish(struct sim_store *store);

/* Power is gone: what waits is lost; a commit under way is on the disk wholly or not at all. */
void sim_store_crash(struct sim_store *store, struct random *random);

/* Fills a sector with rubbish; true if it was in use, so that opening must notice. */
bool sim_store_spoil(struct sim_store *store, struct random *random);

/* What raft_new() wants; everything is owned by `*ret` until sim_opened_done(). */
struct sim_opened {
    struct raft_stored stored;
    struct raft_snapshot snapshot;
};

/* -EBADMSG, and `words` names what is damaged. */
int sim_store_open(const struct sim_store *store, struct sim_opened *ret, char *words, size_t size);
void sim_opened_done(struct sim_opened *opened);

/* The term of a durable entry; false if the log does not hold it (any more). */
bool sim_store_term(const struct sim_store *store, uint64_t index, uint64_t *ret);

/* True if the entry is durable here, in the log or in the snapshot. */
bool sim_store_holds(const struct sim_store *store, uint64_t index, uint64_t term);

/* A deep copy, for a batch. */
struct raft_snapshot *sim_snapshot_copy(const struct raft_snapshot *snapshot);
void *sim_grow(void *items, size_t count, size_t *capacity, size_t size);
struct bytes sim_copy(struct bytes bytes);
