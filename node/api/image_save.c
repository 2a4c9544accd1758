/* image.save: the archive is written to a file of this peer, on the pool, and sent from there as
 * fast as the client takes it. A slow client so holds no worker, but the archive takes its room
 * twice. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/api/image_save.h"
#include "runtime/image/image_reference.h"
#include "runtime/image/image_save.h"

enum {
    SAVE_CHUNK_BYTES = 256 * 1024,
};

struct saving {
    uv_work_t work; /* one at a time: the archive is made, then a chunk of it is read */
    struct api_call *call;
    char name[IMAGE_REFERENCE_BYTES_MAX + DIGEST_TEXT_BYTES];
    int fd;
    bool is_made, is_working, is_full;
    struct error error;
    size_t chunk_size; /* 0: the end */
    uint8_t chunk[SAVE_CHUNK_BYTES];
};

static void finish(struct saving *saving)
{
    struct api_call *call = saving->call;
    if (saving->fd >= 0)
        close(saving->fd);
    if (saving->error.code < 0)
        api_fail(call, &saving->error);
    else
        api_answer(call, NULL);
    free(saving);
}

static void carry_out(uv_work_t *work)
{
    struct saving *saving = work->data;
    if (!saving->is_made) {
        if (image_save(saving->call->peer->image_store, saving->name, saving->fd, &saving->error) ==
                0 &&
            lseek(saving->fd, 0, SEEK_SET) < 0)
            error_set_errno(&saving->error, -errno, "saving %s", saving->name);
        return;
    }
    ssize_t size = read(saving->fd, saving->chunk, sizeof(saving->chunk));
    saving->chunk_size = size > 0 ? (size_t)size : 0;
    if (size < 0)
        error_set_errno(&saving->error, -errno, "saving %s", saving->name);
}

static void on_carried_out(uv_work_t *work, int status);

static void go_on(struct saving *saving)
{
    if (saving->is_working || (saving->is_full && !saving->call->is_canceled))
        return;
    if (saving->call->is_canceled)
        error_set(&saving->error, -ECANCELED, "saving %s: the client went away", saving->name);
    if (saving->error.code < 0) {
        finish(saving);
        return;
    }
    saving->is_working = true;
    uv_queue_work(saving->call->peer->loop, &saving->work, carry_out, on_carried_out);
}

static void on_carried_out(uv_work_t *work, int status)
{
    struct saving *saving = work->data;
    (void)status;
    saving->is_working = false;
    if (!saving->is_made || saving->error.code < 0) {
        saving->is_made = true;
        go_on(saving);
        return;
    }
    if (saving->chunk_size == 0) {
        finish(saving);
        return;
    }
    cleanup_buffer struct buffer payload = {0};
    struct writer writer;
    writer_init(&writer, &payload);
    writer_binary(&writer, saving->chunk, saving->chunk_size);
    if (writer_check(&writer) < 0)
        error_set_errno(&saving->error, -ENOMEM, "saving %s", saving->name);
    else
        saving->is_full = api_note(saving->call, "data", buffer_view(&payload)) == 1;
    go_on(saving);
}

static void on_drained(struct api_call *call)
{
    struct saving *saving = call->context;
    saving->is_full = false;
    go_on(saving);
}

static void on_cancel(struct api_call *call)
{
    go_on(call->context);
}

void method_image_save(struct api_call *call, struct bytes params)
{
    char path[PATH_MAX];
    struct saving *saving = calloc(1, sizeof(*saving));
    if (!saving) {
        api_fail_with(call, -ENOMEM, NULL, "out of memory");
        return;
    }
    saving->call = call;
    saving->work.data = saving;
    frame_text(params, "reference", saving->name, sizeof(saving->name));
    snprintf(path, sizeof(path), "%s/save-XXXXXX", call->peer->options.data_dir);
    saving->fd = mkostemp(path, O_CLOEXEC);
    if (saving->fd < 0)
        error_set_errno(&saving->error, -errno, "saving %s: making a file in %s", saving->name,
                        call->peer->options.data_dir);
    else
        unlink(path); /* it goes when it is closed, whatever happens */
    call->context = saving;
    call->on_drained = on_drained;
    call->on_cancel = on_cancel;
    go_on(saving);
}
