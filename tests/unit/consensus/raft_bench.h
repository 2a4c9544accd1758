/* One core among hand-made messages: it is peer 1, and the others exist only in what they say.
 *
 *     bench_start(&b, 3, 1, NULL, 0);
 *     bench_lead(&b, 3);
 *     assert_int_equal(bench_acknowledge(&b, 2, 2), 0);
 *     …
 *     raft_free(b.raft);
 */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "consensus/raft.h"

struct bench {
    struct raft *raft;
    struct raft_output output; /* of the last step */
    int64_t now_ms;
};

struct id bench_peer(int number);
struct raft_configuration bench_voters(int first, int last);

/* A snapshot whose hash is what bench_config()'s verify wants: the start of `text`. */
struct raft_snapshot bench_snapshot(uint64_t index, uint64_t term, const char *text);

/* Starts peer 1 of peers 1 … count at `term`, with a snapshot of index 1, term 1, and these
 * entries; without pre-vote, with small bounds, and each append carries one entry. */
void bench_start(struct bench *b, int count, uint64_t term, const struct raft_entry *entries,
                 size_t entry_count);

/* The same with another configuration: bench_config() is what bench_start() takes. */
struct raft_config bench_config(void);
void bench_start_as(struct bench *b, const struct raft_config *config, int count, uint64_t term,
                    const struct raft_entry *entries, size_t entry_count);

/* These give one input and return raft_step's result. */
int bench_give(struct bench *b, struct raft_input input);
int bench_say(struct bench *b, int from, struct raft_message message);
int bench_acknowledge(struct bench *b, int from, uint64_t index);
int bench_propose(struct bench *b, const char *text);

/* The write that the last step asked for, if any, is done. */
void bench_store(struct bench *b);

/* Makes peer 1 of `count` the leader; its first entry is stored. */
void bench_lead(struct bench *b, int count);

struct raft_status bench_status(const struct bench *b);
struct raft_progress_status bench_progress(const struct bench *b, int number);

/* The last message of that type to that peer among what may be sent now, or NULL. */
const struct raft_message *bench_sent(const struct bench *b, enum raft_message_type type, int to);

/* … and among what may be sent once this step's write is stored. */
const struct raft_message *bench_held(const struct bench *b, enum raft_message_type type, int to);
