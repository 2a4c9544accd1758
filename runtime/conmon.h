/* conmon, the monitor that holds one container's output, log and exit code while the daemon may
 * come and go; and through it, or beside it, the OCI runtime.
 *
 * All functions block, up to settings->launch_timeout_ms, and belong on a worker thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "runtime/settings.h"

struct conmon_options {
    uint64_t log_bytes_max;
    bool tty, stdin_open;
};

/* Has conmon create the container from the bundle RUN/containers/ID; `*ret_pid` is its first
 * process, which waits for conmon_start(). */
int conmon_create(const struct runtime_settings *settings, const char *id, const char *name,
                  const struct conmon_options *options, pid_t *ret_pid, struct error *error);

/* Understands what conmon says of a creation: {"data": PID}, or a negative number with a "message",
 * which becomes the error's words. -EIO. */
int conmon_answer_parse(const char *id, const char *text, pid_t *ret_pid, struct error *error);

/* Lets the created container run. */
int conmon_start(const struct runtime_settings *settings, const char *id, struct error *error);

/* For a container that was being let run when its daemon died: if `pid`, its first process, waits
 * still, with nobody left to let it run, it need not any more. Nothing happens to one that runs. */
void conmon_start_again(const struct runtime_settings *settings, const char *id, pid_t pid);

/* Kills and forgets whatever there is of a container: the OCI runtime's state, processes, control
 * group, conmon and its files. 0 if nothing is left. */
int conmon_delete(const struct runtime_settings *settings, const char *id, struct error *error);

struct conmon_exit {
    int code; /* -1: conmon died, and nobody knows */
    bool oom_killed;
};

/* Reads how the container ended; waits for conmon to write it, as long as conmon lives. */
void conmon_read_exit(const struct runtime_settings *settings, const char *id,
                      struct conmon_exit *ret);
