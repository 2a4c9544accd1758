/* Gets an image from the peers that hold it, several parts at once, each from another peer if that
 * can be.
 *
 *     look (pool): what is missing?  →  ask who has it  →  transfers  →  look again, until nothing
 * is missing
 *
 * Which part next: the one that the fewest peers have, so that there soon are more of them; among
 * equals each peer has an order of its own, so that peers that fetch at once get different parts,
 * and then from each other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/images/fetch_private.h"

static void look(struct fetch *fetch);

static void unlink_fetch(struct fetch *fetch)
{
    struct fetch **link = &fetch->images->fetches;
    while (*link && *link != fetch)
        link = &(*link)->next;
    if (*link)
        *link = fetch->next;
}

static void free_parts(struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->part_count; i++)
        blob_writer_free(fetch->parts[i].writer);
    free(fetch->parts);
    fetch->parts = NULL;
    fetch->part_count = 0;
}

static void free_fetch(uv_handle_t *handle)
{
    struct fetch *fetch = handle->data;
    struct images *images = fetch->images;
    free_parts(fetch);
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

static void tell_failure(struct fetch *fetch, const struct error *why)
{
    char text[DIGEST_SHORT_TEXT_BYTES];
    struct error error = {0};
    digest_format_short(&fetch->digest, text);
    error_set(&error, why->code, "image %s could not be fetched: %s", text, why->message);
    error_hint(&error, "import it at any peer with: consort image import FILE");
    tell(fetch, &error);
}

static bool is_busy(const struct fetch *fetch)
{
    for (size_t i = 0; i < FETCH_AT_ONCE_MAX; i++)
        if (fetch->transfers[i].part)
            return true;
    return fetch->is_looking;
}

/* Once nothing is under way: tells everybody who still waits, and frees the fetch from the loop. */
static void finish(struct fetch *fetch)
{
    struct images *images = fetch->images;
    bool is_whole = fetch->error.code == 0;
    if (is_busy(fetch) || uv_is_closing((uv_handle_t *)&fetch->timer))
        return;
    unlink_fetch(fetch);
    sources_forget_asked(fetch);
    if (is_whole)
        images_held(images, &fetch->digest);
    share_fetch_ended(images);
    collector_look(images->collector);
    if (is_whole)
        tell(fetch, NULL);
    else
        tell_failure(fetch, &fetch->error);
    uv_close((uv_handle_t *)&fetch->timer, free_fetch);
}

/* Ends the fetch with fetch->error. */
static void conclude(struct fetch *fetch)
{
    if (fetch->is_over)
        return;
    fetch->is_over = true;
    for (size_t i = 0; i < FETCH_AT_ONCE_MAX; i++)
        transfer_cancel(&fetch->transfers[i]);
    finish(fetch);
}

/* --- Which part next, from whom --- */

static bool is_free(const struct source *source, uint64_t now_ms)
{
    return source->active < FETCH_PER_SOURCE_MAX && now_ms >= source->wait_until_ms;
}

/* How many have the part; `ret_best` is who should be asked for it, NULL if nobody can be now. */
static size_t count_sources(struct fetch *fetch, const struct part *part, struct source **ret_best)
{
    uint64_t now_ms = uv_now(fetch->images->config.loop);
    struct source *best = NULL;
    size_t count = 0;
    for (size_t i = 0; i < fetch->source_count; i++) {
        struct source *source = &fetch->sources[i];
        if (!source_has(source, part))
            continue;
        count++;
        if (!is_free(source, now_ms))
            continue;
        /* Those that have all of it are asked by everybody. */
        if (!best || source->active < best->active ||
            (source->active == best->active && best->is_whole && !source->is_whole))
            best = source;
    }
    *ret_best = best;
    return count;
}

static uint64_t order_of(const struct fetch *fetch, const struct part *part)
{
    uint64_t order;
    memcpy(&order, part->blob.digest.bytes, sizeof(order));
    return (order ^ fetch->salt) * UINT64_C(0x9e3779b97f4a7c15);
}

/* The rarest missing part that somebody can be asked for now; NULL if there is none. `ret_waits` is
 * set if there are others, whom somebody has. */
static struct part *choose_part(struct fetch *fetch, struct source **ret_source, bool *ret_waits)
{
    struct part *chosen = NULL;
    size_t chosen_count = 0;
    *ret_waits = false;
    for (size_t i = 0; i < fetch->part_count; i++) {
        struct part *part = &fetch->parts[i];
        struct source *source;
        size_t count = part->state == PART_MISSING ? count_sources(fetch, part, &source) : 0;
        if (count > 0 && !source)
            *ret_waits = true;
        if (count == 0 || !source)
            continue;
        if (!chosen || count < chosen_count ||
            (count == chosen_count && order_of(fetch, part) < order_of(fetch, chosen))) {
            chosen = part;
            chosen_count = count;
            *ret_source = source;
        }
    }
    return chosen;
}

static struct transfer *free_slot(struct fetch *fetch)
{
    for (size_t i = 0; i < FETCH_AT_ONCE_MAX; i++)
        if (!fetch->transfers[i].part)
            return &fetch->transfers[i];
    return NULL;
}

static bool is_complete(const struct fetch *fetch)
{
    for (size_t i = 0; i < fetch->part_count; i++)
        if (fetch->parts[i].state != PART_HERE)
            return false;
    return true;
}

/* Nobody has what is missing. Those that fetch it too may get it yet, but two that wait for each
 * other only must not do so for ever. */
static bool is_stuck(const struct fetch *fetch)
{
    uint64_t silence_ms = uv_now(fetch->images->config.loop) - fetch->news_ms;
    return !sources_may_get_more(fetch) ||
           (fetch->asks_anybody && silence_ms >= FETCH_ANYBODY_MS) ||
           silence_ms >= (uint64_t)FETCH_STUCK_SILENCES * fetch->images->config.silence_ms;
}

void fetch_schedule(struct fetch *fetch)
{
    struct images *images = fetch->images;
    bool waits = false;
    while (!fetch->is_over && !fetch->is_looking && images->transfers < IMAGES_TRANSFERS_MAX) {
        struct transfer *slot = free_slot(fetch);
        struct source *source;
        struct part *part = slot ? choose_part(fetch, &source, &waits) : NULL;
        if (!part)
            break;
        images->transfers++;
        transfer_start(slot, part, source);
    }
    if (fetch->is_over || is_busy(fetch) || images->transfers >= IMAGES_TRANSFERS_MAX)
        return;
    if (is_complete(fetch)) {
        look(fetch);
    } else if (!waits && is_stuck(fetch)) {
        if (fetch->error.code == 0)
            error_set(&fetch->error, -ENOENT, "no live peer has it, as far as is known");
        fetch->error.code = -ENOENT;
        conclude(fetch);
    }
}

static void note_break(struct fetch *fetch, struct source *source)
{
    uint64_t wait_ms = (uint64_t)FETCH_BREAK_MS << source->breaks;
    source->wait_until_ms = uv_now(fetch->images->config.loop) + wait_ms;
    if (++source->breaks >= FETCH_BREAKS_MAX)
        source->is_excluded = true;
}

static void note_outcome(struct fetch *fetch, struct part *part, struct source *source,
                         enum transfer_outcome outcome)
{
    uint64_t now_ms = uv_now(fetch->images->config.loop);
    switch (outcome) {
    case TRANSFER_DONE:
        source->breaks = 0;
        break;
    case TRANSFER_BUSY:
        source->wait_until_ms =
            now_ms + FETCH_BUSY_MS + random_below(&fetch->images->random, FETCH_BUSY_MS);
        break;
    case TRANSFER_ABSENT:
        part->failed_at |= UINT32_C(1) << (source - fetch->sources);
        break;
    case TRANSFER_BROKEN:
        note_break(fetch, source);
        break;
    case TRANSFER_WRONG:
        if (part->is_mixed)
            part->is_judged = true;
        else
            source->is_excluded = true;
        break;
    case TRANSFER_UNSTORED:
    case TRANSFER_CANCELED:
        break;
    }
}

void fetch_transfer_ended(struct transfer *transfer, enum transfer_outcome outcome)
{
    struct fetch *fetch = transfer->fetch;
    struct images *images = fetch->images;
    struct part *part = transfer->part;
    struct source *source = transfer->source;
    fetch->news_ms = uv_now(images->config.loop);
    images->transfers--;
    transfer->part = NULL;
    source->active--;
    part->state = outcome == TRANSFER_DONE ? PART_HERE : PART_MISSING;
    note_outcome(fetch, part, source, outcome);
    if (outcome == TRANSFER_DONE)
        share_blob_here(images, &part->blob.digest);
    if (fetch->is_over) {
        finish(fetch);
        return;
    }
    if (transfer->error.code < 0)
        fetch->error = transfer->error;
    else if (outcome == TRANSFER_BROKEN || outcome == TRANSFER_ABSENT)
        error_set(&fetch->error, -EPIPE, "peer %s %s", id_short(&source->id),
                  outcome == TRANSFER_BROKEN ? "broke off" : "does not have it");
    if (outcome == TRANSFER_UNSTORED)
        conclude(fetch); /* no other peer can make up for our own disk */
    else
        uv_timer_start(&fetch->timer, fetch->timer.timer_cb, 0, FETCH_TICK_MS);
}

static void on_tick(uv_timer_t *timer)
{
    struct fetch *fetch = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    for (size_t i = 0; i < FETCH_AT_ONCE_MAX; i++)
        transfer_tick(&fetch->transfers[i], now_ms);
    if (fetch->is_over || fetch->is_looking)
        return;
    if (++fetch->ticks % FETCH_REFRESH_TICKS == 0) {
        sources_refresh(fetch);
        if (is_busy(fetch))
            share_goes_on(fetch->images);
    }
    sources_ask(fetch);
    fetch_schedule(fetch);
}

/* --- What is missing --- */

static void find_missing(uv_work_t *work)
{
    struct fetch *fetch = work->data;
    fetch->look_error = (struct error){0};
    image_missing_blobs(fetch->images->config.store, &fetch->digest, &fetch->missing,
                        &fetch->missing_count, &fetch->look_error);
}

static int make_parts(struct fetch *fetch)
{
    free_parts(fetch);
    fetch->parts = calloc(fetch->missing_count, sizeof(*fetch->parts));
    if (!fetch->parts)
        return -ENOMEM;
    for (size_t i = 0; i < fetch->missing_count; i++)
        fetch->parts[i].blob = fetch->missing[i];
    fetch->part_count = fetch->missing_count;
    return 0;
}

static void on_missing(uv_work_t *work, int status)
{
    struct fetch *fetch = work->data;
    (void)status;
    fetch->is_looking = false;
    if (fetch->is_over) {
        finish(fetch);
    } else if (fetch->look_error.code < 0) {
        fetch->error = fetch->look_error;
        conclude(fetch);
    } else if (fetch->missing_count == 0) {
        fetch->error = (struct error){0};
        conclude(fetch);
    } else if (make_parts(fetch) < 0) {
        error_set_errno(&fetch->error, -ENOMEM, "looking for peers");
        conclude(fetch);
    } else {
        fetch->error = (struct error){0};
        fetch->news_ms = uv_now(fetch->images->config.loop);
        sources_refresh(fetch);
        sources_ask(fetch);
        uv_timer_start(&fetch->timer, on_tick, FETCH_TICK_MS, FETCH_TICK_MS);
        fetch_schedule(fetch);
    }
}

static void look(struct fetch *fetch)
{
    free(fetch->missing);
    fetch->missing = NULL;
    fetch->missing_count = 0;
    sources_forget_asked(fetch);
    uv_timer_stop(&fetch->timer);
    fetch->is_looking = true;
    uv_queue_work(fetch->images->config.loop, &fetch->work, find_missing, on_missing);
}

static struct fetch *get_fetch(struct images *images, const struct digest *digest, bool *ret_is_new)
{
    for (struct fetch *fetch = images->fetches; fetch; fetch = fetch->next) {
        if (digest_equal(&fetch->digest, digest) && !fetch->is_over) {
            *ret_is_new = false;
            return fetch;
        }
    }
    struct fetch *fetch = calloc(1, sizeof(*fetch));
    if (!fetch)
        return NULL;
    fetch->images = images;
    fetch->digest = *digest;
    fetch->salt = random_u64(&images->random);
    fetch->work.data = fetch->timer.data = fetch;
    uv_timer_init(images->config.loop, &fetch->timer);
    fetch->next = images->fetches;
    images->fetches = fetch;
    images_hold(images);
    *ret_is_new = true;
    return fetch;
}

int images_fetch(struct images *images, const struct digest *digest, bool asks_anybody,
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
    fetch->asks_anybody = fetch->asks_anybody || asks_anybody;
    if (is_new)
        look(fetch);
    return 0;
}

void fetches_cancel(struct images *images)
{
    struct fetch *next;
    for (struct fetch *fetch = images->fetches; fetch; fetch = next) {
        next = fetch->next;
        error_set(&fetch->error, -ECANCELED, "this peer is stopping");
        tell_failure(fetch, &fetch->error);
        conclude(fetch);
    }
}

void fetches_meet(struct images *images, const struct id *id, const struct digest *wanted)
{
    for (struct fetch *fetch = images->fetches; fetch; fetch = fetch->next) {
        bool is_shared = false;
        for (size_t i = 0; i < fetch->part_count && !is_shared; i++)
            is_shared = digest_equal(&fetch->parts[i].blob.digest, wanted);
        if (is_shared && !fetch->is_over)
            sources_meet(fetch, id);
    }
}
