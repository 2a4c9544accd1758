#include "runtime/stream_input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/bounds.h"

struct piece {
    uv_write_t request;
    stream_input_taken *on_taken;
    size_t size;
    uint8_t data[];
};

bool stream_input_has_room(const uv_stream_t *stream)
{
    return uv_stream_get_write_queue_size(stream) < RUNTIME_EXEC_INPUT_BYTES_MAX;
}

static void on_written(uv_write_t *request, int status)
{
    (void)
        status; /* whoever does not take its input has its reasons, and its end is seen elsewhere */
    struct piece *piece = request->data;
    stream_input_taken *on_taken = piece->on_taken;
    void *object = request->handle->data;
    size_t size = piece->size;
    free(piece);
    on_taken(object, size);
}

int stream_input_write(uv_stream_t *stream, struct bytes data, stream_input_taken *on_taken)
{
    struct piece *piece = malloc(sizeof(*piece) + data.size);
    if (!piece)
        return -ENOMEM;
    memcpy(piece->data, data.data, data.size);
    piece->request.data = piece;
    piece->on_taken = on_taken;
    piece->size = data.size;
    uv_buf_t buffer = uv_buf_init((char *)piece->data, (unsigned)data.size);
    int result = uv_write(&piece->request, stream, &buffer, 1, on_written);
    if (result < 0)
        free(piece);
    return result;
}
