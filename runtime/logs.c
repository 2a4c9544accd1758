/* A container's log as a stream of lines: runtime_logs_open() and its siblings, declared in
 * runtime.h.
 *
 * A worker reads the next piece of the file; the loop's thread cuts it into lines and passes them
 * on. Following looks again every RUNTIME_LOG_POLL_MS. When the log has grown to its limit, conmon
 * starts an empty file in its place; the reader finishes the old one, which it has open, and goes
 * on there.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/container.h"
#include "runtime/log_format.h"

struct runtime_logs {
    struct attachment attachment;
    struct runtime *runtime;
    struct logs_options options;
    struct logs_callbacks callbacks;
    struct path path;
    uv_timer_t timer;
    uv_work_t work;

    /* The worker's, while reading. */
    int fd;
    int64_t offset;
    bool placed; /* `offset` has been set to the tail's beginning */
    bool gone;   /* the file was deleted, with its container */
    int result;
    struct buffer bytes; /* read and not passed on yet */

    struct buffer partial[2]; /* the beginning of a line of each stream */
    bool reading;
    bool paused;
    bool at_end; /* the last reading found nothing */
    bool ended;
    bool closed;
    bool timer_closed;
};

/* ---- On a worker ---- */

static int open_log(struct runtime_logs *logs)
{
    logs->fd = open(logs->path.text, O_RDONLY | O_CLOEXEC);
    if (logs->fd < 0)
        return -errno;
    logs->offset = 0;
    if (logs->placed)
        return 0;
    logs->placed = true;
    return logs->options.tail < 0 ? 0 : log_find_tail(logs->fd, logs->options.tail, &logs->offset);
}

static int read_piece(struct runtime_logs *logs, size_t *ret_got)
{
    int result = buffer_reserve(&logs->bytes, RUNTIME_LOG_CHUNK_BYTES);
    if (result < 0)
        return result;
    ssize_t got = pread(logs->fd, logs->bytes.bytes + logs->bytes.size, RUNTIME_LOG_CHUNK_BYTES,
                        logs->offset);
    if (got < 0)
        return -errno;
    logs->bytes.size += (size_t)got;
    logs->offset += got;
    *ret_got = (size_t)got;
    return 0;
}

/* True if conmon has put a new file in the place of the one that is open, or emptied it. */
static bool was_replaced(struct runtime_logs *logs)
{
    struct stat ours, theirs;
    if (stat(logs->path.text, &theirs) < 0) {
        logs->gone = errno == ENOENT;
        return false;
    }
    return fstat(logs->fd, &ours) == 0 &&
           (ours.st_ino != theirs.st_ino || ours.st_size < logs->offset);
}

static int read_next(struct runtime_logs *logs)
{
    size_t got = 0;
    logs->at_end = false;
    int result = logs->fd < 0 ? open_log(logs) : 0;
    if (result == 0)
        result = read_piece(logs, &got);
    if (result < 0 || got > 0)
        return result == -ENOENT ? 0 : result;
    if (was_replaced(logs)) {
        close(logs->fd);
        result = open_log(logs);
        if (result == 0)
            result = read_piece(logs, &got);
    }
    logs->at_end = got == 0;
    return result;
}

static void run_reading(uv_work_t *work)
{
    struct runtime_logs *logs = work->data;
    logs->result = read_next(logs);
    if (logs->fd < 0)
        logs->at_end = true; /* nothing was ever logged */
}

/* ---- On the loop's thread ---- */

static void read_on(struct runtime_logs *logs);

static void free_if_done(struct runtime_logs *logs)
{
    if (!logs->closed || logs->reading || !logs->timer_closed)
        return;
    struct runtime *runtime = logs->runtime;
    if (logs->fd >= 0)
        close(logs->fd);
    buffer_done(&logs->bytes);
    buffer_done(&logs->partial[0]);
    buffer_done(&logs->partial[1]);
    free(logs);
    runtime_release(runtime);
}

static void pass_line(struct runtime_logs *logs, const struct log_entry *entry)
{
    struct buffer *partial = &logs->partial[entry->is_error];
    struct bytes line = entry->text;
    bool whole = !entry->partial || partial->size + line.size >= RUNTIME_LOG_LINE_BYTES_MAX;
    if (partial->size > 0 || !whole) {
        if (buffer_append(partial, line.data, line.size) < 0)
            return; /* a line lost for want of memory is better than the daemon */
        line = buffer_view(partial);
    }
    if (!whole)
        return;
    logs->callbacks.on_line(logs->callbacks.context, entry->wall_ns, entry->is_error, line);
    buffer_clear(partial);
}

/* Passes on the lines that are there, until the reader pauses or closes. True if none is left. */
static bool pass_lines(struct runtime_logs *logs)
{
    int64_t since_ns = logs->options.since_wall_ms * 1000000;
    size_t used = 0;
    bool more = true;
    while (more && !logs->paused && !logs->closed) {
        const uint8_t *start = logs->bytes.bytes + used;
        size_t left = logs->bytes.size - used;
        const uint8_t *end = left ? memchr(start, '\n', left) : NULL;
        more = end != NULL;
        if (!more)
            break;
        used += (size_t)(end - start) + 1;
        struct log_entry entry;
        if (log_entry_parse((struct bytes){start, (size_t)(end - start)}, &entry) == 0 &&
            entry.wall_ns >= since_ns)
            pass_line(logs, &entry);
    }
    buffer_consume(&logs->bytes, used);
    /* Not the format's: a whole piece without a newline. */
    if (!more && logs->bytes.size >= RUNTIME_LOG_CHUNK_BYTES)
        buffer_clear(&logs->bytes);
    return !more;
}

static void end(struct runtime_logs *logs, int status)
{
    logs->ended = true;
    logs->callbacks.on_end(logs->callbacks.context, status);
}

static void on_poll(uv_timer_t *timer)
{
    read_on(timer->data);
}

/* Passes on what is there and decides what comes after it. */
static void go_on(struct runtime_logs *logs)
{
    if (logs->closed || logs->ended || !pass_lines(logs) || logs->paused || logs->closed)
        return;
    if (logs->result < 0)
        end(logs, logs->result);
    else if (!logs->at_end)
        read_on(logs);
    else if (!logs->options.follow || logs->gone)
        end(logs, 0);
    else
        uv_timer_start(&logs->timer, on_poll, RUNTIME_LOG_POLL_MS, 0);
}

static void on_resume(uv_timer_t *timer)
{
    go_on(timer->data);
}

static void reading_done(uv_work_t *work, int status)
{
    (void)status;
    struct runtime_logs *logs = work->data;
    logs->reading = false;
    go_on(logs);
    free_if_done(logs);
}

static void read_on(struct runtime_logs *logs)
{
    if (logs->reading || logs->closed)
        return;
    logs->reading = true;
    logs->work.data = logs;
    uv_queue_work(logs->runtime->loop, &logs->work, run_reading, reading_done);
}

static void attachment_close(struct attachment *attachment)
{
    runtime_logs_close((struct runtime_logs *)attachment);
}

int runtime_logs_open(struct runtime *runtime, const char *id, const struct logs_options *options,
                      const struct logs_callbacks *callbacks, struct runtime_logs **ret)
{
    if (!container_find(runtime, id))
        return -ENOENT;
    struct runtime_logs *logs = calloc(1, sizeof(*logs));
    if (!logs)
        return -ENOMEM;
    logs->runtime = runtime;
    logs->options = *options;
    logs->callbacks = *callbacks;
    logs->path = path_log(&runtime->settings, id);
    logs->fd = -1;
    logs->attachment.close = attachment_close;
    buffer_init(&logs->bytes);
    buffer_init(&logs->partial[0]);
    buffer_init(&logs->partial[1]);
    uv_timer_init(runtime->loop, &logs->timer);
    logs->timer.data = logs;
    runtime_hold(runtime);
    runtime_attachment_add(runtime, &logs->attachment);
    read_on(logs);
    *ret = logs;
    return 0;
}

void runtime_logs_pause(struct runtime_logs *logs, bool pause)
{
    if (logs->paused == pause || logs->closed)
        return;
    logs->paused = pause;
    if (!pause && !logs->reading) /* not now: we may be within the reader's own callback */
        uv_timer_start(&logs->timer, on_resume, 0, 0);
}

static void timer_closed(uv_handle_t *handle)
{
    struct runtime_logs *logs = handle->data;
    logs->timer_closed = true;
    free_if_done(logs);
}

void runtime_logs_close(struct runtime_logs *logs)
{
    if (!logs || logs->closed)
        return;
    logs->closed = true;
    runtime_attachment_remove(&logs->attachment);
    uv_close((uv_handle_t *)&logs->timer, timer_closed);
}
