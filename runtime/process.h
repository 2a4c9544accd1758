/* Processes, told apart even when the kernel uses a number again; and short-lived children that a
 * worker thread waits for.
 *
 * A pid alone may name a stranger after a restart of the daemon or the machine. With the boot's id
 * and the time (in clock ticks since boot) at which the process started, it is certain.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "base/error.h"

enum {
    BOOT_ID_BYTES = 37, /* text with the NUL */
};

/* Fields of /proc/PID/stat, counted from the one behind the state (proc(5)'s fourth). */
enum {
    PROCESS_STAT_UTIME = 10,
    PROCESS_STAT_STIME = 11,
    PROCESS_STAT_START = 18, /* in clock ticks since boot */
    PROCESS_STAT_RSS = 20,   /* in pages */
    PROCESS_STAT_BYTES = 1024,
};

/* Understands such a file's text: the state, and the first `count` fields behind it. -EINVAL. */
int process_parse_stat(const char *text, char *ret_state, uint64_t *ret_fields, int count);

struct process {
    pid_t pid; /* 0: none */
    uint64_t start_ticks;
    char boot_id[BOOT_ID_BYTES];
};

/* Learns what tells the living process `pid` from later ones. -ESRCH if there is none. */
int process_identify(pid_t pid, struct process *ret);

/* 0 if that very process exists and is no zombie, -ESRCH if it is gone, or why nobody can say: with
 * no file descriptor left, for one. */
int process_check(const struct process *process);

/* Opens a descriptor that gets readable when that very process ends. As process_check(). */
int process_open(const struct process *process, int *ret_pidfd);

/* How long ago it was started, the time included that the machine slept; -1 after another boot. */
int64_t process_age_ms(const struct process *process);

/* Sends a signal to that very process; -ESRCH if it is gone. */
int process_signal(const struct process *process, int signal);

/* Runs `argv` (looked up in PATH) and waits at most `timeout_ms`, then kills it (-ETIMEDOUT). Its
 * standard output and error are appended to `output` (may be NULL), up to PROCESS_OUTPUT_BYTES_MAX.
 * Returns its exit code, 128 + signal, or a negative errno. Blocks: for worker threads. */
int process_run(const char *const *argv, int timeout_ms, struct buffer *output);

/* As process_run, in `directory`, with `fds` passed on under the numbers PROCESS_PASSED_FD and
 * following, and without its output. The first number is also told by the variable `name`. */
int process_run_with(const char *const *argv, const char *directory, const char *name,
                     const int *fds, size_t fd_count, int timeout_ms);

enum {
    PROCESS_PASSED_FD = 3,
    PROCESS_OUTPUT_BYTES_MAX = 16 * 1024,
};

/* The environment that children get: a PATH, and nothing of the daemon's own secrets. */
extern const char *const process_environment[];
