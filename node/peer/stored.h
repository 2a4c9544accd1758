/* The records that a peer keeps in its store, as bytes: Raft's hard state, snapshot and entries.
 *
 * The store has checked that they are what was written (see node/store/record.h); whether they make
 * sense is checked here. Readers return 0 or -EBADMSG, and leave `*ret` untouched then.
 */
#pragma once

#include "base/buffer.h"
#include "base/writer.h"
#include "consensus/raft.h"

/* The snapshot's record also says where the log begins: what was cut off ends at `log_index`. */
struct stored_snapshot {
    struct raft_snapshot snapshot; /* its data borrows from the record when read */
    uint64_t log_index, log_term;
};

void stored_hard_state_write(struct writer *writer, const struct raft_hard_state *state);
void stored_snapshot_write(struct writer *writer, const struct stored_snapshot *stored);

/* All but the index, which is the record's key. */
void stored_entry_write(struct writer *writer, const struct raft_entry *entry);

int stored_hard_state_read(struct bytes record, struct raft_hard_state *ret);
int stored_snapshot_read(struct bytes record, struct stored_snapshot *ret);

/* The data borrows from the record; the index is 0. */
int stored_entry_read(struct bytes record, struct raft_entry *ret);
