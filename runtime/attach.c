#include "runtime/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "runtime/container.h"
#include "runtime/file.h"
#include "runtime/stream_input.h"

enum {
    PACKET_BYTES = 64 * 1024,      /* more than conmon sends at once, 8 KiB and a byte */
    INPUT_PACKET_BYTES = 8 * 1024, /* less than it takes at once, 32 KiB */
    STREAM_ERROR = 3,              /* a packet's first byte; 2 is standard output */
};

struct runtime_attach {
    struct attachment attachment;
    struct runtime *runtime;
    struct attach_callbacks callbacks;
    uv_pipe_t socket;
    bool closed;
    bool ended; /* on_end was called */
    bool paused;
    bool takes_input;
    char control[PATH_BYTES];
    char packet[PACKET_BYTES];
};

static void socket_closed(uv_handle_t *handle)
{
    struct runtime_attach *attach = handle->data;
    struct runtime *runtime = attach->runtime;
    free(attach);
    runtime_release(runtime);
}

void runtime_attach_close(struct runtime_attach *attach)
{
    if (!attach || attach->closed)
        return;
    attach->closed = true;
    runtime_attachment_remove(&attach->attachment);
    uv_close((uv_handle_t *)&attach->socket, socket_closed);
}

static void attachment_close(struct attachment *attachment)
{
    runtime_attach_close((struct runtime_attach *)attachment);
}

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct runtime_attach *attach = handle->data;
    *ret = uv_buf_init(attach->packet, sizeof(attach->packet));
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buffer)
{
    struct runtime_attach *attach = stream->data;
    if (got == 0)
        return;
    if (got < 0) { /* conmon has gone, and the container before it */
        uv_read_stop(stream);
        attach->ended = true;
        attach->callbacks.on_end(attach->callbacks.context);
        return;
    }
    struct bytes output = {(const uint8_t *)buffer->base + 1, (size_t)got - 1};
    if (output.size > 0)
        attach->callbacks.on_output(attach->callbacks.context, buffer->base[0] == STREAM_ERROR,
                                    output);
}

void runtime_attach_pause(struct runtime_attach *attach, bool pause)
{
    if (attach->closed || attach->ended || attach->paused == pause)
        return;
    attach->paused = pause;
    if (pause)
        uv_read_stop((uv_stream_t *)&attach->socket);
    else
        uv_read_start((uv_stream_t *)&attach->socket, on_allocate, on_read);
}

static void on_taken(void *object, size_t bytes)
{
    struct runtime_attach *attach = object;
    if (!attach->closed && !attach->ended && attach->callbacks.on_taken)
        attach->callbacks.on_taken(attach->callbacks.context, bytes);
}

int runtime_attach_write(struct runtime_attach *attach, struct bytes data)
{
    uv_stream_t *input = (uv_stream_t *)&attach->socket;
    if (attach->closed || attach->ended || !attach->takes_input)
        return -EPIPE;
    if (!stream_input_has_room(input))
        return -ENOBUFS;
    while (data.size > 0) { /* a packet each */
        size_t size = data.size < INPUT_PACKET_BYTES ? data.size : INPUT_PACKET_BYTES;
        int result = stream_input_write(input, (struct bytes){data.data, size}, on_taken);
        if (result < 0)
            return result;
        data = (struct bytes){data.data + size, data.size - size};
    }
    return 0;
}

/* In conmon's words: what is asked for (1: a size), rows, columns. A FIFO that nobody reads from is
 * left alone. */
void runtime_attach_resize(struct runtime_attach *attach, uint16_t rows, uint16_t columns)
{
    char words[32];
    cleanup_close int fd = open(attach->control, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return;
    int length = snprintf(words, sizeof(words), "1 %u %u\n", rows, columns);
    if (write(fd, words, (size_t)length) < 0)
        return; /* the terminal keeps its size: nothing is lost */
}

/* A path may be longer than a socket's address holds, so its folder is named by a descriptor. */
static int connect_conmon(const char *folder, int *ret)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    cleanup_close int directory = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return -errno;
    snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/attach", directory);
    cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    *ret = take_fd(fd);
    return 0;
}

int runtime_attach(struct runtime *runtime, const char *id,
                   const struct attach_callbacks *callbacks, struct runtime_attach **ret)
{
    const struct container *container = container_find(runtime, id);
    if (!container)
        return -ENOENT;
    if (container->record.process.pid == 0)
        return -ESRCH;
    struct path folder = path_run(&runtime->settings, id, NULL);
    cleanup_close int fd = -1;
    int result = connect_conmon(folder.text, &fd);
    if (result < 0)
        return result;
    struct runtime_attach *attach = calloc(1, sizeof(*attach));
    if (!attach)
        return -ENOMEM;
    attach->runtime = runtime;
    attach->callbacks = *callbacks;
    attach->takes_input = container->spec.sandbox.stdin_open;
    path_format(attach->control, sizeof(attach->control), "%s/ctl", folder.text);
    attach->attachment.close = attachment_close;
    uv_pipe_init(runtime->loop, &attach->socket, 0);
    attach->socket.data = attach;
    runtime_hold(runtime);
    runtime_attachment_add(runtime, &attach->attachment);
    result = uv_pipe_open(&attach->socket, fd);
    if (result == 0) {
        take_fd(fd);
        result = uv_read_start((uv_stream_t *)&attach->socket, on_allocate, on_read);
    }
    if (result < 0) {
        runtime_attach_close(attach);
        return result;
    }
    *ret = attach;
    return 0;
}
