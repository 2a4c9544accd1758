/* Frames from an admitted peer that does not follow the protocol: each is a length byte pair and
 * that many bytes. The mux may refuse them, but never miscounts, and its streams close exactly
 * once. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "node/transport/mux.h"
#include "node/transport/mux_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct totals {
    size_t opened, closed;
};

static void wake(void *context)
{
    (void)context;
}

static bool is_ready(void *context)
{
    (void)context;
    return true;
}

static void send_frame(void *context, const uint8_t *frame, size_t size)
{
    struct mux_frame decoded;
    (void)context;
    assert(mux_frame_decode(frame, size, &decoded) == 0);
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    (void)context;
    if (data.data[0] % 2) /* echo what fits, and keep the window shut otherwise */
        stream_write(stream, data.data, data.size);
    else
        stream_consumed(stream, data.size);
}

static void on_end(void *context, struct mux_stream *stream)
{
    (void)context;
    stream_end(stream);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct totals *totals = context;
    (void)stream;
    (void)reason;
    totals->closed++;
}

static const struct stream_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_close = on_close};

static void on_open(void *context, struct mux_stream *stream, uint8_t kind, struct bytes header)
{
    struct totals *totals = context;
    (void)header;
    if (kind == 0)
        return;
    totals->opened++;
    stream_accept(stream, &handler, totals);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct totals totals = {0};
    struct mux_stream *own;
    const struct mux_config config = {
        .carrier = {&totals, wake, is_ready, send_frame}, .context = &totals, .on_open = on_open};
    struct mux *mux = mux_new(&config);
    assert(mux);
    if (mux_open(mux, 1, (struct bytes){0}, &handler, &totals, &own) == 0)
        totals.opened++;
    mux_pump(mux);
    for (size_t offset = 0; size - offset >= 2;) {
        size_t length = (size_t)data[offset] << 8 | data[offset + 1];
        offset += 2;
        if (length > size - offset)
            length = size - offset;
        if (mux_receive(mux, data + offset, length) < 0)
            break;
        mux_pump(mux);
        offset += length;
    }
    mux_fail(mux, -1);
    assert(totals.opened == totals.closed);
    assert(mux_stream_count(mux) == 0);
    mux_free(mux);
    return 0;
}
