#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "node/images/images_private.h"

void images_hold(struct images *images)
{
    images->busy++;
}

void images_release(struct images *images)
{
    if (--images->busy > 0 || !images->is_closing)
        return;
    digest_set_done(&images->held);
    free(images);
}

static void tell(struct images *images, const struct digest *digest, const char *references)
{
    char text[DIGEST_TEXT_BYTES];
    digest_format(digest, text);
    if (!images->is_closing)
        images->config.on_held(images->config.context, text, references);
}

void images_held(struct images *images, const struct digest *digest)
{
    if (digest_set_has(&images->held, digest))
        return;
    if (digest_set_add(&images->held, digest) == 0)
        tell(images, digest, "");
    collector_look(images->collector);
}

bool images_has(const struct images *images, const struct digest *digest)
{
    return digest_set_has(&images->held, digest);
}

/* A look at what the store holds; afterwards `held` is what was found. */
struct listing {
    uv_work_t work;
    struct images *images;
    struct image_summary *summaries;
    size_t count;
    struct error error;
    void (*then)(void *context); /* NULL: nothing */
    void *context;
};

static void list(uv_work_t *work)
{
    struct listing *listing = work->data;
    image_store_list(listing->images->config.store, &listing->summaries, &listing->count,
                     &listing->error);
}

/* Images whose blobs were collected are here no longer. One look at a directory entry each. */
static void drop_removed(struct images *images)
{
    const struct blob_store *blobs = image_store_blobs(images->config.store);
    struct digest_set kept = {0};
    for (size_t i = 0; i < images->held.count; i++) {
        if (!blob_store_has(blobs, &images->held.items[i]))
            tell(images, &images->held.items[i], NULL);
        else if (digest_set_add(&kept, &images->held.items[i]) < 0)
            break; /* forgotten until the next look */
    }
    digest_set_done(&images->held);
    images->held = kept;
}

static void tell_names(struct images *images, const struct digest *digest,
                       const struct listing *listing)
{
    cleanup_buffer struct buffer names = {0};
    for (size_t i = 0; i < listing->count; i++) {
        const struct image_summary *summary = &listing->summaries[i];
        if (!digest_equal(&summary->digest, digest))
            continue;
        if (names.size == 0 && summary->volumes[0])
            buffer_append_text(&names, summary->volumes);
        buffer_printf(&names, "%s%s", names.size > 0 ? "," : "", summary->reference);
    }
    cleanup_free char *text = buffer_take_text(&names);
    if (text)
        tell(images, digest, text);
}

static void on_listed(uv_work_t *work, int status)
{
    struct listing *listing = work->data;
    struct images *images = listing->images;
    (void)status;
    if (listing->error.code < 0) {
        log_warning("the images here can't be listed: %s", listing->error.message);
    } else {
        for (size_t i = 0; i < listing->count; i++)
            if (listing->summaries[i].complete)
                digest_set_add(&images->held, &listing->summaries[i].digest);
        drop_removed(images);
        for (size_t i = 0; i < images->held.count; i++)
            tell_names(images, &images->held.items[i], listing);
    }
    if (listing->then)
        listing->then(listing->context);
    free(listing->summaries);
    free(listing);
    images_release(images);
}

void images_look(struct images *images, void (*then)(void *context), void *context)
{
    struct listing *listing = images->is_closing ? NULL : calloc(1, sizeof(*listing));
    if (!listing) {
        if (then)
            then(context);
        return;
    }
    listing->images = images;
    listing->then = then;
    listing->context = context;
    listing->work.data = listing;
    images_hold(images);
    uv_queue_work(images->config.loop, &listing->work, list, on_listed);
}

struct images *images_new(const struct images_config *config)
{
    struct images *images = calloc(1, sizeof(*images));
    if (!images)
        return NULL;
    images->config = *config;
    if (images->config.silence_ms == 0)
        images->config.silence_ms = IMAGES_SILENCE_MS_DEFAULT;
    uint64_t seed;
    randombytes_buf(&seed, sizeof(seed));
    random_init(&images->random, seed);
    images->collector = collector_new(images);
    if (!images->collector) {
        free(images);
        return NULL;
    }
    images_look(images, NULL, NULL);
    return images;
}

void images_begin_collecting(struct images *images)
{
    collector_begin(images->collector);
}

void images_close(struct images *images)
{
    if (!images)
        return;
    images_hold(images);
    images->is_closing = true;
    fetches_cancel(images);
    pulls_cancel(images);
    collector_close(images->collector);
    images->collector = NULL;
    images_release(images);
}

/* An import or a removal on the pool. */
struct change {
    uv_work_t work;
    struct images *images;
    char *path; /* NULL: a removal */
    char *reference;
    struct image_imported *imported;
    size_t imported_count;
    struct error error;
    void (*on_imported)(void *context, const struct image_imported *imported, size_t imported_count,
                        const struct error *error);
    void (*on_removed)(void *context, const struct error *error);
    void *context;
};

static void free_change(struct change *change)
{
    free(change->path);
    free(change->reference);
    free(change->imported);
    free(change);
}

static void carry_out(uv_work_t *work)
{
    struct change *change = work->data;
    struct image_store *store = change->images->config.store;
    if (change->path)
        image_import(store, change->path, change->reference, &change->imported,
                     &change->imported_count, &change->error);
    else
        image_store_remove(store, change->reference, &change->error);
}

/* The node has been told what is here under which names: what the asker does next counts on it. */
static void answer(void *context)
{
    struct change *change = context;
    struct images *images = change->images;
    const struct error *error = change->error.code < 0 ? &change->error : NULL;
    if (change->on_imported)
        change->on_imported(change->context, change->imported, change->imported_count, error);
    else
        change->on_removed(change->context, error);
    free_change(change);
    images_release(images);
}

static void on_carried_out(uv_work_t *work, int status)
{
    struct change *change = work->data;
    struct images *images = change->images;
    (void)status;
    for (size_t i = 0; i < change->imported_count && change->error.code == 0; i++)
        images_held(images, &change->imported[i].digest);
    images_look(images, answer, change); /* a removal, or a name that now means another image */
}

static int queue_change(struct images *images, struct change *change, const char *path,
                        const char *reference)
{
    change->path = path ? strdup(path) : NULL;
    change->reference = reference ? strdup(reference) : NULL;
    if ((path && !change->path) || (reference && !change->reference)) {
        free_change(change);
        return -ENOMEM;
    }
    change->images = images;
    change->work.data = change;
    images_hold(images);
    uv_queue_work(images->config.loop, &change->work, carry_out, on_carried_out);
    return 0;
}

int images_import(struct images *images, const char *path, const char *reference,
                  void (*callback)(void *context, const struct image_imported *imported,
                                   size_t imported_count, const struct error *error),
                  void *context)
{
    struct change *change = calloc(1, sizeof(*change));
    if (!change)
        return -ENOMEM;
    change->on_imported = callback;
    change->context = context;
    return queue_change(images, change, path, reference);
}

int images_remove(struct images *images, const char *reference,
                  void (*callback)(void *context, const struct error *error), void *context)
{
    struct change *change = calloc(1, sizeof(*change));
    if (!change)
        return -ENOMEM;
    change->on_removed = callback;
    change->context = context;
    return queue_change(images, change, NULL, reference);
}

void images_accept(struct images *images, const struct id *from, struct mux_stream *stream,
                   uint8_t kind, struct bytes header)
{
    if (images->is_closing)
        stream_reset(stream, -ESHUTDOWN);
    else if (kind == STREAM_SHARE)
        share_accept(images, from, stream);
    else
        serve_blob(images, from, stream, header);
}
