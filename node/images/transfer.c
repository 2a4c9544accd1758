/* One part from one peer:  stream  →  write (pool)  …  commit (pool). */
#include <errno.h>
#include <string.h>

#include "node/images/fetch_private.h"

static struct blob_store *blobs_of(const struct transfer *transfer)
{
    return image_store_blobs(transfer->fetch->images->config.store);
}

/* Ends the transfer, once nothing is being written. What was written of a part stays, for the next
 * source to go on from. */
static void end(struct transfer *transfer, enum transfer_outcome outcome)
{
    struct part *part = transfer->part;
    if (transfer->stream)
        stream_reset(transfer->stream, -ECANCELED);
    transfer->stream = NULL;
    if (transfer->is_writing) {
        if (!transfer->is_over)
            transfer->outcome = outcome;
        transfer->is_over = true;
        return;
    }
    bool goes_on =
        outcome == TRANSFER_BROKEN || outcome == TRANSFER_BUSY || outcome == TRANSFER_ABSENT;
    if (!goes_on || part->is_judged) {
        blob_writer_free(part->writer);
        part->writer = NULL;
        part->written_bytes = 0;
    }
    buffer_done(&transfer->arrived);
    buffer_done(&transfer->writing);
    fetch_transfer_ended(transfer, outcome);
}

static void write_arrived(uv_work_t *work)
{
    struct transfer *transfer = work->data;
    struct part *part = transfer->part;
    int rc = 0;
    transfer->error = (struct error){0};
    if (!part->writer)
        rc = blob_writer_new(blobs_of(transfer), &part->blob.digest, part->blob.size_bytes,
                             &part->writer, &transfer->error);
    if (rc == 0 && transfer->writing.size > 0)
        rc = blob_writer_write(part->writer, transfer->writing.bytes, transfer->writing.size,
                               &transfer->error);
    if (rc == 0 && transfer->is_last)
        rc = blob_writer_commit(part->writer, NULL, NULL, &transfer->error);
    transfer->rc = rc;
}

static void on_written(uv_work_t *work, int status);

/* Hands what has arrived to the pool, unless a write is under way. */
static void write_more(struct transfer *transfer)
{
    if (transfer->is_writing)
        return;
    buffer_clear(&transfer->writing);
    struct buffer emptied = transfer->writing;
    transfer->writing = transfer->arrived;
    transfer->arrived = emptied;
    transfer->is_writing = true;
    transfer->is_last = transfer->has_ended;
    uv_queue_work(transfer->fetch->images->config.loop, &transfer->work, write_arrived, on_written);
}

static void on_written(uv_work_t *work, int status)
{
    struct transfer *transfer = work->data;
    struct part *part = transfer->part;
    (void)status;
    transfer->is_writing = false;
    transfer->heard_ms = uv_now(transfer->fetch->images->config.loop);
    if (transfer->rc < 0) {
        bool is_wrong = transfer->rc == -EFBIG || transfer->rc == -EBADMSG;
        transfer->is_over = false;
        end(transfer, is_wrong ? TRANSFER_WRONG : TRANSFER_UNSTORED);
        return;
    }
    part->written_bytes += (int64_t)transfer->writing.size;
    if (transfer->is_last) {
        end(transfer, TRANSFER_DONE);
    } else if (transfer->is_over) {
        end(transfer, transfer->outcome);
    } else {
        if (transfer->stream)
            stream_consumed(transfer->stream, transfer->writing.size);
        if (transfer->arrived.size > 0 || transfer->has_ended)
            write_more(transfer);
    }
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct transfer *transfer = context;
    (void)stream;
    transfer->heard_ms = uv_now(transfer->fetch->images->config.loop);
    if (buffer_append(&transfer->arrived, data.data, data.size) < 0) {
        end(transfer, TRANSFER_BROKEN);
        return;
    }
    write_more(transfer);
}

static void on_end(void *context, struct mux_stream *stream)
{
    struct transfer *transfer = context;
    (void)stream;
    transfer->has_ended = true;
    write_more(transfer);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct transfer *transfer = context;
    (void)stream;
    transfer->stream = NULL;
    if (transfer->has_ended || reason == 0)
        return;
    if (!transfer->is_writing)
        error_set_errno(&transfer->error, reason, "peer %s broke off",
                        id_short(&transfer->source->id));
    end(transfer, reason == -EBUSY    ? TRANSFER_BUSY
                  : reason == -ENOENT ? TRANSFER_ABSENT
                                      : TRANSFER_BROKEN);
}

static const struct stream_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_close = on_close};

/* The digest's text, and where to begin if that is not the start. */
static struct bytes make_header(const struct part *part, uint8_t ret[BLOB_HEADER_BYTES_MAX])
{
    char text[DIGEST_TEXT_BYTES];
    size_t size = DIGEST_TEXT_BYTES - 1;
    digest_format(&part->blob.digest, text);
    memcpy(ret, text, size);
    for (int shift = 56; part->written_bytes > 0 && shift >= 0; shift -= 8)
        ret[size++] = (uint8_t)((uint64_t)part->written_bytes >> shift);
    return (struct bytes){ret, size};
}

void transfer_start(struct transfer *transfer, struct part *part, struct source *source)
{
    struct fetch *fetch = source->fetch;
    const struct images_config *config = &fetch->images->config;
    uint8_t header[BLOB_HEADER_BYTES_MAX];
    *transfer = (struct transfer){.fetch = fetch,
                                  .part = part,
                                  .source = source,
                                  .work.data = transfer,
                                  .heard_ms = uv_now(config->loop)};
    part->state = PART_UNDER_WAY;
    part->is_mixed = part->written_bytes > 0;
    source->active++;
    int rc = links_open_stream(config->links, &source->id,
                               source->has_address ? &source->address : NULL, STREAM_BLOB,
                               make_header(part, header), &handler, transfer, &transfer->stream);
    if (rc == 0) {
        stream_end(transfer->stream);
        return;
    }
    error_set_errno(&transfer->error, rc, "peer %s can't be asked", id_short(&source->id));
    source->is_excluded = true;
    end(transfer, TRANSFER_BROKEN);
}

/* A peer that is alive may still have nothing to say: its disk hangs, or it means no good. While we
 * write, it may well be our turn to give room. */
void transfer_tick(struct transfer *transfer, uint64_t now_ms)
{
    if (!transfer->part || !transfer->stream || transfer->is_writing ||
        now_ms - transfer->heard_ms < transfer->fetch->images->config.silence_ms)
        return;
    error_set(&transfer->error, -ETIMEDOUT, "peer %s sends nothing",
              id_short(&transfer->source->id));
    end(transfer, TRANSFER_BROKEN);
}

void transfer_cancel(struct transfer *transfer)
{
    if (transfer->part)
        end(transfer, TRANSFER_CANCELED);
}
