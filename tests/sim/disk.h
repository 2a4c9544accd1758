/* A machine's disk, as node/peer/peer_store.c and LMDB make it: batches become durable whole and in
 * order, those that wait share one sync, and a crash keeps a batch or loses it.
 *
 *     disk_write(disk, batch)           queued
 *     disk_sync_begin(disk)             all that is queued goes into one transaction; it takes a
 * while disk_sync_end(disk, each, …)      that is durable now: `each` hears its sequence
 *     disk_crash(disk, kept)            what was not durable is gone; the transaction under way was
 *                                       committed (and nobody has heard so) or was not
 */
#pragma once

#include "gossip/certificate.h"
#include "node/control/agent.h"
#include "tests/sim/network.h"

/* One atomic write. It owns the agent's write, which is moved into it. */
struct disk_batch {
    struct disk_batch *next;
    bool has_write;
    struct agent_write write;
    bool has_seed, has_known; /* another machine's address: put, or deleted */
    unsigned seed;
    uint64_t fed_index; /* of the intent, if the write is of what the feed brought */
};

struct disk_entries {
    struct raft_entry *items; /* each owns its data, of malloc; in order of index */
    size_t count, capacity;
};

/* What is durable. */
struct disk_content {
    struct certificate_chain chain; /* count 0: no member of any cluster */
    struct raft_hard_state hard_state;
    bool has_snapshot;
    struct raft_snapshot snapshot; /* its data lies in `snapshot_data` */
    struct buffer snapshot_data;
    uint64_t log_index, log_term;
    struct buffer intent;
    struct disk_entries log, fed; /* Raft's; and behind `intent` */
    uint64_t fed_index;           /* where the intent stood when the feed's last was stored */
    bool seeds[SIM_MACHINES_MAX];
    uint32_t generation; /* of starts */
};

struct disk {
    struct disk_content content;
    struct disk_batch *first, **last; /* queued */
    struct disk_batch *syncing;       /* in the transaction that is under way */
};

void disk_init(struct disk *disk);
void disk_done(struct disk *disk);

struct disk_batch *disk_batch_new(void);

/* Moves the agent's write out of its output. */
struct disk_batch *disk_batch_of(struct agent_write *write);

void disk_write(struct disk *disk, struct disk_batch *batch);

/* False if nothing waits, or a sync is under way. */
bool disk_sync_begin(struct disk *disk);
void disk_sync_end(struct disk *disk, void (*each)(void *context, uint64_t sequence),
                   void *context);
void disk_crash(struct disk *disk, bool kept);

/* Breaks the rule that what was synced stays: the newest entries are gone. */
void disk_lose_tail(struct disk *disk);

/* Breaks the rule that a start applies what is stored behind the intent. */
void disk_lose_fed(struct disk *disk);

/* What a new member stores: its chain and the intent that it was given. */
void disk_join(struct disk *disk, const struct certificate_chain *chain, struct bytes intent);

/* What the first member stores. */
void disk_found(struct disk *disk, const struct certificate_chain *chain,
                const struct raft_snapshot *snapshot);

/* The cluster is forgotten, with all of Raft's. */
void disk_forget(struct disk *disk);

/* As peer_store_load(); borrows from the disk until its next change. */
void disk_load(const struct disk *disk, struct agent_stored *ret);
