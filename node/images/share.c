/* Tells a peer which of the blobs that it looks for are here, and, as long as something is being
 * fetched, which have come.
 *
 *     digests, until END  →  look (pool)  →  those that are here  →  … those that come  →  END
 *
 * Zeros instead of a digest say that something is on its way.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "node/images/images_private.h"

enum {
    SHARES_MAX = 128,
    SHARE_DIGESTS_MAX = IMAGE_LAYERS_MAX + 1,
};

struct share {
    uv_work_t work;
    struct images *images;
    struct mux_stream *stream; /* NULL once it is gone */
    struct id from;
    struct share *next;
    bool is_looking, has_looked;
    size_t size; /* of `wanted`, in bytes, while it arrives */
    uint8_t wanted[SHARE_DIGESTS_MAX * DIGEST_BYTES];
    bool is_here[SHARE_DIGESTS_MAX];  /* by the look */
    bool has_come[SHARE_DIGESTS_MAX]; /* since, or meanwhile */
    bool is_told[SHARE_DIGESTS_MAX];
};

static size_t count_of(const struct share *share)
{
    return share->size / DIGEST_BYTES;
}

static struct digest digest_at(const struct share *share, size_t index)
{
    struct digest digest;
    memcpy(digest.bytes, share->wanted + index * DIGEST_BYTES, DIGEST_BYTES);
    return digest;
}

static void free_share(struct share *share)
{
    struct images *images = share->images;
    struct share **link = &images->shares;
    while (*link != share)
        link = &(*link)->next;
    *link = share->next;
    images->share_count--;
    free(share);
    images_release(images);
}

/* Tells what is new; and that there will be no more, if so. */
static void tell(struct share *share)
{
    bool has_all = true;
    for (size_t i = 0; i < count_of(share); i++) {
        /* There is always room for all digests in the stream's queue. */
        if ((share->is_here[i] || share->has_come[i]) && !share->is_told[i])
            share->is_told[i] =
                stream_write(share->stream, share->wanted + i * DIGEST_BYTES, DIGEST_BYTES) == 0;
        has_all = has_all && share->is_told[i];
    }
    if (has_all || !share->images->fetches)
        stream_end(share->stream);
}

static void look(uv_work_t *work)
{
    struct share *share = work->data;
    const struct blob_store *blobs = image_store_blobs(share->images->config.store);
    for (size_t i = 0; i < count_of(share); i++) {
        struct digest digest = digest_at(share, i);
        share->is_here[i] = blob_store_has(blobs, &digest);
    }
}

static void on_looked(uv_work_t *work, int status)
{
    struct share *share = work->data;
    (void)status;
    share->is_looking = false;
    share->has_looked = true;
    if (!share->stream)
        free_share(share);
    else
        tell(share);
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct share *share = context;
    if (share->is_looking || share->has_looked || data.size > sizeof(share->wanted) - share->size) {
        stream_reset(stream, -EMSGSIZE);
        share->stream = NULL;
        if (!share->is_looking)
            free_share(share);
        return;
    }
    memcpy(share->wanted + share->size, data.data, data.size);
    share->size += data.size;
    stream_consumed(stream, data.size);
}

static void on_end(void *context, struct mux_stream *stream)
{
    struct share *share = context;
    (void)stream;
    for (size_t i = 0; i < count_of(share); i++) {
        struct digest digest = digest_at(share, i);
        fetches_meet(share->images, &share->from, &digest);
    }
    share->is_looking = true;
    uv_queue_work(share->images->config.loop, &share->work, look, on_looked);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct share *share = context;
    (void)stream;
    (void)reason;
    share->stream = NULL;
    if (!share->is_looking)
        free_share(share);
}

static const struct stream_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_close = on_close};

void share_accept(struct images *images, const struct id *from, struct mux_stream *stream)
{
    struct share *share = images->share_count < SHARES_MAX ? calloc(1, sizeof(*share)) : NULL;
    if (!share) {
        stream_reset(stream, -EBUSY);
        return;
    }
    share->images = images;
    share->stream = stream;
    share->from = *from;
    share->work.data = share;
    share->next = images->shares;
    images->shares = share;
    images->share_count++;
    images_hold(images);
    stream_accept(stream, &handler, share);
    stream_set_patient(stream);
}

void share_blob_here(struct images *images, const struct digest *digest)
{
    for (struct share *share = images->shares; share; share = share->next) {
        for (size_t i = 0; i < count_of(share); i++) {
            struct digest wanted = digest_at(share, i);
            if (digest_equal(&wanted, digest))
                share->has_come[i] = true;
        }
        if (share->has_looked && share->stream)
            tell(share);
    }
}

void share_fetch_ended(struct images *images)
{
    for (struct share *share = images->shares; share; share = share->next)
        if (share->has_looked && share->stream)
            tell(share);
}

void share_goes_on(struct images *images)
{
    static const uint8_t zeros[DIGEST_BYTES];
    for (struct share *share = images->shares; share; share = share->next)
        if (share->has_looked && share->stream &&
            stream_room(share->stream) >= sizeof(share->wanted))
            stream_write(share->stream, zeros, sizeof(zeros));
}
