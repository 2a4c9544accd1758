/* What must be remembered of a container, beside its spec, when the daemon or the machine restarts.
 *
 * Kept in DATA/containers/ID/state, written anew at every turn of the container's life. The process
 * is named with its start time and the boot's id, so that a stale file never claims a stranger.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/reader.h"
#include "base/writer.h"
#include "runtime/network/network_pool.h"
#include "runtime/process.h"

enum container_wanted {
    WANT_RUN,
    WANT_STOP,
    WANT_REMOVE,
};

/* Whether it ended for good though it is wanted. */
enum container_over {
    OVER_NO,
    OVER_EXITED, /* as its restart policy has it */
    OVER_FAILED, /* after too many tries */
    OVER_ENDED,  /* and what follows was not decided yet: on disk only, if a daemon died then */
};

enum {
    STATE_ERROR_BYTES = 1024,
    STATE_BYTES_MAX = 64 * 1024,
};

struct container_record {
    enum container_wanted wanted;
    struct network_ends ends; /* none yet, if the count is 0 */
    uint32_t first_id;        /* of its user namespace's; 0: none yet */
    struct process process;   /* pid 0: not running as far as known */
    enum container_over over;
    int exit_code; /* of the last run; -1: unknown or never run */
    bool oom_killed;
    uint32_t attempts; /* restarts in a row, for the backoff */
    uint32_t restarts;
    uint32_t hooks_done; /* of its post_start, since it was started last */
    int64_t started_wall_ms;
    int64_t finished_wall_ms;
    int64_t ran_ms; /* the last run, whatever the wall clock did; -1: not known. Not kept on disk */
    char error[STATE_ERROR_BYTES];
};

void container_record_init(struct container_record *record);

void container_record_write(struct writer *writer, const struct container_record *record);

/* -EBADMSG for anything that container_record_write() does not write; `*ret` untouched then. */
int container_record_read(struct reader *reader, struct container_record *ret);

/* Puts the record in place of the file at `path`, all or nothing; see file_replace(). Blocks. */
int container_record_save(const char *path, const struct container_record *record, bool synced);
int container_record_load(const char *path, struct container_record *ret);
