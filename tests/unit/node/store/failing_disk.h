/* LMDB's calls to the disk, wrapped by the linker: they fail by countdown, and what is written is
 * remembered, so that the file can be made as a crash at any moment would have left it.
 *
 *     disk_fail_after(DISK_WRITES, 2);      the third write fails, and only that one
 *     disk_record_begin(); … disk_record_end(&history);
 *     disk_crash(&history, 5, &random, image);   the file after the fifth event, power gone
 *
 * Nothing is really synced: only the order counts here, and it is quicker.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/random.h"

enum disk_call {
    DISK_WRITES,      /* fails, and nothing was written */
    DISK_TORN_WRITES, /* fails, and the first half was written */
    DISK_SYNCS,
    DISK_SIZES, /* ftruncate */
    DISK_CALLS,
};

/* A negative count: none fails. */
void disk_fail_after(enum disk_call call, int64_t count);

/* Whether the one that was to fail has been reached since. */
bool disk_has_failed(void);

struct disk_event {
    bool is_sync;   /* all before it is on the disk for sure */
    bool is_atomic; /* one sector, through a file that syncs each write: there or not */
    uint64_t offset;
    struct buffer bytes;
};

struct disk_history {
    struct disk_event *events;
    size_t count;
};

void disk_record_begin(void);
void disk_record_end(struct disk_history *ret);
void disk_history_done(struct disk_history *history);

/* Changes `image`, the file before the history, to what a crash after `count` of its events may
 * leave: all that was synced, and of each later write all, nothing, a part, or a part in rubbish.
 */
void disk_crash(const struct disk_history *history, size_t count, struct random *random,
                struct buffer *image);

/* True if the first `count` events have the last one that is atomic and so ends a commit. */
bool disk_has_committed(const struct disk_history *history, size_t count);
