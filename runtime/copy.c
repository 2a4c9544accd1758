#include "runtime/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/container.h"
#include "runtime/copy_files.h"
#include "runtime/stream_input.h"
#include "runtime/userns.h"

enum {
    COPY_READ_BYTES = 64 * 1024,
    COPY_HANDLES = 2, /* the pipe, the thread's word */
};

struct runtime_copy {
    struct attachment attachment;
    struct runtime *runtime;
    struct copy_callbacks callbacks;
    uv_pipe_t pipe;
    uv_shutdown_t shutdown;
    uv_async_t thread_over;
    uv_thread_t thread;
    bool is_running; /* the thread */
    bool read_all;   /* of what it wrote */
    bool closed;     /* by the user: no more callbacks */
    bool input_ended;
    bool paused;
    unsigned handles_open;

    /* The thread's, until it is over. */
    int root_fd, archive_fd;
    uint32_t first_id; /* of its user namespace; 0: none */
    bool goes_in;
    char path[RUNTIME_COPY_PATH_BYTES];
    struct error error;

    char chunk[COPY_READ_BYTES];
};

static void handle_closed(uv_handle_t *handle)
{
    struct runtime_copy *copy = handle->data;
    if (--copy->handles_open > 0)
        return;
    struct runtime *runtime = copy->runtime;
    runtime->copies--;
    free(copy);
    runtime_release(runtime);
}

static void close_handle(void *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, handle_closed);
}

void runtime_copy_close(struct runtime_copy *copy)
{
    if (!copy || copy->closed)
        return;
    copy->closed = true;
    runtime_attachment_remove(&copy->attachment);
    close_handle(&copy->pipe); /* which ends the thread, if it still copies */
    if (!copy->is_running)
        close_handle(&copy->thread_over);
}

static void attachment_close(struct attachment *attachment)
{
    runtime_copy_close((struct runtime_copy *)attachment);
}

static void end_if_over(struct runtime_copy *copy)
{
    if (!copy->closed && !copy->is_running && copy->read_all)
        copy->callbacks.on_end(copy->callbacks.context, copy->error.code < 0 ? &copy->error : NULL);
}

static void run_thread(void *context)
{
    struct runtime_copy *copy = context;
    int acts = copy->first_id != 0 ? userns_act_as_root(copy->first_id) : 0;
    if (acts < 0)
        error_set_errno(&copy->error, acts, "acting as the container's root");
    else if (copy->goes_in)
        copy_files_in(copy->root_fd, copy->path, copy->archive_fd, &copy->error);
    else
        copy_files_out(copy->root_fd, copy->path, copy->archive_fd, &copy->error);
    close(copy->root_fd);
    close(copy->archive_fd);
    uv_async_send(&copy->thread_over);
}

static void on_thread_over(uv_async_t *async)
{
    struct runtime_copy *copy = async->data;
    uv_thread_join(&copy->thread);
    copy->is_running = false;
    if (copy->closed)
        close_handle(&copy->thread_over);
    else
        end_if_over(copy);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct runtime_copy *copy = handle->data;
    *ret = uv_buf_init(copy->chunk, sizeof(copy->chunk));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct runtime_copy *copy = stream->data;
    if (got > 0) {
        copy->callbacks.on_data(copy->callbacks.context,
                                (struct bytes){(const uint8_t *)buffer->base, (size_t)got});
    } else if (got < 0) {
        uv_read_stop(stream);
        copy->read_all = true;
        end_if_over(copy);
    }
}

void runtime_copy_pause(struct runtime_copy *copy, bool pause)
{
    if (copy->closed || copy->read_all || copy->paused == pause)
        return;
    copy->paused = pause;
    if (pause)
        uv_read_stop((uv_stream_t *)&copy->pipe);
    else
        uv_read_start((uv_stream_t *)&copy->pipe, on_allocate, on_read);
}

static void on_taken(void *object, size_t bytes)
{
    struct runtime_copy *copy = object;
    if (!copy->closed)
        copy->callbacks.on_taken(copy->callbacks.context, bytes);
}

int runtime_copy_write(struct runtime_copy *copy, struct bytes data)
{
    uv_stream_t *pipe = (uv_stream_t *)&copy->pipe;
    if (copy->closed || copy->input_ended || !copy->goes_in)
        return -EPIPE;
    return stream_input_has_room(pipe) ? stream_input_write(pipe, data, on_taken) : -ENOBUFS;
}

void runtime_copy_end_input(struct runtime_copy *copy)
{
    if (copy->closed || copy->input_ended)
        return;
    copy->input_ended = true;
    uv_shutdown(&copy->shutdown, (uv_stream_t *)&copy->pipe, NULL);
}

/* As the container's first process sees it, with its mounts. */
static int open_root(const struct container *container, int *ret_fd)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/root", (int)container->record.process.pid);
    cleanup_close int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? -ESRCH : -errno;
    int result = process_signal(&container->record.process, 0);
    if (result < 0)
        return result; /* the number may be another's by then */
    *ret_fd = take_fd(fd);
    return 0;
}

/* Two ends of a stream; ours does not block. */
static int open_ends(struct runtime_copy *copy)
{
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
        return -errno;
    copy->archive_fd = ends[1];
    int result = uv_pipe_open(&copy->pipe, ends[0]);
    if (result < 0)
        close(ends[0]);
    return result;
}

static int begin(struct runtime_copy *copy, const struct container *container)
{
    int result = open_root(container, &copy->root_fd);
    if (result == 0)
        result = open_ends(copy);
    if (result == 0)
        result = uv_read_start((uv_stream_t *)&copy->pipe, on_allocate, on_read);
    if (result == 0)
        result = uv_thread_create(&copy->thread, run_thread, copy);
    copy->is_running = result == 0;
    if (result < 0) {
        if (copy->root_fd >= 0)
            close(copy->root_fd);
        if (copy->archive_fd >= 0)
            close(copy->archive_fd);
    }
    return result;
}

int runtime_copy(struct runtime *runtime, const char *id, const struct copy_options *options,
                 const struct copy_callbacks *callbacks, struct runtime_copy **ret)
{
    const struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    if (container->record.process.pid == 0)
        return -ESRCH;
    if (strlen(options->path) >= RUNTIME_COPY_PATH_BYTES)
        return -ENAMETOOLONG;
    if (runtime->copies >= RUNTIME_COPIES_MAX)
        return -EBUSY;
    struct runtime_copy *copy = calloc(1, sizeof(*copy));
    if (!copy)
        return -ENOMEM;
    copy->runtime = runtime;
    copy->callbacks = *callbacks;
    copy->goes_in = options->goes_in;
    copy->first_id = container->record.first_id;
    copy->root_fd = copy->archive_fd = -1;
    snprintf(copy->path, sizeof(copy->path), "%s", options->path);
    copy->attachment.close = attachment_close;
    uv_pipe_init(runtime->loop, &copy->pipe, 0);
    uv_async_init(runtime->loop, &copy->thread_over, on_thread_over);
    copy->pipe.data = copy->thread_over.data = copy;
    copy->handles_open = COPY_HANDLES;
    runtime->copies++;
    runtime_hold(runtime);
    runtime_attachment_add(runtime, &copy->attachment);
    int result = begin(copy, container);
    if (result < 0) {
        runtime_copy_close(copy);
        return result;
    }
    *ret = copy;
    return 0;
}
