/* The lock that says which process a directory belongs to.
 *
 * It goes with the process that has it, however that ends. But a child that was forked a moment
 * before, and did not get to its own program yet, still has it; so whoever comes next is patient.
 */
#pragma once

enum {
    FILE_LOCK_PATIENCE_MS = 1000,
};

/* Takes the exclusive lock (flock(2)) of an open file; closing the file gives it back. -EWOULDBLOCK
 * if another process has it for all of `patience_ms`, for which this blocks. */
int file_lock(int fd, int patience_ms);
