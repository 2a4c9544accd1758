/* The log in memory: consecutive entries behind the last discarded one, each owning its bytes, and
 * how far they were handed out for storing and are stored.
 *
 * The entries lie in one array, so that what is sent, stored and applied is a slice of it. Only
 * raft_log_reserve() allocates: callers reserve before they change anything.
 */
#pragma once

#include "consensus/raft_message.h"

struct raft_log {
    struct raft_entry *entries;
    size_t count;
    size_t capacity;
    uint64_t offset; /* index of the last discarded entry: entries[0] is the next one */
    uint64_t offset_term;
    uint64_t stored;             /* on the disk up to here */
    uint64_t handed_out;         /* given out for storing up to here; ≥ stored */
    uint64_t truncated_from;     /* 0, or where what was handed out became void since */
    uint64_t last_configuration; /* the highest index of a configuration entry; 0: none */
    size_t bytes;                /* of all entries' data */
};

/* Starts an empty log behind the entry (index, term), all of it stored. */
void raft_log_init(struct raft_log *log, uint64_t index, uint64_t term);
void raft_log_done(struct raft_log *log);

/* Empties the log and continues behind (index, term); the memory for entries is kept. */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);

/* Makes room for `count` more entries; -ENOMEM. */
int raft_log_reserve(struct raft_log *log, size_t count);

/* Appends the entry whose index is the next one; room was reserved. Takes over entry->data. */
void raft_log_append(struct raft_log *log, struct raft_entry entry);

/* Drops the entries from `index` on. */
void raft_log_truncate(struct raft_log *log, uint64_t index);

/* Drops the entries up to `index`, which are stored. */
void raft_log_discard(struct raft_log *log, uint64_t index);

uint64_t raft_log_last_index(const struct raft_log *log);
uint64_t raft_log_last_term(const struct raft_log *log);

/* The entry at `index` (borrowed), or NULL. */
const struct raft_entry *raft_log_at(const struct raft_log *log, uint64_t index);

/* True and the term if it is known: for the entries and the last discarded one. */
bool raft_log_term(const struct raft_log *log, uint64_t index, uint64_t *ret);

/* True if the log holds, or held last, the entry (index, term). */
bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term);

/* The highest index up to `index` whose term is at most `term`, and that term: where two logs may
 * agree when they do not at `index`. (0, 0) or (index, 0) where it is no longer known. */
uint64_t raft_log_conflict(const struct raft_log *log, uint64_t index, uint64_t term,
                           uint64_t *ret_term);

/* How many entries from `index` on fit into one message of `bytes_max`; one always does. */
size_t raft_log_batch(const struct raft_log *log, uint64_t index, size_t bytes_max);

/* The first configuration entry behind `after` and up to `last`, or NULL. */
const struct raft_entry *raft_log_next_configuration(const struct raft_log *log, uint64_t after,
                                                     uint64_t last);

/* Marks the entries not yet handed out as part of the write `sequence`; returns how many. */
size_t raft_log_hand_out(struct raft_log *log, uint64_t sequence);

/* The writes up to `sequence` are on the disk. */
void raft_log_store(struct raft_log *log, uint64_t sequence);
