/* Gets an image from the peers that hold it, blob after blob, trying one peer after another.
 *
 *     look (pool): what is missing?  →  stream the first missing blob  →  write (pool) … commit
 * (pool) →  look again, until nothing is missing
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/images/images_private.h"

enum {
    FETCH_HOLDERS_MAX = 16, /* peers tried for one image */
};

struct fetch_waiter {
    void (*callback)(void *context, const struct error *error);
    void *context;
    struct fetch_waiter *next;
};

struct holder {
    struct id id;
    struct address address;
};

struct fetch {
    uv_work_t work; /* one at a time */
    struct images *images;
    struct digest digest;
    struct fetch_waiter *waiters;
    struct fetch *next;
    bool is_canceled;

    struct holder holders[FETCH_HOLDERS_MAX];
    size_t holder_count, next_holder;

    struct image_descriptor *missing; /* from the last look */
    size_t missing_count;
    struct error error;

    struct mux_stream *stream; /* NULL when none is open */
    uv_timer_t timer;          /* runs while a peer is asked; every byte sets it back */
    struct blob_writer *writer;
    struct buffer arrived; /* not yet given to the pool */
    struct buffer writing; /* on the pool */
    bool is_writing;
    bool is_last;   /* of the write under way: it ends with the commit */
    bool has_ended; /* all that the peer sends has arrived */
};

static void look(struct fetch *fetch);
static void ask_next_holder(struct fetch *fetch);

static void unlink_fetch(struct fetch *fetch)
{
    struct fetch **link = &fetch->images->fetches;
    while (*link && *link != fetch)
        link = &(*link)->next;
    if (*link)
        *link = fetch->next;
}

static void free_fetch(uv_handle_t *handle)
{
    struct fetch *fetch = handle->data;
    struct images *images = fetch->images;
    blob_writer_free(fetch->writer);
    buffer_done(&fetch->arrived);
    buffer_done(&fetch->writing);
    free(fetch->missing);
    free(fetch);
    images_release(images);
}

static void tell(struct fetch *fetch, const struct error *error)
{
    while (fetch->waiters) {
        struct fetch_waiter *waiter = fetch->waiters;
        fetch->waiters = waiter->next;
        waiter->callback(waiter->context, error);
        free(waiter);
    }
}

/* Tells everybody who still waits, and frees the fetch from the loop. */
static void finish(struct fetch *fetch, const struct error *error)
{
    struct images *images = fetch->images;
    unlink_fetch(fetch);
    if (!error)
        images_held(images, &fetch->digest);
    tell(fetch, error);
    uv_close((uv_handle_t *)&fetch->timer, free_fetch);
}

static void tell_failure(struct fetch *fetch, int code, const char *why)
{
    char text[DIGEST_SHORT_TEXT_BYTES];
    struct error error = {0};
    digest_format_short(&fetch->digest, text);
    error_set(&error, code, "image %s could not be fetched: %s", text, why);
    error_hint(&error, "import it at any peer with: consort image import FILE");
    tell(fetch, &error);
}

static void fail(struct fetch *fetch, int code, const char *why)
{
    struct error error = {.code = code};
    tell_failure(fetch, code, why);
    finish(fetch, &error); /* nobody waits any more */
}

/* --- Streaming one blob --- */

static void write_arrived(uv_work_t *work)
{
    struct fetch *fetch = work->data;
    struct blob_store *blobs = image_store_blobs(fetch->images->config.store);
    const struct image_descriptor *blob = &fetch->missing[0];
    int rc = 0;
    fetch->error = (struct error){0};
    if (!fetch->writer)
        rc = blob_writer_new(blobs, &blob->digest, blob->size_bytes, &fetch->writer, &fetch->error);
    if (rc == 0 && fetch->writing.size > 0)
        rc = blob_writer_write(fetch->writer, fetch->writing.bytes, fetch->writing.size,
                               &fetch->error);
    if (rc == 0 && fetch->is_last)
        rc = blob_writer_commit(fetch->writer, NULL, NULL, &fetch->error);
    if (rc < 0 && fetch->error.code == 0)
        error_set_errno(&fetch->error, rc, "writing a blob");
}

static void on_written(uv_work_t *work, int status);

/* Hands what has arrived to the pool, unless a write is under way. */
static void write_more(struct fetch *fetch)
{
    if (fetch->is_writing)
        return;
    buffer_clear(&fetch->writing);
    struct buffer emptied = fetch->writing;
    fetch->writing = fetch->arrived;
    fetch->arrived = emptied;
    fetch->is_writing = true;
    fetch->is_last = fetch->has_ended;
    uv_queue_work(fetch->images->config.loop, &fetch->work, write_arrived, on_written);
}

static void drop_stream(struct fetch *fetch, int reason)
{
    if (fetch->stream)
        stream_reset(fetch->stream, reason);
    fetch->stream = NULL;
}

static void on_written(uv_work_t *work, int status)
{
    struct fetch *fetch = work->data;
    (void)status;
    fetch->is_writing = false;
    if (fetch->is_canceled) {
        fail(fetch, -ECANCELED, "this peer is stopping");
        return;
    }
    if (fetch->error.code < 0) { /* a bad blob, or a full disk: another peer can't be worse */
        drop_stream(fetch, -ECANCELED);
        ask_next_holder(fetch);
        return;
    }
    if (fetch->stream)
        stream_consumed(fetch->stream, fetch->writing.size);
    if (fetch->is_last)
        look(fetch);
    else if (fetch->arrived.size > 0 || fetch->has_ended)
        write_more(fetch);
}

static void on_data(void *context, struct mux_stream *stream, struct bytes data)
{
    struct fetch *fetch = context;
    uv_timer_again(&fetch->timer);
    if (buffer_append(&fetch->arrived, data.data, data.size) < 0) {
        stream_reset(stream, -ENOMEM);
        fetch->stream = NULL;
        fetch->has_ended = true; /* what is there is too short, and the commit will say so */
    }
    write_more(fetch);
}

static void on_end(void *context, struct mux_stream *stream)
{
    struct fetch *fetch = context;
    stream_end(stream);
    fetch->has_ended = true;
    write_more(fetch);
}

static void on_close(void *context, struct mux_stream *stream, int reason)
{
    struct fetch *fetch = context;
    (void)stream;
    fetch->stream = NULL;
    if (fetch->has_ended || reason == 0)
        return;
    fetch->error = (struct error){0};
    error_set_errno(&fetch->error, reason, "peer %s broke off",
                    id_short(&fetch->holders[fetch->next_holder - 1].id));
    if (!fetch->is_writing)
        ask_next_holder(fetch);
    else
        fetch->has_ended = true; /* the write ends with an error: too short */
}

static const struct stream_handler handler = {
    .on_data = on_data, .on_end = on_end, .on_close = on_close};

/* A peer that is alive may still have nothing to say: its disk hangs, or it means no good. While we
 * write, it may well be our turn to give room. */
static void on_silence(uv_timer_t *timer)
{
    struct fetch *fetch = timer->data;
    if (!fetch->stream || fetch->is_writing)
        return;
    drop_stream(fetch, -ETIMEDOUT);
    error_set(&fetch->error, -ETIMEDOUT, "peer %s sends nothing",
              id_short(&fetch->holders[fetch->next_holder - 1].id));
    ask_next_holder(fetch);
}

/* Asks the next peer that holds the image for the first missing blob. */
static void ask_next_holder(struct fetch *fetch)
{
    char text[DIGEST_TEXT_BYTES];
    blob_writer_free(fetch->writer);
    fetch->writer = NULL;
    buffer_clear(&fetch->arrived);
    fetch->has_ended = false;
    digest_format(&fetch->missing[0].digest, text);
    while (fetch->next_holder < fetch->holder_count) {
        const struct holder *holder = &fetch->holders[fetch->next_holder++];
        int rc =
            links_open_stream(fetch->images->config.links, &holder->id, &holder->address,
                              STREAM_BLOB, bytes_of_text(text), &handler, fetch, &fetch->stream);
        if (rc == 0) {
            uint64_t silence_ms = fetch->images->config.silence_ms;
            stream_end(fetch->stream);
            uv_timer_start(&fetch->timer, on_silence, silence_ms, silence_ms);
            return;
        }
        error_set_errno(&fetch->error, rc, "peer %s can't be asked", id_short(&holder->id));
    }
    fail(fetch, -ENOENT,
         fetch->error.code < 0 ? fetch->error.message : "no live peer has it, as far as is known");
}

/* --- What is missing --- */

static void find_missing(uv_work_t *work)
{
    struct fetch *fetch = work->data;
    fetch->error = (struct error){0};
    image_missing_blobs(fetch->images->config.store, &fetch->digest, &fetch->missing,
                        &fetch->missing_count, &fetch->error);
}

static void add_holder(void *context, const struct id *id, const struct address *address)
{
    struct fetch *fetch = context;
    if (fetch->holder_count < FETCH_HOLDERS_MAX)
        fetch->holders[fetch->holder_count++] = (struct holder){*id, *address};
}

static void on_missing(uv_work_t *work, int status)
{
    struct fetch *fetch = work->data;
    struct images_config *config = &fetch->images->config;
    char text[DIGEST_TEXT_BYTES];
    (void)status;
    if (fetch->is_canceled) {
        fail(fetch, -ECANCELED, "this peer is stopping");
    } else if (fetch->error.code < 0) {
        fail(fetch, fetch->error.code, fetch->error.message);
    } else if (fetch->missing_count == 0) {
        finish(fetch, NULL);
    } else {
        digest_format(&fetch->digest, text);
        fetch->holder_count = fetch->next_holder = 0;
        config->holders(config->context, text, add_holder, fetch);
        ask_next_holder(fetch);
    }
}

static void look(struct fetch *fetch)
{
    free(fetch->missing);
    fetch->missing = NULL;
    fetch->missing_count = 0;
    blob_writer_free(fetch->writer);
    fetch->writer = NULL;
    uv_timer_stop(&fetch->timer);
    uv_queue_work(fetch->images->config.loop, &fetch->work, find_missing, on_missing);
}

static struct fetch *get_fetch(struct images *images, const struct digest *digest, bool *ret_is_new)
{
    for (struct fetch *fetch = images->fetches; fetch; fetch = fetch->next) {
        if (digest_equal(&fetch->digest, digest)) {
            *ret_is_new = false;
            return fetch;
        }
    }
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (!fetch)
        return NULL;
    fetch->images = images;
    fetch->digest = *digest;
    fetch->work.data = fetch->timer.data = fetch;
    uv_timer_init(images->config.loop, &fetch->timer);
    fetch->next = images->fetches;
    images->fetches = fetch;
    images_hold(images);
    *ret_is_new = true;
    return fetch;
}

int images_fetch(struct images *images, const struct digest *digest,
                 void (*callback)(void *context, const struct error *error), void *context)
{
    bool is_new;
    struct fetch_waiter *waiter = malloc(sizeof(*waiter));
    struct fetch *fetch = waiter ? get_fetch(images, digest, &is_new) : NULL;
    if (!fetch) {
        free(waiter);
        return -ENOMEM;
    }
    *waiter = (struct fetch_waiter){callback, context, fetch->waiters};
    fetch->waiters = waiter;
    if (is_new)
        look(fetch);
    return 0;
}

void fetches_cancel(struct images *images)
{
    struct fetch *next;
    for (struct fetch *fetch = images->fetches; fetch; fetch = next) {
        next = fetch->next;
        fetch->is_canceled = true;
        tell_failure(fetch, -ECANCELED, "this peer is stopping");
        if (fetch->stream) {
            drop_stream(fetch, -ECANCELED);
            if (!fetch->is_writing)
                fail(fetch, -ECANCELED, "this peer is stopping");
        }
    }
}
