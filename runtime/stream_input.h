/* Input that goes to a command, a container or a copy: queued to a stream, bounded, and told of
 * once it was taken. For exec.c, attach.c and copy.c.
 */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "base/buffer.h"

/* So much was taken, or will never be. `object` is the stream's `data`, which is there until the
 * stream's closing has been called back. */
typedef void stream_input_taken(void *object, size_t bytes);

/* False while RUNTIME_EXEC_INPUT_BYTES_MAX wait to be taken. */
bool stream_input_has_room(const uv_stream_t *stream);

/* Queues a copy of `data`; 0, -ENOMEM, or what writing failed with, and then does not call back. */
int stream_input_write(uv_stream_t *stream, struct bytes data, stream_input_taken *on_taken);
